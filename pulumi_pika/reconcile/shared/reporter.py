"""Report progress and warnings. The layer above decides where the lines go."""

import time
from collections.abc import Mapping
from typing import Any, Final, Protocol

from ...redaction import cut

FIRST_AFTER: Final = 2.0
EVERY: Final = 5.0
_LONG: Final = 60.0
_EVERY_WHEN_LONG: Final = 15.0
"""The interval after `_LONG` seconds, in seconds.

Some virtual machines boot for minutes, and a line every 5 s would hide all other lines.
"""


class Reporter(Protocol):
    """Receive lines for the user."""

    def info(self, message: str) -> None:
        """Report a line of progress."""

    def warn(self, message: str) -> None:
        """Report something that the user should know although the work goes on."""


class Progress:
    """Report how long work has been running.

    The first line comes after 2 s, the next ones every 5 s, and every 15 s after the first minute.
    """

    def __init__(self, reporter: Reporter, what: str) -> None:
        self._reporter = reporter
        self._what = what
        self._start = time.monotonic()
        self._next = FIRST_AFTER

    @property
    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self._start

    @property
    def is_due(self) -> bool:
        """Return whether `tick` would report now; a caller can save the request for a detail."""
        return self.elapsed >= self._next

    def tick(self, detail: str = "") -> None:
        """Report the progress if the next report is due."""
        elapsed = self.elapsed
        if elapsed >= self._next:
            self._next = elapsed + (EVERY if elapsed < _LONG else _EVERY_WHEN_LONG)
            self._reporter.info(f"{self._what}: {elapsed:.0f} s{f', {detail}' if detail else ''}")

    def operation(self, _elapsed: float, metadata: Mapping[str, Any]) -> None:
        """Report, as `tick` does, with the progress that an Incus operation reports."""
        values = [str(v) for k, v in metadata.items() if k.endswith("_progress")]
        self.tick(cut(", ".join(values), 200))
