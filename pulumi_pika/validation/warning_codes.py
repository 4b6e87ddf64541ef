"""The codes of warnings that programs read, `python -m pulumi_pika report` among them.

A preview hands a warning on as a line of text. The code at its end says what the line is about:
texts are for people and may be reworded, codes stay. A program can write a line with a code too; a
code therefore only ever adds to what a report finds in the resources themselves.
"""

import re
from typing import Final

REPLACE: Final = "replace"
"""The resource is replaced."""
STOP_KEEPING_DATA: Final = "stop-keeping-data"
"""A volume that was kept so far goes with a later delete or replacement."""
RESTORE: Final = "restore"
"""A volume goes back to a snapshot of it."""
RESTART: Final = "restart"
"""An instance may restart, or is stopped for a while."""
HOST: Final = "host"
"""The host lacks something, or could not be asked."""
UNREADABLE: Final = "unreadable"
"""Stands for a code of which a part is not visible. Any code may have stood there."""

CODES: Final = frozenset({REPLACE, STOP_KEEPING_DATA, RESTORE, RESTART, HOST})

_CODES: Final = re.compile(r"(?: \[pika:([a-z-]+)\])+\s*\Z")
_CODE: Final = re.compile(r"\[pika:([a-z-]+)\]")
_COVERED: Final = re.compile(r"\[[^\[\]\n]*\[secret\][^\[\]\n]*\]\s*\Z")
"""A code with a mark in it: Pulumi takes the values of secrets out of a line wherever they are."""


class Coded(str):
    """A text for people with codes for programs. The codes are no part of the text, so that nothing
    that is taken out of the text, such as a secret, is taken out of them."""

    codes: tuple[str, ...] = ()


def coded(text: str, *codes: str) -> Coded:
    """Return a text with codes.

    Args:
        text: the text.
        codes: what it is about; of `CODES`.
    """
    made = Coded(text)
    made.codes = codes
    return made


def ending(text: str) -> str:
    """Return what a line of a text ends with for programs; empty for a text without codes."""
    return "".join(f" [pika:{code}]" for code in getattr(text, "codes", ()))


def split_codes(line: str) -> tuple[str, frozenset[str]]:
    """Return the text of a line and its codes.

    Args:
        line: a line of a preview's log.
    """
    found = _CODES.search(line)
    if found is not None:
        return line[: found.start()], frozenset(_CODE.findall(found[0])) & CODES
    if _COVERED.search(line) is not None:
        return line, frozenset({UNREADABLE})
    return line, frozenset()
