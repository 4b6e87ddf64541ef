"""The calls of `IncusImageProvider`."""

import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Final

from pulumi.dynamic import DiffResult
from pulumi.runtime.rpc import UNKNOWN

from ..incus.client import IncusClient
from ..incus.errors import BadHostSettings, IncusError
from ..incus.images import get_alias
from ..reconcile.images.image_aliases import foreign_aliases, plan_aliases
from ..reconcile.images.image_change import change_image, remove_image
from ..reconcile.images.image_creation import check_adoptable, create_or_adopt_image
from ..reconcile.images.image_label import AliasLabel, owner_id
from ..reconcile.images.image_options import SOURCE_FIELDS, ImageOptions
from ..reconcile.images.image_source import ResolvedImage, resolve_image
from ..reconcile.images.live_image import fetch_image
from ..reconcile.shared.errors import ObjectRefused, ReconcileError
from ..reconcile.shared.reporter import Progress
from ..validation.hidden_property import CREATE_FIRST, RETAINED
from ..validation.lenient_validation import Failure
from ..validation.plan_inputs import SECRET_INPUTS
from ..validation.warning_codes import REPLACE, coded
from .declared_objects import declare
from .engine_log import PulumiReporter
from .host_connection import client_for, current_host, default_place, requested_preflight
from .image_state import NEWER, ImageInputs, ImageState, image_outputs
from .properties import REPLACE_ON, Properties
from .replace_on_changes import replaced_by_changed_options
from .replacement_refusal import retention_changed
from .resource_kind import Created, Kind, Refreshed, Updated
from .secret_marking import mark_secret_inputs
from .taken_names import taken_failures

_FIELDS: Final = tuple(ImageOptions.model_fields)
_NO_CHANGE: Final = frozenset({"backend", "fingerprint"})
"""The fields of which another value alone is not a change."""
_DERIVED: Final[dict[str, tuple[str, ...]]] = {"aliases": ("alias",)}
_ON_DELETE: Final = (
    "deletes the image, unless it existed before or another resource also owns it; instances stay"
)
_ON_DELETE_RETAINED: Final = "keeps the image (retain_on_delete)"


def fill_inputs(old: Properties, new: Properties) -> Properties:
    """Return the inputs with the host's default project, which is used at creation only.

    Args:
        old: The old inputs; empty for a new image.
        new: The new inputs.
    """
    new = new.without(("fingerprint",))  # Only `look_up` sets it.
    if new.at(("project",)) is not None:
        return new
    return new.with_values({"project": old.text("project") or default_place()[0]})


def look_up(new: ImageInputs, old: ImageInputs | None, report: PulumiReporter) -> ImageInputs:
    """Return the inputs with the fingerprint that their source has, or with its problem.

    The fingerprint of before stays if the source is pinned or cannot be asked.

    Args:
        new: The new inputs.
        old: The inputs that an earlier `check` returned; None for a new image.
        report: Receives what the user should know.
    """
    options, kept = new.options, ""
    if new.failures or new.is_open:
        return new
    if old is not None and new.has_source_of(old.options):
        kept = old.options.fingerprint or ""
        new = new.with_fingerprint(kept)
        if options.update == "pin" and options.file is None:
            return new
    if requested_preflight() == "off" and options.file is None:
        return new
    argument = "source" if options.file is None else "file"
    try:
        here = current_host()
        if options.file is None and (not here.enrolled or time.monotonic() < here.away_until):
            return new
        found = _resolve(options, here.client.in_project(options.project), report)
    except ObjectRefused as error:
        if kept:
            report.warn(f"{error}; the image on the host stays as it is")
            return new
        if new.hidden.has_dependencies and options.file is None:
            return new
        return new.with_problem(argument, str(error))
    except BadHostSettings as error:
        return new.with_problem(argument, str(error))
    except IncusError:
        return new  # The create reports it.
    if found.reason and here.warn_once(found.reason):
        report.info(f"the fingerprint of the {options.what} is not known yet: {found.reason}")
    return new.with_fingerprint(found.fingerprint or kept)


