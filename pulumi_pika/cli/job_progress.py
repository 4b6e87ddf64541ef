"""Shows a job while it runs, and what came of it."""

import codecs
import re
import time
from pathlib import Path
from typing import Final

from ..jobs.guest_events import Event
from ..jobs.job_run import JobOutcome
from ..jobs.observer import (
    LINES_AT_ONCE,
    JobProgress,
    size_text,
)
from ..reconcile.shared.reporter import EVERY
from ..text_safety import without_breaks
from .console import (
    GREEN,
    RED,
    YELLOW,
    Screen,
)

_TICK: Final = re.compile(r".+: \d+ s(, .*)?", re.DOTALL)
"""A line of `Progress`, which the next one replaces."""
_MOST_FILES: Final = 50
_WORDS: Final = {
    "completed": "completed in",
    "failed": "failed after",
    "timed_out": "ran out of time after",
    "lost": "is lost after",
}


class Display:
    """A `jobs.observer.Watcher` that shows what a job says.

    Args:
        screen: takes the lines.
        name: the job.
        quiet: whether only output, warnings and errors are shown.
        as_text: whether output is shown as text among the lines; otherwise it goes, as it is, to
            standard output.
    """

    def __init__(self, screen: Screen, name: str, *, quiet: bool, as_text: bool) -> None:
        self._screen = screen
        self._name = name
        self._quiet = quiet
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace") if as_text else None
        self._left = LINES_AT_ONCE
        self._hidden = 0
        self._elapsed = 0.0
        self._spoke = time.monotonic()
        self._status(f"{name}: starting")

    def info(self, message: str) -> None:
        """A line of progress."""
        if self._screen.live and _TICK.fullmatch(message):
            self._status(message)
        elif not self._quiet:
            self._line(without_breaks(message))

    def warn(self, message: str) -> None:
        """Something that the user should know of, though the work goes on."""
        self._line(without_breaks(f"warning: {message}"), YELLOW)

    def output(self, data: bytes) -> None:
        """Shows output, or passes it on.

        Raises:
            OutputClosed: nobody reads it any more.
            OutputUnwritable: it cannot be written.
        """
        if self._decoder is None:
            self._screen.raw(data)
        else:
            self._screen.text(self._decoder.decode(data).replace("\r\n", "\n"))

    def event(self, event: Event) -> None:
        """Shows an event, as long as there are not too many at a time."""
        if self._quiet:
            return
        if self._left > 0:
            self._left -= 1
            self._line(without_breaks(f"{self._name}: [{self._elapsed:.0f} s] {event.said()}"))
        else:
            self._hidden += 1

    def alive(self, standing: JobProgress) -> None:
        """Shows how far the command is; where there is no status line, now and then."""
        self._elapsed = standing.elapsed
        self._say_hidden()
        said = f"{self._name}: running, {standing.said()}"
        if self._screen.live:
            self._status(said)
        elif not self._quiet and time.monotonic() - self._spoke >= EVERY:
            self._line(said)

    def finish(self) -> None:
        """Takes the status line away, and shows what is left of the output."""
        if self._decoder is not None:
            self._screen.text(self._decoder.decode(b"", final=True))
        self._say_hidden()
        self._screen.status("")

    def verdict(self, outcome: JobOutcome, *, clear: bool, output_dir: str | None) -> None:
        """Shows what came of it.

        Args:
            outcome: the outcome.
            clear: whether the exit code says as much.
            output_dir: where outputs were put.
        """
        if self._quiet and clear:
            return
        said = f"{self._name}: {_WORDS[outcome.status]} {outcome.duration_secs:.1f} s"
        if outcome.attempts > 1:
            said += f", in attempt {outcome.attempts}"
        if outcome.completed:
            self._line(said, GREEN)
        else:
            self._line(without_breaks(f"{said}: {outcome.message}"), RED)
        if not self._quiet and output_dir is not None:
            self._files(outcome, output_dir)

    def _say_hidden(self) -> None:
        if self._hidden:
            self._line(f"{self._name}: {self._hidden:,} events more are not shown here")
        self._left, self._hidden = LINES_AT_ONCE, 0

    def _files(self, outcome: JobOutcome, output_dir: str) -> None:
        files, left_out = outcome.collected_files, len(outcome.skipped_outputs)
        total = size_text(sum(file.size for file in files))
        counted = f"{len(files):,} file{'' if len(files) == 1 else 's'}, {total}"
        lines = [
            f"outputs in {Path(output_dir).resolve()}: {counted}"
            + (f"; {left_out:,} left out (see the warnings)" if left_out else "")
        ]
        shown = files[:_MOST_FILES]
        width = max((len(file.path) for file in shown), default=0)
        lines += [f"  {file.path:<{width}}  {size_text(file.size)}" for file in shown]
        if len(files) > len(shown):
            lines.append(f"  and {len(files) - len(shown):,} more; manifest.json there has all")
        self._line("\n".join(lines))

    def _line(self, text: str, colour: str = "") -> None:
        self._spoke = time.monotonic()
        self._screen.line(text, colour)

    def _status(self, text: str) -> None:
        if not self._quiet:
            self._screen.status(text)
