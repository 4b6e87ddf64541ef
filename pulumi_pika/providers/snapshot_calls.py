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
from ..reconcile.snapshot import (
    LiveSnapshot,
    change_snapshot,
    generation_of,
    look_at_snapshot,
    make_snapshot,
    owner_of,
    pass_on,
    refuse_to_keep,
    remove_snapshot,
    same_instant,
    with_dropped,
)
from ..reconcile.volume_options import (
    SnapshotOptions,
    find_expiry_problems,
    find_snapshot_problems,
)
from .clients import client_for
from .errors import for_people, refuse, too_deep
from .examine import SECRET_INPUTS
from .hidden import CREATE_FIRST, RETAINED
from .options_input import Given, give
from .replace_option import REPLACE_ON, by_option
from .replacement_refusal import refuse_same_name, retention_changed
from .schema_version import GENERATION, SCHEMA_VERSION
from .secrets import check_failures, is_secret, seal_as_given, secret_paths
from .shape import Failure
from .taken import taken_failures
from .unfinished import warn_of_unfinished
from .values import Path, without_provider

_FIELDS: Final = tuple(SnapshotOptions.model_fields)
INPUTS: Final = (*_FIELDS, SECRET_INPUTS, REPLACE_ON, RETAINED, CREATE_FIRST)
_PLACE: Final[tuple[str, ...]] = ("volume_name", "snapshot_name", "storage_pool", "project")
_REPLACING: Final[tuple[str, ...]] = (*_PLACE, "triggers")


def check(news: dict[str, Any], olds: dict[str, Any] | None = None) -> CheckResult:
    """Validates the inputs.

    Args:
        news: the inputs as the program gives them.
        olds: the inputs that an earlier `check` returned; None or empty for a new snapshot.
    """
    try:
        inputs = {name: value for name, value in without_provider(news).items() if name in INPUTS}
        given = give(SnapshotOptions, inputs, find_snapshot_problems)
        old = give(SnapshotOptions, olds, lambda _: ()).options if olds else None
        given = given.with_problems(find_expiry_problems(old, given.options, datetime.now(UTC)))
    except RecursionError:
        return too_deep()
    if not olds and not given.failures:
        given = given.with_problems(
            (failure.path, failure.reason) for failure in _taken(given.options, given.unknown)
        )
    if given.failures:
        return CheckResult({}, check_failures(given.failures, inputs))
    return CheckResult(_seal(inputs, inputs), [])


def diff(olds: dict[str, Any], props: dict[str, Any]) -> DiffResult:
    """Compares options with options."""
    news = without_provider(props)
    with for_people(olds, news):
        state = without_provider(olds)
        old = give(SnapshotOptions, state, lambda _: ()).options
        new = give(SnapshotOptions, news, find_snapshot_problems)
        changes = [name for name in _FIELDS if name != "backend" and _differ(name, old, new)]
        if (state.get(SECRET_INPUTS) or []) != (news.get(SECRET_INPUTS) or []):
            changes.append(SECRET_INPUTS)
        if retention_changed(state, news):
            changes.append(RETAINED)
        replaces = [name for name in _REPLACING if name in changes]
        replaces += by_option(
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
        # Under another name the new one is taken before the old one is given up.
        delete_before_replace=not any(name in replaces for name in _PLACE),
    )


def create(props: dict[str, Any]) -> CreateResult:
    """Takes the snapshot."""
    inputs = without_provider(props)
    with for_people(inputs) as report:
        options = _options(inputs)
        client = client_for(options.project)
        live = make_snapshot(client, options, report())
        outputs = _outputs(inputs, live, generation_of(client, options))
    return CreateResult(_id_of(options, inputs), _seal(outputs, inputs))


def read(id_: str, props: dict[str, Any]) -> ReadResult:
    """Reads the snapshot back; one that is gone reads as a resource that is gone."""
    with for_people(props) as report:
        given = without_provider(props)
        outputs = dict(given)
        options = give(SnapshotOptions, outputs, lambda _: ()).options
        client = client_for(options.project)
        try:
            live = look_at_snapshot(
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
    """Changes description and expiry."""
    inputs = without_provider(props)
    with for_people(olds, inputs):
        options = _options(inputs)
        created_at = str(olds.get("created_at") or "")
        before = give(SnapshotOptions, without_provider(olds), lambda _: ()).options
        client = client_for(options.project)
        live = change_snapshot(
            client,
            with_dropped(options, before),
            created_at=created_at,
        )
        pass_on(client, live, options)
        outputs = _outputs(inputs, live, str(without_provider(olds).get(GENERATION) or ""))
    return UpdateResult(_seal(outputs, inputs))


def delete(props: dict[str, Any]) -> None:
    """Removes the snapshot."""
    with for_people(props) as report:
        outputs = without_provider(props)
        options = give(SnapshotOptions, outputs, lambda _: ()).options
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
    """Return why the snapshot cannot be taken: what has its name is not this resource's."""

    def look(client: IncusClient) -> LiveSnapshot | None:
        return look_at_snapshot(
            client, options.storage_pool, options.volume_name, options.snapshot_name
        )

    def refuse_existing(client: IncusClient) -> None:
        if (found := look(client)) is not None:
            refuse_to_keep(client, found, options)

    def holder(client: IncusClient) -> str:
        found = look(client)
        return owner_of(client, found, options) if found else ""

    where, needed = ("snapshot_name",), (*_PLACE, "owner", "backend")
    return taken_failures(
        where, options.owner, options.project, unknown, needed, refuse_existing, holder
    )


def _differ(name: str, old: SnapshotOptions, new: Given[SnapshotOptions]) -> bool:
    if any(path[0] == name for path in new.unknown):
        return True
    before, after = getattr(old, name), getattr(new.options, name)
    if name == "expires_at" and before is not None and after is not None:
        return not same_instant(before, after)
    return bool(before != after)


def _options(inputs: dict[str, Any]) -> SnapshotOptions:
    given = give(SnapshotOptions, inputs, find_snapshot_problems)
    refuse(given.failures)
    return given.options


def _outputs(inputs: dict[str, Any], live: LiveSnapshot, generation: str) -> dict[str, Any]:
    return {
        **inputs,
        "created_at": live.created_at,
        GENERATION: generation,
        "schema_version": SCHEMA_VERSION,
    }


def _id_of(options: SnapshotOptions, inputs: dict[str, Any]) -> str:
    """The resource's id, which the state has in plain text."""
    names = ("project", "storage_pool", "volume_name", "snapshot_name")
    return "/".join(
        "-" if is_secret((name,), inputs) else str(getattr(options, name)) for name in names
    )


def _seal(tree: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    given = {name: given[name] for name in INPUTS if name in given}
    return seal_as_given(tree, secret_paths(given), {}, given)
