"""Create, adopt, share, change and delete the image of an `IncusImage`."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from ...incus.client import Entity, IncusClient
from ...incus.errors import (
    IncusError,
    IncusUnreachable,
    NotFound,
    OperationFailed,
    PreconditionFailed,
    UnexpectedResponse,
)
from ...incus.images import delete_image, list_images, put_image
from ...message_templates import could_not, exists, missing, other_owner
from ..objects.config_object import Owner
from ..shared.errors import ForeignObject, ObjectExists, ObjectGone, ObjectRefused, ReconcileError
from ..shared.ownership import new_generation
from ..shared.reporter import Progress, Reporter
from ..shared.undo import Undo
from .image_aliases import apply_aliases, drop_aliases, foreign_aliases, plan_aliases
from .image_label import (
    ImageClaim,
    claim_property,
    existed_property,
    owner_id,
    without_claim,
)
from .image_options import ImageOptions
from .image_source import ResolvedImage, with_secret
from .image_transfer import copy_by_host, upload_files
from .live_image import LiveImage, fetch_image, find_claimed_image

_ATTEMPTS: Final = 5
"""How often a change is sent if other clients change the image in between."""
_EXISTS: Final = "already exists"
_GONE_WITHIN: Final = 5.0
"""How long a delete may continue after its reply was lost, in seconds."""


_locks: Final[defaultdict[tuple[str, str], threading.RLock]] = defaultdict(threading.RLock)
_guard: Final = threading.Lock()


def _lock_of(project: str, image: str) -> threading.RLock:
    with _guard:
        return _locks[project, image]


@dataclass(frozen=True, slots=True)
class KnownImage:
    """Hold what a state knows of its image.

    Attributes:
        fingerprint: the fingerprint.
        owner: the URN in its entry of the label.
        backend: the digest of its backend.
        generation: the generation of that entry.
        existed: whether the image existed before it was adopted.
    """

    fingerprint: str
    owner: str
    backend: str
    generation: str
    existed: bool = False

    @property
    def owner_id(self) -> str:
        """Return the short name of the owner."""
        return owner_id(self.owner, self.backend)

    def claim(self, live: LiveImage) -> ImageClaim | None:
        """Return this state's entry in an image's label; None if the image has none."""
        found = live.claims.get(self.owner_id)
        return found if found is not None and found.matches(self.generation) else None

    def is_superseded(self, live: LiveImage) -> bool:
        """Return whether a later create of the same resource has taken the image."""
        found = live.claims.get(self.owner_id)
        return found is not None and not found.matches(self.generation)


def create_or_adopt_image(
    client: IncusClient,
    options: ImageOptions,
    source: ResolvedImage,
    owner: Owner,
    reporter: Reporter,
) -> tuple[LiveImage, str]:
    """Bring the image to the host, or use the one that is there, and set its aliases.

    Nothing is transferred if the project has the image. Then it is shared with the resources that
    own it; one without an owner is adopted only with `adopt`.

    Args:
        client: a client in the image's project.
        options: the arguments.
        source: the image.
        owner: the resource.
        reporter: receives progress.

    Returns:
        The image, and the generation of this create.

    Raises:
        ObjectExists: the image, or an alias, exists and has no owner, and `adopt` is off.
        ForeignObject: another resource owns an alias, or needs the image with other settings.
        ObjectRefused: the create failed; the message says what was undone.
        IncusError: the create failed before anything was changed.
    """
    # Incus checks an ETag and writes in two steps: of two changes at once, one is lost. So the
    # resources of one `up` that need the same image get it one after the other.
    with _lock_of(client.project, source.fingerprint or options.what):
        return _create(client, options, source, owner, reporter)


def _create(
    client: IncusClient,
    options: ImageOptions,
    source: ResolvedImage,
    owner: Owner,
    reporter: Reporter,
) -> tuple[LiveImage, str]:
    live = fetch_image(client, source.fingerprint)
    if live is not None:
        check_adoptable(client, live, options, owner, in_place=source.in_place)
    aliases = plan_aliases(client, options, source.fingerprint, owner)
    generation = new_generation()
    undo = Undo(reporter)
    try:
        if live is not None and live.is_disposable and not source.in_place:
            # Incus would delete it when no instance has used it for some days.
            delete_image(client, live.fingerprint, timeout=options.timeouts.delete)
            live = None
        before = live
        if live is None:
            live, before = _transfer(client, options, source, owner, generation, undo, reporter)
        if options.instance_type is not None and live.kind != options.instance_type:
            raise ObjectRefused(
                f"it is for a {live.kind}, and instance_type is {options.instance_type}"
            )
        live = _label(client, live, before, options, owner, generation, undo)
        apply_aliases(client, aliases, live.fingerprint, owner, undo)
        live = _fetch_existing(client, live.fingerprint, options)
    except (IncusError, ReconcileError) as error:
        outcome = undo.run()
        what = f"create the {options.what} (project {options.project}) at {client.host}"
        raise ObjectRefused(could_not(what, str(error), undone=outcome.rstrip("."))) from error
    except BaseException:
        undo.run()
        raise
    return live, generation


def check_adoptable(
    client: IncusClient,
    live: LiveImage,
    options: ImageOptions,
    owner: Owner,
    *,
    in_place: bool,
) -> None:
    """Raise an error if a resource may not use an image that the project has.

    Args:
        client: a client in the image's project.
        live: the image.
        options: the arguments.
        owner: the resource.
        in_place: whether the program names an image of the project itself.

    Raises:
        ObjectExists: it has no owner, and `adopt` is off.
        ForeignObject: another resource owns it, and needs it with other settings.
    """
    others = {key: it for key, it in live.claims.items() if key != _me(owner)}
    image = f"image {live.fingerprint[:12]}"
    place = f"in project {options.project} at {client.host}"
    if not live.claims and not (options.adopt or in_place or live.is_disposable):
        names = ", ".join(live.aliases) or "no alias"
        advice = (
            f"it has {names}, was stored {live.uploaded_at}, has no owner, and was not changed. "
            "Set adopt=True to manage it: a delete of the resource then releases it. Or delete it: "
            f"`incus image delete --project {options.project} {live.fingerprint[:12]}`"
        )
        raise ObjectExists(exists(image, place, advice))
    if not others:
        return
    wrong = [
        f"{key} is {live.properties.get(key, 'not set')}, not {value}"
        for key, value in options.properties.items()
        if live.properties.get(key) != value
    ]
    if options.public is not None and options.public != live.public:
        wrong.append(f"public is {live.public}, not {options.public}")
    if wrong:
        urns = ", ".join(sorted(it.urn for it in others.values()))
        advice = (
            f"it cannot be changed to match this program ({'; '.join(wrong)}), and was not "
            "changed. Give all its resources the same settings"
        )
        raise ForeignObject(other_owner(f"{image} {place}", f"{urns} too", advice))


def _transfer(
    client: IncusClient,
    options: ImageOptions,
    source: ResolvedImage,
    owner: Owner,
    generation: str,
    undo: Undo,
    reporter: Reporter,
) -> tuple[LiveImage, LiveImage | None]:
    """Bring the image to the host, and push the step that deletes it again.

    Returns:
        The image, and how it was before if it existed nevertheless.
    """
    if source.files is not None:
        return _upload(client, options, source, owner, undo, reporter)
    if source.pull is None:
        raise ObjectGone("the host no longer has it")
    me = _me(owner)

    def find() -> str:
        found = find_claimed_image(client, me, generation)
        return found.fingerprint if found else ""

    def discard() -> bool:
        found = find_claimed_image(client, me, generation)
        return found is not None and _release(client, found, me, options)

    pull = with_secret(source.pull, options)
    existing = {} if source.fingerprint else _images(client)
    undo.push(f"the {options.what}", discard)
    done = copy_by_host(
        client,
        pull,
        {**options.properties, **claim_property(me, generation, owner.urn)},
        find,
        timeout=options.timeouts.create,
        reporter=reporter,
    )
    live = _fetch_existing(client, done.fingerprint, options)
    before = existing.get(live.fingerprint)
    if before is None and done.is_older(live.uploaded_at):
        before = _without_label(live, me)
    if before is not None:
        # The project had it: only the host could look up which image it is, or another client was
        # faster. Incus has added the properties and cleared `public`.
        undo.drop()
        undo.push("the label of the image", partial(_restore, client, before, me, options))
        check_adoptable(client, before, options, owner, in_place=False)
    return live, before


def _without_label(live: LiveImage, owner: str) -> LiveImage:
    """Return an image as it was before an owner was added."""
    return replace(live, properties=without_claim(live.properties, live.uploaded_at, owner))


def _upload(
    client: IncusClient,
    options: ImageOptions,
    source: ResolvedImage,
    owner: Owner,
    undo: Undo,
    reporter: Reporter,
) -> tuple[LiveImage, LiveImage | None]:
    fingerprint, files = source.fingerprint, source.files
    if files is None:
        raise AssertionError("an upload has files")

    def find() -> str:
        return fingerprint if fetch_image(client, fingerprint) else ""

    def discard() -> bool:
        # It did not exist before. Right after the upload, it has no label.
        found = fetch_image(client, fingerprint)
        if found is None or found.claims.keys() - {_me(owner)} or found.aliases:
            return False
        delete_image(client, fingerprint, timeout=options.timeouts.delete)
        return True

    undo.push(f"the {options.what}", discard)
    try:
        upload_files(
            client, files, fingerprint, find, timeout=options.timeouts.create, reporter=reporter
        )
    except OperationFailed as error:
        if _EXISTS not in error.reason:
            raise
        # Another client was faster.
        undo.drop()
        live = _fetch_existing(client, fingerprint, options)
        check_adoptable(client, live, options, owner, in_place=False)
        return live, live
    return _fetch_existing(client, fingerprint, options), None


def _label(
    client: IncusClient,
    live: LiveImage,
    before: LiveImage | None,
    options: ImageOptions,
    owner: Owner,
    generation: str,
    undo: Undo,
) -> LiveImage:
    """Add this resource to the label of an image, and apply its settings.

    Args:
        client: a client in the image's project.
        live: the image.
        before: the image before this create; None if this create brought it to the host.
        options: the arguments.
        owner: the resource.
        generation: the generation of this create.
        undo: receives the step that brings an existing image back to what it was.
    """
    me = _me(owner)
    existed = before is not None and not before.claims

    def labelled(now: LiveImage) -> dict[str, str]:
        return {
            **without_claim(now.properties, now.uploaded_at),
            **options.properties,
            **(existed_property(now.uploaded_at) if existed else {}),
            **claim_property(me, generation, owner.urn, now.uploaded_at),
        }

    if before is not None:
        undo.push("the label of the image", partial(_restore, client, before, me, options))
    return _set(client, live, labelled, options, visible_as=before)


def change_image(
    client: IncusClient,
    options: ImageOptions,
    previous: ImageOptions,
    owner: Owner,
    known: KnownImage,
) -> LiveImage:
    """Change aliases, properties and visibility of the image in place.

    Args:
        client: a client in the image's project.
        options: the arguments.
        previous: the arguments that were applied, or observed, before.
        owner: the resource.
        known: what the state knows of it.

    Raises:
        ObjectGone: the image no longer exists.
        ForeignObject: a later create of this resource owns it, or another resource an alias.
        ObjectExists: an alias exists and has no owner.
        IncusError: the server refuses the change.
    """
    with _lock_of(client.project, known.fingerprint):
        return _change(client, options, previous, owner, known)


def _change(
    client: IncusClient,
    options: ImageOptions,
    previous: ImageOptions,
    owner: Owner,
    known: KnownImage,
) -> LiveImage:
    live = fetch_image(client, known.fingerprint)
    where = f"the image {known.fingerprint[:12]} (project {options.project}) at {client.host}"
    if live is None:
        advice = "run `pulumi refresh`, and then `pulumi up`, which creates it again"
        place = f"in project {options.project} at {client.host}"
        raise ObjectGone(missing(f"image {known.fingerprint[:12]}", place, advice))
    if known.is_superseded(live):
        advice = "it was not changed. Run `pulumi refresh`, and then `pulumi up`"
        raise ForeignObject(other_owner(where, "a later create of this resource", advice))
    check_adoptable(client, live, options, owner, in_place=True)
    aliases = plan_aliases(client, options, live.fingerprint, owner, former=known.owner_id)
    dropped = set(previous.properties) - set(options.properties)
    me = _me(owner)
    claim = known.claim(live)
    generation = claim.generation if claim else known.generation

    def changed(now: LiveImage) -> dict[str, str]:
        others = now.claims.keys() - {me, known.owner_id}
        rest = {
            key: value
            for key, value in without_claim(
                now.properties, now.uploaded_at, "" if known.owner_id == me else known.owner_id
            ).items()
            # A property that another owner may need stays.
            if key not in dropped or others
        }
        return {
            **rest,
            **options.properties,
            # Another client may have removed the label.
            **(existed_property(now.uploaded_at) if known.existed else {}),
            **claim_property(me, generation, owner.urn, now.uploaded_at),
        }

    undo = Undo(_Silent())
    try:
        apply_aliases(client, aliases, live.fingerprint, owner, undo)
        live = _set(client, live, changed, options)
    except (IncusError, ReconcileError) as error:
        outcome = undo.run().rstrip(".")
        raise ObjectRefused(could_not(f"change {where}", str(error), undone=outcome)) from error
    drop_aliases(
        client,
        [name for name in live.aliases if name not in options.aliases],
        {me, known.owner_id},
    )
    return _fetch_existing(client, live.fingerprint, options)


def remove_image(
    client: IncusClient, options: ImageOptions, known: KnownImage, reporter: Reporter
) -> None:
    """Delete the image if this resource is its last owner and created it; else release it.

    Instances that were created from it stay as they are.

    Args:
        client: a client in the image's project.
        options: the arguments in the state.
        known: what the state knows of the image.
        reporter: receives progress and warnings.

    Raises:
        IncusError: the server refuses it.
    """
    with _lock_of(client.project, known.fingerprint):
        _remove(client, options, known, reporter)


def _remove(
    client: IncusClient, options: ImageOptions, known: KnownImage, reporter: Reporter
) -> None:
    live = fetch_image(client, known.fingerprint)
    where = f"the image {known.fingerprint[:12]} (project {options.project})"
    if live is None:
        reporter.warn(f"{where} no longer exists at {client.host}")
        return
    if known.claim(live) is None:
        why = (
            "belongs to a later create of this resource"
            if known.is_superseded(live)
            else "does not have the ownership label of this resource"
        )
        reporter.warn(f"{where} {why}; it stays as it is")
        return
    others = sorted(it.urn for key, it in live.claims.items() if key != known.owner_id)
    if others:
        reporter.info(f"{where} stays, since it is also owned by {', '.join(others)}")
    elif live.existed:
        reporter.info(f"{where} stays, since it existed before it was adopted")
    elif foreign := foreign_aliases(client, live.aliases, known.owner_id):
        reporter.warn(f"{where} is deleted with aliases of other clients: {', '.join(foreign)}")
    _release(client, live, known.owner_id, options, reporter)


def _release(
    client: IncusClient,
    live: LiveImage,
    owner: str,
    options: ImageOptions,
    reporter: Reporter | None = None,
) -> bool:
    """Remove an owner from an image, and delete the image if it was the last one; return True."""
    kept = live.existed or len(live.claims.keys() - {owner}) > 0
    if kept:
        drop_aliases(client, live.aliases, {owner})
        _set(
            client,
            live,
            lambda now: without_claim(now.properties, now.uploaded_at, owner),
            None,
        )
        return True
    progress = Progress(reporter or _Silent(), f"deleting the image {live.fingerprint[:12]}")
    try:
        delete_image(
            client,
            live.fingerprint,
            timeout=options.timeouts.delete,
            on_progress=progress.operation,
        )
    except NotFound:
        pass
    except (IncusUnreachable, UnexpectedResponse, OperationFailed):
        # The reply is lost, or another client deleted it at the same moment.
        deadline = time.monotonic() + _GONE_WITHIN
        while fetch_image(client, live.fingerprint) is not None:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
    return True


def _restore(client: IncusClient, before: LiveImage, owner: str, options: ImageOptions) -> bool:
    """Bring label, properties and visibility of an image back to what they were."""

    def earlier(now: LiveImage) -> dict[str, str]:
        declared = {key: before.properties.get(key) for key in options.properties}
        restored = {**now.properties, **declared}
        plain = {key: value for key, value in restored.items() if value is not None}
        if owner in before.claims:
            claim = before.claims[owner]
            entry = claim_property(owner, claim.generation, claim.urn, before.uploaded_at)
            return {**plain, **entry}
        return without_claim(plain, now.uploaded_at, owner)

    live = fetch_image(client, before.fingerprint)
    return live is not None and _set(client, live, earlier, None, visible_as=before) is not live


def _set(
    client: IncusClient,
    live: LiveImage,
    properties: Callable[[LiveImage], dict[str, str]],
    options: ImageOptions | None,
    visible_as: LiveImage | None = None,
) -> LiveImage:
    """Set the properties of an image, and whether it is public; return it afterwards.

    Args:
        client: a client in its project.
        live: the image as last fetched.
        properties: returns the wanted properties for an image as fetched.
        options: the arguments; None to leave `public` as it is.
        visible_as: an image whose `public` is wanted if the arguments do not have it.
    """
    for attempt in range(_ATTEMPTS):
        wanted = properties(live)
        public = (visible_as or live).public
        if options is not None and options.public is not None:
            public = options.public
        if wanted == live.properties and public == live.public:
            return live
        try:
            put_image(client, live.entity, properties=wanted, public=public)
        except PreconditionFailed:
            if attempt == _ATTEMPTS - 1:
                raise
        except (IncusUnreachable, UnexpectedResponse) as error:
            # The next round sees whether the change was made.
            if attempt or (isinstance(error, IncusUnreachable) and not error.sent):
                raise
        found = fetch_image(client, live.fingerprint)
        if found is None:
            raise ObjectGone(f"another client deleted the image {live.fingerprint[:12]}")
        live = found
    return live


def _fetch_existing(client: IncusClient, fingerprint: str, options: ImageOptions) -> LiveImage:
    live = fetch_image(client, fingerprint)
    if live is None:
        raise ObjectGone(f"the {options.what} was deleted by another client while it was created")
    return live


def _images(client: IncusClient) -> dict[str, LiveImage]:
    found = (LiveImage.of(Entity(data, "")) for data in list_images(client))
    return {live.fingerprint: live for live in found}


def _me(owner: Owner) -> str:
    return owner_id(owner.urn, owner.backend)


class _Silent:
    """A reporter for work that needs none."""

    def info(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...
