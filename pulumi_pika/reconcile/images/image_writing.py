"""Write the label and the settings of an image, release it, and bring it back to what it was."""

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Final

from ...incus.client import IncusClient
from ...incus.errors import (
    IncusUnreachable,
    NotFound,
    OperationFailed,
    PreconditionFailed,
    UnexpectedResponse,
)
from ...incus.images import delete_image, put_image
from ..objects.config_object import Owner
from ..shared.errors import ObjectGone
from ..shared.reporter import Progress, Reporter
from .image_aliases import drop_aliases
from .image_label import (
    claim_property,
    owner_id,
    without_claim,
)
from .image_options import ImageOptions
from .live_image import LiveImage, fetch_image

_ATTEMPTS: Final = 5
"""How often a change is sent if other clients change the image in between."""
_GONE_WITHIN: Final = 5.0
"""How long a delete may continue after its reply was lost, in seconds."""

_locks: Final[defaultdict[tuple[str, str], threading.RLock]] = defaultdict(threading.RLock)
_guard: Final = threading.Lock()


def image_lock(project: str, image: str) -> threading.RLock:
    """Return the lock to hold while an image is created, changed or deleted.

    Args:
        project: the project of the client.
        image: the fingerprint, or where the image comes from.
    """
    with _guard:
        return _locks[project, image]


def release_image(
    client: IncusClient,
    live: LiveImage,
    owner: str,
    options: ImageOptions,
    reporter: Reporter | None = None,
) -> bool:
    """Remove an owner from an image, and delete the image if it was the last one.

    An image that existed before it was adopted stays.

    Args:
        client: a client in the image's project.
        live: the image as last fetched.
        owner: the short name of the owner.
        options: the arguments, for the time limit.
        reporter: receives progress; None for none.

    Returns:
        True, as a step of `Undo`.

    Raises:
        IncusError: the server refuses it.
    """
    kept = live.existed or len(live.claims.keys() - {owner}) > 0
    if kept:
        drop_aliases(client, live.aliases, {owner})
        write_image(
            client,
            live,
            lambda now: without_claim(now.properties, now.uploaded_at, owner),
            None,
        )
        return True
    progress = Progress(reporter or Silent(), f"deleting the image {live.fingerprint[:12]}")
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


def restore_image(
    client: IncusClient, before: LiveImage, owner: str, options: ImageOptions
) -> bool:
    """Bring label, properties and visibility of an image back to what they were.

    Args:
        client: a client in the image's project.
        before: the image as it was.
        owner: the short name of the owner that was added.
        options: the arguments that were applied; only their properties are restored.

    Returns:
        Whether anything had to be changed.
    """

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
    return (
        live is not None and write_image(client, live, earlier, None, visible_as=before) is not live
    )


def write_image(
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

    Raises:
        ObjectGone: another client has deleted the image.
        PreconditionFailed: other clients change it all the time.
        IncusError: the server refuses the change.
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


def fetch_existing(client: IncusClient, fingerprint: str, options: ImageOptions) -> LiveImage:
    """Return an image that was just there.

    Raises:
        ObjectGone: another client has deleted it.
    """
    live = fetch_image(client, fingerprint)
    if live is None:
        raise ObjectGone(f"the {options.what} was deleted by another client while it was created")
    return live


def id_of(owner: Owner) -> str:
    """Return the short name of a resource in labels."""
    return owner_id(owner.urn, owner.backend)


class Silent:
    """A reporter for work that needs none."""

    def info(self, message: str) -> None:
        """Ignore a line of progress."""

    def warn(self, message: str) -> None:
        """Ignore a warning."""
