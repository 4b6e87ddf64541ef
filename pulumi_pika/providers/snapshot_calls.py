"""The calls of `VolumeSnapshotProvider`."""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from pulumi.dynamic import DiffResult

from ..incus.client import IncusClient
from ..incus.errors import PlaceMissing
from ..reconcile.volumes.snapshot import (
    LiveSnapshot,
    change_snapshot,
    check_retainable,
    create_or_adopt_snapshot,
    fetch_snapshot,
    generation_of,
    owner_of,
    pass_on,
    remove_snapshot,
    same_instant,
    with_dropped_options,
)
from ..reconcile.volumes.volume_options import (
    SnapshotOptions,
    find_expiry_problems,
)
from ..validation.hidden_property import CREATE_FIRST, RETAINED
from ..validation.lenient_validation import Failure
from ..validation.option_inputs import ValidatedOptions
from ..validation.plan_inputs import SECRET_INPUTS
from ..validation.property_tree import Path
from .engine_log import PulumiReporter
from .host_connection import client_for
from .properties import REPLACE_ON
from .replace_on_changes import replaced_by_changed_options
from .replacement_refusal import refuse_same_name, retention_changed
from .resource_kind import Created, Kind, Refreshed, Updated
from .schema_version import GENERATION
from .secret_marking import mark_secret_inputs
from .snapshot_state import SnapshotInputs, SnapshotState
from .taken_names import taken_failures
from .unfinished_creates import warn_of_unfinished

_FIELDS: Final = tuple(SnapshotOptions.model_fields)
_PLACE: Final[tuple[str, ...]] = ("volume_name", "snapshot_name", "storage_pool", "project")
_REPLACING: Final[tuple[str, ...]] = (*_PLACE, "triggers")


def check(
    new: SnapshotInputs, old: SnapshotInputs | None, _report: PulumiReporter
) -> Iterable[Failure]:
    """Return everything that is wrong with the new inputs.

    Args:
        new: The new inputs.
        old: The inputs that an earlier `check` returned; None for a new snapshot.
    """
    before = old.options if old else None
    given = new.given.with_problems(find_expiry_problems(before, new.options, datetime.now(UTC)))
    if old is None and not given.failures:
        return _taken(new.options, given.unknown)
    return given.failures


def diff(state: SnapshotState, new: SnapshotInputs, _report: PulumiReporter) -> DiffResult:
    """Compare the old options with the new options."""
    old = state.options
    changes = [name for name in _FIELDS if name != "backend" and _differ(name, old, new.given)]
    if state.hidden.secret_inputs != new.hidden.secret_inputs:
        changes.append(SECRET_INPUTS)
    if retention_changed(state.hidden, new.hidden):
        changes.append(RETAINED)
    replaces = [name for name in _REPLACING if name in changes]
    replaces += replaced_by_changed_options(new.hidden, old, new.given, replaces)
    if replaces and not any(name in replaces for name in _PLACE):
        refuse_same_name(
            state.hidden,
            new.hidden,
            replaces,
            name=f"the {old.where}",
            kind="snapshot",
            argument="snapshot_name",
            otherwise="the old snapshot is deleted first",
        )
    return DiffResult(
        changes=bool(changes or replaces),
        replaces=replaces,
        # Under another name, the new snapshot is created before the old one is deleted.
        delete_before_replace=not any(name in replaces for name in _PLACE),
    )


def create(new: SnapshotInputs, report: PulumiReporter) -> Created:
    """Create the snapshot."""
    client = client_for(new.options.project)
    live = create_or_adopt_snapshot(client, new.options, report)
    return Created(_id_of(new), _outputs(live, generation_of(client, new.options)))


def read(state: SnapshotState, report: PulumiReporter) -> Refreshed | None:
    """Return the state of the snapshot; None if it is deleted."""
    options = state.options
    client = client_for(options.project)
    try:
        live = fetch_snapshot(
            client, options.storage_pool, options.volume_name, options.snapshot_name
        )
    except PlaceMissing as error:
        report.warn(f"the {options.where} no longer exists: {error}")
        return None
    if live is None:
        return None
    if live.created_at != state.created_at:
        report.warn(
            f"the {options.where} is not the one that this resource created (it was created "
            f"{live.created_at}); the resource's own snapshot no longer exists"
        )
        return None
    outputs = {}
    if options.description is not None:
        outputs["description"] = live.description
    if options.expires_at is not None and not same_instant(options.expires_at, live.expires_text):
        outputs["expires_at"] = live.expires_text
    return Refreshed(outputs)


def update(state: SnapshotState, new: SnapshotInputs, _report: PulumiReporter) -> Updated:
    """Change the description and the expiry in place."""
    client = client_for(new.options.project)
    options = with_dropped_options(new.options, state.options)
    live = change_snapshot(client, options, created_at=state.created_at)
    pass_on(client, live, new.options)
    return Updated(_outputs(live, state.hidden.generation))


def delete(state: SnapshotState, report: PulumiReporter) -> None:
    """Delete the snapshot."""
    options = state.options
    try:
        remove_snapshot(
            client_for(options.project),
            options,
            report,
            created_at=state.created_at,
            generation=state.hidden.generation,
        )
    except PlaceMissing as error:
        report.warn(f"the {options.where} no longer exists: {error}")
    warn_of_unfinished(options.owner, report)


def _taken(options: SnapshotOptions, unknown: Iterable[Path]) -> list[Failure]:
    """Return why the snapshot cannot be created: this resource does not own the one that has the
    name."""

    def fetch(client: IncusClient) -> LiveSnapshot | None:
        return fetch_snapshot(
            client, options.storage_pool, options.volume_name, options.snapshot_name
        )

    def refuse_existing(client: IncusClient) -> None:
        if (found := fetch(client)) is not None:
            check_retainable(client, found, options)

    def holder(client: IncusClient) -> str:
        found = fetch(client)
        return owner_of(client, found, options) if found else ""

    where, needed = ("snapshot_name",), (*_PLACE, "owner", "backend")
    return taken_failures(
        where, options.owner, options.project, unknown, needed, refuse_existing, holder
    )


def _differ(name: str, old: SnapshotOptions, new: ValidatedOptions[SnapshotOptions]) -> bool:
    if any(path[0] == name for path in new.unknown):
        return True
    before, after = getattr(old, name), getattr(new.options, name)
    if name == "expires_at" and before is not None and after is not None:
        return not same_instant(before, after)
    return bool(before != after)


def _outputs(live: LiveSnapshot, generation: str) -> dict[str, Any]:
    return {"created_at": live.created_at, GENERATION: generation}


def _id_of(new: SnapshotInputs) -> str:
    """Return the id of the resource, which is in plain text in the state."""
    names = ("project", "storage_pool", "volume_name", "snapshot_name")
    return "/".join(
        "-" if new.hidden.is_secret((name,)) else str(getattr(new.options, name)) for name in names
    )


KIND: Final = Kind(
    input_names=(*_FIELDS, SECRET_INPUTS, REPLACE_ON, RETAINED, CREATE_FIRST),
    parse_inputs=SnapshotInputs.parse,
    parse_state=SnapshotState.parse,
    mark_secrets=partial(mark_secret_inputs, derived={}),
    check=check,
    diff=diff,
    create=create,
    read=read,
    update=update,
    delete=delete,
    older_names=frozenset({"pool"}),
)
