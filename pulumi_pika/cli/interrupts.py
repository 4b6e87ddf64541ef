"""Handle Ctrl-C and other termination signals: the first cleans up, the second exits
immediately."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TOGETHER: Final = 0.5
"""Seconds within which several signals count as one. A terminal sends Ctrl-C to all foreground
processes, and a parent process may forward it to this one too."""


class Interruption:
    """The state of termination: whether a signal asked the process to end.

    Args:
        say: Shows a line to the user.

    Attributes:
        code: The exit code after a signal; 0 without one.
        left: What a second signal leaves behind, and how to delete it; for the user.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.code = 0
        self.left = ""
        self._say = say
        self._since = 0.0

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal: the first raises a KeyboardInterrupt, a second ends the process
        immediately.

        Args:
            number: The number of the signal.
        """
        now = time.monotonic()
        if not self.code:
            self.code, self._since = 128 + number, now
            self._say(
                "interrupted: cleaning up; a second interruption exits immediately, without cleanup"
                if self.left
                else "interrupted"
            )
            raise KeyboardInterrupt
        if now - self._since >= _TOGETHER:
            self._say(f"interrupted again: the cleanup was not finished. {self.left}".rstrip())
            # Not by an exception: the running code might catch it, or have more to clean up.
            os._exit(self.code)


@contextmanager
def interruptible(say: Callable[[str], None]) -> Iterator[Interruption]:
    """Turn each termination signal into a KeyboardInterrupt in the block.

    Signals that the process ignores, as with `nohup`, are still ignored.

    Args:
        say: Shows a line to the user.
    """
    interruption = Interruption(say)
    before = {
        number: signal.signal(number, interruption.handle)
        for number in _SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield interruption
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
