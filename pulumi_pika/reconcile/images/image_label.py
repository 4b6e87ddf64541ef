"""Record in an image's properties who owns it, and in an alias's description who owns that.

An image is identified by its content, so that several stacks may need the same one. Each resource
that manages an image has an entry of its own in the label; the last one deletes the image. An image
has no config keys; Incus keeps its properties until another client replaces them, and its ETag
covers them (cmd/incusd/images.go, `imagePut`).

A copy of an image, in another project or on another host, has its properties too. So an entry also
has the time at which this copy was stored, and an entry with another time does not count.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ..shared.ownership import MARK_PREFIX, is_same_or_earlier

OWNER_PREFIX: Final = MARK_PREFIX + "owner."
"""The prefix of the properties with an owner: `user.pika.owner.ID` is `GENERATION STORED URN`."""
EXISTED_KEY: Final = MARK_PREFIX + "existed"
"""The property of an image that existed before a resource adopted it; it is never deleted.

Its value is the time at which the image was stored.
"""
_PENDING: Final = "-"
"""In place of the time, in the entry of an image that is being brought to the host."""
_ALIAS: Final = re.compile(r"(created|adopted) by pulumi_pika: (.*) \(([0-9a-f]{12})\)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ImageClaim:
    """Hold one entry of an image's label.

    Attributes:
        generation: the generation of the last create or adoption by this owner.
        urn: the URN of the resource.
    """

    generation: str
    urn: str

    def matches(self, known: str) -> bool:
        """Return whether a state with this generation is the one that made the entry."""
        return not known or is_same_or_earlier(self.generation, known)


@dataclass(frozen=True, slots=True)
class AliasLabel:
    """Hold the label in the description of an alias.

    Attributes:
        owner_id: see `owner_id`.
        urn: the URN of the resource.
        adopted: whether the alias existed before; a delete releases it.
    """

    owner_id: str
    urn: str
    adopted: bool = False

    def text(self) -> str:
        """Return the description of the alias."""
        verb = "adopted" if self.adopted else "created"
        return f"{verb} by pulumi_pika: {self.urn} ({self.owner_id})"

    @classmethod
    def of(cls, description: str) -> "AliasLabel | None":
        """Return the label in a description; None if it has none."""
        found = _ALIAS.fullmatch(description)
        return cls(found[3], found[2], found[1] == "adopted") if found else None


def owner_id(urn: str, backend: str) -> str:
    """Return the short name of an owner: a resource, in a stack of one Pulumi backend."""
    return hashlib.sha256(f"{backend}\0{urn}".encode()).hexdigest()[:12]


def claims_of(properties: Mapping[str, str], uploaded_at: str) -> dict[str, ImageClaim]:
    """Return the owners in an image's properties, by their short names.

    Args:
        properties: the properties.
        uploaded_at: when the image was stored.
    """
    claims = {}
    for key, value in properties.items():
        generation, _, rest = value.partition(" ")
        stored, _, urn = rest.partition(" ")
        if key.startswith(OWNER_PREFIX) and stored in (_PENDING, _stored(uploaded_at)):
            claims[key.removeprefix(OWNER_PREFIX)] = ImageClaim(generation, urn)
    return claims


def claim_property(owner: str, generation: str, urn: str, uploaded_at: str = "") -> dict[str, str]:
    """Return the property that records an owner.

    Args:
        owner: the short name of the owner.
        generation: the generation.
        urn: the URN.
        uploaded_at: when the image was stored; empty if it is not on the host yet.
    """
    return {OWNER_PREFIX + owner: f"{generation} {_stored(uploaded_at) or _PENDING} {urn}"}


def existed_property(uploaded_at: str) -> dict[str, str]:
    """Return the property of an image that existed before it was adopted."""
    return {EXISTED_KEY: _stored(uploaded_at)}


def has_existed(properties: Mapping[str, str], uploaded_at: str) -> bool:
    """Return whether an image existed before it was adopted."""
    return properties.get(EXISTED_KEY) == _stored(uploaded_at)


def without_claim(
    properties: Mapping[str, str], uploaded_at: str, owner: str = ""
) -> dict[str, str]:
    """Return properties without an owner, and without what is left of other copies' labels.

    Args:
        properties: the properties.
        uploaded_at: when the image was stored.
        owner: the short name of the owner; empty for none.
    """
    valid = claims_of(properties, uploaded_at).keys() - {owner}
    rest = {
        key: value
        for key, value in properties.items()
        if not key.startswith(OWNER_PREFIX) or key.removeprefix(OWNER_PREFIX) in valid
    }
    if not valid or not has_existed(properties, uploaded_at):
        rest.pop(EXISTED_KEY, None)
    return rest


def parse_time(text: str) -> datetime | None:
    """Return a time of Incus's, or None if it is not one."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else None


def _stored(uploaded_at: str) -> str:
    """Return the time in microseconds: two copies may be stored within the same second."""
    time = parse_time(uploaded_at)
    return str(round(time.timestamp() * 1_000_000)) if time else ""
