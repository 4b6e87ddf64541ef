"""Let a provider process work on more than four resources at a time.

Pulumi's dynamic provider process gives gRPC a pool of four threads, regardless of `--parallel`. But
calls of this package wait for Incus nearly all of their time. If the function of a method has the
attribute `experimental_thread_pool`, gRPC uses that pool instead (grpc/_server.py,
`_select_thread_pool_for_behavior`). This module sets it for the methods of the servicer. Unlike
several providers for one host, this does not show in the state. The engine then decides how many
calls run at a time (`--parallel`).
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

VARIABLE: Final = "PULUMI_PIKA_PARALLEL"
"""The environment variable for the number of parallel calls of a provider process; 0 keeps Pulumi's
pool."""
_AT_MOST: Final = 64
_METHODS: Final = ("Check", "Diff", "Create", "Read", "Update", "Delete")


def enlarge_thread_pool(limit: int | None = None) -> bool:
    """Give this process a larger pool, once; return whether it has one.

    Outside of a dynamic provider process of a supported Pulumi, this does nothing.

    Args:
        limit: The number of parallel calls. Default: the value of the environment variable.
    """
    wanted = _wanted_size() if limit is None else limit
    servicer: Any = getattr(sys.modules.get("__main__"), "DynamicResourceProviderServicer", None)
    methods = [getattr(servicer, name, None) for name in _METHODS]
    if wanted < 1 or not all(methods):
        return False
    if not hasattr(methods[0], "experimental_thread_pool"):
        # Threads are created on demand.
        pool = ThreadPoolExecutor(wanted, thread_name_prefix="pika")
        for method in methods:
            method.experimental_thread_pool = pool  # type: ignore[union-attr]
    return True


def _wanted_size() -> int:
    try:
        return int(os.environ.get(VARIABLE) or _AT_MOST)
    except ValueError:
        return _AT_MOST
