from collections.abc import Iterator
from pathlib import Path

import pytest

from pulumi_pika.providers import host_connection


@pytest.fixture(autouse=True)
def _no_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No host is asked: only what `check` makes of its inputs counts here."""
    monkeypatch.setenv("INCUS_SOCKET", str(tmp_path / "none"))
    host_connection.configure({"pika:preflight": "off"})
    yield
    host_connection.configure({})
