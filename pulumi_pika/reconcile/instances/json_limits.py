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
        return f"{what} is no JSON ({len(content)} bytes)"
    if not isinstance(found, dict):
        return f"{what} holds no JSON object"
    if not _can_be_kept(found):
        return f"{what} holds what no state can (too deep, or no number or text)"
    return found


def _can_be_kept(value: Any, levels: int = _DEEPEST) -> bool:
    """Return whether a value can be an output.

    Pulumi's wire format carries finite numbers, complete characters and a limited number of levels
    only.
    """
    if isinstance(value, dict):
        return levels > 0 and all(
            _can_be_kept(key) and _can_be_kept(item, levels - 1) for key, item in value.items()
        )
    if isinstance(value, list):
        return levels > 0 and all(_can_be_kept(item, levels - 1) for item in value)
    if isinstance(value, str):
        return not re.search("[\ud800-\udfff]", value)
    if isinstance(value, int | float):
        return abs(value) <= sys.float_info.max
    return True
