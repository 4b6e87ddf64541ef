"""Custom volumes."""

from typing import Any

from .client import Entity, IncusClient, url
from .errors import NotFound


def get_volume(client: IncusClient, pool: str, name: str) -> Entity | None:
    """The custom volume, or None."""
    try:
        return client.get(url("storage-pools", pool, "volumes", "custom", name))
    except NotFound as error:
        # A missing pool is 404 as well ("Storage pool not found"), and is not a missing volume.
        if "volume" not in error.reason.lower():
            raise
        return None


def create_volume(
    client: IncusClient, pool: str, name: str, *, description: str, config: dict[str, str]
) -> None:
    """Makes a filesystem volume.

    Raises:
        AlreadyExists: there is one of that name.
    """
    body: dict[str, Any] = {
        "name": name,
        "type": "custom",
        "content_type": "filesystem",
        "description": description,
        "config": config,
    }
    client.run("POST", url("storage-pools", pool, "volumes", "custom"), body, timeout=120.0)


def delete_volume(client: IncusClient, pool: str, name: str) -> None:
    """Removes a custom volume that nothing uses."""
    client.run("DELETE", url("storage-pools", pool, "volumes", "custom", name), timeout=120.0)
