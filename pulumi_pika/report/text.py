"""Texts that somebody else wrote, made fit to be shown."""

import re
from typing import Final

# Commands to a terminal, and what makes text look like another text: the bidirectional controls
# and the characters that nobody sees.
_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)


def one_line(text: str, most: int = 400) -> str:
    """The text as one line that commands no terminal and hides nothing.

    Args:
        text: the text.
        most: how many characters it may have; what is more is cut, and shown to be.
    """
    # Cut before and after: a text may be megabytes long, and all of it white.
    line = _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", " ".join(text[: most * 8].split()))
    short = len(line) <= most and len(text) <= most * 8
    return line if short else line[: most - 1] + "\N{HORIZONTAL ELLIPSIS}"


def listed(names: list[str], most: int = 10) -> str:
    """The names, with commas; how many more there are, where there are many."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
