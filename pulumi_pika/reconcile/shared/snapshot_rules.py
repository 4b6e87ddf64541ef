"""Check the schedules and expiries of snapshots, which volumes and instances have in common."""

import re
from typing import Final

_ALIASES: Final = frozenset(
    f"@{word}"
    for word in ("hourly", "daily", "midnight", "weekly", "monthly", "annually", "yearly")
)
_EXPIRY: Final = re.compile(r"\d+[SMHdwmy](?:\s+\d+[SMHdwmy])*", re.ASCII)
SCHEDULE_RULE: Final = f"use five cron fields, as in `0 6 * * *`, or {', '.join(sorted(_ALIASES))}"
"""What a schedule must be, as an instruction."""
EXPIRY_RULE: Final = "use numbers with S, M, H, d, w, m or y, as in `2w` or `1w 12H`"
"""What an expiry must be, as an instruction."""


def is_schedule(text: str) -> bool:
    """Return whether a text has the form of a schedule."""
    # Source: shared/validate IsCron. The server checks the fields themselves.
    return text.isprintable() and all(
        trigger in _ALIASES or len(trigger.split(" ")) == 5 for trigger in text.lower().split(", ")
    )


def is_expiry(text: str) -> bool:
    """Return whether a text is a time after which Incus deletes a snapshot, as ``2w``."""
    return _EXPIRY.fullmatch(text) is not None
