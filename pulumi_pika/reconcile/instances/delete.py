"""Delete a runtime's instance, and its volumes only if the user asked for that."""

from typing import Literal

from ...incus.client import IncusClient
from ...incus.errors import IncusError
from ...incus.instances import patch_instance
from ...message_templates import could_not
from ...planner.device_names import DEVICE_NAME_PREFIX
from ...planner.plan import IncusRuntimePlan
from ..shared.errors import ReconcileError, RuntimeFailed
from ..shared.ownership import Claim
from ..shared.reporter import Reporter
from .data_volumes import remove_volumes
from .lifecycle import (
    fetch_instance,
    find_owned_instance,
    kill_instance,
    remove_instance,
    shut_down,
    start_instance,
    why_not_owned,
)
from .live_instance import PROTECTION_KEY, LiveInstance
from .runtime_options import DEPENDENT_KEY, RuntimeOptions, Timeouts

Deleted = Literal["deleted", "left", "missing"]
"""The outcome: `deleted`, `left` (another resource owns it) or `missing` (no such name and id)."""


def delete_runtime(
    client: IncusClient,
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    reporter: Reporter,
    *,
    claim: Claim,
    pool: str | None,
) -> Deleted:
    """Shut the instance down, kill it if it does not stop, and delete it.

    An instance that is already missing counts as deleted. An instance that the state no longer owns
    is left alone with its volumes, with a warning: another instance has the name, or another stack
    or a later create of this resource adopted it. Volumes stay, except with `delete_data`.

    Args:
        client: a client in the plan's project.
        plan: the plan that was applied.
        options: the options.
        reporter: receives progress and warnings.
        claim: what the state knows of the instance.
        pool: the pool of its volumes, as last fetched.

    Returns:
        The outcome; see `Deleted`.

    Raises:
        RuntimeFailed: the instance, or one of its volumes, could not be deleted.
    """
    name = plan.identity.instance_name
    found = find_owned_instance(client, name, claim, inside=False)
    live = found.live
    if live is not None:
        if live.name != name:
            reporter.info(f"instance {name} was renamed to {live.name}; deleting {live.name}")
        client = client.on_member(live.location)
        _remove(client, live, options.timeouts, reporter)
    elif found.other is not None:
        reporter.warn(f"{why_not_owned(client, found.other, claim)}; it is not deleted")
        if found.other.uuid == claim.identity:
            # The resource that adopted the instance owns its data too.
            return "left"
    if options.delete_data:
        remove_volumes(client, plan, options, pool, reporter)
    if live is not None:
        return "deleted"
    return "left" if found.other is not None else "missing"


def _remove(
    client: IncusClient, live: LiveInstance, timeouts: Timeouts, reporter: Reporter
) -> None:
    name = live.name
    refuse_protected(client, live)
    try:
        if live.status != "Stopped":
            try:
                shut_down(
                    client, name, grace=timeouts.stop, timeout=timeouts.delete, reporter=reporter
                )
            except ReconcileError:
                reporter.warn(
                    f"instance {name} did not shut down within {timeouts.stop:g} s; killing it"
                )
                kill_instance(client, name)
        _keep_volumes(client, live, reporter)
        remove_instance(client, name, timeout=timeouts.delete)
    except IncusError as error:
        started = _start_again(client, live, timeouts, reporter)
        raise RuntimeFailed(
            could_not(
                f"delete instance {name} in project {client.project}",
                str(error),
                undone=started,
                advice="Correct this, and run the same command again",
            )
        ) from error


def _keep_volumes(client: IncusClient, live: LiveInstance, reporter: Reporter) -> None:
    """Detach the lifetime of the mounts' volumes from that of the instance.

    Since the API extension ``dependent``, Incus deletes the volume of a disk device with
    `dependent: true` together with the instance. No mount has that key, but another client may have
    added it. With `delete_data`, the volumes are deleted after the instance, as without the key.
    """
    devices = {
        name: {key: value for key, value in device.items() if key != DEPENDENT_KEY}
        for name, device in live.devices.items()
        if name.startswith(DEVICE_NAME_PREFIX) and DEPENDENT_KEY in device
    }
    if devices:
        reporter.warn(
            f"{live.name}: another client made the volumes of {', '.join(devices)} dependent on "
            "the instance, so that Incus would delete them with it. They are kept"
        )
        body = {"description": live.description, "devices": devices}
        patch_instance(client, live.name, body, "")


def refuse_protected(client: IncusClient, live: LiveInstance) -> None:
    """Refuse to delete an instance that Incus protects, before anything is stopped.

    Raises:
        RuntimeFailed: its config, or the config of a profile, has `security.protection.delete`.
    """
    if live.protected:
        raise RuntimeFailed(protection(client.project, live))


def protection(project: str, live: LiveInstance) -> str:
    """Return a sentence on why a protected instance stays, and how to end the protection."""
    name = live.name
    if PROTECTION_KEY in live.config:
        way = (
            "remove the key from `config` and run `pulumi up`, or run `incus config unset "
            f"--project {project} {name} {PROTECTION_KEY}`"
        )
    else:
        way = (
            f"a profile sets it ({', '.join(live.profiles)}): run `incus config set --project "
            f"{project} {name} {PROTECTION_KEY}=false`"
        )
    return (
        f"instance {name} in project {project} is protected against deletion ({PROTECTION_KEY}), "
        f"and was not changed. To delete it, {way}, and then run the same command again"
    )


def _start_again(
    client: IncusClient, before: LiveInstance, timeouts: Timeouts, reporter: Reporter
) -> str:
    """Start an instance again that ran before its deletion failed.

    Returns:
        A sentence on the outcome, or an empty string.
    """
    if not before.running:
        return ""
    try:
        now = fetch_instance(client, before.name, inside=False)
        if now is None or now.status != "Stopped":
            return ""
        start_instance(client, before.name, timeout=timeouts.update, reporter=reporter)
    except IncusError as error:
        return f"The instance was stopped for that, and could not be started again ({error})"
    return "The instance was started again"
