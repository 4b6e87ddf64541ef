"""One runtime through the commands of a user, with the real engine and the real daemon."""

from typing import Any

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.instances import exec_status
from pulumi_pika.incus.storage import get_volume
from pulumi_pika.planner.device_names import device_name
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance

from ...conftest import (
    IMAGE,
    OTHER_IMAGE,
    Sandbox,
)
from ...support.stack import Stack


def runtime(name: str, **more: Any) -> dict[str, Any]:
    """The arguments of a container runtime with a volume."""
    return {
        "identity": {"runtime_id": f"id-{name}", "instance_name": name},
        "incus": {"project": "default", "profile": "default", "image_alias": IMAGE},
        "resources": {"vcpu_count": 1, "memory_mib": 64},
        "mounts": [
            {
                "kind": "persistent_volume",
                "source": f"{name}-state",
                "guest_path": "/mnt/state",
                "mode": "read_write",
            }
        ],
        "instance_type": "container",
        "storage_pool": "default",
        **more,
    }


def state_device(name: str) -> str:
    return device_name("persistent_volume", f"{name}-state", "/mnt/state")


def test_life_of_a_runtime(stack: Stack, client: IncusClient, name: str, sandbox: Sandbox) -> None:
    stack.declare(box=runtime(name))

    shown = stack.preview()
    assert f"device_name: {state_device(name)!r}".replace("'", '"') in shown
    assert fetch_instance(client, name) is None, "a preview made something"

    said = stack.up()
    assert "1 created" in said or "2 created" in said
    assert "Warning" not in said
    outputs = stack.outputs()
    assert outputs["box.status"] == "Running"
    assert outputs["box.image_fingerprint"] == sandbox.image
    assert outputs["box.plan"]["mounts"][0]["device_name"] == state_device(name)
    live = fetch_instance(client, name)
    assert live is not None
    assert live.owned_devices(set()) == outputs["box.devices"]

    stack.settled()

    stack.declare(box=runtime(name, resources={"vcpu_count": 1, "memory_mib": 96}))
    shown = stack.preview()
    assert "memory_mib: 64 => 96" in shown
    assert "(update)" in shown
    assert "replace" not in shown
    stack.up()
    changed = fetch_instance(client, name)
    assert changed is not None
    assert changed.config["limits.memory"] == "96MiB"
    assert changed.uuid == live.uuid

    stack.destroy()
    assert fetch_instance(client, name) is None
    assert stack.resources() == []
    assert get_volume(client, "default", f"{name}-state"), "the data went with the instance"


