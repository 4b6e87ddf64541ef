"""Keeps what a command writes: the end of it in memory, all of it in the folder."""

from collections import deque
from typing import Final

from .collect import Collected, LeftOut
from .folder import FolderError, OutputFolder, Pending
from .watch import size

OUTPUT_FILE: Final = "output.log"
TAIL_LINES: Final = 50
_TAIL_BYTES: Final = 64 * 1024


class Capture:
    """The output of one command.

    Args:
        folder: where it goes, if it may have to be brought home; else only its end is kept.
        max_bytes: how much of it is brought home.
    """

    def __init__(self, folder: OutputFolder | None, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._last: deque[bytes] = deque()
        self._last_size = 0
        self._lost = ""
        self._pending: Pending | None = folder.begin(OUTPUT_FILE) if folder else None

    def write(self, data: bytes) -> None:
        """Takes further output. A disk that is full costs the file, and not the job."""
        self._last.append(data)
        self._last_size += len(data)
        while self._last_size - len(self._last[0]) >= _TAIL_BYTES:
            self._last_size -= len(self._last.popleft())
        if self._pending is None:
            return
        room = self._max_bytes - self._pending.size
        if len(data) > room:
            self._lost = f"all beyond its first {size(self._max_bytes)} (max_output_mib)"
        try:
            self._pending.write(data[:room])
        except FolderError as error:
            self._lose(error)

    def tail(self) -> str:
        """The last lines."""
        text = b"".join(self._last)[-_TAIL_BYTES:].decode(errors="replace")
        return "\n".join(text.splitlines()[-TAIL_LINES:])

    def keep(self) -> tuple[list[Collected], list[LeftOut]]:
        """Gives the file its name; what was brought home, and what was not."""
        files = []
        if self._pending is not None:
            try:
                kept = self._pending.keep()
                files.append(Collected(kept.path, "log", kept.size, kept.sha256))
            except FolderError as error:
                self._lose(error)
        return files, [LeftOut(OUTPUT_FILE, self._lost)] if self._lost else []

    def drop(self) -> None:
        """Removes the file."""
        if self._pending is not None:
            self._pending.drop()

    def _lose(self, error: FolderError) -> None:
        self._lost = f"it could not be written: {error}"
        self.drop()
        self._pending = None
