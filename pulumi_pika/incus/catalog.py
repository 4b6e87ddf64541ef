"""What instances are made from: images and profiles."""

from typing import Any

from .client import IncusClient, url


def image_fingerprint(client: IncusClient, alias: str) -> str:
    """The fingerprint that an alias points at now.

    Raises:
        NotFound: no such alias in this project.
    """
    return str(client.get(url("images", "aliases", alias)).data.get("target", ""))


def profile_devices(client: IncusClient, name: str) -> dict[str, dict[str, str]]:
    """A profile's own devices, as of two seconds ago at most.

    Raises:
        NotFound: no such profile in this project.
    """
    devices: Any = client.get_briefly(url("profiles", name)).data.get("devices")
    return devices if isinstance(devices, dict) else {}
