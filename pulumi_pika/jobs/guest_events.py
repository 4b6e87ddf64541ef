"""Read the events that a guest writes while it works: one JSON object per line."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from ..redaction import cut

_LONGEST_LINE: Final = 64 * 1024
_LONGEST_TEXT: Final = 500


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the events file. Each of its strings is one line without invisible characters."""

    seq: int | None
    timestamp: str
    kind: str
    message: str

    def describe(self) -> str:
        """Return the event as a human-readable line."""
        return f"{self.kind}: {self.message}" if self.message else self.kind


class EventReader:
    """Parses the bytes of an events file, which may arrive in pieces of any size.

    Lines that are not valid events are counted. An event whose `seq` was seen before is dropped, as
    in a file that the guest has rewritten.
    """

    def __init__(self) -> None:
        self.invalid_lines = 0
        self._rest = b""
        self._last = -1

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield the events that are complete after this piece."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            self._rest, lines = b"", [*lines, b"too long"]
        for line in lines:
            if not line.strip():
                continue
            event = _parse(line)
            if event is None:
                self.invalid_lines += 1
            elif event.seq is None or event.seq > self._last:
                self._last = self._last if event.seq is None else event.seq
                yield event


def _parse(line: bytes) -> Event | None:
    if len(line) > _LONGEST_LINE:
        return None
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("kind"), str):
        return None
    seq = found.get("seq")
    return Event(
        seq=seq if isinstance(seq, int) and not isinstance(seq, bool) else None,
        timestamp=_text(found.get("timestamp")),
        kind=_text(found["kind"]),
        message=_text(found.get("message")),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        return ""
    # A lone surrogate cannot be encoded.
    return cut(value.encode(errors="replace").decode(), _LONGEST_TEXT)
