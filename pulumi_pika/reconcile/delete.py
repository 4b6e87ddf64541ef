"""Removes a runtime's instance; its volumes only where the user asked for that."""

from ..incus.client import IncusClient
from ..incus.errors import IncusError
from ..planner.plan import IncusRuntimePlan
from .data_volumes import remove_volumes
from .errors import ReconcileError, RuntimeFailed
from .observe import PROTECTION_KEY, LiveInstance
from .options import RuntimeOptions, Timeouts
from .power import find_renamed, kill, look, remove, start, stop_gently
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
    if options.delete_volumes and pool:
        remove_volumes(client, plan, pool, [options.owner], reporter)
    return live is not None


def _remove(
    client: IncusClient, live: LiveInstance, timeouts: Timeouts, reporter: Reporter
) -> None:
    name = live.name
    refuse_protected(client, live)
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
        started = _start_again(client, live, timeouts, reporter)
        raise RuntimeFailed(
            f"{name} in project {client.project} could not be removed: {error}. "
            f"Run the same command again once that is put right{started}"
        ) from error


def refuse_protected(client: IncusClient, live: LiveInstance) -> None:
    """Refuse to delete an instance that Incus protects, before anything of it is stopped.

    Raises:
        RuntimeFailed: its config, or a profile's, has `security.protection.delete`.
    """
    if live.protected:
        raise RuntimeFailed(protection(client.project, live))


def protection(project: str, live: LiveInstance) -> str:
    """A sentence on why a protected instance is not deleted, and how to end the protection."""
    name = live.name
    if PROTECTION_KEY in live.config:
        way = (
            f"take the key out of `config` and run `pulumi up`, or run `incus config unset "
            f"--project {project} {name} {PROTECTION_KEY}`"
        )
    else:
        way = (
            f"a profile sets it ({', '.join(live.profiles)}): run `incus config set --project "
            f"{project} {name} {PROTECTION_KEY}=false`"
        )
    return (
        f"{name} in project {project} is protected from being deleted ({PROTECTION_KEY}), and was "
        f"not touched. To delete it all the same, {way}, and run the same command again"
    )


def _start_again(
    client: IncusClient, before: LiveInstance, timeouts: Timeouts, reporter: Reporter
) -> str:
    """Start an instance that ran before it could not be removed; a sentence on it, or nothing."""
    if not before.running:
        return ""
    try:
        now = look(client, before.name, inside=False)
        if now is None or now.status != "Stopped":
            return ""
        start(client, before.name, timeout=timeouts.update, reporter=reporter)
    except IncusError as error:
        return f". It was stopped for that, and could not be started again ({error})"
    return ". It was started again"
