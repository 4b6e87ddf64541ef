"""A proxy before the daemon, and stacks of the real engine: the fixtures of `real` and `e2e`."""

from ...system.conftest import stack
from ..conftest import (
    proxied,
    proxy,
    reporter,
)

__all__ = ["proxied", "proxy", "reporter", "stack"]
