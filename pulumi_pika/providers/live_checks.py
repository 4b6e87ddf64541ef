"""Check the live instance during a preview: find reasons to refuse a change, and effects that the
diff does not show."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from ..incus.errors import IncusError
from ..planner.plan import IncusRuntimePlan
from ..reconcile.instances.changes import LastApplied, find_changes
from ..reconcile.instances.delete import protection
from ..reconcile.instances.desired import desired_profiles
from ..reconcile.instances.lifecycle import fetch_instance, fetch_instance_by_uuid
from ..reconcile.instances.live_instance import (
    FROZEN,
    RUNNING,
    LiveInstance,
    root_device_name,
)
from ..reconcile.instances.placement import (
    profile_root_pool,
    resolve_placement,
    root_moved,
)
from ..reconcile.instances.runtime_options import RuntimeOptions
from ..reconcile.shared.errors import ReconcileError
from ..reconcile.shared.ownership import relation
from ..validation.lenient_validation import Failure
from ..validation.plan_inputs import PlannedInputs
from ..validation.property_tree import Path, get_path
from ..validation.warning_codes import RESTART, coded
from .diff_decision import REPLACING, Decision
from .host_connection import client_for
from .runtime_state import State

_REPLACING: tuple[Path, ...] = (*REPLACING, ("instance_type",), ("storage_pool",))


_ROOT: tuple[Path, ...] = (
    ("resources", "root_disk_gib"),
    ("incus", "profile"),
    ("extra_profiles",),
    ("profiles",),
)
"""The inputs that determine the root disk's pool, besides `storage_pool`."""


def replacement_failures(before: dict[str, Any], inputs: dict[str, Any]) -> list[Failure]:
    """Return why a replacement would be refused, so that nothing is stopped or deleted for it.

    Args:
        before: The old inputs; empty for a new instance.
        inputs: The new inputs.
    """
    changed = [
        path for path in _REPLACING if before and get_path(before, path) != get_path(inputs, path)
    ]
    name = get_path(before, ("identity", "instance_name"))
    project = get_path(before, ("incus", "project"))
    if not changed or not isinstance(name, str) or not isinstance(project, str):
        return []
    live = _look(project, name)
    if live is None or not live.protected:
        return []
    return [Failure(changed[0], f"replaces the instance, and {protection(project, live)}")]


def root_failures(
    before: dict[str, Any], inputs: dict[str, Any], examined: PlannedInputs
) -> list[Failure]:
    """Return why a change of the root disk's pool could only fail.

    Args:
        before: The old inputs; empty for a new instance.
        inputs: The new inputs.
        examined: The planned inputs.
    """
    changed = [
        path for path in _ROOT if before and get_path(before, path) != get_path(inputs, path)
    ]
    if not changed or any(path[0] in ("storage_pool", "incus") for path in examined.unknown):
        return []
    if any(get_path(before, path) != get_path(inputs, path) for path in _REPLACING):
        return []
    plan, options = examined.plan, examined.options
    project, name = plan.incus.project, plan.identity.instance_name
    live = _look(project, name)
    if live is None or not live.root_pool:
        return []
    if plan.resources.root_disk_gib is not None:
        wanted: str | None = options.storage_pool or live.root_pool
    else:
        try:
            wanted = profile_root_pool(client_for(project), desired_profiles(plan, options))
        except (IncusError, ReconcileError):
            return []  # The checks of the host report what is missing.
    theirs = root_device_name(live.devices)
    if theirs and get_path(before, ("resources", "root_disk_gib")) is None:
        return []  # A root disk device that pulumi_pika does not manage is kept.
    if wanted in (None, live.root_pool):
        return []
    return [Failure(changed[0], root_moved(project, name, live.root_pool, str(wanted)))]


def adoption_warnings(before: dict[str, Any], examined: PlannedInputs) -> Iterator[str]:
    """Yield what an adoption changes in the existing instance, without values.

    Args:
        before: The old inputs; empty for a new instance.
        examined: The planned inputs.
    """
    plan, options = examined.plan, examined.options
    if before or not options.adopt or examined.unknown:
        return
    name, project = plan.identity.instance_name, plan.incus.project
    live = _look(project, name)
    if live is None or relation(live.config, options.owner, options.backend) in ("ours", "other"):
        return
    try:
        placement = resolve_placement(
            client_for(project),
            plan,
            options,
            known_root=root_device_name(live.devices),
            known_root_pool=live.root_pool or None,
        )
    except (IncusError, ReconcileError):
        return  # The adoption fails for that reason, and reports it.
    brief = find_changes(live, placement.desired, LastApplied()).brief()
    said = [brief] if brief else []
    if live.ephemeral and not options.ephemeral:
        said.append("ephemeral: false")
    if options.running is True and not live.running:
        said.append("starts it")
    if options.running is False and live.alive:
        said.append("stops it")
    yield f"{name} is there and is adopted ({live.status}); that changes: {', '.join(said)}"


def in_place_if_moved(state: State, new: IncusRuntimePlan, decision: Decision) -> Decision:
    """Return the decision, without a replacement if another client already moved the instance to
    the program's project.

    Args:
        state: What was applied last, or what a refresh found.
        new: The new plan.
        decision: The decision of the diff.
    """
    if decision.replaces != ["incus.project"] or not state.uuid:
        return decision
    try:
        live = fetch_instance_by_uuid(client_for(new.incus.project), state.uuid)
    except IncusError:
        return decision
    return replace(decision, replaces=[]) if live is not None else decision


def live_warnings(decision: Decision, state: State, new: RuntimeOptions) -> Iterator[str]:
    """Yield warnings about a rename back, and about the stop of an ephemeral instance.

    Args:
        decision: What the change means.
        state: What was applied last, or what a refresh found.
        new: The new options.
    """
    if decision.renamed:
        yield from _rename_warnings(decision.renamed, state, new)
    stops = new.running is False and "running" in decision.changes
    if decision.replaces or not (stops or decision.recovers or decision.restarts):
        return
    live = _look(state.plan.incus.project, state.plan.identity.instance_name)
    if live is not None and live.ephemeral and not new.ephemeral:
        yield (
            f"{live.name} is ephemeral, which means that Incus deletes it when it stops; it is "
            "made lasting (ephemeral: false) before it is stopped"
        )


def _rename_warnings(seen: str, state: State, new: RuntimeOptions) -> Iterator[str]:
    """Yield warnings about renaming an instance back.

    Args:
        seen: The name that a refresh found.
        state: What the refresh found.
        new: The new options.
    """
    name, project = state.plan.identity.instance_name, state.plan.incus.project
    holder, live = _look(project, name), _look(project, seen)
    if holder is not None and holder.uuid != state.uuid:
        yield (
            f"{seen} cannot get its name {name} back: another instance has that name. The update "
            f"is refused until that one is renamed or removed: stop it, and run `incus rename "
            f"--project {project} {name} NEW`"
        )
        return
    status = live.status if live else str(state.outputs.get("status") or "")
    if status not in (*RUNNING, FROZEN):
        yield f"{seen} gets its name {name} back"
        return
    said = f"{seen} has to stop for a moment to get its name {name} back"
    if not new.allow_restart:
        said += (
            "; allow_restart is off, so that the update fails until it is stopped: `incus stop "
            f"--project {project} {seen}`"
        )
    elif new.running is False:
        said += "; it is not started again, since `running` is false"
    yield coded(said, RESTART)


def _look(project: str, name: str) -> LiveInstance | None:
    """Return the instance without its state; None if there is none, or if the request fails."""
    try:
        return fetch_instance(client_for(project), name, inside=False)
    except IncusError:
        return None
