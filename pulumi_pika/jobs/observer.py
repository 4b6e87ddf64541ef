"""Who looks on while a job runs, and the one that tells it in lines."""

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
"""Lines of output and events that are shown for each look at a job; a log is no place for all of a
flood."""
_LONGEST_LINE: Final = 2000


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How far a job is.

    Attributes:
        elapsed: seconds since its command began.
        limit: seconds that it may take.
        silent: seconds since its last output or event.
        output: bytes of output so far.
        away: seconds for which the host has not answered; 0 while it does.
    """

    elapsed: float
    limit: float
    silent: float
    output: int
    away: float = 0.0

    def said(self) -> str:
        """A phrase for people."""
        text = f"{self.elapsed:.0f} of {self.limit:g} s, {size_text(self.output)} of output"
        if self.away >= 1:
            return f"{text}; the host has not answered for {self.away:.0f} s"
        if self.silent >= FIRST_AFTER:
            text += f"; silent for {self.silent:.0f} s"
        return text


class JobObserver(Reporter, Protocol):
    """Takes what a job says, while it runs."""

    def output(self, data: bytes) -> None:
        """Further bytes of the command's output."""

    def event(self, event: Event) -> None:
        """A new event of the guest's."""

    def alive(self, standing: JobProgress) -> None:
        """Called about every second."""


class LineObserver:
    """Tells all of it in lines, to a `Reporter`, without secrets of the thread that makes it.

    Args:
        reporter: takes the lines.
        name: the job, for lines that are not its own output.
    """

    def __init__(self, reporter: Reporter, name: str) -> None:
        self._reporter = reporter
        self._name = name
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        # Before there are lines, which may end within a secret, or be cut there.
        self._stream = Stream()
        self._rest = ""
        self._left = LINES_AT_ONCE
        self._hidden = 0
        self._elapsed = 0.0
        self._spoke = time.monotonic()

    def info(self, message: str) -> None:
        """A line of progress."""
        self._spoke = time.monotonic()
        self._reporter.info(message)

    def warn(self, message: str) -> None:
        """Something that the user should know of, though the work goes on."""
        self._spoke = time.monotonic()
        self._reporter.warn(message)

    def output(self, data: bytes) -> None:
        """Shows whole lines, as many as are read at a time."""
        self._take(self._stream.feed(self._decoder.decode(data)))

    def _take(self, text: str) -> None:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._line(line)
        # A line without an end is shown in pieces, and not kept for ever.
        if len(self._rest) > _LONGEST_LINE:
            self._line(self._rest)
            self._rest = ""

    def event(self, event: Event) -> None:
        """Shows an event, which counts among the lines of output."""
        self._flush()
        self._show(f"{self._name}: [{self._elapsed:.0f} s] {event.said()}")

    def alive(self, standing: JobProgress) -> None:
        """Shows that the job lives, where nothing else did for a while."""
        self._elapsed = standing.elapsed
        self._say_hidden()
        if time.monotonic() - self._spoke >= (FIRST_AFTER if standing.elapsed < EVERY else EVERY):
            self._flush()
            self.info(f"{self._name}: {standing.said()}")

    def finish(self) -> None:
        """Shows what is left when no more comes."""
        self._take(self._stream.feed(self._decoder.decode(b"", final=True)))
        self._rest += self._stream.finish()
        self._flush()
        self._say_hidden()

    def _line(self, line: str) -> None:
        # A progress bar draws over itself; what it drew last is what counts.
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
            self.info(f"{self._name}: {self._hidden:,} lines of output more are not shown here")
        self._left, self._hidden = LINES_AT_ONCE, 0


def size_text(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
