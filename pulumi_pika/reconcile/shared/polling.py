"""Wait until a change whose reply was lost becomes visible at the server."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

APPEARS_WITHIN: Final = 3.0
"""How long a change may take to become visible after its reply was lost, in seconds."""
_PAUSE: Final = 0.2

T = TypeVar("T")


def poll_until(
    check: Callable[[], T | None], *, may_continue: Callable[[], bool] = lambda: False
) -> T | None:
    """Call `check` until its result is true, for at most `APPEARS_WITHIN` seconds.

    Args:
        check: returns the object, or something false as long as it is not visible.
        may_continue: called when the time is up; if it returns True, the wait continues. Default:
            the wait ends.

    Returns:
        The first true result; None if there is none in time.
    """
    deadline = time.monotonic() + APPEARS_WITHIN
    while not (found := check()):
        if time.monotonic() > deadline and not may_continue():
            return None
        time.sleep(_PAUSE)
    return found
