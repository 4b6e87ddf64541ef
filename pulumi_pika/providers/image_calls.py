"""The calls of `IncusImageProvider`."""

import time
from dataclasses import replace
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
from ..incus.errors import BadHostSettings, IncusError
from ..incus.images import get_alias
from ..reconcile.images.image_aliases import foreign_aliases, plan_aliases
from ..reconcile.images.image_change import KnownImage, change_image, remove_image
from ..reconcile.images.image_creation import check_adoptable, create_or_adopt_image
from ..reconcile.images.image_label import AliasLabel, owner_id
from ..reconcile.images.image_options import (
    SOURCE_FIELDS,
    ImageOptions,
    find_image_problems,
)
from ..reconcile.images.image_source import ResolvedImage, resolve_image
from ..reconcile.images.live_image import LiveImage, fetch_image
from ..reconcile.objects.config_object import Owner
from ..reconcile.shared.errors import ObjectRefused, ReconcileError
from ..reconcile.shared.reporter import Progress
from ..validation.hidden_property import CREATE_FIRST, RETAINED
from ..validation.lenient_validation import Failure
from ..validation.option_inputs import ValidatedOptions, validate_options
from ..validation.plan_inputs import SECRET_INPUTS
from ..validation.property_tree import without_provider
from ..validation.warning_codes import REPLACE, coded
from .declared_objects import declare
from .engine_log import PulumiReporter
from .host_connection import client_for, current_host, default_place, requested_preflight
from .provider_errors import nesting_failure, raise_if_failed, user_facing_errors
from .replace_on_changes import REPLACE_ON, replaced_by_option
from .replacement_refusal import retention_changed
from .schema_version import GENERATION, SCHEMA_VERSION
from .secret_marking import (
    Redactor,
    check_failures,
    mark_secret_inputs,
    secret_paths,
)
from .taken_names import taken_failures

NEWER: Final = "newer_fingerprint"
ADOPTED: Final = "adopted"
_AFTER_OTHERS: Final = "after_others"
_FIELDS: Final = tuple(ImageOptions.model_fields)
INPUTS: Final = (
    *_FIELDS,
    SECRET_INPUTS,
    REPLACE_ON,
    RETAINED,
    CREATE_FIRST,
    "alias",
    "on_delete",
)
_NO_CHANGE: Final = frozenset({"backend", "fingerprint"})
"""The fields of which another value alone is not a change."""
_DERIVED: Final[dict[str, tuple[str, ...]]] = {"aliases": ("alias",)}
_ON_DELETE: Final = (
    "deletes the image, unless it existed before or another resource also owns it; instances stay"
)
_ON_DELETE_RETAINED: Final = "keeps the image (retain_on_delete)"

Given = ValidatedOptions[ImageOptions]


