import pytest

from ..conftest import Sandbox


@pytest.fixture(autouse=True)
def _host(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The providers find the test's daemon as a user's would be found."""
    monkeypatch.setenv("INCUS_SOCKET", str(sandbox.socket))
