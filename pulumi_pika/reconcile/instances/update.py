"""Change a live instance in place to match a changed plan; send only what differs."""

import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from ...incus.client import IncusClient
from ...incus.errors import (
    IncusApiError,
    IncusError,
    IncusUnreachable,
    OperationFailed,
    PreconditionFailed,
)
from ...incus.instances import (
    patch_instance,
    rename_instance,
    replace_instance,
    running_operations,
)
from ...message_templates import could_not, missing
from ...planner.plan import IncusRuntimePlan
from ..shared.errors import (
    ForeignInstance,
    InstanceGone,
    PlacementError,
    ReconcileError,
    RestartRefused,
    RuntimeFailed,
    WaitFailed,
)
from ..shared.ownership import (
    BACKEND_KEY,
    GENERATION_KEY,
    IDENTITY_KEYS,
    OWNER_KEY,
    Claim,
)
from ..shared.polling import poll_until
from ..shared.reporter import Reporter
from ..shared.undo import NOTHING_CREATED, Undo
from .adoption_rollback import restore_adopted
from .changes import (
    Changes,
    LastApplied,
    find_changes,
)
from .data_volumes import claim_volumes, create_volumes
from .desired import (
    WAITING_KEY,
    DesiredInstance,
    Devices,
)
from .device_rollback import restore_devices
from .lifecycle import (
    LOST_REPLY_ERRORS,
    fetch_after_lost_reply,
    fetch_instance,
    find_owned_instance,
    make_lasting,
    prepare_stop,
    shut_down,
    start_instance,
    why_not_owned,
)
from .live_instance import LiveInstance, root_device_name
from .placement import Existing, resolve_placement, root_moved
from .runtime_options import RuntimeOptions
from .wait import wait_for

_NEEDS_RESTART: Final = (
    "when vm is running",
    "the vm is running",
    "when instance is running",
    "while the instance is running",
    "restart required",
    "beyond boot time size",
    # A virtual machine cannot get more CPUs than were available when it booted.
    "cannot allocate more cpus than available",
    "support hotplugging",
    # Incus 7: `limits.memory.hotplug` is false; the processors were fixed at the boot.
    "hotplug feature is disabled",
    "not enough hotpluggable cpus",
    "cannot live update",
    # A virtual machine whose guest does not release the memory above the new limit.
    "as it was taking too long",
    # A container that uses more memory than the new limit.
    "setting cgroup item for the container failed",
    # A mount that is in use, or a mount that a killed daemon left behind, on the host or inside the
    # container.
    "device or resource busy",
    "failed to add mount for device inside container",
)
"""How Incus reports that a running instance cannot take a change (its instance drivers)."""
_SHRINKS: Final = re.compile(r"\(currently (\d+)MiB\) as it was taking too long")
"""How Incus reports that a guest has not released all memory within seconds. The guest continues to
release memory (6.0.4, `updateMemoryLimit`)."""
_SHRINKS_AFTER: Final = 2.0


def update_runtime(
    client: IncusClient,
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    reporter: Reporter,
    *,
    previous: LastApplied,
    claim: Claim,
    known_pool: str | None,
) -> tuple[DesiredInstance, LiveInstance]:
    """Change the runtime.

    Args:
        client: a client in the plan's project.
        plan: the new plan.
        options: the new options.
        reporter: receives progress and warnings.
        previous: what the resource set before.
        claim: what the state knows of the instance.
        known_pool: the pool of its volumes, as last fetched.

    Returns:
        What the instance was to be, and the instance as it is.

    Raises:
        InstanceGone: the instance no longer exists.
        ForeignInstance: the instance of that name is another one.
        RestartRefused: a change needs a restart that `allow_restart` does not allow.
        RuntimeFailed: a change failed. Earlier changes stay; the message lists them.
        ReconcileError, IncusError: the update failed before anything was changed.
    """
    live = _fetch_owned(client, plan, options, claim, reporter)
    return apply_plan(
        client, live, plan, options, reporter, previous=previous, known_pool=known_pool
    )


