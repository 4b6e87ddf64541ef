"""A proxy before the daemon, and stacks of the real engine: the fixtures of `real` and `e2e`."""

from ..e2e.conftest import stack
from ..real.conftest import proxied, proxy, reporter

__all__ = ["proxied", "proxy", "reporter", "stack"]
