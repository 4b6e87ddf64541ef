"""Resources that write one volume at the same moment lose nothing of each other's."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.providers.provider_errors import ProviderError
from pulumi_pika.reconcile.volumes.volume import change_volume, create_or_adopt_volume

from ...conftest import Sandbox
from ...support.reconcile import Recorder
from ...support.volume_engine import Kept
from ...support.volumes import (
    claim,
    options,
    snapshot,
    snapshots,
    there,
)


@pytest.fixture(autouse=True)
def _host(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INCUS_SOCKET", str(sandbox.socket))


def test_a_volumes_labels_and_its_snapshots_marks(client: IncusClient, name: str) -> None:
    first = create_or_adopt_volume(client, options(name), Recorder())

    def label(at: int) -> None:
        wanted = options(name, labels={"at": str(at)})
        change_volume(client, wanted, options(name), Recorder(), claim=claim(first.created_at))

    for round_ in range(3):
        with ThreadPoolExecutor(6) as pool:
            work = [pool.submit(snapshot, client, name, f"s{round_}{at}") for at in range(5)]
            work.append(pool.submit(label, round_))
        for done in work:
            done.result()
        assert there(client, name).config["user.pika.label.at"] == str(round_)
    assert len(snapshots(client, name)) == 15
    assert not [key for key in there(client, name).config if key.startswith("user.pika.snapshot.")]


def test_restore_from_without_a_volume_says_where_it_may_be(
    client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    with pytest.raises(ProviderError, match="first search for it: `incus storage volume list"):
        Kept({"volume_name": name, "restore_from": "one"}).up()
    Kept({"volume_name": f"{name}-old"}).up()
    with pytest.raises(
        ProviderError, match=f"Volume {name}-old has the ownership label of this resource"
    ):
        Kept({"volume_name": name, "restore_from": "one"}).up()
