"""What somebody changes outside is seen by a refresh and put right by the next up."""

from collections.abc import Callable
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.planner.device_names import device_name
from pulumi_pika.providers import host_connection
from pulumi_pika.providers.provider_errors import ProviderError
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.reconcile.preflight import HostFacts

from ...conftest import OTHER_IMAGE, Sandbox
from ...support.provider_engine import (
    Managed,
    arguments,
    volume_mount,
)


def patch(sandbox: Sandbox, name: str, **body: Any) -> None:
    live = sandbox.daemon.request("GET", f"/instances/{name}")
    sandbox.daemon.request(
        "PATCH", f"/instances/{name}", {"description": live["description"], **body}
    )


def put(sandbox: Sandbox, name: str, **body: Any) -> None:
    live = sandbox.daemon.request("GET", f"/instances/{name}")
    sandbox.daemon.request("PUT", f"/instances/{name}", {**live, **body})


def stop(sandbox: Sandbox, name: str) -> None:
    body = {"action": "stop", "force": True}
    sandbox.daemon.request("PUT", f"/instances/{name}/state", body)


def healed(managed: Managed, drifted: set[str], step: str = "update") -> None:
    """A refresh shows drift in these inputs, the next up does this, and then all is well."""
    assert set(managed.refresh()) == drifted
    assert managed.up() == step
    assert managed.refresh() == {}
    assert managed.planned() == "same"


def test_limit_changed(client: IncusClient, name: str, sandbox: Sandbox) -> None:
    managed = Managed(arguments(name, resources={"memory_mib": 64, "vcpu_count": 1}))
    managed.up()
    patch(sandbox, name, config={"limits.memory": "32MiB", "limits.cpu": "0-0"})

    drift = managed.refresh()
    assert drift["resources"][1] == {"memory_mib": 32.0, "vcpu_count": "0-0"}
    assert drift["plan"][1]["resources"] == drift["resources"][1]
    assert managed.up() == "update"
    live = fetch_instance(client, name)
    assert live is not None
    assert (live.config["limits.memory"], live.config["limits.cpu"]) == ("64MiB", "1")


def test_limit_removed(name: str, sandbox: Sandbox) -> None:
    managed = Managed(arguments(name, resources={"memory_mib": 64}))
    managed.up()
    patch(sandbox, name, config={"limits.memory": ""})
    healed(managed, {"plan", "resources"})


