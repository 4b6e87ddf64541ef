"""What a preview says in words, where a diff alone would not tell."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..planner.plan import IncusRuntimePlan
from ..reconcile.data_volumes import own_volumes
from ..reconcile.desired import volume_name
from ..reconcile.observe import FROZEN, root_device_name
from ..reconcile.options import RuntimeOptions
from ..reconcile.placement import root_moved
from .decide import Decision
from .examine import Examined
from .hidden import MANAGED_MOUNTS, RETAINED
from .state import State


def on_delete(plan: IncusRuntimePlan, options: RuntimeOptions, inputs: Mapping[str, Any]) -> str:
    """What becomes of the data when the resource is deleted or replaced; an input, so that every
    preview shows it, that of a destroy included.

    Args:
        plan: the plan.
        options: the options.
        inputs: the inputs, with what is hidden of them.
    """
    if inputs.get(RETAINED):
        return "keeps the instance, its root disk and its volumes (retain_on_delete)"
    volumes = own_volumes(plan)
    if not volumes:
        return "deletes the instance and its root disk"
    managed = managed_volumes(plan, inputs)
    deleted = [name for name in volumes if name not in managed] if options.delete_data else []
    kept = [name for name in volumes if name not in deleted]
    keeps = f"; keeps {_named(kept)}" if kept else ""
    if deleted:
        return (
            f"deletes the instance, its root disk, AND {_named(deleted)} WITH ALL DATA "
            f"(delete_data){keeps}"
        )
    return f"deletes the instance and its root disk{keeps}"


def managed_volumes(plan: IncusRuntimePlan, inputs: Mapping[str, Any]) -> set[str]:
    """Return the volumes of mounts that are a `PersistentVolume` of the program."""
    given = inputs.get(MANAGED_MOUNTS)
    indices = {int(index) for index in given} if isinstance(given, list) else set()
    return {
        volume_name(mount.source) for index, mount in enumerate(plan.mounts) if index in indices
    }


def _named(volumes: list[str]) -> str:
    return f"volume{'s' if len(volumes) > 1 else ''} {', '.join(volumes)}"


def warnings(decision: Decision, state: State, examined: Examined) -> Iterator[str]:
    """What a change does beyond what its diff shows."""
    name, new = state.plan.identity.instance_name, examined.options
    yield from _left_behind(decision, state, examined)
    if decision.replaces:
        yield (
            f"{name} is replaced because of {', '.join(decision.replaces)}: "
            f"{on_delete(state.plan, state.options, state.outputs)}; then it is made anew"
        )
    root = root_device_name(state.devices)
    own = state.plan.resources.root_disk_gib is not None
    if own and root and not decision.replaces and (wanted := new.storage_pool):
        pool = state.devices[root].get("pool", wanted)
        if pool != wanted:
            said = root_moved(state.plan.incus.project, name, pool, wanted)
            yield f"{said}. Until then an update is refused"
    if decision.renamed:
        yield f"{decision.renamed} has to stop for a moment to get its name {name} back"
    turned_on = new.delete_data and not state.options.delete_data
    if (
        turned_on
        and not decision.replaces
        and (
            volumes := [
                name
                for name in own_volumes(state.plan)
                if name not in managed_volumes(state.plan, state.outputs)
            ]
        )
    ):
        yield (
            "delete_data is on from this update on: to destroy or replace the resource then "
            f"deletes {_named(volumes)} with all data"
        )
    if new.running is False and state.outputs.get("status") == FROZEN and not decision.replaces:
        yield f"{name} is frozen, and `running` is false: it goes on, and is then stopped"
    if decision.recovers:
        yield f"{name} is restarted, or started if it is stopped, since restart_triggers changed"
    if decision.restarts:
        allowed = state.options.allow_restart and new.allow_restart
        yield (
            f"{name} may have to restart for {', '.join(decision.restarts)}"
            + ("" if allowed else "; allow_restart is off, so that the update would fail")
        )


def _left_behind(decision: Decision, state: State, new: Examined) -> Iterator[str]:
    """The volumes that an update no longer mounts: nothing deletes them."""
    if decision.replaces or any(path[0] == "mounts" for path in new.unknown):
        return
    mounted = own_volumes(new.plan)
    left = [name for name in own_volumes(state.plan) if name not in mounted]
    if left:
        yield (
            f"{_named(left)}: no longer mounted by {state.plan.identity.instance_name}, and kept "
            "with all data"
            + (
                "; delete_data does not delete it later: it deletes what is mounted then"
                if new.options.delete_data
                else ""
            )
        )
