"""A proxy before the daemon, and clients through it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pulumi_pika.incus.client import IncusClient

from ..conftest import Sandbox
from ..support.proxy import Proxy
from ..support.reconcile import Recorder


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
