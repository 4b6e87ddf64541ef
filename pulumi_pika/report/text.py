"""Texts that somebody else wrote, in the lengths of a report."""

from .. import text_safety
from ..text_safety import strip_controls, visible

__all__ = ["listed", "one_line", "strip_controls", "visible"]


def one_line(text: str, most: int | None = 400) -> str:
    """The text as one line that commands no terminal and hides nothing.

    Args:
        text: the text.
        most: how many characters it may have; what is more is cut, and shown to be. None cuts
            nothing.
    """
    return text_safety.one_line(text, most)


def listed(names: list[str], most: int = 10) -> str:
    """The names, with commas; how many more there are, where there are many."""
    shown = ", ".join(names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
