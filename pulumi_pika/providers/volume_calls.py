"""The calls of `PersistentVolumeProvider`."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Final

from pulumi.dynamic import (
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    UpdateResult,
)
from pulumi.runtime.rpc import UNKNOWN

from ..incus.client import IncusClient
from ..incus.errors import IncusError, PlaceMissing
from ..reconcile.instances.desired import LABEL_PREFIX
from ..reconcile.instances.lifecycle import fetch_instance
from ..reconcile.instances.runtime_options import JOB_KEY
from ..reconcile.preflight import size_ignored
from ..reconcile.shared.errors import ReconcileError, ReplacementFailed
from ..reconcile.shared.ownership import Claim, relation
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
    find_volume_problems,
    same_size,
)
from ..validation.hidden_property import CREATE_FIRST, RETAINED
from ..validation.lenient_validation import Failure
from ..validation.option_inputs import ValidatedOptions, validate_options
from ..validation.plan_inputs import SECRET_INPUTS
from ..validation.property_tree import Path, without_provider
from ..validation.warning_codes import HOST, REPLACE, RESTART, RESTORE, STOP_KEEPING_DATA, coded
from .host_connection import client_for, current_host, requested_preflight
from .provider_errors import (
    nesting_failure,
    raise_if_failed,
    user_facing_errors,
)
from .replace_on_changes import REPLACE_ON, replaced_by_option
from .replacement_refusal import refuse_same_name, retention_changed, was_checked
from .schema_version import GENERATION, SCHEMA_VERSION
from .secret_marking import (
    check_failures,
    is_secret,
    mark_secret_inputs,
    secret_paths,
)
from .taken_names import taken_failures
from .unfinished_creates import warn_of_unfinished

KEPT: Final = "keeps the volume and its data"
RETAINED_TEXT: Final = f"{KEPT} (retain_on_delete)"
DELETED: Final = "DELETES THE VOLUME WITH ALL ITS DATA AND SNAPSHOTS (delete_data)"

RENAMED_TO: Final = "renamed_to"
"""The output with the other name under which a refresh found the volume."""
_FIELDS: Final = tuple(VolumeOptions.model_fields)
INPUTS: Final = (*_FIELDS, SECRET_INPUTS, REPLACE_ON, RETAINED, CREATE_FIRST, "on_delete")
_PLACE: Final[tuple[str, ...]] = ("volume_name", "storage_pool", "project")
_REPLACING: Final[tuple[str, ...]] = (*_PLACE, "content_type")
_DERIVED: Final[dict[str, tuple[str, ...]]] = {
    "delete_data": ("on_delete",),
    "restore_from": ("restored_from", "safety_snapshot"),
}


_before: dict[str, VolumeOptions] = {}
"""By owner: the old options of the volume at its last `check`. For a replacement, the engine calls
`check` again, without the old inputs."""


def check(olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
    """Validate the inputs, also against the old ones, and add `on_delete`.

    Args:
        olds: The inputs that an earlier `check` returned; empty for a new volume.
        news: The inputs of the program.
    """
    try:
        inputs = {name: value for name, value in without_provider(news).items() if name in INPUTS}
        given = validate_options(VolumeOptions, inputs, find_volume_problems)
        if olds:
            old = validate_options(VolumeOptions, without_provider(olds), lambda _: ()).options
            given = given.with_problems(_change_problems(old, given))
            _before[given.options.owner] = old
    except RecursionError:
        return nesting_failure()
    if not given.failures and (not olds or _is_moved(olds, given)):
        given = given.with_problems(
            (failure.path, failure.reason)
            for failure in _taken(given.options, given.unknown, replaced=not olds)
        )
    if given.failures:
        return CheckResult({}, check_failures(given.failures, inputs))
    _warn_of_size(olds, given, inputs)
    if not olds:
        _announce_restore_of_adopted(given, inputs)
    # `on_delete` is an input, so that every preview shows it, also that of a destroy.
    unknown = ("delete_data",) in given.unknown
    inputs["on_delete"] = UNKNOWN if unknown else _on_delete(given.options, inputs)
    return CheckResult(_seal(inputs, inputs), [])


def diff(olds: dict[str, Any], props: dict[str, Any]) -> DiffResult:
    """Compare the old options with the new options, and warn about data.

    Args:
        olds: The outputs in the state.
        props: The new inputs.
    """
    news = without_provider(props)
    with user_facing_errors(olds, news) as report:
        state, new = _State(olds), validate_options(VolumeOptions, news, find_volume_problems)
        changes = _changes(state, new, news)
        replaces = [name for name in _REPLACING if name in changes]
        old = state.options
        replaces += replaced_by_option(
            news, old.model_dump(), new.options.model_dump(), new.unknown, replaces
        )
        if replaces and not any(name in replaces for name in _PLACE):
            refuse_same_name(
                state.outputs,
                news,
                replaces,
                name=f"the {old.where}",
                kind="volume",
                argument="volume_name",
                otherwise=(
                    "the old volume is deleted first, with all its data and snapshots (delete_data)"
                    if old.delete_data
                    else "the volume is kept with its data, and managed as before"
                ),
            )
            if old.delete_data and was_checked(new.options.owner):
                _refuse_used(state, replaces)
        for warning in _warnings(state.options, new, changes, replaces):
            report().warn(warning)
        if not replaces and ("restore_from",) not in new.unknown and "restore_from" in changes:
            _announce_restore(state.client, new.options, report())
    return DiffResult(
        changes=bool(changes or replaces),
        replaces=replaces,
        # With another name, pool or project, the present volume stays until all its users have
        # moved.
        delete_before_replace=not any(name in replaces for name in _PLACE),
    )


def create(props: dict[str, Any]) -> CreateResult:
    """Create the volume, or adopt or resume managing an existing one.

    Args:
        props: The inputs that `check` returned.
    """
    inputs = without_provider(props)
    with user_facing_errors(inputs) as report:
        options = _options(inputs)
        client = _new_place(client_for(options.project))
        found = fetch_volume(client, options.storage_pool, options.volume_name)
        if found is not None:
            # Impossible changes are refused before an existing volume is changed.
            check_adoptable(client, found, options)
            plan_restore(client, found, options)
        live = create_or_adopt_volume(client, options, report())
        live = _restore(client, live, options, report())
        live = write_identity(client, live, options)
        outputs = _outputs(inputs, live)
    return CreateResult(_id_of(options, inputs), _seal(outputs, inputs))


def read(id_: str, props: dict[str, Any]) -> ReadResult:
    """Return the state of the live volume; a deleted volume is returned as a deleted resource.

    Args:
        id_: The id of the resource.
        props: The outputs in the state.
    """
    with user_facing_errors(props) as report:
        state = _State(props)
        options = state.options
        client = state.client()
        try:
            found = find_owned_volume(client, options, state.claim())
        except PlaceMissing as error:
            report().warn(f"the {options.where} is gone: {error}")
            return ReadResult("", {})
        live = found.live
        if live is None:
            if found.other is not None:
                report().warn(
                    f"the {options.where} {why_not_owned(found.other, state.claim())}; this "
                    "resource has none any more"
                )
            return ReadResult("", {})
        renamed = live.name != options.volume_name
        if renamed:
            report().warn(
                f"the {options.where} was renamed to {live.name} outside Pulumi; `pulumi up` "
                "gives it its name back, once no running instance uses it"
            )
        if text := describe_interrupted_restore(live):
            report().warn(f"{text}; `pulumi up` with restore_from as it was meant goes on with it")
        outputs = state.refreshed(live)
        outputs.pop(RENAMED_TO, None)
        if renamed:
            outputs[RENAMED_TO] = live.name
    inputs = {name: outputs[name] for name in INPUTS if name in outputs}
    return ReadResult(id_, _seal(outputs, state.outputs), _seal(inputs, state.outputs))


def update(olds: dict[str, Any], props: dict[str, Any]) -> UpdateResult:
    """Change the volume in place, and restore a snapshot of it.

    Args:
        olds: The outputs in the state.
        props: The new inputs.
    """
    inputs = without_provider(props)
    with user_facing_errors(olds, inputs) as report:
        state, options = _State(olds), _options(inputs)
        client = state.client()
        claim = state.claim(options.owner)
        found = fetch_owned_volume(client, options, claim, report())
        # An impossible restore is refused before anything is changed.
        plan_restore(client, found, options)
        live = change_volume(client, options, state.options, report(), claim=claim)
        live = _restore(client, live, options, report())
        # The ownership label is written last: after a failure, the old state must still match the
        # volume.
        live = write_identity(client, live, options)
        outputs = _outputs(inputs, live)
    return UpdateResult(_seal(outputs, inputs))


def delete(props: dict[str, Any]) -> None:
    """Delete the volume if `delete_data` is on; otherwise keep it."""
    with user_facing_errors(props) as report:
        state = _State(props)
        try:
            remove_volume(state.client(), state.options, report(), claim=state.claim())
        except PlaceMissing as error:
            report().warn(f"the {state.options.where} is gone already: {error}")
        warn_of_unfinished(state.options.owner, report())


class _State:
    """The outputs of an earlier create, update or refresh."""

    def __init__(self, outputs: dict[str, Any]) -> None:
        self.outputs = without_provider(outputs)
        self.options = validate_options(VolumeOptions, self.outputs, lambda _: ()).options
        self.created_at = str(self.outputs.get("created_at") or "")
        self.generation = str(self.outputs.get(GENERATION) or "")
        self.secret_inputs = [str(text) for text in self.outputs.get(SECRET_INPUTS) or []]

    def claim(self, *owners: str) -> Claim:
        """Return what this state knows about its volume; `owners` are further URNs of the
        resource."""
        return Claim(
            owners=(self.options.owner, *owners),
            generation=self.generation,
            identity=self.created_at,
            copies=False,
        )

    def client(self) -> IncusClient:
        """Return a client for the cluster member of the volume."""
        client = client_for(self.options.project)
        return client.beside(str(self.outputs.get("location") or ""))

    def refreshed(self, live: LiveVolume) -> dict[str, Any]:
        """Return outputs that describe the live volume; without drift, they are unchanged."""
        options, desired = self.options, self.options.desired_config()
        seen: dict[str, Any] = {
            "config": {
                key: live.config[key]
                for key, value in options.config.items()
                if key in live.config or value == ""
            },
            "labels": _seen_labels(live, options),
            "content_type": live.content_type,
            "owner": live.owner if options.owner else "",
        }
        for field, key in (
            ("size", "size"),
            ("snapshots_schedule", "snapshots.schedule"),
            ("snapshots_expiry", "snapshots.expiry"),
            ("snapshots_pattern", "snapshots.pattern"),
        ):
            if key in desired:
                seen[field] = live.config.get(key)
        if options.description is not None:
            seen["description"] = live.description
        if same_size(seen.get("size"), options.size):
            seen["size"] = options.size
        outputs = {
            **self.outputs,
            **volume_outputs(live),
            GENERATION: self.generation or live.generation,
        }
        for field, value in seen.items():
            if value == getattr(options, field):
                continue
            if value is None:
                outputs.pop(field, None)
            else:
                outputs[field] = value
        return outputs


def _seen_labels(live: LiveVolume, options: VolumeOptions) -> dict[str, str]:
    labels = {
        key.removeprefix(LABEL_PREFIX): value
        for key, value in live.config.items()
        if key.startswith(LABEL_PREFIX)
    }
    # Incus does not store empty values, so that an empty label is the same as a missing one.
    empty = {key: "" for key, value in options.labels.items() if value == "" and key not in labels}
    return {**labels, **empty}


def _changes(
    state: _State, new: ValidatedOptions[VolumeOptions], inputs: dict[str, Any]
) -> list[str]:
    changes = [name for name in _FIELDS if name != "backend" and _differ(name, state.options, new)]
    if RENAMED_TO in state.outputs:
        changes.append(RENAMED_TO)
    if state.secret_inputs != (inputs.get(SECRET_INPUTS) or []):
        changes.append(SECRET_INPUTS)
    if retention_changed(state.outputs, inputs):
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
    old: VolumeOptions,
    new: ValidatedOptions[VolumeOptions],
    changes: list[str],
    replaces: list[str],
) -> Iterator[str]:
    if not replaces and RENAMED_TO in changes:
        yield (
            f"the {old.where} was renamed outside Pulumi, and gets its name back; that needs the "
            "instances that use it to be stopped"
        )
    if replaces:
        yield coded(
            f"because of {', '.join(replaces)} another volume is made; the present {old.where}: "
            + (
                f"the replacement {DELETED}"
                if old.delete_data
                else "it is kept with its data, which the new one does not have"
            ),
            REPLACE,
        )
    elif "delete_data" in changes and new.options.delete_data:
        yield coded(
            f"delete_data is on from this update on: to destroy or replace the resource then "
            f"deletes the {new.options.where} with all its data and snapshots",
            STOP_KEEPING_DATA,
        )


def _warn_of_size(
    olds: dict[str, Any], given: ValidatedOptions[VolumeOptions], inputs: dict[str, Any]
) -> None:
    """Warn of a new size that the pool is known not to enforce."""
    options = given.options
    needed = {"size", "storage_pool", "project"}
    if options.size is None or options.content_type != "filesystem":
        return
    if any(path[0] in needed for path in given.unknown) or requested_preflight() == "off":
        return
    if olds and all(olds.get(name) == inputs.get(name) for name in needed):
        return
    with suppress(IncusError):
        here = current_host()
        if here.enrolled and time.monotonic() >= here.away_until:
            pool, project = options.storage_pool, options.project
            if here.facts.ignores_sizes(project, pool):
                with user_facing_errors(inputs) as report:
                    report().warn(coded(f"size: {size_ignored(pool)}", HOST))


def _refuse_used(state: _State, replaces: list[str]) -> None:
    """Refuse a replacement whose delete can only fail, before snapshots are deleted for it.

    The retained instance of a job is deleted before its volume; a runtime is not.

    Raises:
        ReplacementFailed: An instance or a profile uses the volume; nothing was changed.
    """
    try:
        client = state.client()
        live = find_owned_volume(client, state.options, state.claim()).live
        used = [user for user in live.used_by if not _is_of_job(client, user)] if live else []
    except IncusError:
        return  # An unreachable host cannot delete anything either.
    if used:
        raise ReplacementFailed(
            f"the {state.options.where} cannot be replaced (because of {', '.join(replaces)}), and "
            f"nothing was deleted: it would have to be deleted first, and is used by "
            f"{users_text(tuple(used))}. Remove the mount from what uses it and run `pulumi up` "
            "before this change, or give the volume another volume_name"
        )


def _is_of_job(client: IncusClient, user: str) -> bool:
    [(kind, name, project)] = users((user,))
    live = (
        fetch_instance(client.in_project(project), name, inside=False)
        if kind == "instance"
        else None
    )
    return live is not None and JOB_KEY in live.config


def _announce_restore_of_adopted(
    given: ValidatedOptions[VolumeOptions], inputs: dict[str, Any]
) -> None:
    """Announce the restore of a volume that exists, although the resource is new: no `diff` is
    called for it."""
    options = given.options
    if not options.restore_from or given.unknown or requested_preflight() == "off":
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
            with user_facing_errors(inputs) as report:
                _announce_restore(lambda: client, options, report())


def _announce_restore(
    client_of: Callable[[], IncusClient], options: VolumeOptions, reporter: Reporter
) -> None:
    try:
        client = client_of()
        live = fetch_volume(client, options.storage_pool, options.volume_name)
        plan = plan_restore(client, live, options) if live is not None else None
    except (IncusError, ReconcileError) as error:
        # The instances that would be stopped are unknown.
        text = f"restore_from: as things are now, this would fail: {error}"
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
    return client if client.target.startswith("@") else client.beside(client.target)


def _is_moved(olds: dict[str, Any], given: ValidatedOptions[VolumeOptions]) -> bool:
    old = validate_options(VolumeOptions, without_provider(olds), lambda _: ()).options
    return any(getattr(old, name) != getattr(given.options, name) for name in _PLACE)


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


def _on_delete(options: VolumeOptions, inputs: dict[str, Any]) -> str:
    if inputs.get(RETAINED):
        return RETAINED_TEXT
    return DELETED if options.delete_data else KEPT


def _options(inputs: dict[str, Any]) -> VolumeOptions:
    given = validate_options(VolumeOptions, inputs, find_volume_problems)
    raise_if_failed(given.failures)
    return given.options


def _outputs(inputs: dict[str, Any], live: LiveVolume) -> dict[str, Any]:
    return {
        **inputs,
        **volume_outputs(live),
        GENERATION: live.generation,
        "schema_version": SCHEMA_VERSION,
    }


def _id_of(options: VolumeOptions, inputs: dict[str, Any]) -> str:
    """Return the id of the resource, which is in plain text in the state."""
    parts = {name: getattr(options, name) for name in ("project", "storage_pool", "volume_name")}
    return "/".join("-" if is_secret((name,), inputs) else value for name, value in parts.items())


def _seal(tree: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    given = {name: given[name] for name in INPUTS if name in given}
    return mark_secret_inputs(tree, secret_paths(given), _DERIVED, given)
