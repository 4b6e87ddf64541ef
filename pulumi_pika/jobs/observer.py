"""Observers of a running job: the protocol, and an implementation that writes lines."""

import codecs
import time
from dataclasses import dataclass
from typing import Final, Protocol

from ..reconcile.shared.reporter import (
    EVERY,
    FIRST_AFTER,
    Reporter,
)
from ..redaction import Stream
from ..text_safety import without_breaks
from .guest_events import Event

LINES_AT_ONCE: Final = 40
"""The most lines of output and events that are shown for each poll of a job. The limit keeps a
flood of output out of the log."""
_LONGEST_LINE: Final = 2000


@dataclass(frozen=True, slots=True)
class JobProgress:
    """The progress of a job.

    Attributes:
        elapsed: Seconds since the command was started.
        limit: The time limit of the command, in seconds.
        silent: Seconds since the last output or event.
        output: Bytes of output so far.
        away: Seconds since the host last answered; 0 if it answers.
    """

    elapsed: float
    limit: float
    silent: float
    output: int
    away: float = 0.0

    def describe(self) -> str:
        """Return the progress as a human-readable phrase."""
        text = f"{self.elapsed:.0f} of {self.limit:g} s, {size_text(self.output)} of output"
        if self.away >= 1:
            return f"{text}; the host has not replied for {self.away:.0f} s"
        if self.silent >= FIRST_AFTER:
            text += f"; silent for {self.silent:.0f} s"
        return text


class JobObserver(Reporter, Protocol):
    """Receives the output, events and progress of a running job."""

    def output(self, data: bytes) -> None:
        """Receive further bytes of the command's output."""

    def event(self, event: Event) -> None:
        """Receive a new event of the guest."""

    def alive(self, standing: JobProgress) -> None:
        """Receive the progress, about every second."""


class LineObserver:
    """Writes everything as lines to a `Reporter`, without the secrets of the thread that creates
    the observer.

    Args:
        reporter: Receives the lines.
        name: The name of the job, for lines that are not its own output.
    """

    def __init__(self, reporter: Reporter, name: str) -> None:
        self._reporter = reporter
        self._name = name
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        # Secrets are removed before the text is split into lines: a line could end or be cut within
        # a secret.
        self._stream = Stream()
        self._rest = ""
        self._left = LINES_AT_ONCE
        self._hidden = 0
        self._elapsed = 0.0
        self._spoke = time.monotonic()

    def info(self, message: str) -> None:
        """Write a line of progress."""
        self._spoke = time.monotonic()
        self._reporter.info(message)

    def warn(self, message: str) -> None:
        """Write a warning; the job continues."""
        self._spoke = time.monotonic()
        self._reporter.warn(message)

    def output(self, data: bytes) -> None:
        """Write the complete lines, up to the limit for one poll."""
        self._take(self._stream.feed(self._decoder.decode(data)))

    def _take(self, text: str) -> None:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._line(line)
        # An endless line is shown in pieces: it must not be buffered forever.
        if len(self._rest) > _LONGEST_LINE:
            self._line(self._rest)
            self._rest = ""

    def event(self, event: Event) -> None:
        """Write an event, which counts as a line of output."""
        self._flush()
        self._show(f"{self._name}: [{self._elapsed:.0f} s] {event.describe()}")

    def alive(self, standing: JobProgress) -> None:
        """Write a sign of life if nothing else was written for a while."""
        self._elapsed = standing.elapsed
        self._say_hidden()
        if time.monotonic() - self._spoke >= (FIRST_AFTER if standing.elapsed < EVERY else EVERY):
            self._flush()
            self.info(f"{self._name}: {standing.describe()}")

    def finish(self) -> None:
        """Write the rest after the end of the output."""
        self._take(self._stream.feed(self._decoder.decode(b"", final=True)))
        self._rest += self._stream.finish()
        self._flush()
        self._say_hidden()

    def _line(self, line: str) -> None:
        # A progress bar overwrites its line; only its last state is shown.
        line = line.rstrip("\r").rpartition("\r")[2]
        if len(line) > _LONGEST_LINE:
            line = f"{line[:_LONGEST_LINE]}..."
        self._show(f"[{self._elapsed:.0f} s] {line}")

    def _show(self, line: str) -> None:
        if self._left > 0:
            self._left -= 1
            self.info(without_breaks(line))
        else:
            self._hidden += 1

    def _flush(self) -> None:
        if self._rest:
            self._line(self._rest)
            self._rest = ""

    def _say_hidden(self) -> None:
        if self._hidden:
            self.info(f"{self._name}: {self._hidden:,} more lines of output are not shown here")
        self._left, self._hidden = LINES_AT_ONCE, 0


def size_text(count: float) -> str:
    """Return a number of bytes in human-readable form."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