def check(olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
    """Validate the inputs, and add `fingerprint`, `alias` and `on_delete`.

    Args:
        olds: The inputs that an earlier `check` returned; empty for a new image.
        news: The inputs of the program.
    """
    try:
        all_ = without_provider(news)
        if all_.get("project") is None:
            all_["project"] = olds.get("project") or default_place()[0]
        inputs = {name: all_[name] for name in INPUTS if name in all_ and name != "fingerprint"}
        given = _parse(inputs)
        old = _parse(olds) if olds else None
    except RecursionError:
        return nesting_failure()
    if given.failures:
        return CheckResult({}, check_failures(given.failures, inputs))
    fingerprint, failures = _look_up(given, old, inputs, after_others=bool(all_.get(_AFTER_OTHERS)))
    if not failures:
        failures = _taken(given, old, fingerprint)
    if failures:
        return CheckResult({}, check_failures(failures, inputs))
    if fingerprint:
        inputs["fingerprint"] = fingerprint
    aliases = given.options.aliases
    unknown = any(path[0] == "aliases" for path in given.unknown)
    inputs["alias"] = UNKNOWN if unknown else aliases[0] if aliases else ""
    inputs["on_delete"] = _ON_DELETE_RETAINED if inputs.get(RETAINED) else _ON_DELETE
    if not any(path[0] == "project" for path in given.unknown):
        for name in (fingerprint, *(() if unknown else aliases)):
            declare("images", given.options.project, name)
    return CheckResult(_seal(inputs, inputs), [])


def diff(olds: dict[str, Any], props: dict[str, Any]) -> DiffResult:
    """Compare the old inputs with the new inputs.

    Args:
        olds: The outputs in the state.
        props: The new inputs.
    """
    news = without_provider(props)
    with user_facing_errors(olds, news) as report:
        state, given = _State(olds), _parse(news)
        changes = _changes(state, given, news)
        replaces = _replaces(state.options, given)
        before, after = state.options.model_dump(), given.options.model_dump()
        for name in _NO_CHANGE - {"backend"}:
            before.pop(name), after.pop(name)
        replaces += replaced_by_option(news, before, after, given.unknown, replaces)
        if replaces:
            report().warn(
                coded(
                    f"because of {', '.join(replaces)}, another image is used in place of "
                    f"{state.fingerprint[:12]}, which is then "
                    + ("released" if state.adopted else "deleted, if no other resource owns it"),
                    REPLACE,
                )
            )
    return DiffResult(
        changes=bool(changes or replaces),
        replaces=replaces,
        # The aliases move to the new image, and instances that use the old one are replaced first.
        delete_before_replace=False,
    )


def create(props: dict[str, Any]) -> CreateResult:
    """Bring the image to the host, or use the one that is there.

    Args:
        props: The inputs that `check` returned.
    """
    inputs = without_provider(props)
    with user_facing_errors(inputs, undoable=True) as report:
        options = _options(inputs)
        client = client_for(options.project)
        progress = Progress(report(), "reading the files of the image")
        source = _pinned(
            options, resolve_image(options, client, lambda done, of: _tick(progress, done, of))
        )
        owner = Owner(options.owner, options.backend, options.adopt)
        live, generation = create_or_adopt_image(client, options, source, owner, report())
        outputs = _outputs(inputs, live, generation)
    return CreateResult(f"{options.project}/{live.fingerprint}", _seal(outputs, inputs))


def read(id_: str, props: dict[str, Any]) -> ReadResult:
    """Return the state of the live image; a deleted image is returned as a deleted resource.

    A newer image of the source is reported, and not used.

    Args:
        id_: The id of the resource.
        props: The outputs in the state.
    """
    with user_facing_errors(props) as report:
        state = _State(props)
        client = client_for(state.options.project)
        live = fetch_image(client, state.fingerprint)
        if live is None:
            return ReadResult("", {})
        if state.known.is_superseded(live):
            report().warn(
                f"the image {state.fingerprint[:12]} belongs to a later create of this resource; "
                "this one has none now"
            )
            return ReadResult("", {})
        outputs = _refreshed(state, live, client)
        outputs[NEWER] = newer = _newer(state, client)
        if newer:
            what = (
                "`pulumi up` replaces it (update is replace)"
                if state.options.update == "replace"
                else 'it stays (update is pin); set update="replace" to use the newer one'
            )
            report().info(
                f"the {state.options.what} is {newer[:12]} now, and this resource has "
                f"{state.fingerprint[:12]}: {what}"
            )
    inputs = {name: outputs[name] for name in INPUTS if name in outputs}
    return ReadResult(id_, _seal(outputs, state.outputs), _seal(inputs, state.outputs))


def update(olds: dict[str, Any], props: dict[str, Any]) -> UpdateResult:
    """Change aliases, properties and visibility in place.

    Args:
        olds: The outputs in the state.
        props: The new inputs.
    """
    inputs = without_provider(props)
    with user_facing_errors(olds, inputs):
        state, options = _State(olds), _options(inputs)
        client = client_for(options.project)
        owner = Owner(options.owner, options.backend, options.adopt)
        live = change_image(client, options, state.options, owner, state.known)
        claim = live.claims.get(owner_id(owner.urn, owner.backend))
        outputs = _outputs(inputs, live, claim.generation if claim else state.known.generation)
        outputs[NEWER] = str(state.outputs.get(NEWER) or "")
    return UpdateResult(_seal(outputs, inputs))


def delete(props: dict[str, Any]) -> None:
    """Delete the image if this resource created it and is its last owner; else release it."""
    with user_facing_errors(props) as report:
        state = _State(props)
        remove_image(client_for(state.options.project), state.options, state.known, report())


class _State:
    """The outputs of an earlier create, update or refresh."""

    def __init__(self, outputs: dict[str, Any]) -> None:
        self.outputs = without_provider(outputs)
        self.options = _parse(self.outputs).options
        self.fingerprint = str(self.outputs.get("fingerprint") or "")
        self.adopted = self.outputs.get(ADOPTED) is True
        self.known = KnownImage(
            fingerprint=self.fingerprint,
            owner=self.options.owner,
            backend=self.options.backend,
            generation=str(self.outputs.get(GENERATION) or ""),
            existed=self.adopted,
        )


def _parse(tree: dict[str, Any]) -> Given:
    return validate_options(ImageOptions, without_provider(tree), find_image_problems)


def _options(inputs: dict[str, Any]) -> ImageOptions:
    given = _parse(inputs)
    raise_if_failed(given.failures)
    return given.options


def _same_source(old: ImageOptions, new: ImageOptions) -> bool:
    return all(getattr(old, name) == getattr(new, name) for name in (*SOURCE_FIELDS, "project"))


def _is_open(given: Given) -> bool:
    return any(path[0] in (*SOURCE_FIELDS, "project") for path in given.unknown)


def _look_up(
    given: Given, old: Given | None, inputs: dict[str, Any], *, after_others: bool
) -> tuple[str, list[Failure]]:
    """Return the fingerprint that the inputs mean, and what is wrong with their source.

    The fingerprint is empty if it cannot be looked up.
    """
    options = given.options
    if _is_open(given):
        return "", []
    kept = ""
    if old is not None and _same_source(old.options, options):
        kept = old.options.fingerprint or ""
        if options.update == "pin" and options.file is None:
            return kept, []
    if requested_preflight() == "off" and options.file is None:
        return kept, []
    redact = Redactor(inputs)
    reporter = PulumiReporter(options.owner, redact)
    progress = Progress(reporter, "reading the files of the image")
    where = ("file",) if options.file is not None else ("source",)
    try:
        here = current_host()
        if options.file is None and (not here.enrolled or time.monotonic() < here.away_until):
            return kept, []
        found = resolve_image(
            options,
            here.client.in_project(options.project),
            lambda done, of: _tick(progress, done, of),
        )
    except ObjectRefused as error:
        if kept:
            reporter.warn(f"{error}; the image on the host stays as it is")
            return kept, []
        if after_others and options.file is None:
            return "", []
        return "", [Failure(where, str(error))]
    except BadHostSettings as error:
        return "", [Failure(where, str(error))]
    except IncusError:
        return kept, []  # The create reports it.
    if found.reason and here.first(found.reason):
        reporter.info(f"the fingerprint of the {options.what} is not known yet: {found.reason}")
    return found.fingerprint or kept, []


def _taken(given: Given, old: Given | None, fingerprint: str) -> list[Failure]:
    """Return why the image cannot be created: it, or an alias of it, is another's."""
    options = given.options
    same = old is not None and _same_source(old.options, options)
    if same and old is not None:
        changed = old.options.aliases != options.aliases
        if not changed and (old.options.fingerprint or "") == fingerprint:
            return []
    owner = Owner(options.owner, options.backend, options.adopt)
    me = owner_id(options.owner, options.backend)
    in_place = options.source is not None and options.server is None and ":" not in options.source

    def refuse(client: IncusClient) -> None:
        live = fetch_image(client, fingerprint)
        if live is not None:
            check_adoptable(client, live, options, owner, in_place=in_place)
        plan_aliases(client, options, fingerprint, owner)

    def holder(client: IncusClient) -> str:
        for name in foreign_aliases(client, options.aliases, me):
            alias = get_alias(client, name)
            label = AliasLabel.of(alias.description) if alias else None
            if label is not None:
                return label.urn
        return ""

    where = ("aliases",) if options.aliases else ("source",)
    needed = (*SOURCE_FIELDS, "project", "aliases", "adopt", "properties", "public")
    return taken_failures(
        where, options.owner, options.project, given.unknown, needed, refuse, holder
    )


def _pinned(options: ImageOptions, source: ResolvedImage) -> ResolvedImage:
    """Return the source with the fingerprint that the preview showed.

    Raises:
        ObjectRefused: The files have changed since, or the architecture needs a look-up.
    """
    wanted = options.fingerprint
    if source.pull is not None and not source.fingerprint and not wanted:
        if options.architecture is not None:
            raise ObjectRefused(
                f"the {options.what} cannot be looked up for the architecture "
                f"{options.architecture}: {source.reason}"
            )
        return source
    if not wanted or wanted == source.fingerprint:
        return source
    if source.files is not None:
        raise ObjectRefused(
            f"the {options.what} was changed since the preview: its fingerprint is "
            f"{source.fingerprint[:12]}, and was {wanted[:12]}; run `pulumi up` again"
        )
    pull = replace(source.pull, image=wanted) if source.pull is not None else None
    return replace(source, fingerprint=wanted, pull=pull)


def _changes(state: _State, given: Given, news: dict[str, Any]) -> list[str]:
    changes = [
        name
        for name in _FIELDS
        if name not in _NO_CHANGE
        and (
            getattr(state.options, name) != getattr(given.options, name)
            or any(path[0] == name for path in given.unknown)
        )
    ]
    if (state.outputs.get(SECRET_INPUTS) or []) != (news.get(SECRET_INPUTS) or []):
        changes.append(SECRET_INPUTS)
    if retention_changed(state.outputs, news):
        changes.append(RETAINED)
    return changes


def _replaces(old: ImageOptions, given: Given) -> list[str]:
    """Return the properties because of which another image is needed."""
    new = given.options
    if any(path == ("project",) for path in given.unknown) or old.project != new.project:
        return ["project"]
    if _is_open(given) or (new.fingerprint is None and not _same_source(old, new)):
        return [
            name
            for name in SOURCE_FIELDS
            if getattr(old, name) != getattr(new, name)
            or any(path[0] == name for path in given.unknown)
        ]
    if new.fingerprint is None or new.fingerprint == old.fingerprint:
        return []
    # Without another source, a pinned image stays, also if it was created without a look-up.
    pinned = new.update == "pin" and new.file is None and _same_source(old, new)
    return [] if pinned else ["fingerprint"]


def _newer(state: _State, client: IncusClient) -> str:
    """Return the fingerprint that the source has now; empty if it is the same, or not known."""
    if state.options.file is not None:
        return ""
    try:
        found = resolve_image(state.options, client).fingerprint
    except (IncusError, ReconcileError):
        return ""
    return found if found and found != state.fingerprint else ""


def _refreshed(state: _State, live: LiveImage, client: IncusClient) -> dict[str, Any]:
    """Return outputs that describe the live image; without drift, they are unchanged."""
    options, outputs = state.options, {**state.outputs, **_of_live(live)}
    foreign = foreign_aliases(client, live.aliases, state.known.owner_id)
    own = [name for name in live.aliases if name not in foreign]
    seen = [name for name in options.aliases if name in own]
    # An alias with this resource's label that the program does not name is removed.
    seen += [name for name in own if name not in options.aliases]
    if seen != options.aliases:
        outputs["aliases"] = seen
    properties = {key: live.properties[key] for key in options.properties if key in live.properties}
    if properties != options.properties:
        outputs["properties"] = properties
    if options.public is not None and live.public != options.public:
        outputs["public"] = live.public
    if state.known.claim(live) is None:
        outputs["owner"] = ""
    return outputs


def _outputs(inputs: dict[str, Any], live: LiveImage, generation: str) -> dict[str, Any]:
    return {
        **inputs,
        **_of_live(live),
        "fingerprint": live.fingerprint,
        NEWER: "",
        ADOPTED: live.existed,
        GENERATION: generation,
        "schema_version": SCHEMA_VERSION,
    }


def _of_live(live: LiveImage) -> dict[str, Any]:
    return {
        "image_type": live.kind,
        "image_architecture": live.architecture,
        "size": live.size,
        "created_at": live.created_at,
        "uploaded_at": live.uploaded_at,
        "expires_at": live.expires_at,
    }


def _tick(progress: Progress, done: int, of: int) -> None:
    if progress.is_due:
        progress.tick(f"{done / 2**20:.0f} of {of / 2**20:.0f} MiB")


def _seal(tree: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    given = {name: given[name] for name in INPUTS if name in given}
    return mark_secret_inputs(tree, secret_paths(given), _DERIVED, given)
