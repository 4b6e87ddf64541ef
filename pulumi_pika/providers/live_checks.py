"""Check the live instance during a preview: find reasons to refuse a change, and effects that the
diff does not show."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

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
    Existing,
    profile_root_pool,
    resolve_placement,
    root_moved,
)
from ..reconcile.instances.runtime_options import RuntimeOptions
from ..reconcile.shared.errors import ReconcileError
from ..reconcile.shared.ownership import relation
from ..validation.lenient_validation import Failure
from ..validation.property_tree import Path
from ..validation.warning_codes import RESTART, coded
from .diff_decision import REPLACING, Decision
from .host_connection import client_for
from .instance_inputs import RuntimeInputs
from .runtime_state import RuntimeState

_REPLACING: tuple[Path, ...] = (*REPLACING, ("instance_type",), ("storage_pool",))


_ROOT: tuple[Path, ...] = (
    ("resources", "root_disk_gib"),
    ("incus", "profile"),
    ("extra_profiles",),
)
"""The inputs that determine the root disk's pool, besides `storage_pool`."""


def replacement_failures(old: RuntimeInputs | None, new: RuntimeInputs) -> list[Failure]:
    """Return why a replacement would be refused, so that nothing is stopped or deleted for it.

    Args:
        old: The old inputs; None for a new instance.
        new: The new inputs.
    """
    if old is None or not (changed := _changed(_REPLACING, old, new)):
        return []
    name = old.properties.at(("identity", "instance_name"))
    project = old.properties.at(("incus", "project"))
    if not isinstance(name, str) or not isinstance(project, str):
        return []
    live = _fetch_or_none(project, name)
    if live is None or not live.protected:
        return []
    return [Failure(changed[0], f"would replace the instance, and {protection(project, live)}")]


def root_failures(old: RuntimeInputs | None, new: RuntimeInputs) -> list[Failure]:
    """Return why a change of the root disk's pool could only fail.

    Args:
        old: The old inputs; None for a new instance.
        new: The new inputs.
    """
    if old is None or not (changed := _changed(_ROOT, old, new)):
        return []
    planned = new.planned
    if any(path[0] in ("storage_pool", "incus") for path in planned.unknown):
        return []
    if _changed(_REPLACING, old, new):
        return []
    plan, options = planned.plan, planned.options
    project, name = plan.incus.project, plan.identity.instance_name
    live = _fetch_or_none(project, name)
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
    if theirs and old.properties.at(("resources", "root_disk_gib")) is None:
        return []  # A root disk device that pulumi_pika does not manage is kept.
    if wanted in (None, live.root_pool):
        return []
    return [Failure(changed[0], root_moved(project, name, live.root_pool, str(wanted)))]


def _changed(paths: Iterable[Path], old: RuntimeInputs, new: RuntimeInputs) -> list[Path]:
    return [path for path in paths if old.properties.differs(path, new.properties)]


def adoption_warnings(new: RuntimeInputs) -> Iterator[str]:
    """Yield what an adoption changes in the existing instance, without values.

    Args:
        new: The inputs of a new resource.
    """
    plan, options = new.planned.plan, new.planned.options
    if not options.adopt or new.planned.unknown:
        return
    name, project = plan.identity.instance_name, plan.incus.project
    live = _fetch_or_none(project, name)
    if live is None or relation(live.config, options.owner, options.backend) in ("ours", "other"):
        return
    try:
        placement = resolve_placement(
            client_for(project),
            plan,
            options,
            Existing(root_device=root_device_name(live.devices), root_pool=live.root_pool or None),
        )
    except (IncusError, ReconcileError):
        return  # The adoption fails for that reason, and reports it.
    brief = find_changes(live, placement.desired, LastApplied()).brief()
    parts = [brief] if brief else []
    if live.ephemeral:
        parts.append("ephemeral: false")
    if options.running is True and not live.running:
        parts.append("starts it")
    if options.running is False and live.alive:
        parts.append("stops it")
    changes = ", ".join(parts)
    yield f"instance {name} exists ({live.status}) and will be adopted; this changes: {changes}"


def in_place_if_moved(state: RuntimeState, new: IncusRuntimePlan, decision: Decision) -> Decision:
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


def live_warnings(decision: Decision, state: RuntimeState, new: RuntimeOptions) -> Iterator[str]:
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
    live = _fetch_or_none(state.plan.incus.project, state.plan.identity.instance_name)
    if live is not None and live.ephemeral:
        yield (
            f"{live.name} is ephemeral, so that Incus deletes it when it stops; the update sets "
            "ephemeral to false before it stops the instance"
        )


def _rename_warnings(seen: str, state: RuntimeState, new: RuntimeOptions) -> Iterator[str]:
    """Yield warnings about renaming an instance back.

    Args:
        seen: The name that a refresh found.
        state: What the refresh found.
        new: The new options.
    """
    name, project = state.plan.identity.instance_name, state.plan.incus.project
    holder, live = _fetch_or_none(project, name), _fetch_or_none(project, seen)
    if holder is not None and holder.uuid != state.uuid:
        yield (
            f"{seen} cannot be renamed back to {name}, since another instance has that name. Until "
            "then the update fails. Stop the other instance, and run `incus rename --project "
            f"{project} {name} NEW`"
        )
        return
    status = live.status if live else state.status
    if status not in (*RUNNING, FROZEN):
        yield f"{seen} will be renamed back to {name}"
        return
    text = f"{seen} will be stopped for a moment to rename it back to {name}"
    if not new.allow_restart:
        text += (
            "; allow_restart is off, so the update fails while it runs. To stop it, run `incus "
            f"stop --project {project} {seen}`"
        )
    elif new.running is False:
        text += "; it is not started again, since `running` is False"
    yield coded(text, RESTART)


def _fetch_or_none(project: str, name: str) -> LiveInstance | None:
    """Return the instance without its state; None if there is none, or if the request fails."""
    try:
        return fetch_instance(client_for(project), name, inside=False)
    except IncusError:
        return None
