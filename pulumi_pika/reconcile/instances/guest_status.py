"""Read the status that the guest reports in its status file, and decide whether to trust it."""

from dataclasses import dataclass
from typing import Any, Final

from ...incus.client import IncusClient
from ...incus.errors import IncusError
from ...incus.guest_files import read_kernel_file, read_small_file
from ...incus.instances import exec_text
from ...redaction import cut, redact
from ...text_safety import (
    for_engine,
    map_texts,
    strip_controls,
)
from .json_limits import guest_object
from .live_instance import LiveInstance

STATES: Final = (
    "requested",
    "provisioning",
    "booted",
    "unreachable",
    "stopped",
    "destroyed",
    "starting",
    "ready",
    "failed",
    "completed",
)
SCHEMA_VERSION: Final = 1
UNKNOWN_STATE: Final = "unknown"
_BOOT_ID_PATH: Final = "/proc/sys/kernel/random/boot_id"
_BOOT_ID_WITHIN: Final = 30.0
_LONGEST_MESSAGE: Final = 500
_SHOWN: Final = 80
"""How many characters of an invalid value a message shows."""


@dataclass(frozen=True, slots=True)
class GuestStatus:
    """Hold the state that the guest reports, or the reason why none can be trusted.

    `state` is one of `STATES`, or ``unknown``. `reason` says why the state is unknown, and is empty
    otherwise.
    """

    state: str
    reason: str = ""
    message: str = ""
    updated_at: str = ""
    details: Any = None

    def to_dict(self) -> dict[str, Any]:
        """Return the status as an output; empty values have no key."""
        found = {
            "state": self.state,
            "reason": self.reason,
            "message": self.message,
            "updated_at": self.updated_at,
            "details": self.details,
        }
        return {key: value for key, value in found.items() if value not in ("", None)}

    def describe(self) -> str:
        """Return the status as a phrase for messages."""
        if self.state == UNKNOWN_STATE:
            return self.reason
        message = cut(self.message, _LONGEST_MESSAGE)
        return f"guest state {self.state!r}" + (f": {message}" if message else "")


def no_status_yet(path: str) -> GuestStatus:
    """Return the status of a guest that wrote no status file, or was not inspected since its start.

    Both cases give the same value, so that a later inspection that finds nothing causes no diff.
    """
    return GuestStatus(UNKNOWN_STATE, f"the guest has not written the status file {path} yet")


def fetch_guest_status(client: IncusClient, live: LiveInstance, path: str) -> GuestStatus:
    """Read the status file of a guest.

    A file with the boot id of another boot belongs to that boot and is not trusted. A file without
    a boot id cannot be assigned to the current boot and is not trusted either.

    Args:
        client: a client in the instance's project.
        live: the instance.
        path: the path of the file in the guest (`paths.status_path` of the plan).
    """
    if not live.running:
        return _unknown(f"the instance is {live.status}")
    if live.instance_type == "virtual-machine" and live.processes < 0:
        return _unknown("the agent in the guest does not reply")
    try:
        content = read_small_file(client, live.name, path)
        if content is None:
            return no_status_yet(path)
        if not content:
            return _unknown(f"the status file {path} is empty, or is a FIFO or a device")
        status = _parse(content, path)
        if isinstance(status, str):
            return _unknown(status)
        boot_id = status.get("boot_id")
        if not isinstance(boot_id, str) or not boot_id:
            return _unknown(f"the status file {path} has no boot_id, so that its boot is unknown")
        present = _present_boot_id(client, live)
    except IncusError as error:
        return _unknown(f"the status file {path} cannot be read: {error}")
    if present.strip() != boot_id.strip():
        return _unknown(
            f"the status file {path} is from an earlier boot (its state is {status['state']!r})"
        )
    return GuestStatus(
        state=status["state"],
        message=_text(status.get("message")),
        updated_at=_text(status.get("updated_at")),
        details=map_texts(status.get("details"), _safe),
    )


def _present_boot_id(client: IncusClient, live: LiveInstance) -> str:
    """Return the id of the boot that the guest is in.

    Incus 6.0.4 reads as many bytes of a virtual machine's file as its size says, and a file of the
    kernel has the size 0. So a command reads it there.
    """
    if live.instance_type == "virtual-machine":
        command = ["cat", _BOOT_ID_PATH]
        return exec_text(client, live.name, command, timeout=_BOOT_ID_WITHIN)
    return read_kernel_file(client, live.name, _BOOT_ID_PATH).decode(errors="replace")


def _parse(content: bytes, path: str) -> dict[str, Any] | str:
    """Return the contents of the file, or why they are not trusted."""
    status = guest_object(content, f"the status file {path}")
    if isinstance(status, str):
        return status
    version = status.get("schema_version")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        return (
            f"the status file {path} has schema version {cut(repr(version), _SHOWN)}, "
            f"not {SCHEMA_VERSION}"
        )
    if status.get("state") not in STATES:
        return (
            f"the status file {path} has an unknown state {cut(repr(status.get('state')), _SHOWN)}"
        )
    return status


def _text(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    # A value with a secret is not cut: a cut value might show a part of the secret.
    return _safe(value if redact(value) != value else value[:_LONGEST_MESSAGE])


def _safe(text: str) -> str:
    # A value with a secret becomes a secret output, so the secret must be found in it again.
    return text if redact(text) != text else for_engine(strip_controls(text))


def _unknown(reason: str) -> GuestStatus:
    return GuestStatus(UNKNOWN_STATE, reason)
