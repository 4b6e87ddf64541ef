"""What the guest says of itself in its status file, and whether that can be believed."""

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
"""Characters of a value that is not as it should be."""


@dataclass(frozen=True, slots=True)
class GuestStatus:
    """The guest's own state, or why there is none to believe.

    `state` is one of `STATES`, or ``unknown``; `reason` says why it is unknown, and is empty
    otherwise.
    """

    state: str
    reason: str = ""
    message: str = ""
    updated_at: str = ""
    details: Any = None

    def to_dict(self) -> dict[str, Any]:
        """As an output; what is empty has no key."""
        found = {
            "state": self.state,
            "reason": self.reason,
            "message": self.message,
            "updated_at": self.updated_at,
            "details": self.details,
        }
        return {key: value for key, value in found.items() if value not in ("", None)}

    def said(self) -> str:
        """A phrase for messages."""
        if self.state == UNKNOWN_STATE:
            return self.reason
        message = cut(self.message, _LONGEST_MESSAGE)
        return f"guest state {self.state!r}" + (f": {message}" if message else "")


def no_status_yet(path: str) -> GuestStatus:
    """What can be said of a guest that has written nothing, or that was not looked at since its
    start: the same, so that a look that finds nothing is no change."""
    return GuestStatus(UNKNOWN_STATE, f"no word from the guest yet in {path}")


def fetch_guest_status(client: IncusClient, live: LiveInstance, path: str) -> GuestStatus:
    """Reads the status file of a guest.

    A file with the boot id of another boot is of that boot, and not believed; one without a boot
    id cannot be told to be of this one, and is not believed either.

    Args:
        client: a client in the instance's project.
        live: the instance.
        path: where the file is in the guest (`paths.status_path` of the plan).
    """
    if not live.running:
        return _unknown(f"the instance is {live.status}")
    if live.instance_type == "virtual-machine" and live.processes < 0:
        return _unknown("the agent in the guest does not answer")
    try:
        content = read_small_file(client, live.name, path)
        if content is None:
            return no_status_yet(path)
        if not content:
            return _unknown(f"the status file {path} is empty, or a FIFO or a device")
        status = _parse(content, path)
        if isinstance(status, str):
            return _unknown(status)
        boot_id = status.get("boot_id")
        if not isinstance(boot_id, str) or not boot_id:
            return _unknown(f"the status file {path} does not say of which boot it is")
        present = _present_boot_id(client, live)
    except IncusError as error:
        return _unknown(f"the status file {path} cannot be read: {error}")
    if present.strip() != boot_id.strip():
        return _unknown(
            f"the status file {path} is of an earlier boot (it says {status['state']!r})"
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
    """The file's contents, or why they are not to be believed."""
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
    # One with a secret stays whole: cut, it might show a part of the secret.
    return _safe(value if redact(value) != value else value[:_LONGEST_MESSAGE])


def _safe(text: str) -> str:
    # With a secret in it, it becomes a secret output, for which the secret has to be found again.
    return text if redact(text) != text else for_engine(strip_controls(text))


def _unknown(reason: str) -> GuestStatus:
    return GuestStatus(UNKNOWN_STATE, reason)