def apply_plan(
    client: IncusClient,
    live: LiveInstance,
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    reporter: Reporter,
    *,
    previous: LastApplied,
    known_pool: str | None,
    generation: str = "",
) -> tuple[DesiredInstance, LiveInstance]:
    """Change a live instance to match the plan; see `update_runtime`.

    Args:
        live: the instance.
        generation: the new generation of an instance that is adopted. The state that `wait_for`
            names has then not been waited for yet.
    """
    name = plan.identity.instance_name
    client = client.on_member(live.location)
    existing = Existing(
        volume_pool=known_pool,
        root_device=root_device_name(live.devices),
        root_pool=live.root_pool or None,
        owner=previous.owner,
        backend=live.config.get(BACKEND_KEY, ""),
        devices=live.devices,
    )
    placement = resolve_placement(client, plan, options, existing)
    desired = placement.desired
    if elsewhere := root_elsewhere(client.project, live, desired.devices):
        raise PlacementError(f"{elsewhere}. The instance was not changed")
    for warning in placement.warnings:
        reporter.warn(warning)
    undo = Undo(reporter)
    before, fresh = live, bool(generation)
    try:
        create_volumes(client, desired, placement.missing_volumes, undo, reporter)
        if fresh and live.config.get(OWNER_KEY, "") != options.owner:
            summary = find_changes(live, desired, previous).brief() or "its power state"
            undo.push(
                f"the adoption of {name} ({summary})",
                lambda: restore_adopted(client, before, options.timeouts, reporter),
                verb="reverted",
            )
        if fresh and live.ephemeral:
            make_lasting(client, live, reporter)
            live = _refetch(client, desired)
        _apply_and_start(client, live, desired, previous, reporter, fresh)
        # The owner is written last: after a failure, the previous state must find its own labels.
        claim_volumes(client, desired, placement.claimed_volumes)
        after = write_identity(client, desired, generation or previous.generation)
    except (IncusError, ReconcileError) as error:
        outcome = undo.run()
        undone = "" if outcome == NOTHING_CREATED else outcome
        if isinstance(error, ReconcileError) and not undone:
            raise
        raise RuntimeFailed(
            could_not(f"change instance {name}", str(error), undone=undone)
        ) from error
    return desired, after


def root_elsewhere(project: str, live: LiveInstance, devices: Devices) -> str:
    """Return a sentence on a root disk that is in another pool than its device is to name.

    The result is empty if the pool is right. Incus changes the pool of a root disk only by a move.

    Args:
        project: the instance's project.
        live: the instance as last fetched.
        devices: the desired devices.
    """
    root = root_device_name(devices)
    wanted = devices[root].get("pool") if root else None
    if not wanted or live.root_pool in ("", wanted):
        return ""
    return root_moved(project, live.name, live.root_pool, wanted)


def _deleted_meanwhile(name: str) -> InstanceGone:
    return InstanceGone(
        f"another client deleted instance {name} during its change; run `pulumi refresh`, then "
        "`pulumi up` to recreate it"
    )


def _fetch_owned(
    client: IncusClient,
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    claim: Claim,
    reporter: Reporter,
) -> LiveInstance:
    name = plan.identity.instance_name
    found = find_owned_instance(client, name, claim, inside=False)
    live = found.live
    if found.other is not None:
        if live is None:
            raise ForeignInstance(
                f"{why_not_owned(client, found.other, claim)}; it was not changed. Run "
                "`pulumi refresh` to see the difference"
            )
        raise ForeignInstance(
            f"instance {live.name} in project {client.project} belongs to this resource, and "
            f"{why_not_owned(client, found.other, claim)}; nothing was changed. Stop and rename "
            f"the other instance (`incus rename --project {client.project} {name} NEW`), and run "
            "`pulumi up` again"
        )
    if live is not None and live.name != name:
        live = _rename_back(client, live, name, options, reporter)
    if live is None:
        raise InstanceGone(
            missing(
                f"instance {name}",
                f"in project {client.project} at {client.host} any more",
                "run `pulumi refresh`, then `pulumi up` to recreate it",
            )
        )
    return live


def _rename_back(
    client: IncusClient, live: LiveInstance, name: str, options: RuntimeOptions, reporter: Reporter
) -> LiveInstance | None:
    """Give an instance its planned name again.

    Incus renames stopped instances only.
    """
    reporter.info(f"renaming {live.name} back to {name}")
    timeouts = options.timeouts
    if live.alive:
        if not options.allow_restart:
            raise RestartRefused(
                f"instance {name} was renamed to {live.name}; it must stop to be renamed back, but "
                f"allow_restart is off. Stop it (`incus stop --project {client.project} "
                f"{live.name}`), and run `pulumi up` again"
            )
        prepare_stop(client, live, timeout=timeouts.update, reporter=reporter)
        shut_down(
            client, live.name, grace=timeouts.stop, timeout=timeouts.update, reporter=reporter
        )
    try:
        rename_instance(client, live.name, name, timeout=timeouts.update)
    except IncusError:
        if live.alive:
            start_instance(client, live.name, timeout=timeouts.update, reporter=reporter)
        raise
    if live.alive and options.running is None:
        start_instance(client, name, timeout=timeouts.update, reporter=reporter)
    return fetch_instance(client, name)