def check(new: ImageInputs, old: ImageInputs | None, _report: PulumiReporter) -> Iterable[Failure]:
    """Return everything that is wrong with the new inputs.

    Args:
        new: The new inputs.
        old: The inputs that an earlier `check` returned; None for a new image.
    """
    failures = new.failures or _taken(new, old)
    if not failures and not new.is_unknown("project"):
        aliases = () if new.is_unknown("aliases") else new.options.aliases
        for name in (new.options.fingerprint, *aliases):
            if name:
                declare("images", new.options.project, name)
    return failures


def shown(new: ImageInputs) -> dict[str, str]:
    """Return `fingerprint`, `alias` and `on_delete`, which are inputs, so that every preview shows
    them."""
    options = new.options
    values = {
        "alias": options.aliases[0] if options.aliases else "",
        "on_delete": _ON_DELETE_RETAINED if new.hidden.retained else _ON_DELETE,
    }
    if new.is_unknown("aliases"):
        values["alias"] = UNKNOWN
    if options.fingerprint:
        values["fingerprint"] = options.fingerprint
    return values


def diff(state: ImageState, new: ImageInputs, report: PulumiReporter) -> DiffResult:
    """Compare the old inputs with the new inputs."""
    changes = _changes(state, new)
    replaces = _replaces(state.options, new)
    replaces += replaced_by_changed_options(
        new.hidden, state.options, new.given, replaces, without={"fingerprint"}
    )
    if replaces:
        report.warn(
            coded(
                f"because of {', '.join(replaces)}, another image is used in place of "
                f"{state.known.fingerprint[:12]}, which is then "
                + ("released" if state.known.existed else "deleted, if no other resource owns it"),
                REPLACE,
            )
        )
    return DiffResult(
        changes=bool(changes or replaces),
        replaces=replaces,
        # The aliases move to the new image, and instances that use the old one are replaced first.
        delete_before_replace=False,
    )


def create(new: ImageInputs, report: PulumiReporter) -> Created:
    """Bring the image to the host, or use the one that is there."""
    options = new.options
    client = client_for(options.project)
    source = _pinned(options, _resolve(options, client, report))
    live, generation = create_or_adopt_image(client, options, source, new.owner, report)
    project = "-" if new.hidden.is_secret(("project",)) else options.project
    return Created(f"{project}/{live.fingerprint}", image_outputs(live, generation))


def read(state: ImageState, report: PulumiReporter) -> Refreshed | None:
    """Return the state of the image; None if it is deleted.

    A newer image of the source is reported, and not used.
    """
    options, fingerprint = state.options, state.known.fingerprint
    client = client_for(options.project)
    live = fetch_image(client, fingerprint)
    if live is None:
        return None
    if state.known.is_superseded(live):
        report.warn(
            f"the image {fingerprint[:12]} belongs to a later create of this resource; this one "
            "has none now"
        )
        return None
    newer = _newer(state, client)
    if newer:
        what = (
            "`pulumi up` replaces it (update is replace)"
            if options.update == "replace"
            else 'it stays (update is pin); set update="replace" to use the newer one'
        )
        report.info(
            f"the {options.what} is {newer[:12]} now, and this resource has {fingerprint[:12]}: "
            f"{what}"
        )
    return Refreshed({**state.refreshed(live, client), NEWER: newer})


def update(state: ImageState, new: ImageInputs, _report: PulumiReporter) -> Updated:
    """Change aliases, properties and visibility in place."""
    client, owner = client_for(new.options.project), new.owner
    live = change_image(client, new.options, state.options, owner, state.known)
    claim = live.claims.get(owner_id(owner.urn, owner.backend))
    generation = claim.generation if claim else state.known.generation
    return Updated(image_outputs(live, generation, state.newer))


