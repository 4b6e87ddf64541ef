"""Decide what a change of the inputs means: nothing, an update in place, or a replacement."""

from dataclasses import dataclass, field
from typing import Final

from ..reconcile.instances.desired import declared_devices, plan_digest
from ..reconcile.instances.live_instance import FROZEN, root_device_name
from ..reconcile.instances.placement import is_root
from ..reconcile.instances.restart_prediction import restart_reasons
from ..reconcile.instances.update import restart_requested
from ..validation.plan_inputs import (
    OPTION_FIELDS,
    SECRET_INPUTS,
    PlannedInputs,
)
from .instance_inputs import RuntimeInputs
from .properties import Values
from .replace_on_changes import replaced_by_option
from .runtime_state import RuntimeState

IMAGE: Final = ("incus", "image_alias")
REPLACING: Final = (("identity", "instance_name"), ("incus", "project"), IMAGE)
"""The parts of the plan whose change replaces the instance."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The result of a diff."""

    changes: list[str] = field(default_factory=list)
    """The top-level properties that differ."""
    replaces: list[str] = field(default_factory=list)
    """The properties whose change replaces the instance."""
    restarts: list[str] = field(default_factory=list)
    """The properties whose change may need a restart."""
    renamed: str = ""
    """The name that the instance got outside Pulumi, if it must be renamed back."""
    recovers: bool = False
    """Whether `restart_triggers` restarts the instance."""


def decide_diff(state: RuntimeState, given: RuntimeInputs, *, same_image: bool = False) -> Decision:
    """Compare the last state with the new inputs.

    Args:
        state: What was applied last, or what a refresh found.
        given: The new inputs.
        same_image: Whether a new image alias points to the image that the instance was created
            from.
    """
    new = given.planned
    old_plan, new_plan = state.seen_plan, Values(new.plan_tree)
    changes = old_plan.names_that_differ(new_plan)
    changes += [
        name
        for name in OPTION_FIELDS
        # The backend matters only for a create, since a stack may move to another backend.
        if name != "backend"
        and (
            any(path[0] == name for path in new.unknown)
            or getattr(state.options, name) != getattr(new.options, name)
        )
    ]
    if not changes and not new.unknown and state.plan_digest != plan_digest(new.plan):
        # The plan digest of the instance differs, in a part of the plan that no other property
        # shows.
        changes.append("plan")
    if _devices_drifted(state) and "mounts" not in changes:
        changes.append("devices")
    if _frozen_though_stopped(state, new) and "running" not in changes:
        changes.append("running")
    if state.hidden.secret_inputs != given.hidden.secret_inputs:
        changes.append(SECRET_INPUTS)

    applied = Values(state.plan.to_dict())
    # An instance that was renamed outside Pulumi is renamed back. Only another name in the program
    # replaces the instance. An instance that was rebuilt outside Pulumi can only be replaced.
    replaces = [
        ".".join(path)
        for path in REPLACING
        if applied.differs(path, new_plan) and not (path == IMAGE and same_image)
    ]
    seen_image = applied if same_image else new_plan
    if ".".join(IMAGE) not in replaces and old_plan.differs(IMAGE, seen_image):
        replaces.append(".".join(IMAGE))
    kind = state.options.instance_type
    if ("instance_type",) in new.unknown or kind != new.options.instance_type:
        replaces.append("instance_type")
    if _pool_changes(state, new):
        replaces.append("storage_pool")
    replaces += replaced_by_option(
        given.hidden.replace_on,
        lambda: Values({**state.options.model_dump(), **state.plan.to_dict()}),
        lambda: Values({**new.options.model_dump(), **new.plan_tree}),
        new.unknown,
        replaces,
    )
    if replaces:
        return Decision(changes, replaces)
    seen_name = str(old_plan.at(("identity", "instance_name")) or "")
    return Decision(
        changes,
        restarts=_restarts(state, new) if changes and not new.unknown else [],
        renamed=seen_name if seen_name != state.plan.identity.instance_name else "",
        recovers=_recovers(state, new),
    )


def _recovers(state: RuntimeState, new: PlannedInputs) -> bool:
    if any(path[0] == "restart_triggers" for path in new.unknown):
        return new.options.running is not False
    return restart_requested(new.options, state.options.restart_triggers)


def _frozen_though_stopped(state: RuntimeState, new: PlannedInputs) -> bool:
    """Return whether the program wants the instance stopped, and it was frozen at the last
    refresh."""
    return new.options.running is False and state.status == FROZEN


def _devices_drifted(state: RuntimeState) -> bool:
    """Return whether a device of the plan has drift that no mount of the plan shows."""
    expected = declared_devices(state.plan, state.options, state.pool, state.root_pool)
    root = root_device_name(state.devices)
    for name, device in expected.items():
        if name in state.left_out:
            continue
        seen = state.devices.get(name)
        if seen is None and root and is_root(device):
            seen = state.devices[root]
        if seen != device:
            return True
    return False


def _pool_changes(state: RuntimeState, new: PlannedInputs) -> bool:
    if ("storage_pool",) in new.unknown:
        return True
    wanted = new.options.storage_pool
    # Without an explicit pool, the instance stays in its present pool.
    stays = {None, state.pool, state.options.storage_pool}
    if state.plan.resources.root_disk_gib is not None or not state.has_volumes:
        # The root disk may have been moved; its present pool is not a change.
        stays.add(state.root_pool)
    return wanted not in stays


def _restarts(state: RuntimeState, new: PlannedInputs) -> list[str]:
    if isinstance(new.devices, str):
        return []
    return restart_reasons(
        state.options,
        new.options,
        {**state.options.config, **_limits(state.seen_plan)},
        {**new.options.config, **_limits(Values(new.plan_tree))},
        state.devices,
        new.devices,
        profiles_change=state.seen_plan.at(("incus", "profile")) != new.plan.incus.profile
        or state.options.extra_profiles != new.options.extra_profiles,
    )


def _limits(plan: Values) -> dict[str, str]:
    resources = plan.at(("resources",))
    if not isinstance(resources, dict):
        return {}
    names = {"vcpu_count": "limits.cpu", "memory_mib": "limits.memory"}
    return {key: str(resources[name]) for name, key in names.items() if name in resources}
