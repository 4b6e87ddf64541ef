"""The events that a guest writes while it works: one JSON object a line."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from ..redaction import cut

_LONGEST_LINE: Final = 64 * 1024
_LONGEST_TEXT: Final = 500


@dataclass(frozen=True, slots=True)
class Event:
    """A line of the events file. Its texts are each one line, without what cannot be seen."""

    seq: int | None
    timestamp: str
    kind: str
    message: str

    def said(self) -> str:
        """A line for people."""
        return f"{self.kind}: {self.message}" if self.message else self.kind


class EventReader:
    """Makes events of the bytes of an events file, in whatever pieces they come.

    Lines that are no event are counted in `odd`; an event that came before, by its `seq`, as in a
    file that was written anew, does not come again.
    """

    def __init__(self) -> None:
        self.odd = 0
        self._rest = b""
        self._last = -1

    def feed(self, data: bytes) -> Iterator[Event]:
        """The events that are whole by now."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST_LINE:
            self._rest, lines = b"", [*lines, b"too long"]
        for line in lines:
            if not line.strip():
                continue
            event = _parse(line)
            if event is None:
                self.odd += 1
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
    # Half a character could be written nowhere.
    return cut(value.encode(errors="replace").decode(), _LONGEST_TEXT)
