"""Remove secret values from texts, before the texts are cut.

A text that is cut first may end within a secret, and the rest of that secret is no longer
recognized. So code that cuts a text of a guest or a server calls `redact` or `cut` of this module.
Code that receives a text in pieces uses `Stream`. The secret values are known when a call of Pulumi
comes in, and apply to its thread, within `redacting`. Elsewhere, as in `run_job`, no value is
secret.

This module imports nothing of the package but `text_safety`, so that every layer can use it.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from .text_safety import one_line

HIDDEN: Final = "[secret]"
"""The replacement for a secret value."""
_LONGEST_HELD: Final = 16 * 1024
"""How much of a stream is held back at most, in characters."""
_PART: Final = 8
"""The minimum length of a secret's beginning that is removed at the end of a stream.

A shorter beginning may be the end of any word.
"""


class ValueRedactor:
    """Replace values in any text.

    Args:
        values: the values; empty ones are ignored.
    """

    def __init__(self, values: Iterable[str]) -> None:
        # The longest first, so that no part of one is left over.
        known = sorted({value for value in values if value}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, known))) if known else None
        self._known = known
        self._beginnings: list[str] | None = None

    def __call__(self, text: str) -> str:
        """Return the text with `HIDDEN` in place of each value."""
        return self._pattern.sub(HIDDEN, text) if self._pattern else text

    def feed(self, text: str) -> tuple[str, str]:
        """Return the part of a text that is ready, with values replaced, and the rest.

        The rest must wait for the next piece, because one of the values may begin in it.
        """
        if self._pattern is None:
            return text, ""
        done, at, held = [], 0, self._first_begun(text, 0)
        while (found := self._pattern.search(text, at)) and found.start() < held:
            done += [text[at : found.start()], HIDDEN]
            at = found.end()
            if at > held:
                held = self._first_begun(text, at)
        done.append(text[at:held])
        return "".join(done), text[held:]

    def _first_begun(self, text: str, start: int) -> int:
        """Return the first position from which the rest of the text is an incomplete value.

        The result is the length of the text if there is no such position.
        """
        if self._beginnings is None:
            self._beginnings = sorted(value[:_LONGEST_HELD] for value in self._known)
        firsts = {value[0] for value in self._beginnings}
        longest = min(len(self._known[0]), _LONGEST_HELD)
        for at in range(max(start, len(text) - longest + 1), len(text)):
            if text[at] not in firsts:
                continue
            end = text[at:]
            index = bisect_left(self._beginnings, end)
            if self._beginnings[index : index + 1] == [end]:
                index += 1
            if index < len(self._beginnings) and self._beginnings[index].startswith(end):
                return at
        return len(text)


_NOTHING: Final = ValueRedactor(())
_current: ContextVar[ValueRedactor] = ContextVar("pika_redactor", default=_NOTHING)


@contextmanager
def redacting(redactor: ValueRedactor) -> Iterator[None]:
    """Treat the values of a redactor as secret in this thread, within the block."""
    token = _current.set(redactor)
    try:
        yield
    finally:
        _current.reset(token)


def redact(text: str) -> str:
    """Return the text without the secrets of this thread."""
    return _current.get()(text)


def cut(text: str, most: int) -> str:
    """Return an untrusted text as one line without secrets and invisible characters.

    Args:
        text: the whole text.
        most: how many characters the line may have; a longer one ends with an ellipsis.
    """
    return one_line(redact(text), most)


def cut_front(text: str, most: int) -> str:
    """Return the end of an untrusted text, as `cut` returns its beginning."""
    line = one_line(redact(text))
    return line if len(line) <= most else "\N{HORIZONTAL ELLIPSIS}" + line[1 - most :]


class Stream:
    """Remove secrets from a text that comes in pieces.

    The possible beginning of a secret is held back until the next piece decides. The secrets are
    those of the thread that creates this object.
    """

    def __init__(self) -> None:
        self._redactor = _current.get()
        self._held = ""

    def feed(self, text: str) -> str:
        """Return the new part of the text that can be shown."""
        shown, self._held = self._redactor.feed(self._held + text)
        return shown

    def finish(self) -> str:
        """Return the rest at the end of the text."""
        rest, self._held = self._held, ""
        return HIDDEN if len(rest) >= _PART else self._redactor(rest)
