"""Taking over what is there: an instance that the user names, or one of an earlier, cut-off try."""

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.providers import host_checks
from pulumi_pika.providers.provider_errors import ProviderError
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.reconcile.shared.ownership import (
    GENERATION_KEY,
    OWNER_KEY,
    RUNTIME_ID_KEY,
)

from ...conftest import (
    IMAGE,
    OTHER_IMAGE,
    Sandbox,
)
from ...support.provider_engine import (
    Managed,
    Refused,
    arguments,
)


def make(sandbox: Sandbox, name: str, image: str = IMAGE, **more: object) -> None:
    body = {
        "name": name,
        "type": "container",
        "source": {"type": "image", "alias": image},
        **more,
    }
    sandbox.daemon.request("POST", "/instances", body)


def etag(client: IncusClient, name: str) -> str:
    """What tells whether anything of an instance was changed."""
    live = fetch_instance(client, name)
    assert live is not None
    return live.etag


def test_not_without_being_asked(client: IncusClient, name: str, sandbox: Sandbox) -> None:
    make(sandbox, name)
    before = etag(client, name)
    with pytest.raises(Refused, match=r"owner: none\); it was not changed.*adopt"):
        Managed(arguments(name)).up()
    assert etag(client, name) == before


def test_brought_to_the_plan_in_place(client: IncusClient, name: str, sandbox: Sandbox) -> None:
    make(sandbox, name, start=True, config={"user.theirs": "1", "limits.memory": "64MiB"})
    before = fetch_instance(client, name)
    assert before is not None
    managed = Managed(arguments(name, adopt=True, resources={"memory_mib": 80}))

    assert managed.up() == "create"

    live = fetch_instance(client, name)
    assert live is not None
    assert live.uuid == before.uuid
    assert live.config["limits.memory"] == "80MiB"
    assert live.config["user.theirs"] == "1"
    assert live.devices == managed["devices"]
    assert managed.refresh() == {}
    assert managed.planned() == "same"


def test_devices_under_the_plans_names_are_said_to_go(
    client: IncusClient, name: str, sandbox: Sandbox, capfd: pytest.CaptureFixture[str]
) -> None:
    theirs = {"type": "disk", "source": "/tmp", "path": "/mnt/theirs"}
    make(sandbox, name, devices={"pk-cache-00000000": theirs, "other": {**theirs, "path": "/o"}})

    Managed(arguments(name, adopt=True)).up()

    assert "removing the devices pk-cache-00000000, because no mount of the program" in "".join(
        capfd.readouterr()
    )
    live = fetch_instance(client, name)
    assert live is not None
    assert "pk-cache-00000000" not in live.devices
    assert "other" in live.devices


def test_a_description_stays(client: IncusClient, name: str, sandbox: Sandbox) -> None:
    make(sandbox, name, description="made by hand")

    managed = Managed(arguments(name, adopt=True))
    managed.up()

    live = fetch_instance(client, name)
    assert live is not None
    assert live.description == "made by hand"
    assert managed.planned() == "same"


def test_what_cannot_be_changed_in_place_is_listed(
    client: IncusClient, name: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of what is wrong here a look at the host before tells a part already.
    monkeypatch.setattr(host_checks, "requested_preflight", lambda: "off")
    make(sandbox, name, OTHER_IMAGE)
    before = etag(client, name)
    given = arguments(name, adopt=True, instance_type="virtual-machine", storage_pool="elsewhere")
    given["resources"] = {"root_disk_gib": 1}
    with pytest.raises(ProviderError) as caught:
        Managed(given).up()
    said = str(caught.value)
    assert "instance_type: it is container, not virtual-machine" in said
    assert f"it was created from image {sandbox.other_image[:12]}" in said
    assert "storage_pool: its root disk is in default, not elsewhere" in said
    assert etag(client, name) == before


def test_another_resources_instance_is_not_taken(
    client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    first = Managed(arguments(name))
    first.up()
    before = fetch_instance(client, name)
    assert before is not None
    second = Managed(arguments(name, owner="urn:other", adopt=True))
    with pytest.raises(Refused, match=rf"config unset .*{OWNER_KEY}"):
        second.up()
    assert etag(client, name) == before.etag

    # As the message says: with the mark unset it is free to be taken.
    body = {"description": before.description, "config": {OWNER_KEY: ""}}
    sandbox.daemon.request("PATCH", f"/instances/{name}", body)
    second.up()
    live = fetch_instance(client, name)
    assert live is not None
    assert live.config[OWNER_KEY] == "urn:other"
    assert live.uuid == before.uuid


def test_lost_create_is_finished(client: IncusClient, name: str) -> None:
    first = Managed(arguments(name))
    first.up()
    made = fetch_instance(client, name)
    # As after a kill: the instance is there, and no state tells of it.
    again = Managed(arguments(name))

    assert again.up() == "create"

    live = fetch_instance(client, name)
    assert live is not None
    assert made is not None
    assert live.uuid == made.uuid
    assert again.refresh() == {}


def test_lost_create_of_a_changed_program(client: IncusClient, name: str, sandbox: Sandbox) -> None:
    Managed(arguments(name)).up()
    sandbox.daemon.request("PUT", f"/instances/{name}/state", {"action": "stop", "force": True})
    again = Managed(arguments(name, resources={"memory_mib": 64}))
    again.up()
    live = fetch_instance(client, name)
    assert live is not None
    assert live.running
    assert live.config["limits.memory"] == "64MiB"


def test_create_that_still_goes_on_is_waited_for(
    client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    given = arguments(name)
    marks = {
        OWNER_KEY: given["owner"],
        RUNTIME_ID_KEY: given["identity"]["runtime_id"],
        GENERATION_KEY: "x",
    }
    body = {
        "name": name,
        "type": "container",
        "config": marks,
        "start": True,
        "source": {"type": "image", "alias": IMAGE},
    }
    client.send_change("POST", "/1.0/instances", body)
    managed = Managed(given)
    managed.up()
    assert managed["status"] == "Running"
    assert managed.refresh() == {}


def test_same_marks_of_another_runtime_are_refused(client: IncusClient, name: str) -> None:
    Managed(arguments(name)).up()
    other = arguments(name)
    other["identity"]["runtime_id"] = "another"
    with pytest.raises(Refused, match="exists in project default"):
        Managed(other).up()
