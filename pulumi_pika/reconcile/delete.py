"""Removes a runtime's instance; its volumes only where the user asked for that."""

from ..incus.client import IncusClient
from ..incus.errors import IncusError
from ..planner.plan import IncusRuntimePlan
from .data_volumes import remove_volumes
from .errors import ReconcileError, RuntimeFailed
from .observe import LiveInstance
from .options import RuntimeOptions, Timeouts
from .power import find_renamed, kill, look, remove, stop_gently
from .reporter import Reporter
from .update import is_ours


def delete_runtime(
    client: IncusClient,
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    reporter: Reporter,
    *,
    uuid: str,
    pool: str | None,
) -> bool:
    """Shuts the instance down, kills it if it does not, and removes it.

    One that is gone already is done. One that another made under the same name is left alone, with
    a warning: what the resource made is gone as well, then. Volumes stay, but for
    `delete_volumes`.

    Args:
        client: a client in the plan's project.
        plan: the plan that was applied.
        options: the options.
        reporter: takes progress and warnings.
        uuid: the instance's own id, as of its last look.
        pool: the pool of its volumes, as of its last look.

    Returns:
        whether there was an instance of that name, or of that id.

    Raises:
        RuntimeFailed: it, or one of its volumes, could not be removed.
    """
    name = plan.identity.instance_name
    live = look(client, name, inside=False)
    if live is None and (live := find_renamed(client, uuid)):
        reporter.info(f"{name} was renamed to {live.name}; removing it under that name")
    if live is not None and not is_ours(live, plan.identity.runtime_id, uuid):
        reporter.warn(
            f"the instance {name} in project {client.project} is not the one that this resource "
            "made, and is left alone"
        )
    elif live is not None:
        client = client.beside(live.location)
        _remove(client, live, options.timeouts, reporter)
    if options.delete_volumes:
        remove_volumes(client, plan, options, pool, reporter)
    return live is not None


def _remove(
    client: IncusClient, live: LiveInstance, timeouts: Timeouts, reporter: Reporter
) -> None:
    name = live.name
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
            "Run the same command again once that is put right"
        ) from error
