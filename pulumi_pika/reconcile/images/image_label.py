"""Record in an image's properties who owns it, and in an alias's description who owns that.

An image is identified by its content, so that several stacks may need the same one. Each resource
that manages an image has an entry of its own in the label; the last one deletes the image. An image
has no config keys; Incus keeps its properties until another client replaces them, and its ETag
covers them (cmd/incusd/images.go, `imagePut`).
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ..shared.ownership import MARK_PREFIX, is_same_or_earlier

OWNER_PREFIX: Final = MARK_PREFIX + "owner."
"""The prefix of the properties with an owner: `user.pika.owner.ID` is `GENERATION URN`."""
EXISTED_KEY: Final = MARK_PREFIX + "existed"
"""The property of an image that existed before a resource adopted it; it is never deleted."""
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


def claims_of(properties: Mapping[str, str]) -> dict[str, ImageClaim]:
    """Return the owners in an image's properties, by their short names."""
    claims = {}
    for key, value in properties.items():
        if key.startswith(OWNER_PREFIX):
            generation, _, urn = value.partition(" ")
            claims[key.removeprefix(OWNER_PREFIX)] = ImageClaim(generation, urn)
    return claims


def claim_property(owner: str, generation: str, urn: str) -> dict[str, str]:
    """Return the property that records an owner.

    Args:
        owner: the short name of the owner.
        generation: the generation.
        urn: the URN.
    """
    return {OWNER_PREFIX + owner: f"{generation} {urn}"}


def without_claim(properties: Mapping[str, str], owner: str) -> dict[str, str]:
    """Return properties without an owner; without the whole label if no other owner is left."""
    rest = {key: value for key, value in properties.items() if key != OWNER_PREFIX + owner}
    if not claims_of(rest):
        rest.pop(EXISTED_KEY, None)
    return rest
