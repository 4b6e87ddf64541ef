"""Change, release and delete the image of a resource with a state."""

from dataclasses import dataclass

from ...incus.client import IncusClient
from ...incus.errors import (
    IncusError,
)
from ...message_templates import could_not, missing, other_owner
from ..objects.config_object import Owner
from ..shared.errors import ForeignObject, ObjectGone, ObjectRefused, ReconcileError
from ..shared.reporter import Reporter
from ..shared.undo import Undo
from .image_aliases import apply_aliases, drop_aliases, foreign_aliases, plan_aliases
from .image_creation import check_adoptable
from .image_label import (
    ImageClaim,
    claim_property,
    existed_property,
    owner_id,
    without_claim,
)
from .image_options import ImageOptions
from .image_writing import Silent, fetch_existing, id_of, image_lock, release_image, write_image
from .live_image import LiveImage, fetch_image


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
    with image_lock(client.project, known.fingerprint):
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
    me = id_of(owner)
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

    undo = Undo(Silent())
    try:
        apply_aliases(client, aliases, live.fingerprint, owner, undo)
        live = write_image(client, live, changed, options)
    except (IncusError, ReconcileError) as error:
        outcome = undo.run().rstrip(".")
        raise ObjectRefused(could_not(f"change {where}", str(error), undone=outcome)) from error
    drop_aliases(
        client,
        [name for name in live.aliases if name not in options.aliases],
        {me, known.owner_id},
    )
    return fetch_existing(client, live.fingerprint, options)


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
    with image_lock(client.project, known.fingerprint):
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
    release_image(client, live, known.owner_id, options, reporter)
