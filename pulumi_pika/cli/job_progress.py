"""Show a running job and its result."""

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
"""A line of `Progress`; the next such line replaces it."""
_MOST_FILES: Final = 50
_WORDS: Final = {
    "completed": "completed in",
    "failed": "failed after",
    "timed_out": "timed out after",
    "lost": "result unknown after",
}


class Display:
    """A `jobs.observer.JobObserver` that shows the output and the progress of a job.

    Args:
        screen: Receives the lines.
        name: The name of the job.
        quiet: Whether only output, warnings and errors are shown.
        as_text: Whether output is shown as text among the lines. If False, it is written unchanged
            to standard output.
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
        """Show a line of progress."""
        if self._screen.live and _TICK.fullmatch(message):
            self._status(message)
        elif not self._quiet:
            self._line(without_breaks(message))

    def warn(self, message: str) -> None:
        """Show a warning; the job continues."""
        self._line(without_breaks(f"warning: {message}"), YELLOW)

    def output(self, data: bytes) -> None:
        """Show output, or write it to standard output.

        Raises:
            OutputClosed: The reader of standard output is gone.
            OutputUnwritable: The output could not be written.
        """
        if self._decoder is None:
            self._screen.raw(data)
        else:
            self._screen.text(self._decoder.decode(data).replace("\r\n", "\n"))

    def event(self, event: Event) -> None:
        """Show an event, unless there are too many at a time."""
        if self._quiet:
            return
        if self._left > 0:
            self._left -= 1
            self._line(without_breaks(f"{self._name}: [{self._elapsed:.0f} s] {event.describe()}"))
        else:
            self._hidden += 1

    def alive(self, standing: JobProgress) -> None:
        """Show the progress of the command; without a status line, only from time to time."""
        self._elapsed = standing.elapsed
        self._say_hidden()
        said = f"{self._name}: running, {standing.describe()}"
        if self._screen.live:
            self._status(said)
        elif not self._quiet and time.monotonic() - self._spoke >= EVERY:
            self._line(said)

    def finish(self) -> None:
        """Remove the status line, and show the rest of the output."""
        if self._decoder is not None:
            self._screen.text(self._decoder.decode(b"", final=True))
        self._say_hidden()
        self._screen.status("")

    def verdict(self, outcome: JobOutcome, *, clear: bool, output_dir: str | None) -> None:
        """Show the result.

        Args:
            outcome: The outcome.
            clear: Whether the exit code alone shows the result.
            output_dir: The directory of the collected outputs; None if none are collected.
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
            self._line(f"{self._name}: {self._hidden:,} more events are not shown here")
        self._left, self._hidden = LINES_AT_ONCE, 0

    def _files(self, outcome: JobOutcome, output_dir: str) -> None:
        files, skipped = outcome.collected_files, len(outcome.skipped_outputs)
        total = size_text(sum(file.size for file in files))
        counted = f"{len(files):,} file{'' if len(files) == 1 else 's'}, {total}"
        lines = [
            f"outputs in {Path(output_dir).resolve()}: {counted}"
            + (f"; {skipped:,} skipped (see the warnings)" if skipped else "")
        ]
        shown = files[:_MOST_FILES]
        width = max((len(file.path) for file in shown), default=0)
        lines += [f"  {file.path:<{width}}  {size_text(file.size)}" for file in shown]
        if len(files) > len(shown):
            lines.append(f"  and {len(files) - len(shown):,} more; manifest.json lists all")
        self._line("\n".join(lines))

    def _line(self, text: str, colour: str = "") -> None:
        self._spoke = time.monotonic()
        self._screen.line(text, colour)

    def _status(self, text: str) -> None:
        if not self._quiet:
            self._screen.status(text)
