"""Read a text file that the user names, up to a size limit."""

import sys
from pathlib import Path
from typing import IO, Final

from ..message_templates import could_not, invalid_value
from .frame import CommandRefused

STANDARD_INPUT: Final = "-"


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
        CommandRefused: The file cannot be read, is larger, or is not text.
    """
    name = shown_name(file)
    try:
        if file != STANDARD_INPUT:
            with Path(file).open("rb") as opened:
                data = _bounded(opened, name, what, largest)
        elif sys.stdin is None:
            raise CommandRefused(could_not(f"read {name}", "it is closed"))
        else:
            data = _bounded(sys.stdin.buffer, name, what, largest)
        return data.decode("utf-8-sig")
    except OSError as error:
        raise CommandRefused(could_not(f"read {name}", error.strerror or str(error))) from None
    except UnicodeDecodeError as error:
        raise CommandRefused(
            invalid_value(name, what, f"it is not UTF-8 text (byte {error.start})")
        ) from None
    except ValueError as error:
        # The path contains a NUL character, which no file name can have.
        raise CommandRefused(could_not(f"read {name!r}", str(error))) from None


def _bounded(opened: IO[bytes], name: str, what: str, largest: int) -> bytes:
    data = opened.read(largest + 1)
    if len(data) > largest:
        raise CommandRefused(invalid_value(name, what, f"it has more than {largest:,} bytes"))
    return data
