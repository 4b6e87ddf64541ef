"""A proxy before the daemon, and stacks of the real engine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pulumi_pika.incus.client import IncusClient

from ..conftest import Sandbox
from ..e2e.stack import Stack, make_stack
from ..real.proxy import Proxy
from .helpers import Recorder


@pytest.fixture
def proxy(sandbox: Sandbox, tmp_path: Path) -> Iterator[Proxy]:
    """Before the sandbox's daemon; what goes through is recorded, and goes wrong by rule."""
    with Proxy(sandbox.socket, tmp_path / "proxy.socket") as proxy:
        yield proxy


@pytest.fixture
def proxied(proxy: Proxy) -> IncusClient:
    return IncusClient(proxy.socket)


@pytest.fixture
def reporter() -> Recorder:
    return Recorder()


@pytest.fixture
def stack(tmp_path: Path, sandbox: Sandbox, name: str) -> Stack:
    """A stack of this test; `name` sweeps what it may leave at the daemon."""
    return make_stack(tmp_path / "stack", sandbox.socket)
