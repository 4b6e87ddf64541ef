"""A `PersistentVolume` as the source of a mount, with the real engine."""

from collections.abc import Iterator

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.storage import get_volume

from ...conftest import IMAGE, Sandbox
from ...support.reconcile import there
from ...support.stack import Stack

PROGRAM = """
from pulumi_pika import IncusRuntime, PersistentVolume

near = PersistentVolume("near", volume_name="{name}-near")
fast = PersistentVolume("fast", volume_name="{name}-fast", storage_pool="{name}")
IncusRuntime(
    "box",
    identity={{"runtime_id": "id", "instance_name": "{name}"}},
    incus={{"project": "default", "profile": "default", "image_alias": "{image}"}},
    mounts=[
        {{"kind": "persistent_volume", "source": near.volume_name, "guest_path": "/near",
          "mode": "read_write"}},
        {{"kind": "persistent_volume", "source": fast, "guest_path": "/fast",
          "mode": "read_write"}},
    ],
    instance_type="container",
    running=False,
)
"""


@pytest.fixture
def pool(name: str, sandbox: Sandbox) -> Iterator[str]:
    sandbox.daemon.request("POST", "/storage-pools", {"name": name, "driver": "dir"})
    yield name
    for path in sandbox.daemon.request("GET", f"/storage-pools/{name}/volumes/custom"):
        sandbox.daemon.request("DELETE", path.removeprefix("/1.0"))
    sandbox.daemon.request("DELETE", f"/storage-pools/{name}")


def test_its_name_and_pool_count(stack: Stack, client: IncusClient, name: str, pool: str) -> None:
    stack.program(PROGRAM.format(name=name, image=IMAGE))

    stack.up()

    mounted = {
        device["path"]: (device["pool"], device["source"])
        for device in there(client, name).devices.values()
        if "source" in device
    }
    assert mounted == {"/near": ("default", f"{name}-near"), "/fast": (pool, f"{name}-fast")}
    assert get_volume(client, "default", f"{name}-fast") is None
    stack.settled()
    stack.destroy()
