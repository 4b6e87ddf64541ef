from collections.abc import Iterator
from pathlib import Path

import pytest

from pulumi_pika.providers import clients


@pytest.fixture(autouse=True)
def _no_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No host is asked: only what `check` makes of its inputs counts here."""
    monkeypatch.setenv("INCUS_SOCKET", str(tmp_path / "none"))
    clients.configure({"pika:preflight": "off"})
    yield
    clients.configure({})
