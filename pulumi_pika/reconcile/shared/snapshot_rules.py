"""Check the schedules and expiries of snapshots, which volumes and instances have in common."""

import re
from typing import Final

SCHEDULE_ALIASES: Final = frozenset(
    f"@{word}"
    for word in ("hourly", "daily", "midnight", "weekly", "monthly", "annually", "yearly")
)
_EXPIRY: Final = re.compile(r"\d+[SMHdwmy](?:\s+\d+[SMHdwmy])*", re.ASCII)


def is_schedule(text: str) -> bool:
    """Return whether a text has the form of a schedule."""
    # Source: shared/validate IsCron. The server checks the fields themselves.
    return text.isprintable() and all(
        trigger in SCHEDULE_ALIASES or len(trigger.split(" ")) == 5
        for trigger in text.lower().split(", ")
    )


def is_expiry(text: str) -> bool:
    """Return whether a text is a time after which Incus deletes a snapshot, as ``2w``."""
    return _EXPIRY.fullmatch(text) is not None