def write_identity(client: IncusClient, desired: DesiredInstance, generation: str) -> LiveInstance:
    """Write the ownership label of an instance, as far as it differs; return the instance.

    Args:
        client: a client in its project.
        desired: what the instance is to be.
        generation: the new generation; empty to keep the present one.

    Raises:
        IncusError: the label could not be written; the instance is otherwise as desired.
    """
    wanted = {key: value for key, value in desired.config.items() if key in IDENTITY_KEYS}
    if generation:
        wanted[GENERATION_KEY] = generation
    last = False
    while True:
        live = _refetch(client, desired)
        differing = {k: v for k, v in wanted.items() if live.config.get(k, "") != v}
        if not differing:
            return live
        try:
            body = {"description": live.description, "config": differing}
            patch_instance(client, desired.name, body, live.etag)
        except (PreconditionFailed, *LOST_REPLY_ERRORS) as error:
            if last or (isinstance(error, IncusUnreachable) and not error.sent):
                raise
            last = True


def _apply_and_start(
    client: IncusClient,
    live: LiveInstance,
    desired: DesiredInstance,
    previous: LastApplied,
    reporter: Reporter,
    fresh: bool,
) -> None:
    options = desired.options
    was_running = live.running
    if options.running is False and live.alive:
        _stop(client, desired, reporter)
        was_running = False
        live = _refetch(client, desired)
    restarted = _apply(client, live, desired, previous, reporter)
    triggered = not fresh and restart_requested(options, previous.restart_triggers)
    if triggered and was_running and not restarted:
        reporter.info(f"restarting {desired.name}, because restart_triggers changed")
        _stop(client, desired, reporter)
        was_running = False
    started = not was_running and (options.running is True or triggered)
    if started:
        start_instance(
            client,
            desired.name,
            timeout=options.timeouts.update,
            reporter=reporter,
            frozen=live.status == "Frozen",
        )
    # A failed wait is recorded: by its config key, or because `running` is not in the state.
    turned_on = options.running is True and previous.running is not True
    if started or restarted or turned_on or (was_running and WAITING_KEY in live.config):
        _wait(client, desired, reporter)


def _wait(client: IncusClient, desired: DesiredInstance, reporter: Reporter) -> None:
    """Wait for the state that `wait_for` names; record a failure on the instance."""
    try:
        wait_for(client, desired, reporter)
    except WaitFailed:
        with suppress(IncusError):
            body = {
                "description": _refetch(client, desired).description,
                "config": {WAITING_KEY: desired.options.wait_for},
            }
            patch_instance(client, desired.name, body, "")
        raise


def restart_requested(options: RuntimeOptions, before: Any) -> bool:
    """Return whether `restart_triggers` restarts the instance.

    Args:
        options: the new options. A dropped `restart_triggers` restarts nothing. An instance that
            `running` stops is not started.
        before: the value of `restart_triggers` that was applied last.
    """
    return (
        options.running is not False
        and options.restart_triggers is not None
        and options.restart_triggers != before
    )


def _apply(
    client: IncusClient,
    live: LiveInstance,
    desired: DesiredInstance,
    previous: LastApplied,
    reporter: Reporter,
) -> bool:
    """Apply the differences; return whether the instance was restarted for them."""
    changes = find_changes(live, desired, previous)
    if changes.foreign_values:
        reporter.warn(
            f"{desired.name}: not removed, because it was changed outside Pulumi: "
            f"{', '.join(changes.foreign_values)}"
        )
    if not changes:
        return False
    try:
        _while_it_shrinks(
            lambda now: _send_live(client, now, desired, previous), client, live, desired, reporter
        )
    except (IncusApiError, OperationFailed) as error:
        # Incus answers 500 to a PATCH that it cannot carry out; its text has the reason.
        needs_it = _needs_restart(error.reason) or _is_held_by_stop(client, live, error.reason)
        if not (live.running and needs_it):
            raise
        if not desired.options.allow_restart:
            outcome = restore_devices(client, live, changes, error, desired.options)
            raise RestartRefused(
                could_not(
                    f"change the running instance {desired.name} ({changes.summary()})",
                    f"it needs a restart ({error.reason}), but allow_restart is off",
                    undone=outcome,
                    advice="Set allow_restart=True, or stop it (`incus stop --project "
                    f"{client.project} {desired.name}`) and run `pulumi up` again",
                )
            ) from error
        reporter.info(f"restarting {desired.name}: {error.reason}")
    else:
        return False
    _stop(client, desired, reporter)
    try:
        _retry_on_conflict(
            lambda now: _send(client, now, desired, previous),
            client,
            _refetch(client, desired),
            desired,
        )
    finally:
        # The instance ran before, so it is started again whatever the result of the change is.
        start_instance(
            client, desired.name, timeout=desired.options.timeouts.update, reporter=reporter
        )
    return True


