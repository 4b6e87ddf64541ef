from collections.abc import Callable, Iterator

import pytest

from ...conftest import Sandbox


@pytest.fixture(autouse=True)
def _host(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The providers find the test's daemon as a user's would be found."""
    monkeypatch.setenv("INCUS_SOCKET", str(sandbox.socket))


@pytest.fixture
def make_alias(name: str, sandbox: Sandbox) -> Iterator[Callable[[], None]]:
    """Makes an alias of the test's name for the sandbox's image; it is removed after the test."""
    body = {"name": name, "target": sandbox.image}
    yield lambda: sandbox.daemon.request("POST", "/images/aliases", body)
    sandbox.daemon.request("DELETE", f"/images/aliases/{name}")
