"""Describe an image as the host shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...incus.client import Entity, IncusClient
from ...incus.images import get_image, list_images
from .image_label import ImageClaim, claims_of, has_existed


@dataclass(frozen=True, slots=True)
class LiveImage:
    """Hold an image as the server shows it."""

    fingerprint: str
    kind: str
    """`container` or `virtual-machine`."""
    architecture: str
    properties: dict[str, str]
    public: bool
    cached: bool
    """Whether Incus downloaded it for an instance, and deletes it when it is unused for long."""
    size: int
    created_at: str
    uploaded_at: str
    expires_at: str
    aliases: tuple[str, ...]
    entity: Entity

    @classmethod
    def of(cls, entity: Entity) -> "LiveImage":
        """Return the image of a reply."""
        data = entity.data
        aliases = data.get("aliases") or ()
        size = data.get("size")
        return cls(
            fingerprint=str(data.get("fingerprint") or ""),
            kind=str(data.get("type") or "container"),
            architecture=str(data.get("architecture") or ""),
            properties=_texts(data.get("properties")),
            public=data.get("public") is True,
            cached=data.get("cached") is True,
            size=size if isinstance(size, int) else 0,
            created_at=str(data.get("created_at") or ""),
            uploaded_at=str(data.get("uploaded_at") or ""),
            expires_at=str(data.get("expires_at") or ""),
            aliases=tuple(
                str(alias.get("name")) for alias in aliases if isinstance(alias, Mapping)
            ),
            entity=entity,
        )

    @property
    def claims(self) -> dict[str, ImageClaim]:
        """Return the owners in its label, by their short names."""
        return claims_of(self.properties, self.uploaded_at)

    @property
    def existed(self) -> bool:
        """Return whether it existed before a resource adopted it."""
        return has_existed(self.properties, self.uploaded_at)

    @property
    def is_disposable(self) -> bool:
        """Return whether it is only a copy that Incus keeps for new instances."""
        return self.cached and not self.aliases and not self.claims


def fetch_image(client: IncusClient, fingerprint: str) -> LiveImage | None:
    """Return the image of a fingerprint as it is now, or None."""
    entity = get_image(client, fingerprint) if fingerprint else None
    return LiveImage.of(entity) if entity else None


def find_claimed_image(client: IncusClient, owner: str, generation: str) -> LiveImage | None:
    """Return the image with an owner's entry of one generation, or None.

    Args:
        client: a client in the image's project.
        owner: the short name of the owner.
        generation: the generation.
    """
    for data in list_images(client):
        properties, uploaded_at = _texts(data.get("properties")), str(data.get("uploaded_at"))
        claim = claims_of(properties, uploaded_at).get(owner)
        if claim is not None and claim.generation == generation:
            return fetch_image(client, str(data.get("fingerprint")))
    return None


def _texts(tree: Any) -> dict[str, str]:
    return (
        {str(key): str(value) for key, value in tree.items()} if isinstance(tree, Mapping) else {}
    )
