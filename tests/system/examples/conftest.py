"""A second daemon, which is reached over https, beside that of all tests; stacks of the engine."""

from collections.abc import Iterator

import pytest

from ...conftest import (
    Sandbox,
    one_more_daemon,
    sweep,
)
from ...support.daemons import Server, serve
from ..conftest import stack

__all__ = ["stack"]


@pytest.fixture(scope="module")
def server(sandbox: Sandbox) -> Iterator[Server]:
    """A second daemon. `sandbox` sees to it that Incus is there."""
    daemon = one_more_daemon("example")
    try:
        yield serve(daemon)
    finally:
        daemon.destroy()


@pytest.fixture
def far(server: Server, name: str) -> Iterator[Server]:
    """The same, without what the test may leave there."""
    yield server
    sweep(server.daemon, name)
