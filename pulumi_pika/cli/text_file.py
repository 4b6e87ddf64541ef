"""Read a text file that the user names, up to a size limit."""

import sys
from pathlib import Path
from typing import IO, Final

STANDARD_INPUT: Final = "-"


class Unreadable(Exception):
    """The file cannot be read, or is not text. The message is for the user, and names the file."""


def shown_name(file: str) -> str:
    """Return the name of a file for messages."""
    return "standard input" if file == STANDARD_INPUT else file


def read_text(file: str, what: str, largest: int) -> str:
    """Return the text of a file.

    Args:
        file: The path of the file; `-` for standard input.
        what: What the file should contain, for messages.
        largest: The size limit in bytes.

    Raises:
        Unreadable: The file cannot be read, is larger, or is not text.
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
        # The path contains a NUL character, which no file name can have.
        raise Unreadable(f"{name!r}: cannot be read: {error}") from None


def _bounded(opened: IO[bytes], name: str, what: str, largest: int) -> bytes:
    data = opened.read(largest + 1)
    if len(data) > largest:
        raise Unreadable(f"{name} is no {what}: it has more than {largest:,} bytes")
    return data
