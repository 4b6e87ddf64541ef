"""Shorten untrusted texts to the lengths of a report."""

from .. import text_safety
from ..text_safety import strip_controls, visible

__all__ = ["listed", "one_line", "strip_controls", "visible"]


def one_line(text: str, most: int | None = 400) -> str:
    """Return the text as one line without control sequences and invisible characters.

    Args:
        text: The text.
        most: The most characters. A longer text is cut, with a note. None cuts nothing.
    """
    return text_safety.one_line(text, most)


def listed(names: list[str], most: int = 10) -> str:
    """Return the names, separated by commas, and the number of omitted names.

    Args:
        names: The names.
        most: The most names that are listed. Default: 10.
    """
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
