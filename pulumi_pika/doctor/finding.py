"""Define what an examination finds."""

from dataclasses import dataclass
from typing import Final, Literal

from ..text_safety import one_line

Level = Literal["ok", "note", "warning", "error"]
"""How much a finding matters. `error`: a program fails. `warning`: some programs fail, or something
fails soon. `note`: a limit that is probably intended. `ok`: nothing is missing."""

Subject = Literal["machine", "host"]
"""What a finding is about: this machine, which runs Pulumi, or the host."""

_LONGEST: Final = 600
"""How many characters a text has; the text of a server may be longer."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Hold the result of one check.

    Attributes:
        code: the name of the check; it never changes.
        subject: what was checked.
        level: how much it matters.
        text: what was found, as one line.
        advice: what to do; empty if there is nothing to do.
    """

    code: str
    subject: Subject
    level: Level
    text: str
    advice: str = ""

    def safe(self) -> "Finding":
        """Return the finding with texts that are safe to show on a terminal.

        Parts of them may come from the server.
        """
        return Finding(
            self.code,
            self.subject,
            self.level,
            one_line(self.text, _LONGEST),
            one_line(self.advice, _LONGEST),
        )