def _while_it_shrinks(
    send: Callable[[LiveInstance], None],
    client: IncusClient,
    live: LiveInstance,
    desired: DesiredInstance,
    reporter: Reporter,
) -> None:
    """Send a change, and repeat it as long as the guest releases memory for it."""
    left: int | None = None
    while True:
        try:
            _retry_on_conflict(send, client, live, desired)
        except (IncusApiError, OperationFailed) as error:
            found = _SHRINKS.search(error.reason)
            if not found or (left is not None and int(found[1]) >= left):
                raise
            left = int(found[1])
            reporter.info(f"{desired.name}: its guest is releasing memory; it has {left} MiB now")
            time.sleep(_SHRINKS_AFTER)
            live = _refetch(client, desired)
        else:
            return


def _retry_on_conflict(
    send: Callable[[LiveInstance], None],
    client: IncusClient,
    live: LiveInstance,
    desired: DesiredInstance,
) -> None:
    try:
        send(live)
    except PreconditionFailed:
        send(_refetch(client, desired))


def _send_live(
    client: IncusClient, live: LiveInstance, desired: DesiredInstance, previous: LastApplied
) -> None:
    """Apply the changes to an instance as it is, running or not."""
    changes = find_changes(live, desired, previous)
    has_devices = bool(changes.devices or changes.removed_devices)
    if (
        live.running
        and live.instance_type == "virtual-machine"
        and changes.settings
        and has_devices
    ):
        # Incus changes the devices of a running virtual machine before it checks the keys, so a
        # refusal would leave the change half done. A change of keys alone is refused as a whole.
        try:
            patch_instance(client, desired.name, changes.patch(live, devices=False), live.etag)
        except LOST_REPLY_ERRORS as error:
            if _change_still_pending(
                client, desired, previous, error, lambda left: bool(left.settings)
            ):
                raise
        live = _refetch(client, desired)
    _send(client, live, desired, previous)


def _send(
    client: IncusClient, live: LiveInstance, desired: DesiredInstance, previous: LastApplied
) -> None:
    changes = find_changes(live, desired, previous)
    try:
        if changes.removed_devices:
            # Only a PUT can remove a device.
            replace_instance(
                client,
                desired.name,
                changes.whole(live),
                live.etag,
                timeout=desired.options.timeouts.update,
            )
        elif changes:
            patch_instance(client, desired.name, changes.patch(live, devices=True), live.etag)
    except (IncusApiError, OperationFailed) as error:
        if _needs_restart(error.reason):
            raise  # A restart plugs in all devices of the config.
        if live.running and (
            outcome := restore_devices(client, live, changes, error, desired.options)
        ):
            raise RuntimeFailed(f"{str(error).rstrip('. ')}. {outcome}") from error
        raise
    except LOST_REPLY_ERRORS as error:
        if _change_still_pending(client, desired, previous, error, bool):
            raise


def _change_still_pending(
    client: IncusClient,
    desired: DesiredInstance,
    previous: LastApplied,
    error: Exception,
    counts: Callable[[Changes], bool],
) -> bool:
    """Return whether a change whose reply was lost is not yet visible.

    The request may still be on its way. Volumes that the change needs must not be deleted while it
    is carried out.
    """

    def is_visible() -> bool:
        live = fetch_after_lost_reply(client, desired.name, error)
        if live is None:
            raise _deleted_meanwhile(desired.name)
        return not counts(find_changes(live, desired, previous))

    return not poll_until(is_visible)


def _stop(client: IncusClient, desired: DesiredInstance, reporter: Reporter) -> None:
    timeouts = desired.options.timeouts
    prepare_stop(client, _refetch(client, desired), timeout=timeouts.update, reporter=reporter)
    shut_down(client, desired.name, grace=timeouts.stop, timeout=timeouts.update, reporter=reporter)


def _refetch(client: IncusClient, desired: DesiredInstance) -> LiveInstance:
    live = fetch_instance(client, desired.name)
    if live is None:
        raise _deleted_meanwhile(desired.name)
    return live


def _needs_restart(reason: str) -> bool:
    reason = reason.lower()
    return any(sign in reason for sign in _NEEDS_RESTART)


def _is_held_by_stop(client: IncusClient, live: LiveInstance, reason: str) -> bool:
    """Return whether Incus refuses the change because a shutdown of the guest has not finished.

    Incus 6.0.4 accepts no change of a virtual machine until it has stopped, although no request
    waits for the shutdown any more (`Shutdown` of driver_qemu.go).
    """
    return (
        live.instance_type == "virtual-machine"
        and 'busy running a "stop" operation' in reason
        and not running_operations(client, live.name)
    )