def test_refresh_shows_what_was_changed_outside(
    stack: Stack, client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    stack.declare(box=runtime(name))
    stack.up()
    sandbox.daemon.request(
        "PATCH", f"/instances/{name}", {"config": {"limits.memory": "32MiB", "user.theirs": "1"}}
    )

    shown = stack.refresh()

    assert "memory_mib: 64 => 32" in shown
    assert "theirs" not in shown
    shown = stack.preview()
    assert "memory_mib: 32 => 64" in shown
    stack.up()
    live = fetch_instance(client, name)
    assert live is not None
    assert live.config["limits.memory"] == "64MiB"
    assert live.config["user.theirs"] == "1"


def test_instance_that_is_gone_is_made_anew(stack: Stack, client: IncusClient, name: str) -> None:
    stack.declare(box=runtime(name, mounts=[]))
    stack.up()
    client.run("PUT", f"/1.0/instances/{name}/state", {"action": "stop", "force": True}, timeout=30)
    client.run("DELETE", f"/1.0/instances/{name}", timeout=30)

    stack.refresh()
    assert stack.resources() == []
    stack.up()

    assert fetch_instance(client, name) is not None


def test_rename_replaces_and_data_stays(stack: Stack, client: IncusClient, name: str) -> None:
    declared = runtime(name)
    stack.declare(box=declared)
    stack.up()
    write = ["sh", "-c", "echo kept > /mnt/state/file"]
    assert exec_status(client, name, write, timeout=30) == 0

    declared["identity"]["instance_name"] = f"{name}-new"
    stack.declare(box=declared)
    shown = stack.preview()
    assert "delete-replaced" in shown or "replace" in shown
    stack.up()

    assert fetch_instance(client, name) is None
    live = fetch_instance(client, f"{name}-new")
    assert live is not None
    assert live.devices[state_device(name)]["source"] == f"{name}-state"
    read = ["grep", "-q", "kept", "/mnt/state/file"]
    assert exec_status(client, f"{name}-new", read, timeout=30) == 0


def test_other_image_replaces(
    stack: Stack, client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    stack.declare(box=runtime(name))
    stack.up()
    declared = runtime(name)
    declared["incus"]["image_alias"] = OTHER_IMAGE
    stack.declare(box=declared)

    assert "replace" in stack.preview()
    stack.up()

    assert stack.outputs()["box.image_fingerprint"] == sandbox.other_image


def test_all_problems_at_once_and_no_traceback(stack: Stack, name: str) -> None:
    declared = runtime(
        name,
        resources={"vcpu_count": 256, "memory": 1},
        lifecycle_root="/run/elsewhere",
        config={"limits.cpu": "1"},
        devices={"pk-mine": {"type": "nic"}},
    )
    declared["identity"]["runtime_id"] = " "
    declared["mounts"][0]["kind"] = "persistant_volume"
    stack.declare(box=declared)

    said = stack.preview(fails=True)

    for expected in (
        "runtime spec field `identity.runtime_id` must be non-empty",
        "resources.vcpu_count",
        "must be at most 255",
        "did you mean `memory_mib`?",
        "mounts[0].kind",
        "must match paths.state_dir",
        "set `resources.vcpu_count` instead",
        "is managed by pulumi_pika; names that begin with `pk-` are devices of mounts",
    ):
        assert expected in said
    assert "Traceback" not in said


def test_existing_instance_is_refused_and_untouched(
    stack: Stack, client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    sandbox.daemon.request(
        "POST",
        "/instances",
        {"name": name, "type": "container", "source": {"type": "image", "alias": IMAGE}},
    )
    before = fetch_instance(client, name)
    stack.declare(box=runtime(name))

    said = stack.up(fails=True)

    assert f"instance {name} already exists in project default" in said
    assert "Traceback" not in said
    assert fetch_instance(client, name) == before
    assert stack.resources() == []


def test_failed_create_leaves_nothing(stack: Stack, client: IncusClient, name: str) -> None:
    broken = runtime(name, devices={"eth0": {"type": "nic", "network": "no-such-network"}})
    stack.declare(box=broken)

    said = stack.up(fails=True)

    assert "no-such-network" in said
    assert "Undone: deleted" in said
    assert "Traceback" not in said
    assert fetch_instance(client, name) is None
    assert stack.resources() == []
    stack.declare(box=runtime(name))
    stack.up()


UNKNOWNS = """
import pulumi
from pulumi.dynamic import CreateResult, Resource, ResourceProvider
from pulumi_pika import IncusRuntime, RuntimeMount


class Late(ResourceProvider):
    serialize_as_secret_always = False

    def create(self, props):
        return CreateResult("late", {{"path": "/mnt/late", "size": 48}})


class LateValue(Resource):
    path: pulumi.Output[str]
    size: pulumi.Output[int]

    def __init__(self):
        super().__init__(Late(), "late", {{"path": None, "size": None}})


late = LateValue()
IncusRuntime(
    "box",
    identity={{"runtime_id": "r", "instance_name": "{name}"}},
    incus={{"project": "default", "profile": "default", "image_alias": "{image}"}},
    resources={{"memory_mib": late.size, "vcpu_count": 1}},
    mounts=[
        RuntimeMount(kind="cache", guest_path="/known", source="{name}-a", mode="read_write"),
        {{
            "kind": "persistent_volume",
            "guest_path": late.path,
            "source": "{name}-b",
            "mode": "read_write",
        }},
    ],
    instance_type="container",
)
"""


def test_preview_plans_what_is_known(stack: Stack, client: IncusClient, name: str) -> None:
    stack.program(UNKNOWNS.format(name=name, image=IMAGE))

    shown = stack.preview()

    assert device_name("cache", f"{name}-a", "/known") in shown
    assert "memory_mib: [unknown]" in shown
    assert "device_name: [unknown]" in shown
    assert "vcpu_count: 1" in shown
    stack.up()
    live = fetch_instance(client, name)
    assert live is not None
    assert live.config["limits.memory"] == "48MiB"
    late = device_name("persistent_volume", f"{name}-b", "/mnt/late")
    assert live.devices[late]["path"] == "/mnt/late"
    stack.settled()
