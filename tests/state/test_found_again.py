"""What was renamed outside Pulumi is found, also if another thing has its name by now."""

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.instances import rename_instance
from pulumi_pika.incus.storage import create_volume, get_volume, rename_volume
from pulumi_pika.providers import runtime_calls
from pulumi_pika.providers.errors import ProviderError
from pulumi_pika.reconcile.power import kill, look

from ..conftest import IMAGE, Sandbox
from ..volumes.engine import Kept
from .engine import Managed, Refused, arguments


def test_an_instance_whose_name_was_taken(client: IncusClient, name: str, sandbox: Sandbox) -> None:
    managed = Managed(arguments(name))
    managed.up()
    uuid = managed["uuid"]
    kill(client, name)
    rename_instance(client, name, f"{name}-old", timeout=30)
    body = {"name": name, "type": "container", "source": {"type": "image", "alias": IMAGE}}
    sandbox.daemon.request("POST", "/instances", body)
    other = look(client, name)
    assert other is not None

    managed.refresh()
    assert managed.outputs is not None, "its own was taken for gone"
    assert managed["uuid"] == uuid
    # `check` finds the name taken; without it, the update finds both instances.
    with pytest.raises(Refused, match=f"an instance {name} exists"):
        managed.up()
    wanted = {**managed.inputs, "identity": arguments(name)["identity"]}
    with pytest.raises(ProviderError, match=f"{name}-old .* is the one of this resource"):
        runtime_calls.update(managed.outputs, wanted)
    managed.destroy()

    assert look(client, f"{name}-old") is None, "its own stays as an orphan"
    left = look(client, name)
    assert left is not None
    assert left.etag == other.etag


def test_a_volume_whose_name_was_taken(client: IncusClient, name: str) -> None:
    volume = Kept({"volume_name": name, "delete_data": True})
    volume.up()
    rename_volume(client, "default", name, f"{name}-old")
    create_volume(client, "default", name, description="theirs", config={})

    assert volume.refresh(), "its own was taken for gone"
    with pytest.raises(ProviderError, match=f"The volume of this resource is {name}-old"):
        volume.up()
    volume.destroy()

    assert get_volume(client, "default", f"{name}-old") is None, "its own stays as an orphan"
    left = get_volume(client, "default", name)
    assert left is not None
    assert left.data["description"] == "theirs"
