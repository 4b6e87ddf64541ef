"""Decide how a job ended, from what Incus reports and from the guest's result file."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from ..reconcile.instances.json_limits import guest_object
from ..redaction import cut

Status = Literal["completed", "failed", "timed_out", "lost"]
How = Literal["exited", "timed_out", "lost"]

SCHEMA_VERSIONS: Final = (1, 2)
_LONGEST_MESSAGE: Final = 2000
_SHOWN: Final = 40
"""The most characters of an invalid value that a message quotes."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of the command, as seen from outside the guest.

    Attributes:
        how: Whether the command exited by itself, its time limit ended it, or its end is unknown.
        exit_code: The exit code; None if it is unknown.
        seconds: How long the command took, in seconds.
        reason: Why the result is unknown, or how the time limit was enforced.
        cut: Which part of the output was not read; empty if all of it was.
    """

    how: How
    exit_code: int | None
    seconds: float
    reason: str = ""
    cut: str = ""


@dataclass(frozen=True, slots=True)
class GuestResult:
    """The guest's result file. Each of its strings is one line without invisible characters."""

    completed: bool
    message: str
    exit_code: int | None
    finished_at: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of a job.

    Attributes:
        status: `completed` is a success; no other status is.
        exit_code: The exit code of the command; None if it is unknown.
        message: A human-readable explanation in one or two sentences.
    """

    status: Status
    exit_code: int | None
    message: str

    @property
    def completed(self) -> bool:
        """Return whether the job succeeded."""
        return self.status == "completed"


def parse_result(content: bytes, path: str) -> GuestResult | str:
    """Return the result that a file contains, or why it is not a valid result.

    Args:
        content: The file's bytes.
        path: The path of the file in the guest.
    """
    found = guest_object(content, f"the result file {path}")
    if isinstance(found, str):
        return found
    version = found.get("schema_version")
    if version not in SCHEMA_VERSIONS or not _is_whole(version):
        return f"the result file {path} has an unknown schema_version {cut(repr(version), _SHOWN)}"
    status = found.get("status")
    if status not in ("completed", "failed"):
        return f"the result file {path} has an unknown status {cut(repr(status), _SHOWN)}"
    code = found.get("exit_code")
    if code is not None and not _is_whole(code):
        return f"the result file {path} has an exit_code that is not an integer"
    return GuestResult(
        completed=status == "completed",
        message=_text(found.get("message")),
        exit_code=None if code is None else int(code),
        finished_at=_text(found.get("finished_at")),
    )


def judge(ended: Ended, found: GuestResult | str | None, *, path: str, entry: bool) -> Verdict:
    """Return the result of a job. A success must be proven, and nothing may contradict it.

    The exit code proves the success of a command that ran directly. The exit code of an entry
    command does not tell how the job's command ended; then the result file must report the success.

    Args:
        ended: The end, as seen from outside the guest.
        found: The result file, or why it is not valid, or None if there is none.
        path: The expected path of the result file.
        entry: Whether an entry command ran the command.
    """
    what = "the entry command" if entry else "the command"
    code = ended.exit_code
    if isinstance(found, GuestResult) and found.exit_code is not None:
        code = found.exit_code
    described = _describe_result(found, path, entry)
    if ended.how == "lost":
        return _verdict("lost", code, f"the result of {what} is unknown: {ended.reason}", described)
    if ended.how == "timed_out":
        return _verdict("timed_out", code, f"{what} was ended: {ended.reason}", described)
    outside = f"{what} ended with exit code {ended.exit_code}"
    if isinstance(found, GuestResult):
        inside_ok = found.completed and found.exit_code in (None, 0)
        if found.completed and not inside_ok:
            described += f", and the exit code {found.exit_code}"
        if inside_ok == (ended.exit_code == 0):
            return _verdict("completed" if inside_ok else "failed", code, outside, described)
        if not code:
            # The exit code of the part that failed is shown.
            code = ended.exit_code or None
        return _verdict(
            "failed", code, f"{outside}, but the result file contradicts that", described
        )
    if entry and ended.exit_code == 0:
        return _verdict(
            "failed",
            None,
            f"{outside}, which does not prove that the command succeeded",
            f"{described}. Change the entry command so that it writes that file, or remove "
            "bootstrap.entry_command",
        )
    return _verdict("completed" if ended.exit_code == 0 else "failed", code, outside, described)


def _describe_result(found: GuestResult | str | None, path: str, entry: bool) -> str:
    if isinstance(found, str):
        return found
    if found is None:
        return f"the result file {path} does not exist" if entry else ""
    word = "completed" if found.completed else "failed"
    return f"the result file reports {word}" + (f": {found.message}" if found.message else "")


def _verdict(status: Status, code: int | None, seen: str, described: str) -> Verdict:
    return Verdict(status, code, f"{seen}; {described}" if described else seen)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _text(value: Any) -> str:
    return cut(value, _LONGEST_MESSAGE) if isinstance(value, str) else ""
