"""What a preview or an error says of volumes that a change leaves, or that are in the way."""

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.storage import create_volume, get_volume
from pulumi_pika.providers.provider_errors import ProviderError
from pulumi_pika.reconcile.shared.errors import ForeignVolume
from pulumi_pika.reconcile.shared.reporter import Reporter
from pulumi_pika.reconcile.volumes.volume import create_or_adopt_volume

from ...conftest import IMAGE, Sandbox
from ...support.provider_engine import (
    Managed,
    arguments,
    volume_mount,
)
from ...support.reconcile import Recorder, there
from ...support.volumes import options


@pytest.mark.parametrize("delete_data", [True, False])
def test_a_mount_that_is_dropped_leaves_its_volume_and_says_so(
    client: IncusClient, name: str, delete_data: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    managed = Managed(arguments(name, running=False, delete_data=delete_data))
    managed.up()
    capsys.readouterr()
    managed.change(mounts=[volume_mount(f"{name}-next")])

    assert managed.planned() == "update"

    said = capsys.readouterr().err
    assert f"{name} no longer mounts volume {name}-state; all data is kept" in said
    assert ("delete_data does not delete it either" in said) is delete_data
    managed.up()
    managed.destroy()
    assert get_volume(client, "default", f"{name}-state")


def test_adoption_names_the_device_that_is_in_the_way(
    client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    create_volume(client, "default", f"{name}-state", description="", config={})
    disk = {"type": "disk", "pool": "default", "source": f"{name}-state", "path": "/mnt/state"}
    body = {
        "name": name,
        "type": "container",
        "devices": {"data": disk},
        "source": {"type": "image", "alias": IMAGE},
    }
    sandbox.daemon.request("POST", "/instances", body)
    managed = Managed(arguments(name, adopt=True, running=False))

    with pytest.raises(
        ProviderError, match=rf"has the device data .*device remove .* {name} data`"
    ):
        managed.up()

    assert there(client, name).devices == {"data": disk}
    seen = sandbox.daemon.request("GET", f"/instances/{name}")
    sandbox.daemon.request("PUT", f"/instances/{name}", {**seen, "devices": {}})
    managed.up()


def test_a_runtimes_volume_under_a_resources_name_names_the_likely_cause(
    client: IncusClient, name: str
) -> None:
    Managed(arguments(name, running=False)).up()
    reporter: Reporter = Recorder()
    with pytest.raises(ForeignVolume, match=r"source=volume\.volume_name"):
        create_or_adopt_volume(client, options(f"{name}-state"), reporter)
