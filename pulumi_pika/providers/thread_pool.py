"""Lets a provider process work on more than four resources at a time.

Pulumi's dynamic provider process gives gRPC a pool of four threads, whatever `--parallel` says,
though our calls wait for Incus nearly all of their time. For a method whose function has the
attribute `experimental_thread_pool`, gRPC takes that pool instead (grpc/_server.py,
`_select_thread_pool_for_behavior`): we give one to the servicer's methods. No state shows
anything of it, as it would show several providers for one host. How much is done at a time is then
the engine's to say (`--parallel`).
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

VARIABLE: Final = "PULUMI_PIKA_PARALLEL"
"""How many calls a provider process takes at a time; 0 leaves it as Pulumi has it."""
_AT_MOST: Final = 64
_METHODS: Final = ("Check", "Diff", "Create", "Read", "Update", "Delete")


def enlarge_thread_pool(limit: int | None = None) -> bool:
    """Gives the process that this is a wider pool, once; returns whether it has one.

    Elsewhere than in a dynamic provider process of a Pulumi that we know, nothing happens.

    Args:
        limit: how many calls at a time; by default what the environment says.
    """
    wanted = _wanted_size() if limit is None else limit
    servicer: Any = getattr(sys.modules.get("__main__"), "DynamicResourceProviderServicer", None)
    methods = [getattr(servicer, name, None) for name in _METHODS]
    if wanted < 1 or not all(methods):
        return False
    if not hasattr(methods[0], "experimental_thread_pool"):
        # Threads are made as they are needed.
        pool = ThreadPoolExecutor(wanted, thread_name_prefix="pika")
        for method in methods:
            method.experimental_thread_pool = pool  # type: ignore[union-attr]
    return True


def _wanted_size() -> int:
    try:
        return int(os.environ.get(VARIABLE) or _AT_MOST)
    except ValueError:
        return _AT_MOST
