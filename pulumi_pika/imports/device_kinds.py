"""Recognize the kinds of mounts by the names of their devices."""

from typing import Final, get_args

from ..choices import MountKind
from ..planner.device_names import device_name

_KINDS: Final[dict[str, MountKind]] = {
    device_name(kind, "", "").rpartition("-")[0]: kind for kind in get_args(MountKind)
}


def kind_of(device: str) -> MountKind | None:
    """Return the kind of mount in a device's name, by its label; None if the name has none."""
    return _KINDS.get(device.rpartition("-")[0])
