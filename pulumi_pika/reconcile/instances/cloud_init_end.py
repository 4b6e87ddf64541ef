"""Wait for the end of cloud-init in a guest, and report the errors that cloud-init itself reports.

cloud-init shows its end by `/run/cloud-init/result.json`, usually a link to a file in
`/var/lib/cloud/data`. `/run` is empty after a boot, so that the link belongs to the current boot.
Reading files costs the guest nothing. The command `cloud-init status` is run only now and then: it
shows that cloud-init is missing, disabled, or was ended by the init system.

Source: cloud-init doc/rtd/explanation/failure_states.rst, cloudinit/cmd/main.py (`status_wrapper`)
and cloudinit/cmd/status.py.
"""

import json
import time
from contextlib import suppress
from typing import Any, Final

from ...incus.client import IncusClient
from ...incus.errors import IncusError, OperationError
from ...incus.guest_files import guest_entry, read_small_file
from ...incus.instances import exec_text
from ...redaction import cut
from ...text_safety import strip_controls
from .json_limits import guest_object
from .live_instance import LiveInstance

_RUN: Final = "/run/cloud-init"
_DATA: Final = "/var/lib/cloud/data"
_LOG: Final = "/var/log/cloud-init-output.log"
_COMMAND: Final = ["cloud-init", "status", "--format", "json"]
_COMMAND_CODES: Final = (0, 1, 2)
"""The exit codes of `cloud-init status`: 1 for errors, 2 for recoverable errors."""
_COMMAND_WITHIN: Final = 30.0
_COMMAND_EVERY: Final = 10.0
"""How often the command is run, in seconds."""
_MOST_ERRORS: Final = 5
_LONGEST_ERROR: Final = 500
_LOG_LINES: Final = 10


class CloudInitFailed(Exception):
    """Signal that further waiting is useless."""


class CloudInitEnd:
    """Ask a guest again and again whether cloud-init has ended; one object for each wait."""

    def __init__(self) -> None:
        self._command_at = float("-inf")

    def __call__(self, client: IncusClient, live: LiveInstance) -> tuple[bool, str]:
        """Return whether cloud-init has ended, and what was observed.

        Args:
            client: a client in the instance's project.
            live: the instance as last fetched.

        Raises:
            CloudInitFailed: cloud-init ended with errors, is disabled, or is not in the image.
        """
        if live.instance_type == "virtual-machine" and live.processes < 0:
            return False, "the agent in the guest does not answer yet"
        entry = guest_entry(client, live.name, f"{_RUN}/result.json")
        if entry is not None:
            folder = _DATA if entry.type == "symlink" else _RUN
            result = _version_1(client, live.name, f"{folder}/result.json")
            if errors := _texts(result.get("errors")):
                raise CloudInitFailed(_failure(client, live.name, errors))
            return True, "cloud-init has ended"
        if time.monotonic() - self._command_at < _COMMAND_EVERY:
            return False, "cloud-init has not ended yet"
        ended, seen = _ask_command(client, live.name)
        self._command_at = time.monotonic()
        return ended, seen


def recoverable_errors(client: IncusClient, name: str) -> list[str]:
    """Return the errors after which cloud-init continued: it did not do all that it was to do.

    Args:
        client: a client in the instance's project.
        name: the instance.
    """
    found: list[str] = []
    with suppress(IncusError):
        entry = guest_entry(client, name, f"{_RUN}/status.json")
        folder = _DATA if entry is not None and entry.type == "symlink" else _RUN
        for stage in _version_1(client, name, f"{folder}/status.json").values():
            by_level = stage.get("recoverable_errors") if isinstance(stage, dict) else None
            for texts in by_level.values() if isinstance(by_level, dict) else ():
                found += _texts(texts)
    return list(dict.fromkeys(found))[:_MOST_ERRORS]


def _ask_command(client: IncusClient, name: str) -> tuple[bool, str]:
    """Return what `cloud-init status` reports: whether it has ended, and a phrase.

    Raises:
        CloudInitFailed: it ended with errors, is disabled, or is not in the image.
    """
    try:
        text = exec_text(client, name, _COMMAND, timeout=_COMMAND_WITHIN, exit_codes=_COMMAND_CODES)
    except OperationError as error:
        # Incus reports a missing command as one that could not be started.
        if "not found" in error.reason.lower():
            raise CloudInitFailed(
                "the image has no cloud-init (no command `cloud-init` in the guest); use an image "
                "that has it, such as images:debian/12/cloud, or wait for another state"
            ) from None
        return False, error.reason or str(error)
    try:
        said = json.loads(text)
    except ValueError:
        said = None  # Versions before 22.4 do not know `--format`.
    if not isinstance(said, dict):
        return False, "cloud-init has not ended yet"
    status = said.get("status")
    detail = " ".join(_texts([said.get("detail")]))
    if status == "disabled":
        raise CloudInitFailed(f"cloud-init is disabled in the guest: {detail or 'no reason given'}")
    if status == "error":
        raise CloudInitFailed(_failure(client, name, _texts(said.get("errors")) or [detail]))
    return status == "done", f"cloud-init status: {cut(strip_controls(str(status)), 40)}"


def _failure(client: IncusClient, name: str, errors: list[str]) -> str:
    """Return the errors, and the end of what the commands of cloud-init wrote."""
    more = f" and {len(errors) - _MOST_ERRORS} more" if len(errors) > _MOST_ERRORS else ""
    said = f"cloud-init reports errors: {'; '.join(errors[:_MOST_ERRORS])}{more}"
    try:
        log = read_small_file(client, name, _LOG) or b""
    except IncusError:
        log = b""
    lines = [
        cut(strip_controls(line), _LONGEST_ERROR)
        for line in log.decode(errors="replace").splitlines()[-_LOG_LINES:]
    ]
    return said + (f". {_LOG} ends with:\n  " + "\n  ".join(lines) if lines else "")


def _version_1(client: IncusClient, name: str, path: str) -> dict[str, Any]:
    """Return the part `v1` of a file of cloud-init; empty if it cannot be understood."""
    content = read_small_file(client, name, path)
    found = guest_object(content, path) if content else {}
    version_1 = found.get("v1") if isinstance(found, dict) else None
    return version_1 if isinstance(version_1, dict) else {}


def _texts(values: Any) -> list[str]:
    if not isinstance(values, list):
        return []
    return [cut(strip_controls(str(value)), _LONGEST_ERROR) for value in values if value]
