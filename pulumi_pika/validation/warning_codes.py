"""Define the codes of warnings, which programs such as `python -m pulumi_pika report` read.

A preview passes a warning on as a line of text. The code at its end says what the line is about:
texts are for people and may be reworded, codes stay. A user's program can write a line with a code
too. So a code can only add to what a report finds in the resources themselves.
"""

import re
from typing import Final

REPLACE: Final = "replace"
"""The resource is replaced."""
STOP_KEEPING_DATA: Final = "stop-keeping-data"
"""A volume that was retained so far is deleted with a later delete or replacement."""
RESTORE: Final = "restore"
"""A volume is restored from one of its snapshots."""
RESTART: Final = "restart"
"""An instance may restart, or is stopped for a while."""
HOST: Final = "host"
"""Something is missing on the host, or the host could not be asked."""
UNREADABLE: Final = "unreadable"
"""The placeholder for a partly hidden code. Any code may have been there."""

CODES: Final = frozenset({REPLACE, STOP_KEEPING_DATA, RESTORE, RESTART, HOST})

_CODES: Final = re.compile(r"(?: \[pika:([a-z-]+)\])+\s*\Z")
_CODE: Final = re.compile(r"\[pika:([a-z-]+)\]")
_COVERED: Final = re.compile(r"\[[^\[\]\n]*\[secret\][^\[\]\n]*\]\s*\Z")
"""A code with a redacted part: Pulumi removes the values of secrets anywhere in a line."""


class Coded(str):
    """Hold a text for people, with codes for programs.

    The codes are not part of the text. So the removal of a secret from the text cannot damage them.
    """

    codes: tuple[str, ...] = ()


def coded(text: str, *codes: str) -> Coded:
    """Return a text with codes.

    Args:
        text: the text.
        codes: what the text is about; from `CODES`.
    """
    made = Coded(text)
    made.codes = codes
    return made


def ending(text: str) -> str:
    """Return the codes' form at the end of a line of a text; empty for a text without codes."""
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
