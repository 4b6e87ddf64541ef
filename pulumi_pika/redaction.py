"""Takes secret values out of texts, before anything is cut from them.

A text that is cut first may end within a secret, and nothing finds what is left of that secret. So
code that cuts a text of a guest or a server calls `redact` or `cut` of this module, and code that
takes one in pieces uses `Stream`. Which values are secret is known where a call of Pulumi's comes
in, and holds for its thread, within `redacting`. Elsewhere, as in `run_job`, no value is secret.

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
"""What stands for a secret value."""
_LONGEST_HELD: Final = 16 * 1024
"""How much of a stream is kept back at most."""
_PART: Final = 8
"""The beginning of a secret of so many characters, at the end of a stream, is taken out too. A
shorter one may be the end of any word."""


class ValueRedactor:
    """Replaces values in any text.

    Args:
        values: the values; empty ones do not count.
    """

    def __init__(self, values: Iterable[str]) -> None:
        # The longest first, so that no part of one is left over.
        known = sorted({value for value in values if value}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, known))) if known else None
        self._known = known
        self._beginnings: list[str] | None = None

    def __call__(self, text: str) -> str:
        """Return the text with `HIDDEN` for each of the values."""
        return self._pattern.sub(HIDDEN, text) if self._pattern else text

    def feed(self, text: str) -> tuple[str, str]:
        """Return the part of a text whose values are replaced, and the rest, which has to wait for
        what follows: one of the values may begin in it."""
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
        """Return where the text from there to its end is the beginning of a value, and not all of
        it; its length if it is so nowhere."""
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
    """Let the values of a redactor be secret in this thread, within the block."""
    token = _current.set(redactor)
    try:
        yield
    finally:
        _current.reset(token)


def redact(text: str) -> str:
    """Return the text without what is secret in this thread."""
    return _current.get()(text)


def cut(text: str, most: int) -> str:
    """Return a text of others as one line without secrets and unseen characters.

    Args:
        text: the text, whole.
        most: how many characters the line may have; a longer one ends with an ellipsis.
    """
    return one_line(redact(text), most)


def cut_front(text: str, most: int) -> str:
    """Return the end of a text of others, as `cut` returns its beginning."""
    line = one_line(redact(text))
    return line if len(line) <= most else "\N{HORIZONTAL ELLIPSIS}" + line[1 - most :]


class Stream:
    """Takes secrets out of a text that comes in pieces.

    What may be the beginning of a secret is kept back until what follows shows whether it is. The
    secrets are those of the thread that makes this.
    """

    def __init__(self) -> None:
        self._redactor = _current.get()
        self._held = ""

    def feed(self, text: str) -> str:
        """Return what of the text so far was not returned yet, and can be shown."""
        shown, self._held = self._redactor.feed(self._held + text)
        return shown

    def finish(self) -> str:
        """Return the rest, when no more comes."""
        rest, self._held = self._held, ""
        return HIDDEN if len(rest) >= _PART else self._redactor(rest)
