"""Write to standard error everything that is not a command's output."""

import os
import select
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from ..errors import PikaError
from ..message_templates import could_not
from ..text_safety import strip_controls

STDOUT: Final = 1
STDERR: Final = 2

RED: Final = "31"
GREEN: Final = "32"
YELLOW: Final = "33"
_DIM: Final = "2"
_ERASE: Final = "\r\x1b[K"


class OutputClosed(Exception):
    """The reader of standard output is gone."""


class OutputUnwritable(PikaError, OSError):
    """Standard output is not writable, for example because a disk is full."""


class Screen:
    """Shows lines and, on a terminal, a status line below them that is redrawn.

    The text may come from a guest, so control sequences are removed.

    Args:
        environ: The environment variables. Default: those of the process.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self.live = os.isatty(STDERR) and environ.get("TERM") != "dumb"
        """Whether a status line is shown."""
        self._colours = self.live and not environ.get("NO_COLOR")
        self._shared = self.live and os.isatty(STDOUT)
        self._encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
        self._status = ""
        self._drawn = False
        self._within_line = False
        """Whether the last output did not end with a newline."""

    def line(self, text: str, colour: str = "") -> None:
        """Show one or more lines.

        Args:
            text: The lines.
            colour: The number of a terminal colour, as `31`; empty for none.
        """
        text = strip_controls(text)
        if colour and self._colours:
            text = f"\x1b[{colour}m{text}\x1b[0m"
        start = self._erased() + ("\n" if self._within_line else "")
        self._within_line = False
        self._write(f"{start}{text}\n{self._redrawn()}")

    def status(self, text: str) -> None:
        """Set the status line; empty for none. Without a terminal, this does nothing."""
        self._status = text if self.live else ""
        self._write(self._erased() + self._redrawn())

    def text(self, text: str) -> None:
        """Show text that arrives in pieces of any size."""
        if text:
            erased = self._erased()
            self._within_line = not text.endswith("\n")
            self._write(erased + strip_controls(text) + self._redrawn())

    def raw(self, data: bytes) -> None:
        """Write bytes to standard output unchanged.

        Raises:
            OutputClosed: The reader of standard output is gone.
            OutputUnwritable: The bytes could not be written.
        """
        if not self._shared:
            _write_all(STDOUT, data)
            return
        self._write(self._erased())
        _write_all(STDOUT, data)
        self._within_line = not data.endswith(b"\n")
        self._write(self._redrawn())

    def _erased(self) -> str:
        """Return the control sequence that erases the status line."""
        erase, self._drawn = _ERASE if self._drawn else "", False
        return erase

    def _redrawn(self) -> str:
        """Return the text that draws the status line again, unless output continues in the same
        line."""
        if not self._status or self._within_line:
            return ""
        self._drawn = True
        text = " ".join(strip_controls(self._status).split())[: _columns() - 1]
        return f"\x1b[{_DIM}m{text}\x1b[0m" if self._colours else text

    def _write(self, text: str) -> None:
        # A failure to show a line must not end the work.
        with suppress(OSError, OutputClosed):
            _write_all(STDERR, text.encode(self._encoding, "backslashreplace"))


def _columns() -> int:
    try:
        return os.get_terminal_size(STDERR).columns or 80
    except OSError:
        return 80


def _write_all(number: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(number, rest) :]
        except BlockingIOError:
            # Another program that has the same terminal or pipe made it non-blocking.
            select.select([], [number], [])
        except BrokenPipeError:
            raise OutputClosed from None
        except OSError as error:
            raise OutputUnwritable(
                could_not(
                    "write to standard output",
                    error.strerror or str(error),
                    advice="Redirect it to a file, or to a program that reads all of it",
                )
            ) from error
