"""A mount whose volume is in another pool than the rest of the runtime."""

from collections.abc import Iterator
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.storage import (
    create_volume,
    get_volume,
    list_volumes,
)
from pulumi_pika.providers.provider_errors import ProviderError
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.reconcile.shared.ownership import OWNER_KEY

from ...conftest import Sandbox
from ...support.provider_engine import (
    Managed,
    Refused,
    arguments,
    volume_mount,
)
from ...support.reconcile import there

FAST = "pika-fast"


@pytest.fixture(scope="module", autouse=True)
def _fast(sandbox: Sandbox) -> Iterator[None]:
    sandbox.daemon.request("POST", "/storage-pools", {"name": FAST, "driver": "dir"})
    yield
    for path in sandbox.daemon.request("GET", f"/storage-pools/{FAST}/volumes/custom"):
        sandbox.daemon.request("DELETE", path.removeprefix("/1.0"))
    sandbox.daemon.request("DELETE", f"/storage-pools/{FAST}")


def put_in_fast(client: IncusClient, volume: str, **config: str) -> None:
    create_volume(client, FAST, volume, description="", config=config)


def mount_device(client: IncusClient, name: str) -> dict[str, str]:
    (device,) = (d for d in there(client, name).devices.values() if d.get("path") == "/mnt/state")
    return device


@pytest.mark.parametrize("given", ["storage_pool", "profile"])
def test_no_empty_volume_is_made_beside_one_in_another_pool(
    client: IncusClient, name: str, given: str
) -> None:
    put_in_fast(client, f"{name}-state")
    managed = Managed(arguments(name))
    if given == "profile":
        del managed.arguments["storage_pool"]

    with pytest.raises(
        Refused,
        match=rf"mounts\[0\].source: custom volume {name}-state does not exist"
        rf" in pool default, but it exists in pool {FAST};.*`\"storage_pool\": \"{FAST}\"",
    ):
        managed.up()

    assert get_volume(client, "default", f"{name}-state") is None
    managed.change(mount_storage_pools=[FAST])
    managed.up()
    assert mount_device(client, name)["pool"] == FAST
    assert get_volume(client, "default", f"{name}-state") is None
    assert managed.refresh() == {}
    assert managed.planned() == "same"
    managed.destroy()


def test_create_and_update_refuse_what_check_could_not_see(client: IncusClient, name: str) -> None:
    put_in_fast(client, f"{name}-state")
    managed = Managed(arguments(name))
    managed.change(mounts=[volume_mount(f"{name}-state")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pulumi_pika.providers.host_checks.requested_preflight", lambda: "off")
        with pytest.raises(ProviderError, match=f"but it exists in pool {FAST}"):
            managed.up()
        assert fetch_instance(client, name) is None

        managed.change(mounts=[])
        managed.up()
        managed.change(mounts=[volume_mount(f"{name}-state")])
        with pytest.raises(ProviderError, match=f"but it exists in pool {FAST}"):
            managed.up()
    assert get_volume(client, "default", f"{name}-state") is None


def test_two_pools_in_one_runtime_and_each_volume_is_deleted_in_its_own(
    client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    mounts = [volume_mount(f"{name}-state"), volume_mount(f"{name}-state", "/mnt/fast")]
    managed = Managed(
        arguments(name, mounts=mounts, mount_storage_pools=["", FAST], delete_data=True)
    )
    managed.up()
    here = {ref for ref in list_volumes(client) if ref[1] == f"{name}-state"}
    assert here == {("default", f"{name}-state"), (FAST, f"{name}-state")}
    assert managed.refresh() == {}
    assert managed.planned() == "same"

    managed.destroy()

    assert not [ref for ref in list_volumes(client) if ref[1] == f"{name}-state"]


def test_another_runtimes_volume_in_another_pool_is_not_in_the_way(
    client: IncusClient, name: str
) -> None:
    put_in_fast(client, f"{name}-state", **{"user.pika.runtime_id": "another"})
    managed = Managed(arguments(name))
    managed.up()
    assert mount_device(client, name)["pool"] == "default"
    managed.destroy()


def test_pools_are_taken_out_of_the_mounts() -> None:
    from pulumi_pika.resources.property_inputs import with_mount_pools

    plain: dict[str, Any] = {"mounts": [volume_mount("a")]}
    assert with_mount_pools(plain) == plain
    given = {"mounts": [volume_mount("a"), volume_mount("b", "/b", storage_pool=FAST)]}
    assert with_mount_pools(given) == {
        "mounts": [volume_mount("a"), volume_mount("b", "/b")],
        "mount_storage_pools": ["", FAST],
    }
    assert given["mounts"][1]["storage_pool"] == FAST


def test_no_empty_volume_is_made_beside_one_of_the_stack_in_another_project(
    client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    body = {"name": name, "config": {"features.images": "false", "features.profiles": "false"}}
    sandbox.daemon.request("POST", "/projects", body)
    owner = "urn:pulumi:test::state::pulumi-python:dynamic/pika:PersistentVolume::data"
    create_volume(
        client.in_project(name),
        "default",
        f"{name}-state",
        description="",
        config={OWNER_KEY: owner},
    )
    try:
        managed = Managed(arguments(name))
        with pytest.raises(Refused, match=f"PersistentVolume data .* has it in project {name}"):
            managed.up()
        assert get_volume(client, "default", f"{name}-state") is None
        managed.change(mount_storage_pools=["default"])
        managed.up()
        managed.destroy()
    finally:
        path = f"/storage-pools/default/volumes/custom/{name}-state?project={name}"
        sandbox.daemon.request("DELETE", path)
        sandbox.daemon.request("DELETE", f"/projects/{name}")