def test_limit_that_the_plan_does_not_name_is_anothers(
    client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    managed = Managed(arguments(name, resources={"vcpu_count": 1}))
    managed.up()
    patch(sandbox, name, config={"limits.memory": "64MiB"})
    assert managed.refresh() == {}
    managed.change(description="touched")
    assert managed.up() == "update"
    live = fetch_instance(client, name)
    assert live is not None
    assert live.config["limits.memory"] == "64MiB"


def test_device_removed_repointed_and_added_under_our_prefix(
    client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    mounts = [volume_mount(f"{name}-a", "/a"), volume_mount(f"{name}-b", "/b")]
    managed = Managed(arguments(name, mounts=mounts))
    managed.up()
    live = fetch_instance(client, name)
    assert live is not None
    first, second = (device_name("persistent_volume", f"{name}-{x}", f"/{x}") for x in "ab")
    devices = {
        second: {**live.devices[second], "source": f"{name}-a"},
        "pk-other-00000000": {**live.devices[first], "path": "/c"},
    }
    put(sandbox, name, devices=devices)

    drift = managed.refresh()
    seen = {mount["device_name"]: mount for mount in drift["plan"][1]["mounts"]}
    assert set(seen) == {second, "pk-other-00000000"}
    assert seen[second]["source"] == f"{name}-a"
    assert managed.up() == "update"
    healed_live = fetch_instance(client, name)
    assert healed_live is not None
    assert healed_live.devices == live.devices
    assert managed.refresh() == {}


def test_device_option_that_no_mount_shows(name: str, sandbox: Sandbox) -> None:
    managed = Managed(arguments(name))
    managed.up()
    device = device_name("persistent_volume", f"{name}-state", "/mnt/state")
    patch(sandbox, name, devices={device: {**managed["devices"][device], "required": "false"}})
    healed(managed, {"devices"})


def test_others_devices_profiles_and_config_stay(
    client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    sandbox.daemon.request("POST", "/profiles", {"name": f"{name}-theirs"})
    managed = Managed(arguments(name, config={"user.ours": "1"}))
    managed.up()
    theirs = {"type": "disk", "source": f"{name}-state", "pool": "default", "path": "/theirs"}
    put(
        sandbox,
        name,
        profiles=[f"{name}-theirs", "default"],
        devices={**managed["devices"], "theirs": theirs},
    )
    patch(sandbox, name, config={"user.theirs": "1"})

    assert managed.refresh() == {}
    managed.change(config={"user.ours": "2"}, resources={"memory_mib": 64})
    assert managed.up() == "update"

    live = fetch_instance(client, name)
    assert live is not None
    assert live.devices["theirs"] == theirs
    assert live.profiles == [f"{name}-theirs", "default"]
    assert live.config["user.theirs"] == "1"
    assert live.config["user.ours"] == "2"
    managed.destroy()
    sandbox.daemon.request("DELETE", f"/profiles/{name}-theirs")


def test_profile_swapped(name: str, sandbox: Sandbox) -> None:
    root = {"root": {"type": "disk", "path": "/", "pool": "default"}}
    sandbox.daemon.request("POST", "/profiles", {"name": f"{name}-p", "devices": root})
    managed = Managed(arguments(name))
    managed.up()
    put(sandbox, name, profiles=["default", f"{name}-p"])
    healed(managed, {"plan", "incus", "extra_profiles"})
    managed.destroy()
    sandbox.daemon.request("DELETE", f"/profiles/{name}-p")


@pytest.mark.parametrize(
    ("key", "drifted"),
    [
        ("user.ours", {"config"}),
        ("user.pika.label.role", {"plan", "labels"}),
        ("user.pika.runtime_id", {"plan", "identity"}),
        ("user.pika.lifecycle_root", {"plan", "lifecycle_root"}),
        ("user.pika.plan_digest", set()),
        ("user.pika.owner", {"owner"}),
        ("boot.autorestart", {"plan", "policies"}),
    ],
)
def test_keys_of_ours_edited(name: str, sandbox: Sandbox, key: str, drifted: set[str]) -> None:
    managed = Managed(arguments(name, config={"user.ours": "1"}, labels={"role": "x"}))
    managed.up()
    patch(sandbox, name, config={key: "true"})
    healed(managed, drifted)


def test_description_edited(name: str, sandbox: Sandbox) -> None:
    managed = Managed(arguments(name, description="ours"))
    managed.up()
    patch(sandbox, name, description="theirs")
    healed(managed, {"description"})


def test_a_description_that_the_program_does_not_give_is_others(
    client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    managed = Managed(arguments(name, description="ours"))
    managed.up()
    managed.change(description=None)
    assert managed.up() == "update"
    assert _description(client, name) == ""

    patch(sandbox, name, description="theirs")
    assert managed.refresh() == {}
    assert managed.planned() == "same"
    managed.change(labels={"a": "1"})
    managed.up()
    assert _description(client, name) == "theirs"
    managed.change(description="")
    managed.up()
    assert _description(client, name) == ""


def _description(client: IncusClient, name: str) -> str:
    live = fetch_instance(client, name)
    assert live is not None
    return live.description


def test_stopped(client: IncusClient, name: str, sandbox: Sandbox) -> None:
    managed = Managed(arguments(name))
    managed.up()
    stop(sandbox, name)
    healed(managed, {"running"})
    live = fetch_instance(client, name)
    assert live is not None
    assert live.running


def test_frozen_goes_on(client: IncusClient, name: str, sandbox: Sandbox) -> None:
    managed = Managed(arguments(name))
    managed.up()
    sandbox.daemon.request("PUT", f"/instances/{name}/state", {"action": "freeze"})
    healed(managed, {"running"})


def test_power_state_that_is_left_to_others(name: str, sandbox: Sandbox) -> None:
    given = arguments(name)
    del given["running"]
    managed = Managed(given)
    managed.up()
    assert managed["status"] == "Stopped"
    sandbox.daemon.request("PUT", f"/instances/{name}/state", {"action": "start"})
    assert managed.refresh() == {}
    assert managed.planned() == "same"


def test_ready_is_running(name: str, sandbox: Sandbox) -> None:
    managed = Managed(arguments(name))
    managed.up()
    patch(sandbox, name, config={"volatile.last_state.ready": "true"})
    assert managed.refresh() == {}
    assert managed["status"] == "Ready"
    assert managed.planned() == "same"


def test_gone(client: IncusClient, name: str, sandbox: Sandbox) -> None:
    managed = Managed(arguments(name))
    managed.up()
    stop(sandbox, name)
    sandbox.daemon.request("DELETE", f"/instances/{name}")
    assert "id" in managed.refresh()
    assert managed.up() == "create"


def test_gone_and_another_in_its_place(client: IncusClient, name: str, sandbox: Sandbox) -> None:
    managed = Managed(arguments(name))
    managed.up()
    state = managed.outputs
    stop(sandbox, name)
    sandbox.daemon.request("DELETE", f"/instances/{name}")
    sandbox.daemon.request("POST", "/instances", {"name": name, "source": {"type": "none"}})
    managed.destroy()
    assert fetch_instance(client, name) is not None, "another's instance was removed"
    managed.outputs = state
    assert "id" in managed.refresh()


def test_renamed_gets_its_name_back(client: IncusClient, name: str, sandbox: Sandbox) -> None:
    managed = Managed(arguments(name))
    managed.up()
    uuid = managed["uuid"]
    stop(sandbox, name)
    sandbox.daemon.request("POST", f"/instances/{name}", {"name": f"{name}-moved"})
    sandbox.daemon.request("PUT", f"/instances/{name}-moved/state", {"action": "start"})
    healed(managed, {"plan", "identity", "instance_name"})
    live = fetch_instance(client, name)
    assert live is not None
    assert live.running
    assert live.uuid == uuid


def test_renamed_is_removed_all_the_same(client: IncusClient, name: str, sandbox: Sandbox) -> None:
    managed = Managed(arguments(name))
    managed.up()
    stop(sandbox, name)
    sandbox.daemon.request("POST", f"/instances/{name}", {"name": f"{name}-moved"})
    managed.destroy()
    assert fetch_instance(client, f"{name}-moved") is None


def test_image_replaced(client: IncusClient, name: str, sandbox: Sandbox) -> None:
    managed = Managed(arguments(name))
    managed.up()
    stop(sandbox, name)
    source = {"source": {"type": "image", "alias": OTHER_IMAGE}}
    sandbox.daemon.request("POST", f"/instances/{name}/rebuild", source)
    sandbox.daemon.request("PUT", f"/instances/{name}/state", {"action": "start"})

    drift = managed.refresh()
    assert drift["incus"][1]["image_alias"] == sandbox.other_image
    assert managed.refresh() == {}, "seen once, seen for good"
    assert managed.up() == "replace"
    assert managed["image_fingerprint"] == sandbox.image
    assert managed.refresh() == {}


def test_alias_moved_is_no_change(
    name: str, sandbox: Sandbox, make_alias: Callable[[], None]
) -> None:
    make_alias()
    given = arguments(name)
    given["incus"]["image_alias"] = name
    managed = Managed(given)
    managed.up()
    sandbox.daemon.request("PUT", f"/images/aliases/{name}", {"target": sandbox.other_image})
    # As in the next command, which has another process.
    host_connection.current_host().facts = HostFacts(host_connection.current_host().client)
    assert managed.refresh() == {}
    assert managed.planned() == "same"
    assert managed["image_fingerprint"] == sandbox.image
    assert managed["current_alias_fingerprint"] == sandbox.other_image


def test_stopped_and_changed_is_changed_first(
    client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    managed = Managed(arguments(name))
    managed.up()
    stop(sandbox, name)
    managed.refresh()
    managed.change(cloud_init_user_data="#!/bin/sh\nenv > /tmp/ran\n", resources={"memory_mib": 80})
    assert managed.up() == "update"
    live = fetch_instance(client, name)
    assert live is not None
    assert live.running
    assert live.config["limits.memory"] == "80MiB"


def test_another_server_is_not_taken_for_a_loss(client: IncusClient, name: str) -> None:
    managed = Managed(arguments(name))
    managed.up()
    assert managed.outputs is not None
    # As where the program names another host now, at which there is no such instance.
    elsewhere = {"server_fingerprint": "f" * 64, "uuid": "none"}
    managed.outputs = {**managed.outputs, **elsewhere}
    managed.outputs["identity"] = {"runtime_id": "r", "instance_name": f"{name}-away"}
    managed.inputs = {**managed.inputs, "identity": managed.outputs["identity"]}

    for call in (managed.refresh, managed.destroy):
        with pytest.raises(ProviderError, match="last found on another server"):
            call()
    managed.change(identity=managed.outputs["identity"], labels={"a": "1"})
    with pytest.raises(ProviderError, match="last found on another server"):
        managed.up()
