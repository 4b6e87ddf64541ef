"""Compute deterministic device names.

A name depends only on the mount's kind, source and guest path. So it is the same on every machine,
whatever the order of the mounts.
"""

from typing import Final

from ..choices import MountKind

DEVICE_NAME_PREFIX: Final = "pk-"
"""The prefix of every device that a plan names; no other device may have it."""

LABELS: Final[dict[MountKind, str]] = {
    "persistent_volume": "persist",
    "read_only_snapshot": "snapshot",
    "artifact_output": "artifact",
    "cache": "cache",
}
"""The short form of a kind, in names and in the hashed text."""

# ASCII letters and digits in lower case; every other byte is a dash.
_CLEAN: Final = bytes(
    ord(chr(byte).lower()) if byte < 128 and chr(byte).isalnum() else ord("-")
    for byte in range(256)
)

# Only the low 32 bits of the 64-bit FNV-1a hash are used. XOR and multiplication modulo 2**32
# depend on the low 32 bits alone, so the whole hash is computed in 32 bits: 0x1b3 and 0x84222325
# are the low halves of the 64-bit prime 0x100000001b3 and offset basis 0xcbf29ce484222325.
_FNV_PRIME: Final = 0x1B3
_FNV_OFFSET: Final = 0x84222325


def normalize_for_hash(text: str) -> bytes:
    """Return a source or guest path as it is hashed.

    Letters and digits are in lower case; every other byte is a dash.
    """
    # "replace" turns each character outside ASCII into one "?", however many bytes it has in UTF-8.
    return text.encode("ascii", "replace").translate(_CLEAN).strip(b"-")


def _fnv1a_low32(data: bytes, value: int = _FNV_OFFSET) -> int:
    for byte in data:
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return value


NAME_PREFIXES: Final[dict[MountKind, tuple[str, int]]] = {
    kind: (f"{DEVICE_NAME_PREFIX}{label[:6]}-", _fnv1a_low32(f"{label}-".encode()))
    for kind, label in LABELS.items()
}
"""The start of each kind's names, and the hash of the start of each kind's seeds."""


def device_name(kind: MountKind, source: str, guest_path: str) -> str:
    """Return the Incus device name of a mount: ``pk-<kind>-<8 hex digits>``, at most 18 characters.

    Incus 6.0 allows 63 characters, but virtual machines had problems above 31 (lxc/incus issue
    2799); these names stay well below both.

    Args:
        kind: the kind of the mount.
        source: the source of the mount.
        guest_path: the guest path of the mount.
    """
    beginning, state = NAME_PREFIXES[kind]
    digest = _fnv1a_low32(
        b"%b-%b" % (normalize_for_hash(source), normalize_for_hash(guest_path)), state
    )
    return f"{beginning}{digest:08x}"
