"""Keep the output of a command: its end in memory, all of it in the folder."""

import codecs
from collections import deque
from typing import Final

from ..redaction import Stream
from ..text_safety import strip_controls
from .observer import size_text
from .output_collection import Collected, SkippedFile
from .output_dir import (
    FolderError,
    OutputFolder,
    Pending,
)

OUTPUT_FILE: Final = "output.log"
TAIL_LINES: Final = 50
_TAIL_CHARS: Final = 64 * 1024


class Capture:
    """The output of one command.

    Args:
        folder: The folder to write the output to, if the output may have to be collected; None
            keeps only the end.
        max_bytes: The most bytes of output that are collected.
    """

    def __init__(self, folder: OutputFolder | None, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        # Secrets are removed before the text is cut to its end, which could begin within a secret.
        self._stream = Stream()
        self._last: deque[str] = deque()
        self._last_size = 0
        self._lost = ""
        self._pending: Pending | None = None
        try:
            self._pending = folder.open_file(OUTPUT_FILE) if folder else None
        except FolderError as error:
            self._lose(error)

    def write(self, data: bytes) -> None:
        """Receive further output. If the disk is full, the file is lost and the job continues."""
        self._add(self._stream.feed(self._decoder.decode(data)))
        if self._pending is None:
            return
        room = self._max_bytes - self._pending.size
        if len(data) > room:
            self._lost = f"everything after the first {size_text(self._max_bytes)} (max_output_mib)"
        try:
            self._pending.write(data[:room])
        except FolderError as error:
            self._lose(error)

    def tail(self) -> str:
        """Return the last lines of the complete output, without secrets and invisible
        characters."""
        self._add(self._stream.feed(self._decoder.decode(b"", final=True)))
        self._add(self._stream.finish())
        text = "".join(self._last)[-_TAIL_CHARS:]
        return strip_controls("\n".join(text.splitlines()[-TAIL_LINES:]))

    def _add(self, text: str) -> None:
        self._last.append(text)
        self._last_size += len(text)
        while self._last_size - len(self._last[0]) >= _TAIL_CHARS:
            self._last_size -= len(self._last.popleft())

    def finish(self) -> tuple[list[Collected], list[SkippedFile]]:
        """Finish the file; return the collected file and the skipped one."""
        files = []
        if self._pending is not None:
            try:
                written = self._pending.finish()
                files.append(Collected(written.path, "log", written.size, written.sha256))
            except FolderError as error:
                self._lose(error)
        return files, [SkippedFile(OUTPUT_FILE, self._lost)] if self._lost else []

    def discard(self) -> None:
        """Delete the file."""
        if self._pending is not None:
            self._pending.discard()

    def _lose(self, error: FolderError) -> None:
        self._lost = f"could not be written: {error}"
        self.discard()
        self._pending = None
