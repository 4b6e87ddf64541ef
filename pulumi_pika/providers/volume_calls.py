"""The calls of `PersistentVolumeProvider`."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Final

from pulumi.dynamic import DiffResult
from pulumi.runtime.rpc import UNKNOWN

from ..incus.client import IncusClient
from ..incus.errors import IncusError, PlaceMissing
from ..message_templates import could_not
from ..reconcile.instances.lifecycle import fetch_instance
from ..reconcile.instances.runtime_options import JOB_KEY
from ..reconcile.preflight import size_ignored
from ..reconcile.shared.errors import ReconcileError, ReplacementFailed
from ..reconcile.shared.ownership import relation
from ..reconcile.shared.reporter import Reporter
from ..reconcile.volumes.restore import (
    describe_interrupted_restore,
    plan_restore,
    restore_volume_data,
    resume_interrupted_restore,
)
from ..reconcile.volumes.volume import (
    LiveVolume,
    change_volume,
    check_adoptable,
    create_or_adopt_volume,
    fetch_owned_volume,
    fetch_volume,
    find_owned_volume,
    remove_volume,
    users,
    users_text,
    volume_outputs,
    why_not_owned,
    write_identity,
)
from ..reconcile.volumes.volume_options import (
    VolumeOptions,
    find_volume_change_problems,
    same_size,
)
from ..validation.hidden_property import CREATE_FIRST, RETAINED
from ..validation.lenient_validation import Failure
from ..validation.option_inputs import ValidatedOptions
from ..validation.plan_inputs import SECRET_INPUTS
from ..validation.property_tree import Path
from ..validation.warning_codes import HOST, REPLACE, RESTART, RESTORE, STOP_KEEPING_DATA, coded
from .engine_log import PulumiReporter
from .host_connection import client_for, current_host, requested_preflight
from .properties import REPLACE_ON
from .replace_on_changes import replaced_by_changed_options
from .replacement_refusal import refuse_same_name, retention_changed, was_checked
from .resource_kind import Created, Kind, Refreshed, Updated
from .schema_version import GENERATION
from .secret_marking import mark_secret_inputs
from .taken_names import taken_failures
from .unfinished_creates import warn_of_unfinished
from .volume_state import RENAMED_TO, VolumeInputs, VolumeState

KEPT: Final = "keeps the volume and its data"
RETAINED_TEXT: Final = f"{KEPT} (retain_on_delete)"
DELETED: Final = "DELETES THE VOLUME WITH ALL ITS DATA AND SNAPSHOTS (delete_data)"

_FIELDS: Final = tuple(VolumeOptions.model_fields)
_PLACE: Final[tuple[str, ...]] = ("volume_name", "storage_pool", "project")
_REPLACING: Final[tuple[str, ...]] = (*_PLACE, "content_type")
_DERIVED: Final[dict[str, tuple[str, ...]]] = {
    "delete_data": ("on_delete",),
    "restore_from": ("restored_from", "safety_snapshot"),
}


_before: dict[str, VolumeOptions] = {}
"""By owner: the old options of the volume at its last `check`. For a replacement, the engine calls
`check` again, without the old inputs."""


def check(new: VolumeInputs, old: VolumeInputs | None, report: PulumiReporter) -> Iterable[Failure]:
    """Return everything that is wrong with the new inputs.

    Args:
        new: The new inputs.
        old: The inputs that an earlier `check` returned; None for a new volume.
    """
    given = new.given
    if old is not None:
        given = given.with_problems(_change_problems(old.options, given))
        _before[new.options.owner] = old.options
    if not given.failures and (old is None or _is_moved(old.options, new.options)):
        given = given.with_problems(
            (failure.path, failure.reason)
            for failure in _taken(new.options, given.unknown, replaced=old is None)
        )
    if not given.failures:
        _warn_of_size(new, old, report)
        if old is None:
            _announce_restore_of_adopted(new, report)
    return given.failures


def shown(new: VolumeInputs) -> dict[str, str]:
    """Return `on_delete`, which is an input, so that every preview shows it, also that of a
    destroy."""
    if ("delete_data",) in new.given.unknown:
        return {"on_delete": UNKNOWN}
    if new.hidden.retained:
        return {"on_delete": RETAINED_TEXT}
    return {"on_delete": DELETED if new.options.delete_data else KEPT}


def diff(state: VolumeState, new: VolumeInputs, report: PulumiReporter) -> DiffResult:
    """Compare the old options with the new options, and warn about data."""
    old = state.options
    changes = _changes(state, new)
    replaces = [name for name in _REPLACING if name in changes]
    replaces += replaced_by_changed_options(new.hidden, old, new.given, replaces)
    if replaces and not any(name in replaces for name in _PLACE):
        refuse_same_name(
            state.hidden,
            new.hidden,
            replaces,
            name=f"the {old.where}",
            kind="volume",
            argument="volume_name",
            otherwise=(
                "the old volume is deleted first, with all its data and snapshots (delete_data)"
                if old.delete_data
                else "the volume is kept with its data and stays managed"
            ),
        )
        if old.delete_data and was_checked(new.options.owner):
            _refuse_used(state, replaces)
    for warning in _warnings(old, new.options, changes, replaces):
        report.warn(warning)
    if not replaces and ("restore_from",) not in new.given.unknown and "restore_from" in changes:
        _announce_restore(lambda: _client(state), new.options, report)
    return DiffResult(
        changes=bool(changes or replaces),
        replaces=replaces,
        # With another name, pool or project, the present volume stays until all its users have
        # moved.
        delete_before_replace=not any(name in replaces for name in _PLACE),
    )


def create(new: VolumeInputs, report: PulumiReporter) -> Created:
    """Create the volume, or adopt or resume managing an existing one."""
    options = new.options
    client = _new_place(client_for(options.project))
    found = fetch_volume(client, options.storage_pool, options.volume_name)
    if found is not None:
        # Impossible changes are refused before an existing volume is changed.
        check_adoptable(client, found, options)
        plan_restore(client, found, options)
    live = create_or_adopt_volume(client, options, report)
    live = _restore(client, live, options, report)
    live = write_identity(client, live, options)
    return Created(_id_of(new), _outputs(live))


def read(state: VolumeState, report: PulumiReporter) -> Refreshed | None:
    """Return the state of the volume; None if it is deleted."""
    options = state.options
    try:
        found = find_owned_volume(_client(state), options, state.claim())
    except PlaceMissing as error:
        report.warn(f"the {options.where} no longer exists: {error}")
        return None
    live = found.live
    if live is None:
        if found.other is not None:
            report.warn(
                f"the {options.where} {why_not_owned(found.other, state.claim())}; the "
                "resource's own volume no longer exists"
            )
        return None
    if live.name != options.volume_name:
        report.warn(
            f"the {options.where} was renamed to {live.name} outside Pulumi; `pulumi up` "
            "renames it back when no running instance uses it"
        )
    if text := describe_interrupted_restore(live):
        report.warn(f"{text}; `pulumi up` with the intended restore_from completes it")
    return state.refreshed(live)


def update(state: VolumeState, new: VolumeInputs, report: PulumiReporter) -> Updated:
    """Change the volume in place, and restore a snapshot of it."""
    options = new.options
    client = _client(state)
    claim = state.claim(options.owner)
    found = fetch_owned_volume(client, options, claim, report)
    # An impossible restore is refused before anything is changed.
    plan_restore(client, found, options)
    live = change_volume(client, options, state.options, report, claim=claim)
    live = _restore(client, live, options, report)
    # The ownership label is written last: after a failure, the old state must still match the
    # volume.
    live = write_identity(client, live, options)
    return Updated(_outputs(live))


def delete(state: VolumeState, report: PulumiReporter) -> None:
    """Delete the volume if `delete_data` is on; otherwise keep it."""
    try:
        remove_volume(_client(state), state.options, report, claim=state.claim())
    except PlaceMissing as error:
        report.warn(f"the {state.options.where} no longer exists: {error}")
    warn_of_unfinished(state.options.owner, report)


def _client(state: VolumeState) -> IncusClient:
    """Return a client for the cluster member of the volume."""
    return client_for(state.options.project).on_member(state.location)


def _changes(state: VolumeState, new: VolumeInputs) -> list[str]:
    changes = [
        name for name in _FIELDS if name != "backend" and _differ(name, state.options, new.given)
    ]
    if state.renamed:
        changes.append(RENAMED_TO)
    if state.hidden.secret_inputs != new.hidden.secret_inputs:
        changes.append(SECRET_INPUTS)
    if retention_changed(state.hidden, new.hidden):
        changes.append(RETAINED)
    return changes


def _differ(name: str, old: VolumeOptions, new: ValidatedOptions[VolumeOptions]) -> bool:
    if any(path[0] == name for path in new.unknown):
        return True
    before, after = getattr(old, name), getattr(new.options, name)
    return not same_size(before, after) if name == "size" else bool(before != after)


def _change_problems(
    old: VolumeOptions, given: ValidatedOptions[VolumeOptions]
) -> Iterable[tuple[Path, str]]:
    # If one of these is unknown, the result may be another volume.
    if any((name,) in given.unknown for name in ("volume_name", "storage_pool", "project")):
        return ()
    return find_volume_change_problems(old, given.options)


def _warnings(
    old: VolumeOptions, new: VolumeOptions, changes: list[str], replaces: list[str]
) -> Iterator[str]:
    if not replaces and RENAMED_TO in changes:
        yield (
            f"the {old.where} was renamed outside Pulumi and will be renamed back; the instances "
            "that use it must be stopped for that"
        )
    if replaces:
        yield coded(
            f"the {old.where} will be replaced by another volume ({', '.join(replaces)} changed): "
            + (
                f"the replacement {DELETED}"
                if old.delete_data
                else "it is kept with its data, which the new volume does not have"
            ),
            REPLACE,
        )
    elif "delete_data" in changes and new.delete_data:
        yield coded(
            "this update turns delete_data on: after it, to destroy or replace the resource "
            f"deletes the {new.where} with all its data and snapshots",
            STOP_KEEPING_DATA,
        )


def _warn_of_size(new: VolumeInputs, old: VolumeInputs | None, report: PulumiReporter) -> None:
    """Warn of a new size that the pool is known not to enforce."""
    options = new.options
    needed = {"size", "storage_pool", "project"}
    if options.size is None or options.content_type != "filesystem":
        return
    if any(path[0] in needed for path in new.given.unknown) or requested_preflight() == "off":
        return
    if old is not None and all(
        getattr(old.options, name) == getattr(options, name) for name in needed
    ):
        return
    with suppress(IncusError):
        here = current_host()
        if here.enrolled and time.monotonic() >= here.away_until:
            pool = options.storage_pool
            if here.facts.ignores_sizes(options.project, pool):
                report.warn(coded(f"size: {size_ignored(pool)}", HOST))


def _refuse_used(state: VolumeState, replaces: list[str]) -> None:
    """Refuse a replacement whose delete can only fail, before snapshots are deleted for it.

    The retained instance of a job is deleted before its volume; a runtime is not.

    Raises:
        ReplacementFailed: An instance or a profile uses the volume; nothing was changed.
    """
    try:
        client = _client(state)
        live = find_owned_volume(client, state.options, state.claim()).live
        used = [user for user in live.used_by if not _is_of_job(client, user)] if live else []
    except IncusError:
        return  # An unreachable host cannot delete anything either.
    if used:
        raise ReplacementFailed(
            could_not(
                f"replace the {state.options.where} ({', '.join(replaces)} changed)",
                f"it has to be deleted first, and is used by {users_text(tuple(used))}",
                undone="Nothing was deleted",
                advice="Remove the mount from what uses it and run `pulumi up` before this change, "
                "or set another volume_name",
            )
        )


def _is_of_job(client: IncusClient, user: str) -> bool:
    [(kind, name, project)] = users((user,))
    live = (
        fetch_instance(client.in_project(project), name, inside=False)
        if kind == "instance"
        else None
    )
    return live is not None and JOB_KEY in live.config


def _announce_restore_of_adopted(new: VolumeInputs, report: PulumiReporter) -> None:
    """Announce the restore of a volume that exists, although the resource is new: no `diff` is
    called for it."""
    options = new.options
    if not options.restore_from or new.given.unknown or requested_preflight() == "off":
        return
    # What the create would refuse is not announced.
    with suppress(IncusError, ReconcileError):
        here = current_host()
        if not here.enrolled or time.monotonic() < here.away_until:
            return
        client = _new_place(here.client.in_project(options.project))
        live = fetch_volume(client, options.storage_pool, options.volume_name)
        if live is not None:
            check_adoptable(client, live, options)
            _announce_restore(lambda: client, options, report)


def _announce_restore(
    client_of: Callable[[], IncusClient], options: VolumeOptions, reporter: Reporter
) -> None:
    try:
        client = client_of()
        live = fetch_volume(client, options.storage_pool, options.volume_name)
        plan = plan_restore(client, live, options) if live is not None else None
    except (IncusError, ReconcileError) as error:
        # The instances that would be stopped are unknown.
        text = f"restore_from: this restore would fail now: {error}"
        reporter.warn(coded(text, RESTORE, RESTART))
    else:
        if plan is not None:
            stops = (RESTART,) if plan.stop else ()
            reporter.warn(coded(plan.text(options), RESTORE, *stops))


def _restore(
    client: IncusClient, live: LiveVolume, options: VolumeOptions, reporter: Reporter
) -> LiveVolume:
    plan = plan_restore(client, live, options)
    if plan is not None:
        return restore_volume_data(client, live, options, plan, reporter)
    resume_interrupted_restore(client, live, options, reporter)
    return live


def _new_place(client: IncusClient) -> IncusClient:
    """Return the client for a new volume. If each cluster member has its own volumes, only those of
    the target member matter."""
    return client if client.target.startswith("@") else client.on_member(client.target)


def _is_moved(old: VolumeOptions, new: VolumeOptions) -> bool:
    return any(getattr(old, name) != getattr(new, name) for name in _PLACE)


def _taken(options: VolumeOptions, unknown: Iterable[Path], *, replaced: bool) -> list[Failure]:
    """Return why the volume cannot be created: another object has its name.

    Args:
        options: The options of the volume.
        unknown: The unknown inputs.
        replaced: Whether the volume may replace that of the last check.
    """
    old = _before.get(options.owner) if replaced else None
    place = [getattr(options, name) for name in _PLACE]
    # For another content type, the present volume is deleted first, if that is allowed.
    goes = (
        old is not None
        and old.delete_data
        and old.content_type != options.content_type
        and [getattr(old, name) for name in _PLACE] == place
    )

    def refuse_existing(client: IncusClient) -> None:
        found = fetch_volume(_new_place(client), options.storage_pool, options.volume_name)
        if found is None:
            return
        ours = relation(found.config, options.owner, options.backend) == "ours"
        if not (goes and ours):
            check_adoptable(client, found, options)

    def holder(client: IncusClient) -> str:
        found = fetch_volume(_new_place(client), options.storage_pool, options.volume_name)
        return found.owner if found else ""

    needed = (*_PLACE, "owner", "backend", "adopt", "content_type", "size")
    return taken_failures(
        ("volume_name",),
        options.owner,
        options.project,
        unknown,
        needed,
        refuse_existing,
        holder,
    )


def _outputs(live: LiveVolume) -> dict[str, Any]:
    return {**volume_outputs(live), GENERATION: live.generation}


def _id_of(new: VolumeInputs) -> str:
    """Return the id of the resource, which is in plain text in the state."""
    names = ("project", "storage_pool", "volume_name")
    return "/".join(
        "-" if new.hidden.is_secret((name,)) else str(getattr(new.options, name)) for name in names
    )


KIND: Final = Kind(
    input_names=(*_FIELDS, SECRET_INPUTS, REPLACE_ON, RETAINED, CREATE_FIRST, "on_delete"),
    parse_inputs=VolumeInputs.parse,
    parse_state=VolumeState.parse,
    mark_secrets=partial(mark_secret_inputs, derived=_DERIVED),
    check=check,
    diff=diff,
    create=create,
    read=read,
    update=update,
    delete=delete,
    shown=shown,
    older_names=frozenset({"pool"}),
)
