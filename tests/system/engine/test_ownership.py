"""Who owns a thing: what a rename without aliases, another stack and a shared project come to."""

from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.instances import exec_status
from pulumi_pika.incus.storage import get_snapshot, get_volume
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.reconcile.shared.ownership import OWNER_KEY

from ...conftest import (
    IMAGE,
    Sandbox,
    sweep,
)
from ...support.stack import Stack, make_stack
from .test_up import runtime


@pytest.fixture
def other(tmp_path: Path, sandbox: Sandbox) -> Stack:
    """Another stack in the same backend."""
    stack = make_stack(tmp_path / "other", sandbox.socket)
    (stack.directory / "Pulumi.yaml").write_text("name: other\nruntime: python\n")
    stack.init()
    return stack


def unset_owner(sandbox: Sandbox, name: str) -> None:
    body = {"config": {OWNER_KEY: ""}}
    sandbox.daemon.request("PATCH", f"/instances/{name}", body)


def test_renamed_without_aliases_and_adopted_as_the_error_says(
    stack: Stack, client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    stack.declare(one=runtime(name, running=True))
    stack.up()
    before = fetch_instance(client, name)
    assert before is not None

    stack.declare(two=runtime(name, running=True, adopt=True))
    said = stack.up(fails=True)
    assert f'aliases=["{before.config[OWNER_KEY]}"]' in said
    unset_owner(sandbox, name)
    stack.up()

    after = fetch_instance(client, name)
    assert after is not None, stack.last
    assert after.uuid == before.uuid
    assert after.running
    assert "it is not deleted" in stack.last
    stack.settled()


def test_another_stack_that_adopted_it_owns_it(
    stack: Stack, other: Stack, client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    stack.declare(a=runtime(name, delete_data=True))
    stack.up()
    unset_owner(sandbox, name)
    other.declare(b=runtime(name, adopt=True))
    other.up()
    taken = fetch_instance(client, name)
    assert taken is not None

    changed = runtime(name, delete_data=True, labels={"x": "y"})
    stack.declare(a=changed)
    assert "now belongs to" in stack.up(fails=True)
    stack.destroy()

    left = fetch_instance(client, name)
    assert left is not None
    assert left.config == taken.config
    assert get_volume(client, "default", f"{name}-state") is not None
    other.settled()


SHARED = """
import pulumi
from pulumi_pika import PersistentVolume, VolumeSnapshot

project = pulumi.Config().require("project_")
volume = PersistentVolume("{name}", project=project, delete_data={delete_data})
VolumeSnapshot("{name}-s", volume_name=volume.volume_name, project=project)
"""


@pytest.mark.parametrize("delete_data", [True, False])
def test_moved_to_a_project_that_shares_its_volumes(
    stack: Stack, client: IncusClient, name: str, sandbox: Sandbox, delete_data: bool
) -> None:
    body = {"name": name, "config": {"features.storage.volumes": "false"}}
    sandbox.daemon.request("POST", "/projects", body)
    try:
        stack.program(SHARED.format(name=name, delete_data=delete_data))
        stack.config("project_", "default")
        stack.up()
        stack.config("project_", name)
        stack.up()
        assert get_volume(client, "default", name) is not None, stack.last
        assert get_snapshot(client, "default", name, f"{name}-s") is not None, stack.last
        stack.settled()
    finally:
        sweep(sandbox.daemon, name)
        sandbox.daemon.request("DELETE", f"/projects/{name}")


OPTION = """
import pulumi
from pulumi_pika import IncusRuntime, PersistentVolume

config = pulumi.Config()
volume = PersistentVolume("{name}-v")
IncusRuntime(
    "box",
    identity={{"runtime_id": "{name}", "instance_name": "{name}"}},
    incus={{"project": "default", "profile": "default", "image_alias": "{image}"}},
    mounts=[
        {{
            "kind": "persistent_volume",
            "source": source,
            "guest_path": path,
            "mode": "read_write",
        }}
        for source, path in ((volume.volume_name, "/v"), ("{name}-own", "/own"))
    ],
    instance_type="container",
    delete_data=True,
    labels={{"role": config.get("role") or "a"}},
    description=config.get("description") or "d",
    timeouts={{"stop": 5}},
    opts=pulumi.ResourceOptions(replace_on_changes=["labels"]),
)
"""


def test_replace_on_changes(stack: Stack, client: IncusClient, name: str) -> None:
    stack.program(OPTION.format(name=name, image=IMAGE))
    stack.up()
    before = fetch_instance(client, name)
    stack.config("description", "other")
    stack.up()
    same = fetch_instance(client, name)
    assert before is not None
    assert same is not None
    assert same.uuid == before.uuid, "a property that the option does not name"

    stack.config("role", "b")
    assert f"{name} will be replaced (labels changed)" in stack.preview()
    stack.up()
    after = fetch_instance(client, name)
    assert after is not None
    assert after.uuid != before.uuid
    stack.settled()


def test_only_the_runtimes_own_volumes_are_said_to_be_deleted(
    stack: Stack, client: IncusClient, name: str
) -> None:
    stack.program(OPTION.format(name=name, image=IMAGE))
    said = stack.preview()
    stack.up()
    shown = stack.run("destroy", "--preview-only", "--diff")
    for text in (said, shown):
        if "[unknown]" not in text or f"AND volume {name}-own" in text:
            assert f"AND volume {name}-own WITH ALL DATA (delete_data)" in text
            assert f"keeps volume {name}-v" in text
    stack.destroy()
    assert get_volume(client, "default", f"{name}-v") is not None
    assert get_volume(client, "default", f"{name}-own") is None


def test_a_create_that_fails_after_the_delete_says_how_to_get_back(
    stack: Stack, client: IncusClient, name: str
) -> None:
    waits: dict[str, Any] = {"timeouts": {"stop": 5, "wait": 2}}
    stack.declare(box=runtime(name, running=True, **waits))
    stack.up()
    assert exec_status(client, name, ["touch", "/mnt/state/file"], timeout=10) == 0

    waiting = runtime(name, running=True, wait_for="ready", **waits)
    waiting["incus"] = {**waiting["incus"], "image_alias": "pika/tiny-two"}
    stack.declare(box=waiting)
    said = stack.up(fails=True)
    assert f"The old instance {name} had been deleted for this replacement" in said
    assert f"its volumes ({name}-state) are kept" in said

    stack.declare(box=runtime(name, running=True, **waits))
    stack.up()
    assert exec_status(client, name, ["test", "-f", "/mnt/state/file"], timeout=10) == 0
    stack.settled()


def test_a_replacement_that_keeps_the_old_instance_is_refused(
    stack: Stack, client: IncusClient, name: str
) -> None:
    opts = {"retain_on_delete": True}
    stack.declare(box=runtime(name, opts=opts))
    stack.up()
    before = fetch_instance(client, name)
    declared = runtime(name, opts=opts)
    declared["incus"] = {**declared["incus"], "image_alias": "pika/tiny-two"}
    stack.declare(box=declared)
    assert "retain_on_delete keeps the old instance" in stack.preview(fails=True)
    assert "retain_on_delete keeps the old instance" in stack.up(fails=True)
    after = fetch_instance(client, name)
    assert before is not None
    assert after is not None
    assert after.config == before.config
