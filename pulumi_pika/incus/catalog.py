"""Fetch what instances are created from: images and profiles."""

from typing import Any

from .client import IncusClient, url


def image_fingerprint(client: IncusClient, alias: str) -> str:
    """Return the fingerprint of the image that an alias points at now.

    Raises:
        NotFound: the project has no such alias.
    """
    return str(client.get(url("images", "aliases", alias)).data.get("target", ""))


def profile_devices(client: IncusClient, name: str) -> dict[str, dict[str, str]]:
    """Return a profile's own devices; the reply may be up to two seconds old.

    Raises:
        NotFound: the project has no such profile.
    """
    devices: Any = client.get_cached(url("profiles", name)).data.get("devices")
    return devices if isinstance(devices, dict) else {}
