"""Explain which mount a device name belongs to, and how the name is computed."""

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from ..imports.device_kinds import kind_of
from ..planner import device_names
from ..planner.device_names import DEVICE_NAME_PREFIX, device_name
from ..planner.spec import RuntimeMount
from ..text_safety import strip_controls

_HASH: Final = 8
"""The number of hexadecimal digits at the end of a name."""


@dataclass(frozen=True, slots=True)
class PlacedMount:
    """A mount of a spec.

    Attributes:
        mount: The mount.
        path: The property path, as ``mounts[2]``.
        where: The location in the file, as ``spec.json:12:5``.
    """

    mount: RuntimeMount
    path: str
    where: str

    @property
    def name(self) -> str:
        """The name of the mount's device."""
        return device_name(self.mount.kind, self.mount.source, self.mount.guest_path)


def explain(device: str, mounts: Sequence[PlacedMount], file: str) -> str:
    """Return an explanation of a device name, as lines.

    Args:
        device: The device name.
        mounts: The spec's mounts.
        file: The name of the spec file, for the text.
    """
    own = [placed for placed in mounts if placed.name == device]
    if own:
        return "\n\n".join(_belonging(placed) for placed in own) + "\n"
    shown = strip_controls(device)
    lines = [f"No mount of {strip_controls(file)} has the device {shown}. {_form(device)}"]
    if not mounts:
        lines.append("The file has no valid mount.")
    else:
        nearest = max(mounts, key=lambda placed: _likeness(device, placed.name))
        lines.append(f"The most similar device name is {nearest.name}:\n\n{_belonging(nearest)}")
    return "\n".join(lines) + "\n"


def _belonging(placed: PlacedMount) -> str:
    # The planner decides how a name is computed; this function only describes it.
    mount = placed.mount
    label = device_names.LABELS[mount.kind]
    source, guest = (
        device_names.normalize_for_hash(mount.source).decode(),
        device_names.normalize_for_hash(mount.guest_path).decode(),
    )
    short = device_names.NAME_PREFIXES[mount.kind][0]
    rows = [
        ("kind", mount.kind, f"label `{label}`; the name begins with `{short}`"),
        ("source", strip_controls(mount.source), f"normalized `{source}`"),
        ("guest path", strip_controls(mount.guest_path), f"normalized `{guest}`"),
    ]
    width = max(len(value) for _, value, _ in rows)
    return "\n".join(
        [
            f"{placed.name} is {placed.path} ({strip_controls(placed.where)})",
            *(f"  {what:<10}  {value:<{width}}  {made}" for what, value, made in rows),
            f"  hashed      {label}-{source}-{guest}",
            f"  hash        {placed.name[-_HASH:]}, the low 32 bits of its FNV-1a hash",
        ]
    )


def _form(device: str) -> str:
    """Return what the form of a name tells if no mount has the name."""
    if (kind := kind_of(device)) is not None:
        return f"Its label is that of the kind {kind}."
    if device.startswith(DEVICE_NAME_PREFIX):
        return "Its label is not that of any kind of mount."
    return f"The device name of a mount begins with `{DEVICE_NAME_PREFIX}`."


def _likeness(device: str, other: str) -> tuple[bool, float]:
    same_label = device.rpartition("-")[0] == other.rpartition("-")[0]
    return same_label, SequenceMatcher(None, device, other, autojunk=False).ratio()
