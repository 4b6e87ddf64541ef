"""Removes a runtime's instance. Its volumes stay."""

from ..incus.client import IncusClient
from ..incus.errors import IncusError
from .errors import ReconcileError, RuntimeFailed
from .options import Timeouts
from .power import kill, look, remove, stop_gently
from .reporter import Reporter
from .update import is_ours


def delete_runtime(
    client: IncusClient,
    name: str,
    timeouts: Timeouts,
    reporter: Reporter,
    *,
    runtime_id: str,
    uuid: str,
) -> None:
    """Shuts the instance down, kills it if it does not, and removes it.

    One that is gone already is done. One that another made under the same name is left alone, with
    a warning: what the resource made is gone as well, then.

    Raises:
        RuntimeFailed: it could not be removed.
    """
    live = look(client, name)
    if live is None:
        return
    if not is_ours(live, runtime_id, uuid):
        reporter.warn(
            f"the instance {name} in project {client.project} is not the one that this resource "
            "made, and is left alone"
        )
        return
    try:
        if live.status != "Stopped":
            try:
                stop_gently(
                    client, name, grace=timeouts.stop, timeout=timeouts.delete, reporter=reporter
                )
            except ReconcileError:
                reporter.warn(f"{name} did not shut down within {timeouts.stop:g} s; killed")
                kill(client, name)
        remove(client, name, timeout=timeouts.delete)
    except IncusError as error:
        raise RuntimeFailed(
            f"{name} in project {client.project} could not be removed: {error}. "
            "Run `pulumi destroy` again once that is put right"
        ) from error
