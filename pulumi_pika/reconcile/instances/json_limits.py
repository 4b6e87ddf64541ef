"""Accept JSON that a guest wrote only if it cannot break the state in which it is stored."""

import json
import re
import sys
from typing import Any, Final

_DEEPEST: Final = 20


def guest_object(content: bytes, what: str) -> dict[str, Any] | str:
    """Return the JSON object in a file of a guest, or a string that says why it is refused.

    Args:
        content: the file's bytes.
        what: the name of the file in messages.
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return f"{what} is not JSON ({len(content)} bytes)"
    if not isinstance(found, dict):
        return f"{what} is not a JSON object"
    if not _can_be_stored(found):
        return (
            f"{what} cannot be stored in Pulumi's state (nested too deeply, or a number or string "
            "is not valid)"
        )
    return found


def _can_be_stored(value: Any, levels: int = _DEEPEST) -> bool:
    """Return whether a value can be an output.

    Pulumi's wire format carries finite numbers, complete characters and a limited number of levels
    only.
    """
    if isinstance(value, dict):
        return levels > 0 and all(
            _can_be_stored(key) and _can_be_stored(item, levels - 1) for key, item in value.items()
        )
    if isinstance(value, list):
        return levels > 0 and all(_can_be_stored(item, levels - 1) for item in value)
    if isinstance(value, str):
        return not re.search("[\ud800-\udfff]", value)
    if isinstance(value, int | float):
        return abs(value) <= sys.float_info.max
    return True
