"""Write values as Python, in the layout of formatters, whatever characters they have."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from unicodedata import east_asian_width

from ..text_safety import escape, is_visible

WIDTH: Final = 88
"""The columns of a line, as in Black and Ruff by default."""
_INDENT: Final = "    "


@dataclass(frozen=True, slots=True)
class Call:
    """Describe a call with one argument.

    Attributes:
        function: the function, as it is to be written.
        argument: the argument: a string, or, for a keyword argument, a name as it is to be written.
        keyword: the argument's name; empty for none.
    """

    function: str
    argument: str
    keyword: str = ""

    @property
    def inner(self) -> str:
        """Return the text between the parentheses."""
        return f"{self.keyword}={self.argument}" if self.keyword else quoted(self.argument)


def quoted(text: str) -> str:
    """Return a string as a Python literal in one line; invisible characters are escaped."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    return quote + "".join(_escaped(character, quote) for character in text) + quote


def argument(name: str, value: Any) -> str:
    """Return a keyword argument of a call, in indented lines with a comma at the end."""
    return f"{_INDENT}{name}={_laid_out(value, 1, f'{name}=')},"


def _escaped(character: str, quote: str) -> str:
    if character in (quote, "\\"):
        return "\\" + character
    return character if is_visible(character) else escape(character)


def _width(text: str) -> int:
    """Return the columns that a string takes."""
    return len(text) + sum(east_asian_width(character) in "WF" for character in text)


def _in_line(value: Any) -> str:
    if isinstance(value, Call):
        return f"{value.function}({value.inner})"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Mapping):
        pairs = (f"{_in_line(key)}: {_in_line(item)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(_in_line, value)) + "]"
    return repr(value)


def _laid_out(value: Any, depth: int, before: str) -> str:
    """Return a value in one line if it fits, else in several lines.

    Args:
        value: the value.
        depth: how far its line is indented.
        before: the text before it in the line.
    """
    line = _in_line(value)
    # A comma follows.
    if len(_INDENT) * depth + _width(before + line) + 1 <= WIDTH:
        return line
    inner, outer = _INDENT * (depth + 1), _INDENT * depth
    if isinstance(value, Call):
        return f"{value.function}(\n{inner}{value.inner}\n{outer})"
    if isinstance(value, str):
        parts = re.findall(r"[^\n]*\n|[^\n]+", value)
        # A formatter would join what fits between the parentheses.
        if len(parts) < 2 or len(inner) + _width(line) <= WIDTH:
            return line
        return "(\n" + "".join(f"{inner}{quoted(part)}\n" for part in parts) + f"{outer})"
    if isinstance(value, Mapping) and value:
        rows = [
            f"{inner}{_in_line(key)}: {_laid_out(item, depth + 1, f'{_in_line(key)}: ')},\n"
            for key, item in value.items()
        ]
        return "{\n" + "".join(rows) + outer + "}"
    if isinstance(value, Sequence) and value:
        rows = [f"{inner}{_laid_out(item, depth + 1, '')},\n" for item in value]
        return "[\n" + "".join(rows) + outer + "]"
    return line
