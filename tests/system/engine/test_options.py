"""What a user asks of Pulumi around a runtime: letting go, adopting, moving, ignoring, waiting."""

import re

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.storage import get_volume
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.reconcile.shared.ownership import OWNER_KEY

from ...conftest import IMAGE, Sandbox
from ...support.stack import Stack
from .test_up import runtime


def test_letting_go_and_adopting(
    stack: Stack, client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    stack.declare(box=runtime(name, opts={"retain_on_delete": True}))
    stack.up()
    before = fetch_instance(client, name)
    assert before is not None
    stack.declare()
    stack.up()
    assert stack.resources() == []
    kept = fetch_instance(client, name)
    assert kept is not None
    assert kept.etag == before.etag

    stack.declare(other=runtime(name, adopt=True))
    assert "does not adopt an instance that another resource owns" in stack.up(fails=True)
    body = {"description": kept.description, "config": {OWNER_KEY: ""}}
    sandbox.daemon.request("PATCH", f"/instances/{name}", body)
    assert "adopting instance" in stack.up()

    live = fetch_instance(client, name)
    assert live is not None
    assert live.uuid == before.uuid
    assert live.config[OWNER_KEY].endswith("::other")
    stack.preview("--expect-no-changes")


def test_previews_say_what_becomes_of_data(stack: Stack, client: IncusClient, name: str) -> None:
    stack.declare(box=runtime(name, delete_data=True))
    assert f"AND volume {name}-state WITH ALL DATA" in stack.preview()
    stack.up()
    declared = runtime(name, delete_data=True)
    declared["identity"]["instance_name"] = f"{name}-new"
    stack.declare(box=declared)
    said = stack.preview()
    assert f"{name} will be replaced (identity.instance_name changed)" in said
    assert "WITH ALL DATA (delete_data); then creates it again" in said

    shown = stack.run("destroy", "--preview-only", "--diff")
    assert "WITH ALL DATA" in shown
    stack.destroy()
    assert get_volume(client, "default", f"{name}-state") is None


MOVED = """
import pulumi
from pulumi_pika import IncusRuntime


class Group(pulumi.ComponentResource):
    def __init__(self):
        super().__init__("test:index:Group", "group")
        IncusRuntime(
            "{resource}",
            identity={{"runtime_id": "id-{name}", "instance_name": "{name}"}},
            incus={{"project": "default", "profile": "default", "image_alias": "{image}"}},
            mounts=[
                {{
                    "kind": "persistent_volume",
                    "source": "{name}-state",
                    "guest_path": "/mnt/state",
                    "mode": "read_write",
                }}
            ],
            instance_type="container",
            running=False,
            opts=pulumi.ResourceOptions(parent=self, aliases={aliases}),
        )
        self.register_outputs({{}})


Group()
"""


def test_a_renamed_resource_keeps_its_instance(
    stack: Stack, client: IncusClient, name: str
) -> None:
    stack.program(MOVED.format(name=name, image=IMAGE, resource="box", aliases=[]))
    stack.up()
    before = fetch_instance(client, name)
    assert before is not None
    assert "test:index:Group$pulumi-python" in before.config[OWNER_KEY]
    stack.preview("--expect-no-changes")
    alias = '[pulumi.Alias(name="box")]'
    stack.program(MOVED.format(name=name, image=IMAGE, resource="renamed", aliases=alias))
    stack.up()
    live = fetch_instance(client, name)
    assert live is not None
    assert live.uuid == before.uuid
    assert live.config[OWNER_KEY].endswith("::renamed")
    volume = get_volume(client, "default", f"{name}-state")
    assert volume is not None
    assert volume.data["config"][OWNER_KEY] == live.config[OWNER_KEY]


def test_ignore_changes(stack: Stack, client: IncusClient, name: str) -> None:
    ignore = {"opts": {"ignore_changes": ["devices", "resources", "mounts"]}}
    stack.declare(box=runtime(name, running=False, **ignore))
    stack.up()
    changed = runtime(name, running=False, resources={"memory_mib": 99}, mounts=[], **ignore)
    stack.declare(box=changed)
    stack.preview("--expect-no-changes")


def test_wait_that_fails_takes_all_back_and_tells(
    stack: Stack, client: IncusClient, name: str
) -> None:
    stack.declare(box=runtime(name, wait_for="guest_status", timeouts={"wait": 8}))

    said = stack.up(fails=True)

    assert re.search(r"waiting for guest_status: \d+ s, last seen: the guest has not written", said)
    assert "did not reach state `guest_status`" in said
    assert "Undone: deleted" in said
    assert "Traceback" not in said
    assert fetch_instance(client, name) is None
    assert get_volume(client, "default", f"{name}-state") is None


def test_restart_is_announced(stack: Stack, client: IncusClient, name: str) -> None:
    stack.declare(box=runtime(name))
    stack.up()
    stack.declare(box=runtime(name, config={"security.nesting": "true"}, allow_restart=False))
    said = stack.preview()
    assert f"{name} may need a restart for `security.nesting`; allow_restart is off" in said


def test_ignored_devices_let_a_mount_change(stack: Stack, client: IncusClient, name: str) -> None:
    given = runtime(name, opts={"ignore_changes": ["devices"]}, devices={"px": {"type": "none"}})
    stack.declare(box=given)
    stack.up()
    mount = {**given["mounts"][0], "source": f"{name}-other"}
    stack.declare(box={**given, "mounts": [mount]})
    stack.up()
    live = fetch_instance(client, name)
    assert live is not None
    assert live.devices["px"] == {"type": "none"}
    assert [d["source"] for d in live.devices.values() if "source" in d] == [f"{name}-other"]
    stack.preview("--expect-no-changes")


def test_a_protected_instance_is_neither_stopped_nor_replaced(
    stack: Stack, client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    stack.declare(box=runtime(name))
    stack.up()
    before = fetch_instance(client, name)
    assert before is not None
    protect = {"config": {"security.protection.delete": "true"}}
    sandbox.daemon.request("PATCH", f"/instances/{name}", protect)
    assert "config unset" in stack.destroy(fails=True)
    other = runtime(name)
    other["identity"]["instance_name"] = f"{name}-new"
    stack.declare(box=other)
    assert "is protected against deletion" in stack.preview(fails=True)
    assert "is protected against deletion" in stack.up(fails=True)
    stack.refresh()
    live = fetch_instance(client, name)
    assert live is not None
    assert live.raw["state"]["pid"] == before.raw["state"]["pid"]
    sandbox.daemon.request(
        "PATCH", f"/instances/{name}", {"config": dict.fromkeys(protect["config"], "")}
    )
    stack.destroy()
