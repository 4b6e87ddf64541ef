"""Ctrl-C, and what else asks a process to end: once to clean up, twice to end at once."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_TOGETHER: Final = 0.5
"""Seconds in which signals are one: a terminal's Ctrl-C reaches every process of the foreground,
and a parent among them may pass it on to this one as well."""


class Interruption:
    """Whether the process was asked to end.

    Args:
        say: shows a line to the user.

    Attributes:
        code: the exit code where it was; 0 where not.
        left: what a second signal leaves behind, and how it is removed; for the user.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self.code = 0
        self.left = ""
        self._say = say
        self._since = 0.0

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """Handles a signal."""
        now = time.monotonic()
        if not self.code:
            self.code, self._since = 128 + number, now
            self._say(
                "interrupted: cleaning up; a second time ends at once, and leaves things behind"
                if self.left
                else "interrupted"
            )
            raise KeyboardInterrupt
        if now - self._since >= _TOGETHER:
            self._say(f"interrupted again: the clean-up was not finished. {self.left}".rstrip())
            # No exception: whatever runs now might catch it, or have more to clean up.
            os._exit(self.code)


@contextmanager
def interruptible(say: Callable[[str], None]) -> Iterator[Interruption]:
    """Makes each of the signals that ask a process to end a KeyboardInterrupt in the block.

    Those that the process was told to ignore, as by `nohup`, it goes on to ignore.

    Args:
        say: shows a line to the user.
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
