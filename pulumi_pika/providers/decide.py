"""What a change of the inputs means: nothing, an update in place, or a replacement."""

from dataclasses import dataclass, field
from typing import Any, Final

from pulumi.runtime.rpc import UNKNOWN

from ..reconcile.desired import plan_digest
from ..reconcile.live import restart_reasons
from .examine import OPTION_FIELDS, SECRET_INPUTS, Examined
from .state import State
from .values import find

REPLACING: Final = (
    ("identity", "instance_name"),
    ("incus", "project"),
    ("incus", "image_alias"),
)
"""Parts of the plan of which another value is another instance."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to a diff."""

    changes: list[str] = field(default_factory=list)
    """The top-level properties that differ."""
    replaces: list[str] = field(default_factory=list)
    """The properties for which the instance is made anew."""
    restarts: list[str] = field(default_factory=list)
    """What a restart may be needed for."""


def decide(state: State, new: Examined, inputs: dict[str, Any]) -> Decision:
    """Compares the last state with the new inputs.

    Args:
        state: what was applied, or what a refresh saw.
        new: the new inputs, planned.
        inputs: the new inputs themselves.
    """
    old_plan, new_plan = state.plan_tree, new.plan_tree
    changes = [
        name
        for name in sorted(old_plan.keys() | new_plan.keys())
        if old_plan.get(name) != new_plan.get(name)
    ]
    changes += [
        name
        for name in OPTION_FIELDS
        if any(path[0] == name for path in new.unknown)
        or getattr(state.options, name) != getattr(new.options, name)
    ]
    if not changes and not new.unknown and state.plan_digest != plan_digest(new.plan):
        # What the instance's own mark says differs in a part of the plan that nothing else shows.
        changes.append("plan")
    if state.secret_inputs != (inputs.get(SECRET_INPUTS) or []):
        changes.append(SECRET_INPUTS)

    replaces = [
        ".".join(path) for path in REPLACING if find(old_plan, path) != find(new_plan, path)
    ]
    if (
        "instance_type",
    ) in new.unknown or state.options.instance_type != new.options.instance_type:
        replaces.append("instance_type")
    if _pool_changes(state, new):
        replaces.append("storage_pool")
    restarts = [] if replaces or not changes or new.unknown else _restarts(state, new)
    return Decision(changes, replaces, restarts)


def _pool_changes(state: State, new: Examined) -> bool:
    if ("storage_pool",) in new.unknown:
        return True
    wanted = new.options.storage_pool
    # Without a wanted pool the instance stays in the one that it is in.
    return wanted is not None and wanted not in (state.pool, state.options.storage_pool)


def _restarts(state: State, new: Examined) -> list[str]:
    if new.devices == UNKNOWN or isinstance(new.devices, str):
        return []
    return restart_reasons(
        state.options,
        new.options,
        {**state.options.config, **_limits(state.plan_tree)},
        {**new.options.config, **_limits(new.plan_tree)},
        state.devices,
        new.devices,
        profiles_change=find(state.plan_tree, ("incus", "profile")) != new.plan.incus.profile
        or state.options.extra_profiles != new.options.extra_profiles,
    )


def _limits(plan: dict[str, Any]) -> dict[str, str]:
    resources = plan.get("resources")
    if not isinstance(resources, dict):
        return {}
    names = {"vcpu_count": "limits.cpu", "memory_mib": "limits.memory"}
    return {key: str(resources[name]) for name, key in names.items() if name in resources}
