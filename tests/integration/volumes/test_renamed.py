"""A volume that was renamed outside Pulumi is found, and no empty one takes its place."""

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.storage import get_volume, rename_volume
from pulumi_pika.providers.provider_errors import ProviderError

from ...conftest import Sandbox
from ...support.provider_engine import Managed, arguments
from ...support.volume_engine import Kept
from ...support.volumes import (
    POOL,
    holds,
    launch,
    stop,
    there,
    write,
)


@pytest.fixture(autouse=True)
def _host(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INCUS_SOCKET", str(sandbox.socket))


def rename(client: IncusClient, name: str) -> str:
    rename_volume(client, POOL, name, f"{name}-old")
    return f"{name}-old"


def test_it_gets_its_name_back_with_its_data(
    client: IncusClient, name: str, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = Kept({"volume_name": name})
    volume.up()
    box = f"{name}-box"
    launch(sandbox, box, name)
    write(client, box, "kept")
    stop(sandbox, box)
    rename(client, name)

    assert volume.refresh(), "it was read as gone"
    assert f"was renamed to {name}-old outside Pulumi" in capsys.readouterr().err
    assert volume.planned() == "update"
    assert volume.up() == "update"

    assert get_volume(client, POOL, f"{name}-old") is None
    assert volume.planned() == "same"
    assert volume.refresh()
    assert volume.planned() == "same"
    sandbox.daemon.request("PUT", f"/instances/{box}/state", {"action": "start"})
    assert holds(client, box, "kept")


def test_a_running_instance_is_named_that_has_to_stop(
    client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    volume = Kept({"volume_name": name})
    volume.up()
    launch(sandbox, f"{name}-box", name, start=False)
    rename(client, name)
    sandbox.daemon.request("PUT", f"/instances/{name}-box/state", {"action": "start"})
    assert volume.refresh()

    with pytest.raises(
        ProviderError, match=rf"used by instance {name}-box .*: stop the running instances of these"
    ):
        volume.up()
    assert there(client, f"{name}-old")


def test_a_copy_is_not_taken_for_it(client: IncusClient, name: str, sandbox: Sandbox) -> None:
    volume = Kept({"volume_name": name})
    volume.up()
    body = {
        "name": f"{name}-copy",
        "type": "custom",
        "source": {"type": "copy", "name": name, "pool": POOL},
    }
    sandbox.daemon.request("POST", f"/storage-pools/{POOL}/volumes/custom", body)
    assert there(client, f"{name}-copy").owner == there(client, name).owner
    sandbox.daemon.request("DELETE", f"/storage-pools/{POOL}/volumes/custom/{name}")

    assert not volume.refresh()


@pytest.mark.parametrize("delete_data", [True, False])
def test_destroy_means_it_under_its_other_name(
    client: IncusClient, name: str, delete_data: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    volume = Kept({"volume_name": name, "delete_data": delete_data})
    volume.up()
    rename(client, name)

    volume.destroy()

    assert (get_volume(client, POOL, f"{name}-old") is None) is delete_data
    assert f"was renamed to {name}-old" in capsys.readouterr().err


def test_no_empty_one_takes_the_place_of_a_runtimes_own(
    client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    managed = Managed(arguments(name, running=False))
    managed.up()
    rename(client, f"{name}-state")
    managed.refresh()

    with pytest.raises(ProviderError, match=rf"has volume {name}-state-old in its place"):
        managed.up()

    assert get_volume(client, POOL, f"{name}-state") is None
