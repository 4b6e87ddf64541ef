"""What a snapshot becomes whose expiry or description is taken out of the program."""

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.reconcile.volumes.snapshot import LiveSnapshot, fetch_snapshot

from ...conftest import Sandbox
from ...support.volume_engine import Kept
from ...support.volumes import POOL


@pytest.fixture(autouse=True)
def _host(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INCUS_SOCKET", str(sandbox.socket))


def live(client: IncusClient, name: str) -> LiveSnapshot:
    found = fetch_snapshot(client, POOL, name, "one")
    assert found is not None
    return found


def test_without_its_expiry_it_is_kept_for_ever(client: IncusClient, name: str) -> None:
    Kept({"volume_name": name}).up()
    soon = {"expires_at": "2030-01-31T00:00:00.123456Z", "description": "before the move"}
    snapshot = Kept({"volume_name": name, "snapshot_name": "one", **soon})
    snapshot.up()
    assert live(client, name).expires_at is not None

    assert snapshot.up(expires_at=None, description=None) == "update"

    assert live(client, name).expires_at is None
    assert live(client, name).description == ""
    assert snapshot.planned() == "same"
    assert snapshot.refresh()
    assert snapshot.planned() == "same"


def test_a_snapshot_that_never_had_one_keeps_the_volumes(client: IncusClient, name: str) -> None:
    Kept({"volume_name": name, "snapshots_expiry": "2w"}).up()
    snapshot = Kept({"volume_name": name, "snapshot_name": "one"})
    snapshot.up()
    assert snapshot.up(description="mine") == "update"
    assert live(client, name).expires_at is not None
