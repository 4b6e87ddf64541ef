"""Bring an image to the host, or use the one that is there: create, adopt, share."""

from dataclasses import replace
from functools import partial
from typing import Final

from ...incus.client import Entity, IncusClient
from ...incus.errors import (
    IncusError,
    OperationFailed,
)
from ...incus.images import delete_image, list_images
from ...message_templates import could_not, exists, other_owner
from ..objects.config_object import Owner
from ..shared.errors import ForeignObject, ObjectExists, ObjectGone, ObjectRefused, ReconcileError
from ..shared.ownership import new_generation
from ..shared.reporter import Reporter
from ..shared.undo import Undo
from .image_aliases import apply_aliases, plan_aliases
from .image_label import (
    claim_property,
    existed_property,
    without_claim,
)
from .image_options import ImageOptions
from .image_source import ResolvedImage, with_secret
from .image_transfer import copy_by_host, upload_files
from .image_writing import (
    fetch_existing,
    id_of,
    image_lock,
    release_image,
    restore_image,
    write_image,
)
from .live_image import LiveImage, fetch_image, find_claimed_image

_EXISTS: Final = "already exists"


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
    with image_lock(client.project, source.fingerprint or options.what):
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
        live = fetch_existing(client, live.fingerprint, options)
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
    others = {key: it for key, it in live.claims.items() if key != id_of(owner)}
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
    me = id_of(owner)

    def find() -> str:
        found = find_claimed_image(client, me, generation)
        return found.fingerprint if found else ""

    def discard() -> bool:
        found = find_claimed_image(client, me, generation)
        return found is not None and release_image(client, found, me, options)

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
    live = fetch_existing(client, done.fingerprint, options)
    before = existing.get(live.fingerprint)
    if before is None and done.is_older(live.uploaded_at):
        before = _without_label(live, me)
    if before is not None:
        # The project had it: only the host could look up which image it is, or another client was
        # faster. Incus has added the properties and cleared `public`.
        undo.drop()
        undo.push("the label of the image", partial(restore_image, client, before, me, options))
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
        if found is None or found.claims.keys() - {id_of(owner)} or found.aliases:
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
        live = fetch_existing(client, fingerprint, options)
        check_adoptable(client, live, options, owner, in_place=False)
        return live, live
    return fetch_existing(client, fingerprint, options), None


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
    me = id_of(owner)
    existed = before is not None and not before.claims

    def labelled(now: LiveImage) -> dict[str, str]:
        return {
            **without_claim(now.properties, now.uploaded_at),
            **options.properties,
            **(existed_property(now.uploaded_at) if existed else {}),
            **claim_property(me, generation, owner.urn, now.uploaded_at),
        }

    if before is not None:
        undo.push("the label of the image", partial(restore_image, client, before, me, options))
    return write_image(client, live, labelled, options, visible_as=before)


def _images(client: IncusClient) -> dict[str, LiveImage]:
    found = (LiveImage.of(Entity(data, "")) for data in list_images(client))
    return {live.fingerprint: live for live in found}