def delete(state: ImageState, report: PulumiReporter) -> None:
    """Delete the image if this resource created it and is its last owner; else release it."""
    remove_image(client_for(state.options.project), state.options, state.known, report)


def _resolve(options: ImageOptions, client: IncusClient, report: PulumiReporter) -> ResolvedImage:
    """Return the image that the source has now; progress is reported."""
    progress = Progress(report, "reading the files of the image")

    def tick(done: int, of: int) -> None:
        if progress.is_due:
            progress.tick(f"{done / 2**20:.0f} of {of / 2**20:.0f} MiB")

    return resolve_image(options, client, tick)


def _taken(new: ImageInputs, old: ImageInputs | None) -> list[Failure]:
    """Return why the image cannot be created: it, or an alias of it, is another's."""
    options, owner = new.options, new.owner
    fingerprint = options.fingerprint or ""
    if old is not None and new.has_source_of(old.options):
        before = (old.options.aliases, old.options.fingerprint or "")
        if before == (options.aliases, fingerprint):
            return []
    in_place = options.source is not None and options.server is None and ":" not in options.source

    def refuse(client: IncusClient) -> None:
        live = fetch_image(client, fingerprint)
        if live is not None:
            check_adoptable(client, live, options, owner, in_place=in_place)
        plan_aliases(client, options, fingerprint, owner)

    def holder(client: IncusClient) -> str:
        for name in foreign_aliases(client, options.aliases, owner_id(owner.urn, owner.backend)):
            alias = get_alias(client, name)
            label = AliasLabel.of(alias.description) if alias else None
            if label is not None:
                return label.urn
        return ""

    where = ("aliases",) if options.aliases else ("source",)
    needed = (*SOURCE_FIELDS, "project", "aliases", "adopt", "properties", "public")
    return taken_failures(
        where, options.owner, options.project, new.given.unknown, needed, refuse, holder
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


def _changes(state: ImageState, new: ImageInputs) -> list[str]:
    changes = [
        name
        for name in _FIELDS
        if name not in _NO_CHANGE
        and (getattr(state.options, name) != getattr(new.options, name) or new.is_unknown(name))
    ]
    if state.hidden.secret_inputs != new.hidden.secret_inputs:
        changes.append(SECRET_INPUTS)
    if retention_changed(state.hidden, new.hidden):
        changes.append(RETAINED)
    return changes


def _replaces(old: ImageOptions, given: ImageInputs) -> list[str]:
    """Return the properties because of which another image is needed."""
    new = given.options
    if ("project",) in given.given.unknown or old.project != new.project:
        return ["project"]
    if given.is_open or (new.fingerprint is None and not given.has_source_of(old)):
        return [
            name
            for name in SOURCE_FIELDS
            if getattr(old, name) != getattr(new, name) or given.is_unknown(name)
        ]
    if new.fingerprint is None or new.fingerprint == old.fingerprint:
        return []
    # Without another source, a pinned image stays, also if it was created without a look-up.
    pinned = new.update == "pin" and new.file is None and given.has_source_of(old)
    return [] if pinned else ["fingerprint"]


def _newer(state: ImageState, client: IncusClient) -> str:
    """Return the fingerprint that the source has now; empty if it is the same, or not known."""
    if state.options.file is not None:
        return ""
    try:
        found = resolve_image(state.options, client).fingerprint
    except (IncusError, ReconcileError):
        return ""
    return found if found and found != state.known.fingerprint else ""


KIND: Final = Kind(
    input_names=(*_FIELDS, SECRET_INPUTS, REPLACE_ON, RETAINED, CREATE_FIRST, "alias", "on_delete"),
    parse_inputs=ImageInputs.parse,
    parse_state=ImageState.parse,
    mark_secrets=partial(mark_secret_inputs, derived=_DERIVED),
    check=check,
    diff=diff,
    create=create,
    read=read,
    update=update,
    delete=delete,
    fill_inputs=fill_inputs,
    look_up=look_up,
    shown=shown,
    undoable=True,
)
