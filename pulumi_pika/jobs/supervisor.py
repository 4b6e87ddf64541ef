"""Follow a job's command to its end, also through restarts of the daemon.

The server writes the output to a file, and the script in the guest writes the exit code to another.
Both files survive a restart of the daemon, which forgets the operation. So the command is started
once, and is then followed by whichever source is available.
"""

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from ..incus.client import IncusClient, url
from ..incus.errors import (
    IncusApiError,
    IncusError,
    IncusUnreachable,
    OperationLost,
    ServerFailure,
    UnexpectedResponse,
)
from ..incus.guest_files import (
    NotAFile,
    TooLarge,
    find_detour,
    guest_entry,
    read_small_file,
)
from ..incus.instances import exec_output
from ..message_templates import could_not
from ..reconcile.instances.lifecycle import fetch_instance, kill_instance
from ..reconcile.shared.errors import ReconcileError
from ..redaction import cut, cut_front
from .guest_events import EventReader
from .guest_script import (
    BEGUN_PATH,
    EXIT_PATH,
    KILL_AFTER,
    PREPARE_FAILED,
    TIMED_OUT,
)
from .job_errors import JobNotBegun
from .observer import (
    JobObserver,
    JobProgress,
    size_text,
)
from .output_tail import Tail
from .verdict import Ended

LOOK_EVERY: Final = 1.0
"""Seconds between two polls of a running job."""
_AT_ONCE: Final = 8
"""Chunks of output that are read in one poll."""
_LOOK_WITHIN: Final = 5.0
"""Seconds after which one poll of the output reads no further chunk."""
_OVERDUE: Final = KILL_AFTER + 10.0
"""Seconds beyond the time limit after which the instance is stopped, because the guest did not end
the command."""
_STOPS_WITHIN: Final = 10.0
"""Seconds to wait until an instance whose stop ended the command is reported as stopped. The wait
is needed only if the command left no exit file. It is much shorter on a host that is not busy."""
_AWAY_FOR: Final = 600.0
"""Seconds for which a host may be unreachable."""
_BEGINS_WITHIN: Final = 40.0
"""Seconds to wait for a sign that a command that the daemon forgot was started. The script may have
to wait for the guest's systemd."""
_REST_WITHIN: Final = 60.0
"""Seconds for which the remaining output is read after the end of the command. A guest can make its
file seem to have any length."""
_HANGS: Final = 3
_HANG: Final = 5.0
"""The events are no longer read after this number of reads that took longer than this number of
seconds."""
_MOST_QUOTED: Final = 500
"""The most characters of the error text of the script, or of the daemon, that a message quotes."""
_AGENT_PAUSES: Final = (1.0, 3.0, 6.0)
_CODE: Final = re.compile(rb"[0-9]{1,3}")
_NO_RESULT: Final = "and the guest recorded no result"
_NO_ANSWER: Final = (IncusUnreachable, ServerFailure, UnexpectedResponse)


@dataclass(frozen=True, slots=True)
class Command:
    """A command that was started.

    Attributes:
        instance: The name of the instance.
        uuid: The instance's own id (`volatile.uuid`), since another instance may get its name.
        operation: The id of the command's operation.
        limit: Seconds after which the guest ends the command.
        events_path: The path of the guest's events file.
        lifecycle_root: The directory below which the user of the command may write.
        output_path: The guest's file with the output of a detached command; empty if the server
            records the output.
    """

    instance: str
    uuid: str
    operation: str
    limit: float
    events_path: str
    lifecycle_root: str
    output_path: str = ""


@dataclass(slots=True)
class _Marker:
    code: int
    timed_out: bool


