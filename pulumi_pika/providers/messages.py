"""Build the messages of a preview about effects that a diff does not show."""

from collections.abc import Collection, Iterator

from ..planner.plan import IncusRuntimePlan
from ..reconcile.instances.data_volumes import own_volumes
from ..reconcile.instances.desired import volume_name
from ..reconcile.instances.live_instance import FROZEN, root_device_name
from ..reconcile.instances.placement import root_moved
from ..reconcile.instances.runtime_options import RuntimeOptions
from ..validation.plan_inputs import PlannedInputs
from ..validation.warning_codes import (
    REPLACE,
    RESTART,
    STOP_KEEPING_DATA,
    coded,
)
from .diff_decision import Decision
from .instance_inputs import RuntimeInputs
from .properties import HiddenOptions
from .runtime_state import RuntimeState


def on_delete(
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    hidden: HiddenOptions,
    *,
    spared: Collection[str] = (),
) -> str:
    """Return what a delete or a replacement of the resource does to the data. The text is an input,
    so that every preview shows it, also that of a destroy.

    Args:
        plan: The plan.
        options: The options of the instance.
        hidden: The hidden options of the resource.
        spared: Volumes that another instance will use, so that they are not deleted.
    """
    if hidden.retained:
        return "keeps the instance, its root disk and its volumes (retain_on_delete)"
    volumes = own_volumes(plan)
    if not volumes:
        return "deletes the instance and its root disk"
    managed = managed_volumes(plan, hidden)
    deleted = [
        name
        for name in volumes
        if options.delete_data and name not in managed and name not in spared
    ]
    kept = [name for name in volumes if name not in deleted]
    keeps = f"; keeps {_named(kept)}" if kept else ""
    if deleted:
        return (
            f"deletes the instance, its root disk, AND {_named(deleted)} WITH ALL DATA "
            f"(delete_data){keeps}"
        )
    return f"deletes the instance and its root disk{keeps}"


def managed_volumes(plan: IncusRuntimePlan, hidden: HiddenOptions) -> set[str]:
    """Return the mounted volumes that a `PersistentVolume` of the program manages."""
    return {
        volume_name(mount.source)
        for index, mount in enumerate(plan.mounts)
        if index in hidden.managed_mounts
    }


def _named(volumes: list[str]) -> str:
    return f"volume{'s' if len(volumes) > 1 else ''} {', '.join(volumes)}"


def warnings(decision: Decision, state: RuntimeState, given: RuntimeInputs) -> Iterator[str]:
    """Yield warnings about effects of a change that its diff does not show.

    Args:
        decision: What the change means.
        state: What was applied last, or what a refresh found.
        given: The new inputs.
    """
    planned = given.planned
    name, new = state.plan.identity.instance_name, planned.options
    yield from _left_behind(decision, state, planned)
    if decision.replaces:
        because = f"{name} will be replaced ({', '.join(decision.replaces)} changed)"
        if given.hidden.create_first:
            mounted = set() if planned.unknown else set(own_volumes(planned.plan))
            effect = on_delete(state.plan, state.options, state.hidden, spared=mounted)
            text = (
                f"{because}: creates the new instance first (delete_before_replace=False); then "
                f"the delete of the old one {effect}"
            )
        else:
            effect = on_delete(state.plan, state.options, state.hidden)
            text = f"{because}: {effect}; then creates it again"
        yield coded(text, REPLACE)
    root = root_device_name(state.devices)
    own = state.plan.resources.root_disk_gib is not None
    if own and root and not decision.replaces and (wanted := new.storage_pool):
        pool = state.devices[root].get("pool", wanted)
        if pool != wanted:
            advice = root_moved(state.plan.incus.project, name, pool, wanted)
            yield f"{advice}. Until then every update fails"
    turned_on = new.delete_data and not state.options.delete_data
    if turned_on and (
        volumes := [
            name
            for name in own_volumes(state.plan)
            if name not in managed_volumes(state.plan, state.hidden)
        ]
    ):
        yield coded(
            "this update turns delete_data on: after it, to destroy or replace the resource "
            f"deletes {_named(volumes)} with all data",
            STOP_KEEPING_DATA,
        )
    if new.running is False and state.status == FROZEN and not decision.replaces:
        yield f"{name} is frozen, and `running` is False: the update resumes it, and then stops it"
    if decision.recovers:
        text = f"{name} will be restarted, or started if it is stopped (restart_triggers changed)"
        yield coded(text, RESTART)
    if decision.restarts:
        allowed = state.options.allow_restart and new.allow_restart
        yield coded(
            f"{name} may need a restart for {', '.join(decision.restarts)}"
            + ("" if allowed else "; allow_restart is off, so the update would fail then"),
            RESTART,
        )


def _left_behind(decision: Decision, state: RuntimeState, new: PlannedInputs) -> Iterator[str]:
    """Yield a warning about volumes that an update no longer mounts, and that nothing deletes."""
    if decision.replaces or any(path[0] == "mounts" for path in new.unknown):
        return
    mounted = own_volumes(new.plan)
    left = [name for name in own_volumes(state.plan) if name not in mounted]
    if left:
        yield (
            f"{state.plan.identity.instance_name} no longer mounts {_named(left)}; all data is kept"
            + (
                ". A later delete with delete_data does not delete it either: it deletes only "
                "mounted volumes"
                if new.options.delete_data
                else ""
            )
        )
