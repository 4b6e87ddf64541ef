"""Provide one lock per custom volume, so that two resources of one `up` do not write it at once.

Incus compares ETags and writes in two steps. If two clients write at the same moment, one change is
lost although both sent the ETag that they had read.
"""

import threading
from collections import defaultdict
from typing import Final

_locks: Final[defaultdict[tuple[str, str], threading.RLock]] = defaultdict(threading.RLock)
_guard: Final = threading.Lock()


def volume_lock(pool: str, name: str) -> threading.RLock:
    """Return the lock to hold while a volume is read and then changed.

    Args:
        pool: the volume's pool.
        name: the volume's name; volumes of one name in different projects share the lock.
    """
    with _guard:
        return _locks[pool, name]
