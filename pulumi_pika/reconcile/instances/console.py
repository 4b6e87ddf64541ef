"""What an instance's console shows, as text for people."""

import re
from typing import Final

from ...incus.client import IncusClient
from ...incus.errors import IncusError
from ...incus.instances import console_log
from ...redaction import redact
from ...text_safety import without_breaks

_LONGEST: Final = 160
"""Characters of the last line that a line of progress shows."""
_ESCAPE: Final = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|[()#][0-9A-Za-z]|.)")


def console_lines(client: IncusClient, name: str) -> list[str]:
    """Return the lines of a console that are not empty, without what positions and colours them.

    Raises:
        IncusError: the console cannot be read.
    """
    # Secrets are redacted before lines are split and cut.
    text = redact(_ESCAPE.sub("", console_log(client, name)))
    # A console writes over a line after a carriage return.
    lines = (line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
    return [without_breaks(line).rstrip() for line in lines if line.strip()]


def last_console_words(client: IncusClient, name: str) -> str:
    """Return the last line of a console, as an addition to a line of progress; empty without one.

    A virtual machine boots for minutes before its agent replies, and its console shows that it is
    alive.
    """
    try:
        lines = console_lines(client, name)
    except IncusError:
        return ""
    return f"; console: {lines[-1][-_LONGEST:]}" if lines else ""
