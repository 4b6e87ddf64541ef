"""Fetch what instances are created from: images and profiles."""

import re
from typing import Any, Final

from .client import IncusClient, url
from .errors import NotFound

_FINGERPRINT: Final = re.compile(r"[0-9a-fA-F]{12,64}")


def looks_like_fingerprint(name: str) -> bool:
    """Return whether the name of an image may be a fingerprint, or its beginning.

    It may be an alias nevertheless; an alias counts first.
    """
    return _FINGERPRINT.fullmatch(name) is not None


def image_fingerprint(client: IncusClient, name: str) -> str:
    """Return the fingerprint of an image.

    Args:
        client: a client in the image's project.
        name: its alias, its fingerprint, or at least the first 12 characters of it.

    Raises:
        NotFound: the project has no such image.
    """
    try:
        return str(client.get(url("images", "aliases", name)).data.get("target", ""))
    except NotFound:
        if not looks_like_fingerprint(name):
            raise
    return str(client.get(url("images", name.lower())).data.get("fingerprint", ""))


def profile_devices(client: IncusClient, name: str) -> dict[str, dict[str, str]]:
    """Return a profile's own devices; the reply may be up to two seconds old.

    Raises:
        NotFound: the project has no such profile.
    """
    devices: Any = client.get_cached(url("profiles", name)).data.get("devices")
    return devices if isinstance(devices, dict) else {}
