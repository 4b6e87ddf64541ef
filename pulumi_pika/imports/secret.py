"""Which values of an instance look like secrets, and what stands in their place."""

import re
from dataclasses import dataclass
from typing import Final

from ..reconcile.options import USER_DATA_KEY

_NAMED: Final = re.compile(r"passw|passphrase|secret|token|key|credential", re.IGNORECASE)
_WITHIN: Final = re.compile(
    r"passw|passphrase|secret|token|api[-_]?key|private[-_ ]?key|credential", re.IGNORECASE
)
_USERS: Final = ("environment.", "user.")
"""Where the keys of instances are of the user's making; Incus's own hold no secrets."""


@dataclass(frozen=True, slots=True)
class Secret:
    """In place of a value that is to come from the stack's secret config.

    Attributes:
        instance: the instance's name.
        key: the instance's config key.
    """

    instance: str
    key: str


def looks_secret(key: str, value: str) -> bool:
    """Whether a config key, or in user-data what it says, looks as if the value were a secret."""
    if key == USER_DATA_KEY:
        return _WITHIN.search(value) is not None
    return key.startswith(_USERS) and _NAMED.search(key.partition(".")[2]) is not None
