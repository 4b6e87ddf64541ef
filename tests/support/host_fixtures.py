from collections.abc import Iterator
from pathlib import Path

import pytest

from ..conftest import Sandbox, one_more_daemon
from .daemons import (
    Certificate,
    Server,
    make_certificate,
    make_cluster,
    serve,
)


@pytest.fixture(scope="session")
def server(sandbox: Sandbox) -> Iterator[Server]:
    """A second daemon, which is reached over https. `sandbox` sees to it that Incus is there."""
    daemon = one_more_daemon("https")
    try:
        yield serve(daemon)
    finally:
        daemon.destroy()


@pytest.fixture(scope="session")
def trusted(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A client certificate that the server trusts with everything."""
    made = make_certificate(tmp_path_factory.mktemp("trusted"), "trusted")
    server.trust(made)
    return made


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    """A client certificate that no server knows."""
    return make_certificate(tmp_path / "certificate")


@pytest.fixture(scope="session")
def cluster(sandbox: Sandbox) -> Iterator[tuple[Server, Server]]:
    """The members `one` and `two` of a cluster; `two` is in the group `second`."""
    daemons = one_more_daemon("one"), one_more_daemon("two")
    try:
        yield make_cluster(*daemons)
    finally:
        for daemon in reversed(daemons):
            daemon.destroy()
