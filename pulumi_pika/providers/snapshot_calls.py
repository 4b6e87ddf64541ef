"""The calls of `VolumeSnapshotProvider`."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from pulumi.dynamic import (
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    UpdateResult,
)

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
    find_snapshot_problems,
)
from ..validation.hidden_property import CREATE_FIRST, RETAINED
from ..validation.lenient_validation import Failure
from ..validation.option_inputs import ValidatedOptions, validate_options
from ..validation.plan_inputs import SECRET_INPUTS
from ..validation.property_tree import Path, without_provider
from .host_connection import client_for
from .provider_errors import (
    nesting_failure,
    raise_if_failed,
    user_facing_errors,
)
from .replace_on_changes import REPLACE_ON, replaced_by_option
from .replacement_refusal import refuse_same_name, retention_changed
from .schema_version import GENERATION, SCHEMA_VERSION
from .secret_marking import (
    check_failures,
    is_secret,
    mark_secret_inputs,
    secret_paths,
)
from .taken_names import taken_failures
from .unfinished_creates import warn_of_unfinished

_FIELDS: Final = tuple(SnapshotOptions.model_fields)
INPUTS: Final = (*_FIELDS, SECRET_INPUTS, REPLACE_ON, RETAINED, CREATE_FIRST)
_PLACE: Final[tuple[str, ...]] = ("volume_name", "snapshot_name", "storage_pool", "project")
_REPLACING: Final[tuple[str, ...]] = (*_PLACE, "triggers")


def check(news: dict[str, Any], olds: dict[str, Any] | None = None) -> CheckResult:
    """Validate the inputs.

    Args:
        news: The inputs of the program.
        olds: The inputs that an earlier `check` returned; None or empty for a new snapshot.
    """
    try:
        inputs = {name: value for name, value in without_provider(news).items() if name in INPUTS}
        given = validate_options(SnapshotOptions, inputs, find_snapshot_problems)
        old = validate_options(SnapshotOptions, olds, lambda _: ()).options if olds else None
        given = given.with_problems(find_expiry_problems(old, given.options, datetime.now(UTC)))
    except RecursionError:
        return nesting_failure()
    if not olds and not given.failures:
        given = given.with_problems(
            (failure.path, failure.reason) for failure in _taken(given.options, given.unknown)
        )
    if given.failures:
        return CheckResult({}, check_failures(given.failures, inputs))
    return CheckResult(_seal(inputs, inputs), [])


def diff(olds: dict[str, Any], props: dict[str, Any]) -> DiffResult:
    """Compare the old options with the new options.

    Args:
        olds: The outputs in the state.
        props: The new inputs.
    """
    news = without_provider(props)
    with user_facing_errors(olds, news):
        state = without_provider(olds)
        old = validate_options(SnapshotOptions, state, lambda _: ()).options
        new = validate_options(SnapshotOptions, news, find_snapshot_problems)
        changes = [name for name in _FIELDS if name != "backend" and _differ(name, old, new)]
        if (state.get(SECRET_INPUTS) or []) != (news.get(SECRET_INPUTS) or []):
            changes.append(SECRET_INPUTS)
        if retention_changed(state, news):
            changes.append(RETAINED)
        replaces = [name for name in _REPLACING if name in changes]
        replaces += replaced_by_option(
            news, old.model_dump(), new.options.model_dump(), new.unknown, replaces
        )
        if replaces and not any(name in replaces for name in _PLACE):
            refuse_same_name(
                state,
                news,
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


def create(props: dict[str, Any]) -> CreateResult:
    """Create the snapshot.

    Args:
        props: The inputs that `check` returned.
    """
    inputs = without_provider(props)
    with user_facing_errors(inputs) as report:
        options = _options(inputs)
        client = client_for(options.project)
        live = create_or_adopt_snapshot(client, options, report())
        outputs = _outputs(inputs, live, generation_of(client, options))
    return CreateResult(_id_of(options, inputs), _seal(outputs, inputs))


def read(id_: str, props: dict[str, Any]) -> ReadResult:
    """Return the state of the snapshot; a deleted snapshot is returned as a deleted resource.

    Args:
        id_: The id of the resource.
        props: The outputs in the state.
    """
    with user_facing_errors(props) as report:
        given = without_provider(props)
        outputs = dict(given)
        options = validate_options(SnapshotOptions, outputs, lambda _: ()).options
        client = client_for(options.project)
        try:
            live = fetch_snapshot(
                client, options.storage_pool, options.volume_name, options.snapshot_name
            )
        except PlaceMissing as error:
            report().warn(f"the {options.where} is gone: {error}")
            return ReadResult("", {})
        if live is None:
            return ReadResult("", {})
        if live.created_at != outputs.get("created_at"):
            report().warn(
                f"the {options.where} is not the one that this resource made (made "
                f"{live.created_at}); the resource's own is gone"
            )
            return ReadResult("", {})
        if options.description is not None:
            outputs["description"] = live.description
        if options.expires_at is not None and not same_instant(
            options.expires_at, live.expires_text
        ):
            outputs["expires_at"] = live.expires_text
    inputs = {name: outputs[name] for name in INPUTS if name in outputs}
    return ReadResult(id_, _seal(outputs, given), _seal(inputs, given))


def update(olds: dict[str, Any], props: dict[str, Any]) -> UpdateResult:
    """Change the description and the expiry in place.

    Args:
        olds: The outputs in the state.
        props: The new inputs.
    """
    inputs = without_provider(props)
    with user_facing_errors(olds, inputs):
        options = _options(inputs)
        created_at = str(olds.get("created_at") or "")
        before = validate_options(SnapshotOptions, without_provider(olds), lambda _: ()).options
        client = client_for(options.project)
        live = change_snapshot(
            client,
            with_dropped_options(options, before),
            created_at=created_at,
        )
        pass_on(client, live, options)
        outputs = _outputs(inputs, live, str(without_provider(olds).get(GENERATION) or ""))
    return UpdateResult(_seal(outputs, inputs))


def delete(props: dict[str, Any]) -> None:
    """Delete the snapshot."""
    with user_facing_errors(props) as report:
        outputs = without_provider(props)
        options = validate_options(SnapshotOptions, outputs, lambda _: ()).options
        try:
            remove_snapshot(
                client_for(options.project),
                options,
                report(),
                created_at=str(outputs.get("created_at") or ""),
                generation=str(outputs.get(GENERATION) or ""),
            )
        except PlaceMissing as error:
            report().warn(f"the {options.where} is gone already: {error}")
        warn_of_unfinished(options.owner, report())


def _taken(options: SnapshotOptions, unknown: Iterable[Path]) -> list[Failure]:
    """Return why the snapshot cannot be created: this resource does not own the one that has the
    name."""

    def look(client: IncusClient) -> LiveSnapshot | None:
        return fetch_snapshot(
            client, options.storage_pool, options.volume_name, options.snapshot_name
        )

    def refuse_existing(client: IncusClient) -> None:
        if (found := look(client)) is not None:
            check_retainable(client, found, options)

    def holder(client: IncusClient) -> str:
        found = look(client)
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


def _options(inputs: dict[str, Any]) -> SnapshotOptions:
    given = validate_options(SnapshotOptions, inputs, find_snapshot_problems)
    raise_if_failed(given.failures)
    return given.options


def _outputs(inputs: dict[str, Any], live: LiveSnapshot, generation: str) -> dict[str, Any]:
    return {
        **inputs,
        "created_at": live.created_at,
        GENERATION: generation,
        "schema_version": SCHEMA_VERSION,
    }


def _id_of(options: SnapshotOptions, inputs: dict[str, Any]) -> str:
    """Return the id of the resource, which is in plain text in the state."""
    names = ("project", "storage_pool", "volume_name", "snapshot_name")
    return "/".join(
        "-" if is_secret((name,), inputs) else str(getattr(options, name)) for name in names
    )


def _seal(tree: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    given = {name: given[name] for name in INPUTS if name in given}
    return mark_secret_inputs(tree, secret_paths(given), {}, given)
