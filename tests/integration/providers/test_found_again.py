"""What was renamed outside Pulumi is found, also if another thing has its name by now."""

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.instances import rename_instance, set_power
from pulumi_pika.incus.storage import (
    create_volume,
    get_volume,
    rename_volume,
)
from pulumi_pika.providers.provider_errors import ProviderError
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance, kill_instance

from ...conftest import IMAGE, Sandbox
from ...support.provider_calls import runtime_calls
from ...support.provider_engine import (
    Managed,
    Refused,
    arguments,
    wire,
)
from ...support.volume_engine import Kept


def test_an_instance_whose_name_was_taken(client: IncusClient, name: str, sandbox: Sandbox) -> None:
    managed = Managed(arguments(name))
    managed.up()
    uuid = managed["uuid"]
    kill_instance(client, name)
    rename_instance(client, name, f"{name}-old", timeout=30)
    body = {"name": name, "type": "container", "source": {"type": "image", "alias": IMAGE}}
    sandbox.daemon.request("POST", "/instances", body)
    other = fetch_instance(client, name)
    assert other is not None

    managed.refresh()
    assert managed.outputs is not None, "its own was taken for gone"
    assert managed["uuid"] == uuid
    # `check` finds the name taken; without it, the update finds both instances.
    with pytest.raises(Refused, match=f"instance {name} already exists"):
        managed.up()
    wanted = {**managed.inputs, "identity": arguments(name)["identity"]}
    with pytest.raises(ProviderError, match=f"{name}-old .* belongs to this resource"):
        runtime_calls.update(managed.outputs, wanted)
    managed.destroy()

    assert fetch_instance(client, f"{name}-old") is None, "its own stays as an orphan"
    left = fetch_instance(client, name)
    assert left is not None
    assert left.etag == other.etag


@pytest.mark.parametrize(
    ("arguments_", "runs", "expected"),
    [
        ({}, True, "{name}-old will be stopped for a moment to rename it back to {name}"),
        ({"running": None}, False, "{name}-old will be renamed back to {name}"),
        (
            {"allow_restart": False},
            True,
            "allow_restart is off, so the update fails while it runs. To stop it, run `incus stop "
            "--project default {name}-old`",
        ),
        ({"running": False}, True, "it is not started again, since `running` is False"),
    ],
)
def test_what_a_preview_says_of_a_rename(
    client: IncusClient,
    name: str,
    arguments_: dict[str, object],
    runs: bool,
    expected: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    managed = Managed(arguments(name, mounts=[], **arguments_))
    managed.up()
    kill_instance(client, name)
    rename_instance(client, name, f"{name}-old", timeout=30)
    if runs:
        set_power(client, f"{name}-old", "start", timeout=30)
    managed.refresh()
    capfd.readouterr()
    assert managed.planned() == "update"
    said = "".join(capfd.readouterr())
    assert expected.format(name=name) in said
    assert ("will be stopped" in said) == runs
    managed.destroy()


def test_what_a_refresh_says_of_a_rename_whose_name_was_taken(
    client: IncusClient, name: str, sandbox: Sandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    managed = Managed(arguments(name, mounts=[]))
    managed.up()
    kill_instance(client, name)
    rename_instance(client, name, f"{name}-old", timeout=30)
    body = {"name": name, "type": "container", "source": {"type": "image", "alias": IMAGE}}
    sandbox.daemon.request("POST", "/instances", body)
    wanted = dict(managed.inputs)
    managed.refresh()
    assert managed.outputs is not None
    capfd.readouterr()
    # The engine's refresh asks for a diff without a check before it.
    runtime_calls.diff(managed.outputs, wanted)
    said = "".join(capfd.readouterr())
    assert (
        f"{name}-old cannot be renamed back to {name}, since another instance has that name" in said
    )
    assert "will be stopped" not in said
    managed.destroy()


def test_a_volume_whose_name_was_taken(client: IncusClient, name: str) -> None:
    volume = Kept({"volume_name": name, "delete_data": True})
    volume.up()
    rename_volume(client, "default", name, f"{name}-old")
    create_volume(client, "default", name, description="theirs", config={})

    assert volume.refresh(), "its own was taken for gone"
    with pytest.raises(
        ProviderError, match=f"The volume of this resource was renamed to {name}-old"
    ):
        volume.up()
    volume.destroy()

    assert get_volume(client, "default", f"{name}-old") is None, "its own stays as an orphan"
    left = get_volume(client, "default", name)
    assert left is not None
    assert left.data["description"] == "theirs"


def test_an_instance_restored_from_before_the_last_take_over(
    client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    managed = Managed(arguments(name, mounts=[]))
    managed.up()
    before = dict(managed.outputs or {})
    request = sandbox.daemon.request
    request("POST", f"/instances/{name}/snapshots", {"name": "old"})
    # As a forced replacement with the default order of Pulumi's: the create takes it over.
    created = runtime_calls.create(managed.checked(anew=True))
    managed.outputs = wire(created.outs)
    taken_over = managed["generation"]
    assert taken_over != before["generation"]
    kill_instance(client, name)
    request("PUT", f"/instances/{name}", {"restore": "old"})
    restored = fetch_instance(client, name)
    assert restored is not None
    assert restored.generation == before["generation"]

    managed.refresh()
    assert managed.outputs is not None, "its own was forgotten"
    assert managed["generation"] == taken_over
    assert managed.up() == "update"
    written = fetch_instance(client, name)
    assert written is not None
    assert written.generation == taken_over

    # What the state of before the take-over says does not delete the successor.
    runtime_calls.delete(before)
    assert fetch_instance(client, name) is not None
    managed.destroy()
    assert fetch_instance(client, name) is None, "an orphan stays"


def test_a_copy_that_has_the_name(
    client: IncusClient, name: str, sandbox: Sandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    managed = Managed(arguments(name, mounts=[]))
    managed.up()
    kill_instance(client, name)
    request = sandbox.daemon.request
    source = {"type": "copy", "source": name}
    request("POST", "/instances", {"name": f"{name}-copy", "source": source})
    request("DELETE", f"/instances/{name}")
    rename_instance(client, f"{name}-copy", name, timeout=30)
    copied = fetch_instance(client, name)
    assert copied is not None

    managed.change(labels={"a": "b"})
    with pytest.raises(
        ProviderError,
        match="is not the one that this resource created: another instance has its name",
    ):
        managed.up()
    before = dict(managed.outputs or {})
    capfd.readouterr()
    managed.refresh()
    said = "".join(capfd.readouterr())
    unset = f"incus config unset --project default {name} user.pika.owner"
    assert "The next `pulumi up` treats it" in said
    assert unset in said
    runtime_calls.delete(before)
    left = fetch_instance(client, name)
    assert left is not None
    assert left.config == copied.config

    # As the message says.
    request("PATCH", f"/instances/{name}", {"config": {"user.pika.owner": ""}})
    with pytest.raises(
        (Refused, ProviderError), match=f"instance {name} already exists"
    ) as refused:
        managed.up()
    assert "had been deleted" not in str(refused.value), "it was left alone"
