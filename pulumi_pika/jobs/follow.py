"""Follows a job's command to its end, whatever happens on the way.

The output goes to a file of the server's, and how the command ended to a file in the guest: both
are still there when a daemon was restarted, which forgets the operation. So the command is started
once, and looked after by whatever can be asked.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
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
from ..incus.guest_files import guest_entry
from ..incus.instances import exec_output
from ..reconcile.errors import ReconcileError
from ..reconcile.power import kill, look
from .errors import JobNotBegun
from .events import EventReader
from .result import Ended
from .script import EXIT_PATH, KILL_AFTER, PREPARE_FAILED, TIMED_OUT
from .tail import CHUNK, Tail, small_file
from .watch import Standing, Watcher

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at a job that runs."""
_AT_ONCE: Final = 8
"""Chunks of output that are read in one look."""
_OVERDUE: Final = KILL_AFTER + 10.0
"""Seconds beyond the limit after which the instance is stopped: the guest did not end the work."""
_STOPS_WITHIN: Final = 2.0
"""Seconds in which an instance is seen to stop whose stop ended the command."""
_AWAY_FOR: Final = 600.0
"""Seconds for which a host may be silent."""
_NO_ANSWER: Final = (IncusUnreachable, ServerFailure, UnexpectedResponse)


@dataclass(frozen=True, slots=True)
class Command:
    """A command that was started.

    Attributes:
        instance: where.
        operation: the id of its operation.
        limit: seconds after which the guest ends it.
        events_path: the guest's events file.
    """

    instance: str
    operation: str
    limit: float
    events_path: str


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
        watcher: Watcher,
        take: Callable[[bytes], None],
    ) -> None:
        self._client = client
        self._command = command
        self._watcher = watcher
        self._take = take
        name = command.instance
        self._output = Tail(client, exec_output(name, command.operation, "stdout"))
        self._events = Tail(client, url("instances", name, "files"), {"path": command.events_path})
        self._reader = EventReader()
        self._begun = self._heard = time.monotonic()
        self._silent_since: float | None = None
        self._state: dict[str, Any] | None = None
        self._forgotten = False

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
                return ended
            self._watcher.alive(self._standing())

    @property
    def _elapsed(self) -> float:
        return time.monotonic() - self._begun

    def _standing(self) -> Standing:
        now = time.monotonic()
        return Standing(
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
        if state is not None:
            return self._ended(state)
        if self._forgotten:
            marker = self._marker()
            if marker is not None:
                self._read_output(all_of_it=True)
                return self._by_marker(marker)
            if (gone := self._gone()) is not None:
                # It may have written its word and stopped between the two looks.
                marker = self._marker()
                return self._by_marker(marker) if marker else self._lost(gone)
        if self._elapsed > self._command.limit + _OVERDUE:
            return self._stop()
        return None

    def _operation(self) -> dict[str, Any] | None:
        if self._state is None and not self._forgotten:
            try:
                self._state = self._client.peek(self._command.operation, seconds=LOOK_EVERY)
                return self._state
            except OperationLost:
                self._forgotten = True
                self._watcher.info(
                    f"{self._command.instance}: the daemon was restarted, and no longer knows the "
                    "command; its outcome is looked for in the guest"
                )
        if self._state is None:
            time.sleep(LOOK_EVERY / 2)
        return self._state

    def _read_output(self, *, all_of_it: bool) -> None:
        chunks, end = 0, 0.0
        while True:
            data = self._output.read()
            if data:
                self._heard = time.monotonic()
                self._take(data)
                self._watcher.output(data)
            chunks, end = chunks + 1, end or self._output.size
            if len(data) < CHUNK or self._output.offset >= end:
                return
            if chunks >= _AT_ONCE and not all_of_it:
                return

    def _read_events(self) -> None:
        with suppress(IncusApiError):
            # A virtual machine's agent may be away for a moment.
            entry = guest_entry(self._client, self._command.instance, self._command.events_path)
            # Looked at first: to read a FIFO, which shows as an empty file, would never end.
            if entry is None or entry.type != "file" or not entry.size:
                return
            if entry.size == self._events.offset:
                return
            for event in self._reader.feed(self._events.read()):
                self._heard = time.monotonic()
                self._watcher.event(event)

    def _ended(self, state: dict[str, Any]) -> Ended:
        metadata = state.get("metadata")
        code = metadata.get("return") if isinstance(metadata, dict) else None
        known = isinstance(code, int | float) and state.get("status_code") == 200
        if (marker := self._marker()) is not None:
            return self._by_marker(marker)
        if known and int(code or 0) == PREPARE_FAILED:
            raise JobNotBegun(f"the guest could not prepare the command: {self._complaint()}")
        # The script itself was ended, as a rule since its instance stops, which may take a moment.
        deadline = time.monotonic() + (_STOPS_WITHIN if not known or code else 0)
        while (gone := self._gone()) is None and time.monotonic() < deadline:
            time.sleep(0.1)
        if gone is not None:
            return self._lost(f"{gone}, and left no word of it")
        if not known:
            raise JobNotBegun(f"the command could not be begun: {state.get('err') or 'no reason'}")
        return Ended("exited", int(code or 0), self._elapsed)

    def _by_marker(self, marker: _Marker) -> Ended:
        if marker.timed_out:
            limit = self._command.limit
            return Ended("timed_out", marker.code, self._elapsed, f"its {limit:g} s were up")
        return Ended("exited", marker.code, self._elapsed)

    def _marker(self) -> _Marker | None:
        """What the guest wrote when the work ended."""
        try:
            content = small_file(self._client, self._command.instance, EXIT_PATH)
        except IncusApiError:
            return None
        words = (content or b"").split()
        if not words or not words[0].isdigit():
            return None
        return _Marker(int(words[0]), TIMED_OUT.encode() in words[1:])

    def _complaint(self) -> str:
        """The end of what the script said on standard error."""
        tail = Tail(
            self._client, exec_output(self._command.instance, self._command.operation, "stderr")
        )
        with suppress(IncusError):
            return tail.read().decode(errors="replace").strip()[-500:]
        return ""

    def _gone(self) -> str | None:
        """Why the command can no longer run, or None where it can."""
        name = self._command.instance
        live = look(self._client, name, inside=False)
        if live is None:
            return f"the instance {name} is gone"
        if not live.running:
            return f"the instance {name} is {live.status}"
        return None

    def _lost(self, reason: str) -> Ended:
        return Ended("lost", None, self._elapsed, reason)

    def _stop(self) -> Ended:
        name = self._command.instance
        self._watcher.warn(
            f"{name}: {self._elapsed:.0f} s are over, and the guest did not end the command within "
            f"its {self._command.limit:g} s; the instance is stopped"
        )
        with suppress(IncusError, ReconcileError):
            kill(self._client, name)
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
        overdue = self._elapsed > self._command.limit + _OVERDUE
        if overdue or now - self._silent_since > _AWAY_FOR:
            return self._lost(
                f"the host has not answered for {now - self._silent_since:.0f} s ({error})"
            )
        return None
