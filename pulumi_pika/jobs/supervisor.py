"""Follows a job's command to its end, whatever happens on the way.

The output goes to a file of the server's, and how the command ended to a file in the guest: both
are still there when a daemon was restarted, which forgets the operation. So the command is started
once, and looked after by whatever can be asked.
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
"""Seconds between two looks at a job that runs."""
_AT_ONCE: Final = 8
"""Chunks of output that are read in one look."""
_LOOK_WITHIN: Final = 5.0
"""Seconds after which one look at the output reads no further chunk."""
_OVERDUE: Final = KILL_AFTER + 10.0
"""Seconds beyond the limit after which the instance is stopped: the guest did not end the work."""
_STOPS_WITHIN: Final = 10.0
"""Seconds in which an instance is seen to stop whose stop ended the command. It is waited for only
where the command ended without a word, and takes far less on a host that is not busy."""
_AWAY_FOR: Final = 600.0
"""Seconds for which a host may be silent."""
_BEGINS_WITHIN: Final = 40.0
"""Seconds in which a command that the daemon forgot is seen to have been begun; the script may wait
for the guest's systemd."""
_REST_WITHIN: Final = 60.0
"""Seconds for which output is read that is there still when the command has ended: a guest can make
its file seem to have any length."""
_HANGS: Final = 3
_HANG: Final = 5.0
"""After so many looks at the events that took so many seconds each, they are left alone."""
_SAID: Final = 500
"""Characters of what the script, or the daemon, says of a failure."""
_AGENT_PAUSES: Final = (1.0, 3.0, 6.0)
_CODE: Final = re.compile(rb"[0-9]{1,3}")
_NO_ANSWER: Final = (IncusUnreachable, ServerFailure, UnexpectedResponse)


