"""The volumes that a runtime makes for itself: kept, found again, told apart, deleted if asked."""

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.instances import exec_status
from pulumi_pika.incus.storage import get_volume
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.reconcile.shared.ownership import OWNER_KEY, RUNTIME_ID_KEY

from ...conftest import OTHER_IMAGE, Sandbox
from ...support.provider_engine import (
    Managed,
    Refused,
    arguments,
    volume_mount,
)


def write(client: IncusClient, name: str) -> None:
    assert exec_status(client, name, ["sh", "-c", "echo kept > /mnt/state/f"], timeout=30) == 0


def holds_data(client: IncusClient, name: str) -> bool:
    return exec_status(client, name, ["grep", "-q", "kept", "/mnt/state/f"], timeout=30) == 0


def test_data_outlives_replacement_and_destroy(client: IncusClient, name: str) -> None:
    managed = Managed(arguments(name))
    managed.up()
    write(client, name)
    managed.change(incus={**managed.arguments["incus"], "image_alias": OTHER_IMAGE})
    assert managed.up() == "replace"
    assert holds_data(client, name)

    managed.destroy()
    assert fetch_instance(client, name) is None
    assert Managed(arguments(name)).up() == "create"
    assert holds_data(client, name)


def test_delete_volumes_says_so_and_does_so(client: IncusClient, name: str) -> None:
    kept = Managed(arguments(f"{name}-k"))
    assert kept.checked()["on_delete"] == (
        f"deletes the instance and its root disk; keeps volume {name}-k-state"
    )
    managed = Managed(arguments(name, delete_data=True))
    assert "AND volume" in managed.checked()["on_delete"]
    assert "WITH ALL DATA" in managed.checked()["on_delete"]
    managed.up()
    managed.destroy()
    assert get_volume(client, "default", f"{name}-state") is None


def test_delete_volumes_spares_what_is_not_its_own(
    client: IncusClient, name: str, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    body = {"name": f"{name}-users", "type": "custom", "content_type": "filesystem"}
    sandbox.daemon.request("POST", "/storage-pools/default/volumes/custom", body)
    mounts = [volume_mount(f"{name}-users", "/users"), volume_mount(f"{name}-shared", "/shared")]
    managed = Managed(arguments(name, mounts=mounts, delete_data=True))
    managed.up()
    reader = volume_mount(f"{name}-shared", "/r", mode="read_only")
    other = Managed(arguments(f"{name}-2", mounts=[reader]))
    other.up()

    managed.destroy()

    assert get_volume(client, "default", f"{name}-users")
    assert get_volume(client, "default", f"{name}-shared")
    said = capsys.readouterr().err
    assert "was not created for this runtime" in said
    assert f"it is used by {name}-2" in said


def test_another_runtimes_data_is_never_taken_silently(client: IncusClient, name: str) -> None:
    first = Managed(arguments(name))
    first.up()
    write(client, name)
    first.destroy()
    thief = Managed(arguments(f"{name}-2", mounts=[volume_mount(f"{name}-state")]))
    with pytest.raises(Refused, match=rf"has the data of runtime id-{name} of urn"):
        thief.up()
    assert fetch_instance(client, f"{name}-2") is None

    thief.change(adopt=True)
    thief.up()

    assert holds_data(client, f"{name}-2")
    volume = get_volume(client, "default", f"{name}-state")
    assert volume is not None
    assert volume.data["config"][RUNTIME_ID_KEY] == f"id-{name}-2"
    assert volume.data["config"][OWNER_KEY] == thief.arguments["owner"]


def test_volume_follows_a_resource_that_got_another_urn(client: IncusClient, name: str) -> None:
    managed = Managed(arguments(name))
    managed.up()
    managed.change(owner="urn:renamed")
    assert managed.up() == "update"
    volume = get_volume(client, "default", f"{name}-state")
    assert volume is not None
    assert volume.data["config"][OWNER_KEY] == "urn:renamed"
