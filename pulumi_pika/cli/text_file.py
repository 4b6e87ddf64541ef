"""Reads a text that a user names, and no more of it than there can be."""

import sys
from pathlib import Path
from typing import IO, Final

STANDARD_INPUT: Final = "-"


class Unreadable(Exception):
    """It cannot be read, or is no text. The message is for the user, and names the file."""


def shown_name(file: str) -> str:
    """What a file is called in messages."""
    return "standard input" if file == STANDARD_INPUT else file


def read_text(file: str, what: str, largest: int) -> str:
    """The text of a file.

    Args:
        file: its path; `-` for standard input.
        what: what it should hold, for messages.
        largest: how many bytes it may have.

    Raises:
        Unreadable: it cannot be read, is larger, or is no text.
    """
    name = shown_name(file)
    try:
        if file != STANDARD_INPUT:
            with Path(file).open("rb") as opened:
                data = _bounded(opened, name, what, largest)
        elif sys.stdin is None:
            raise Unreadable(f"{name}: it is closed")
        else:
            data = _bounded(sys.stdin.buffer, name, what, largest)
        return data.decode("utf-8-sig")
    except OSError as error:
        raise Unreadable(f"{name}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise Unreadable(f"{name} is no {what}: it is no UTF-8 text (byte {error.start})") from None
    except ValueError as error:
        # A path that no file can have, with a NUL in it.
        raise Unreadable(f"{name!r}: cannot be read: {error}") from None


def _bounded(opened: IO[bytes], name: str, what: str, largest: int) -> bytes:
    data = opened.read(largest + 1)
    if len(data) > largest:
        raise Unreadable(f"{name} is no {what}: it has more than {largest:,} bytes")
    return data