@dataclass(frozen=True, slots=True)
class Command:
    """A command that was started.

    Attributes:
        instance: where.
        uuid: that instance's own id, as another may come by its name.
        operation: the id of its operation.
        limit: seconds after which the guest ends it.
        events_path: the guest's events file.
        lifecycle_root: the directory below which the command's user may write.
        output_path: the guest's file with what a detached command writes; empty where the server
            records it.
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
        client: a client in the instance's project.
        command: the command.
        watcher: takes output, events, and signs of life.
        take: takes the bytes of the output.
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
        self._begun = self._heard = time.monotonic()
        self._silent_since: float | None = None
        self._state: dict[str, Any] | None = None
        self._forgotten_at: float | None = None
        self._script: bytes | None = None
        self._hangs = 0
        self._cut = ""

    def to_end(self) -> Ended:
        """Follows it; returns how it ended.

        Raises:
            JobNotBegun: the guest could not begin it at all.
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
            silent=now - self._heard,
            output=self._output.offset,
            away=now - self._silent_since if self._silent_since else 0.0,
        )

    def _look(self) -> Ended | None:
        state = self._operation()
        # Once it has ended, all that is there counts, and no more: what it left running in the
        # background may go on writing for ever.
        self._read_output(all_of_it=state is not None)
        self._read_events()
        if state is not None and (ended := self._ended(state)) is not None:
            return ended
        if self._forgotten_at is not None:
            ended = self._by_word() or self._by_absence(self._forgotten_at)
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
                self._state = self._client.peek(self._command.operation, seconds=LOOK_EVERY)
                return self._state
            except OperationLost:
                self._forget("the daemon was restarted, and no longer knows the command")
        if self._state is None:
            time.sleep(LOOK_EVERY / 2)
        return self._state

    def _forget(self, why: str) -> None:
        self._forgotten_at, self._state = time.monotonic(), None
        self._watcher.info(
            f"{self._command.instance}: {why}; its outcome is looked for in the guest"
        )

    def _read_output(self, *, all_of_it: bool) -> None:
        if not self._command.output_path:
            self._read_recorded(all_of_it=all_of_it)
            return
        # The agent may be away for a moment, and is for good in a machine that has stopped.
        for pause in (*(_AGENT_PAUSES if all_of_it else ()), None):
            try:
                # Looked at first: to read a FIFO would never end.
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
                self._heard = time.monotonic()
                self._take(data)
                self._watcher.output(data)
            if self._output.cut:
                self._cut = (
                    f"all beyond its first {size_text(self._output.offset)}: {self._output.cut}"
                )
            chunks, end = chunks + 1, end or self._output.size
            # An answer may be shorter than what was asked for.
            if not data or self._output.offset >= end:
                return
            if all_of_it and time.monotonic() > until:
                self._cut = (
                    f"all beyond its first {size_text(self._output.offset)}: the {size_text(end)} "
                    f"that there seem to be could not be read within {_REST_WITHIN:g} s"
                )
            # A server that sends slowly does not keep the time limit from being looked at.
            late = time.monotonic() - begun > _LOOK_WITHIN
            if (chunks >= _AT_ONCE or late) and not all_of_it:
                return

    def _read_events(self) -> None:
        if self._hangs >= _HANGS:
            return
        begun = time.monotonic()
        # They are an extra: a virtual machine's agent may be away for a moment, and what else is
        # wrong with the host shows at the command.
        with suppress(IncusError):
            entry = guest_entry(self._client, self._command.instance, self._command.events_path)
            # Looked at first: to read a FIFO, which shows as an empty file, would never end.
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
                self._heard = time.monotonic()
                self._watcher.event(event)
        if time.monotonic() - begun > _HANG:
            self._hangs += 1

    def _ended(self, state: dict[str, Any]) -> Ended | None:
        """The end by what the daemon says; None where that says nothing of the command."""
        metadata = state.get("metadata")
        code = metadata.get("return") if isinstance(metadata, dict) else None
        if not isinstance(code, int | float) or state.get("status_code") != 200:
            return self._failed(cut(str(state.get("err") or ""), _SAID) or "no reason")
        code = int(code)
        marker = self._marker()
        # Where the two differ it is a failure: the script was ended, or the word is not its own.
        if marker is not None and (marker.code == code or code == 0):
            return self._by_marker(marker)
        if marker is None and code == PREPARE_FAILED:
            raise JobNotBegun(f"the guest could not prepare the command: {self._complaint()}")
        if marker is None and self._command.output_path and self._begun_there():
            # What started it was ended, and it goes on.
            self._forget("the daemon no longer follows the command")
            return None
        # The script itself was ended, as a rule since its instance stops, which may take a moment.
        if gone := self._gone_within(_STOPS_WITHIN if code else 0):
            return self._lost(f"{gone}, and left no word of it")
        return Ended("exited", code, self._elapsed)

    def _failed(self, why: str) -> Ended | None:
        """The end of a command whose operation failed: it may not have been begun at all."""
        if (ended := self._by_word()) is not None:
            return ended
        if not self._begun_there():
            if gone := self._gone_within(_STOPS_WITHIN):
                return self._lost(f"{gone}, and left no word of it")
            raise JobNotBegun(f"the command could not be begun: {why}")
        self._forget(f"the daemon no longer follows the command ({why})")
        return None

    def _by_word(self) -> Ended | None:
        """The end by what the guest left word of, or by the instance's own; None before that."""
        marker = self._marker()
        ours, gone = self._instance()
        if marker is None and ours and gone:
            # It may have written its word and stopped between the two looks.
            marker = self._marker()
        if marker is not None and ours:
            self._read_output(all_of_it=True)
            return self._by_marker(marker)
        return self._lost(f"{gone}, and left no word of it") if gone else None

    def _begun_there(self) -> bool:
        """Whether the script has begun the work."""
        if self._script is None:
            self._script = self._word(BEGUN_PATH)
        return self._script is not None

    def _by_absence(self, since: float) -> Ended | None:
        """The end of a command whose script can leave no word any more; None where it may still.

        A daemon that is killed in the moment in which it starts a command takes that with it.

        Raises:
            JobNotBegun: it was not begun at all.
        """
        if not self._begun_there():
            if time.monotonic() - since > _BEGINS_WITHIN:
                raise JobNotBegun("the daemon was restarted before it began the command")
            return None
        pid = (self._script or b"").decode(errors="replace").strip()
        if not pid.isdecimal() or not self._is_there("/proc/1") or self._is_there(f"/proc/{pid}"):
            return None
        # It leaves word before it ends.
        return self._by_word() or self._lost("what ran it was ended, and left no word of it")

    def _is_there(self, path: str) -> bool:
        return guest_entry(self._client, self._command.instance, path) is not None

    def _by_marker(self, marker: _Marker) -> Ended:
        if marker.timed_out:
            limit = self._command.limit
            return Ended("timed_out", marker.code, self._elapsed, f"its {limit:g} s were up")
        return Ended("exited", marker.code, self._elapsed)

    def _marker(self) -> _Marker | None:
        """What the guest wrote when the work ended."""
        words = (self._word(EXIT_PATH) or b"").split()
        if not words or not _CODE.fullmatch(words[0]):
            return None
        return _Marker(int(words[0]), TIMED_OUT.encode() in words[1:])

    def _word(self, path: str) -> bytes | None:
        try:
            # One that is empty may be written just now.
            return read_small_file(self._client, self._command.instance, path) or None
        except (IncusApiError, NotAFile, TooLarge):
            return None

    def _complaint(self) -> str:
        """The end of what the script said on standard error."""
        tail = Tail(
            self._client, exec_output(self._command.instance, self._command.operation, "stderr")
        )
        with suppress(IncusError):
            return cut_front(tail.read().decode(errors="replace"), _SAID)
        return ""

    def _instance(self) -> tuple[bool, str]:
        """Whether the instance is there, and why the command can no longer run; empty where it can.

        One that is frozen may go on.
        """
        name = self._command.instance
        # Into it, or one that is ending would count as running.
        live = fetch_instance(self._client, name)
        if live is None:
            return False, f"the instance {name} is gone"
        if live.uuid != self._command.uuid:
            return False, f"the instance {name} is gone, and another has its name"
        if not live.running and live.status != "Frozen":
            return True, f"the instance {name} is {live.status}"
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
            f"{name}: {self._elapsed:.0f} s are over, and the guest did not end the command within "
            f"its {self._command.limit:g} s; the instance is stopped"
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
            f"its {self._command.limit:g} s were up, and the guest did not react; the instance was "
            "stopped",
        )

    def _without_answer(self, error: Exception) -> Ended | None:
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        silent = now - self._silent_since
        if silent > _AWAY_FOR or (self._overdue and silent > _OVERDUE):
            return self._lost(f"the host has not answered for {silent:.0f} s ({error})")
        return None