class Follower:
    """Follows one command.

    Args:
        client: A client in the instance's project.
        command: The command.
        watcher: Receives output, events, and signs of life.
        take: Receives the bytes of the output.
    """

    def __init__(
        self,
        client: IncusClient,
        command: Command,
        watcher: JobObserver,
        take: Callable[[bytes], None],
    ) -> None:
        self._client = client
        self._command = command
        self._watcher = watcher
        self._take = take
        name = command.instance
        files = url("instances", name, "files")
        if command.output_path:
            self._output = Tail(client, files, {"path": command.output_path})
        else:
            self._output = Tail(client, exec_output(name, command.operation, "stdout"))
        self._events = Tail(client, files, {"path": command.events_path})
        self._reader = EventReader()
        self._begun = self._last_activity = time.monotonic()
        self._silent_since: float | None = None
        self._state: dict[str, Any] | None = None
        self._forgotten_at: float | None = None
        self._script: bytes | None = None
        self._hangs = 0
        self._cut = ""

    def to_end(self) -> Ended:
        """Follow the command; return how it ended.

        Raises:
            JobNotBegun: The guest could not start the command.
        """
        while True:
            try:
                ended = self._look()
                self._silent_since = None
            except _NO_ANSWER as error:
                ended = self._without_answer(error)
                time.sleep(LOOK_EVERY / 2)
            if ended is not None:
                return replace(ended, cut=self._cut)
            self._watcher.alive(self._standing())

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._begun

    def _standing(self) -> JobProgress:
        now = time.monotonic()
        return JobProgress(
            elapsed=self._elapsed,
            limit=self._command.limit,
            silent=now - self._last_activity,
            output=self._output.offset,
            away=now - self._silent_since if self._silent_since else 0.0,
        )

    def _look(self) -> Ended | None:
        state = self._operation()
        # After the end of the command, the present output is read, and no more: processes that it
        # left in the background may write forever.
        self._read_output(all_of_it=state is not None)
        self._read_events()
        if state is not None and (ended := self._ended(state)) is not None:
            return ended
        if self._forgotten_at is not None:
            ended = self._end_from_exit_file() or self._end_from_missing_process(self._forgotten_at)
            if ended is not None:
                return ended
        if self._overdue:
            return self._stop()
        return None

    @property
    def _overdue(self) -> bool:
        return self._elapsed > self._command.limit + _OVERDUE

    def _operation(self) -> dict[str, Any] | None:
        if self._state is None and self._forgotten_at is None:
            try:
                self._state = self._client.poll_operation(
                    self._command.operation, seconds=LOOK_EVERY
                )
                return self._state
            except OperationLost:
                self._forget("the Incus daemon was restarted and no longer knows the command")
        if self._state is None:
            time.sleep(LOOK_EVERY / 2)
        return self._state

    def _forget(self, why: str) -> None:
        self._forgotten_at, self._state = time.monotonic(), None
        self._watcher.info(f"{self._command.instance}: {why}; reading the result from the guest")

    def _read_output(self, *, all_of_it: bool) -> None:
        if not self._command.output_path:
            self._read_recorded(all_of_it=all_of_it)
            return
        # The agent may not reply for a moment; in a stopped machine it never replies.
        for pause in (*(_AGENT_PAUSES if all_of_it else ()), None):
            try:
                # The entry is inspected first: a read of a FIFO would never end.
                entry = guest_entry(self._client, self._command.instance, self._command.output_path)
                if entry is not None and entry.type == "file":
                    self._read_recorded(all_of_it=all_of_it)
                return
            except (IncusApiError, UnexpectedResponse, NotAFile):
                if pause is None or self._instance()[1]:
                    return
                time.sleep(pause)

    def _read_recorded(self, *, all_of_it: bool) -> None:
        begun = time.monotonic()
        chunks, end, until = 0, 0.0, begun + _REST_WITHIN
        while not self._cut:
            data = self._output.read()
            if data:
                self._last_activity = time.monotonic()
                self._take(data)
                self._watcher.output(data)
            if self._output.cut:
                self._cut = (
                    f"everything after the first {size_text(self._output.offset)}: "
                    f"{self._output.cut}"
                )
            chunks, end = chunks + 1, end or self._output.size
            # A reply may be shorter than the requested range.
            if not data or self._output.offset >= end:
                return
            if all_of_it and time.monotonic() > until:
                self._cut = (
                    f"everything after the first {size_text(self._output.offset)}: the file seems "
                    f"to have {size_text(end)}, which could not be read within {_REST_WITHIN:g} s"
                )
            # A slow server must not delay the check of the time limit.
            late = time.monotonic() - begun > _LOOK_WITHIN
            if (chunks >= _AT_ONCE or late) and not all_of_it:
                return

    def _read_events(self) -> None:
        if self._hangs >= _HANGS:
            return
        begun = time.monotonic()
        # The events are optional. A virtual machine's agent may be unreachable for a moment, and
        # other problems of the host show when the command itself is polled.
        with suppress(IncusError):
            entry = guest_entry(self._client, self._command.instance, self._command.events_path)
            # The entry is inspected first: a read of a FIFO, which shows as an empty file, would
            # never end.
            if entry is None or entry.type != "file" or not entry.size:
                return
            if entry.size == self._events.offset:
                return
            command = self._command
            if find_detour(
                self._client, command.instance, command.events_path, command.lifecycle_root
            ):
                return
            for event in self._reader.feed(self._events.read()):
                self._last_activity = time.monotonic()
                self._watcher.event(event)
        if time.monotonic() - begun > _HANG:
            self._hangs += 1

    def _ended(self, state: dict[str, Any]) -> Ended | None:
        """Return the end that the daemon reports; None if its report does not tell how the command
        ended."""
        metadata = state.get("metadata")
        code = metadata.get("return") if isinstance(metadata, dict) else None
        if not isinstance(code, int | float) or state.get("status_code") != 200:
            return self._failed(
                cut(str(state.get("err") or ""), _MOST_QUOTED) or "Incus reports no reason"
            )
        code = int(code)
        marker = self._marker()
        # If the two exit codes differ, the job failed: the script was ended, or another process
        # wrote the file.
        if marker is not None and (marker.code == code or code == 0):
            return self._end_from_marker(marker)
        if marker is None and code == PREPARE_FAILED:
            raise JobNotBegun(
                could_not(f"prepare the command in {self._command.instance}", self._stderr_tail())
            )
        if marker is None and self._command.output_path and self._has_started():
            # The process that started the command was ended, and the command continues.
            self._forget("the Incus daemon no longer follows the command")
            return None
        # The script itself was ended, usually because its instance is stopping, which may take a
        # moment.
        if gone := self._gone_within(_STOPS_WITHIN if code else 0):
            return self._lost(f"{gone}, {_NO_RESULT}")
        return Ended("exited", code, self._elapsed)

    def _failed(self, why: str) -> Ended | None:
        """Return the end of a command whose operation failed; it may not have been started at
        all."""
        if (ended := self._end_from_exit_file()) is not None:
            return ended
        if not self._has_started():
            if gone := self._gone_within(_STOPS_WITHIN):
                return self._lost(f"{gone}, {_NO_RESULT}")
            raise JobNotBegun(could_not(f"start the command in {self._command.instance}", why))
        self._forget(f"the Incus daemon no longer follows the command ({why})")
        return None

    def _end_from_exit_file(self) -> Ended | None:
        """Return the end by the exit file in the guest, or by the end of the instance; None before
        that."""
        marker = self._marker()
        ours, gone = self._instance()
        if marker is None and ours and gone:
            # The guest may have written the file and stopped between the two requests.
            marker = self._marker()
        if marker is not None and ours:
            self._read_output(all_of_it=True)
            return self._end_from_marker(marker)
        return self._lost(f"{gone}, {_NO_RESULT}") if gone else None

    def _has_started(self) -> bool:
        """Return whether the script has started the command."""
        if self._script is None:
            self._script = self._read_state_file(BEGUN_PATH)
        return self._script is not None

    def _end_from_missing_process(self, since: float) -> Ended | None:
        """Return the end of a command whose script no longer runs; None if the script may still
        run.

        If a daemon is killed while it starts a command, the command ends too.

        Raises:
            JobNotBegun: The command was not started.
        """
        if not self._has_started():
            if time.monotonic() - since > _BEGINS_WITHIN:
                raise JobNotBegun(
                    could_not(
                        f"start the command in {self._command.instance}",
                        "the Incus daemon was restarted before it started the command",
                    )
                )
            return None
        pid = (self._script or b"").decode(errors="replace").strip()
        if not pid.isdecimal() or not self._is_there("/proc/1") or self._is_there(f"/proc/{pid}"):
            return None
        # The script writes the exit file before it ends.
        return self._end_from_exit_file() or self._lost(
            f"the process that ran it was ended, {_NO_RESULT}"
        )

    def _is_there(self, path: str) -> bool:
        return guest_entry(self._client, self._command.instance, path) is not None

    def _end_from_marker(self, marker: _Marker) -> Ended:
        if marker.timed_out:
            limit = self._command.limit
            reason = f"its time limit of {limit:g} s was reached"
            return Ended("timed_out", marker.code, self._elapsed, reason)
        return Ended("exited", marker.code, self._elapsed)

    def _marker(self) -> _Marker | None:
        """Return what the guest wrote at the end of the command; None if there is nothing (yet)."""
        words = (self._read_state_file(EXIT_PATH) or b"").split()
        if not words or not _CODE.fullmatch(words[0]):
            return None
        return _Marker(int(words[0]), TIMED_OUT.encode() in words[1:])

    def _read_state_file(self, path: str) -> bytes | None:
        try:
            # An empty file may be in the middle of being written.
            return read_small_file(self._client, self._command.instance, path) or None
        except (IncusApiError, NotAFile, TooLarge):
            return None

    def _stderr_tail(self) -> str:
        """Return the end of the script's standard error."""
        tail = Tail(
            self._client, exec_output(self._command.instance, self._command.operation, "stderr")
        )
        with suppress(IncusError):
            return cut_front(tail.read().decode(errors="replace"), _MOST_QUOTED)
        return ""

    def _instance(self) -> tuple[bool, str]:
        """Return whether the instance exists, and why the command can no longer run (empty if it
        can).

        A command in a frozen instance may continue.
        """
        name = self._command.instance
        # The state is fetched too: without it, an instance that is stopping would count as running.
        live = fetch_instance(self._client, name)
        if live is None:
            return False, f"instance {name} was deleted"
        if live.uuid != self._command.uuid:
            return False, f"instance {name} was deleted, and another instance has its name"
        if not live.running and live.status != "Frozen":
            return True, f"instance {name} is {live.status}"
        return True, ""

    def _gone_within(self, seconds: float) -> str:
        deadline = time.monotonic() + seconds
        while not (gone := self._instance()[1]) and time.monotonic() < deadline:
            time.sleep(0.1)
        return gone

    def _lost(self, reason: str) -> Ended:
        return Ended("lost", None, self._elapsed, reason)

    def _stop(self) -> Ended:
        name = self._command.instance
        self._watcher.warn(
            f"{name}: the command has run for {self._elapsed:.0f} s, and the guest did not end it "
            f"after {self._command.limit:g} s; stopping the instance"
        )
        with suppress(IncusError, ReconcileError):
            if self._command.output_path:
                # A machine that has stopped shows none of its files.
                self._read_output(all_of_it=True)
            if self._instance()[0]:
                kill_instance(self._client, name)
            self._read_output(all_of_it=True)
        return Ended(
            "timed_out",
            None,
            self._elapsed,
            f"its time limit of {self._command.limit:g} s was reached, and the guest did not end "
            "it; the instance was stopped",
        )

    def _without_answer(self, error: Exception) -> Ended | None:
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        silent = now - self._silent_since
        if silent > _AWAY_FOR or (self._overdue and silent > _OVERDUE):
            return self._lost(f"the host has not replied for {silent:.0f} s ({error})")
        return None
