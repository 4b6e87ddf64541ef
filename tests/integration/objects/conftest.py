from collections.abc import Iterator

import pytest

from ...conftest import Sandbox
from ...support.objects import sweep_objects
from ..conftest import proxied, proxy, reporter

__all__ = ["proxied", "proxy", "reporter"]


@pytest.fixture(autouse=True)
def _host(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The providers find the test's daemon as a user's would be found."""
    monkeypatch.setenv("INCUS_SOCKET", str(sandbox.socket))


@pytest.fixture(autouse=True)
def _swept(sandbox: Sandbox, name: str) -> Iterator[None]:
    """Removes the objects whose names begin with the test's name, after its instances."""
    yield
    sweep_objects(sandbox.daemon, name)
