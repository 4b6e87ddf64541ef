"""`delete_before_replace=False` and `retain_on_delete`: a replacement that they make impossible is
refused in preview, and nothing is lost."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.instances import exec_status
from pulumi_pika.incus.storage import get_snapshot, get_volume
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance, kill_instance

from ...conftest import (
    IMAGE,
    OTHER_IMAGE,
    Sandbox,
)
from ...support.stack import Stack
from .test_up import runtime

PROGRAM = """
import json
import pathlib
import pulumi
import pulumi_pika as pika

given = json.loads(pathlib.Path("given.json").read_text())
name = given["name"]
target = {"project": "default", "profile": "default", "image_alias": given["image"]}


def options(**more):
    return pulumi.ResourceOptions(**given["options"], **more)


pika.IncusRuntime(
    "box",
    identity={"runtime_id": name, "instance_name": name},
    incus=target,
    labels={"role": given["role"]},
    instance_type="container",
    timeouts={"stop": 5},
    opts=options(replace_on_changes=["labels"]),
)
pika.IncusJob(
    "job",
    command=given["command"],
    identity={"runtime_id": f"{name}-j", "instance_name": f"{name}-j"},
    incus=dict(target, image_alias="pika/tiny"),
    instance_type="container",
    opts=options(),
)
volume = pika.PersistentVolume(
    f"{name}-v",
    labels={"role": given["volume_role"]},
    opts=options(replace_on_changes=["labels"]),
)
pika.PersistentVolume(
    f"{name}-c", delete_data=True, content_type=given["content_type"], opts=options()
)
pika.VolumeSnapshot(
    f"{name}-s", volume_name=volume.volume_name, triggers=given["triggers"], opts=options()
)
"""
FIRST = {
    "image": IMAGE,
    "role": "a",
    "volume_role": "a",
    "content_type": "filesystem",
    "triggers": "1",
    "command": "true",
}
REFUSED = {
    "image": (OTHER_IMAGE, "incus.image_alias", "identity.instance_name"),
    "role": ("b", "labels", "identity.instance_name"),
    "volume_role": ("b", "labels", "volume_name"),
    "content_type": ("block", "content_type", "volume_name"),
    "triggers": ("2", "triggers", "snapshot_name"),
}
"""By what changes: its new value, the property that the error names, the argument to rename."""


def declare(stack: Stack, name: str, options: dict[str, object], **changes: str) -> None:
    given = {**FIRST, **changes, "name": name, "options": options}
    (stack.directory / "given.json").write_text(json.dumps(given))
    stack.program(PROGRAM)


def things(client: IncusClient, name: str) -> Iterator[object]:
    """What another thing of the same name does not share."""
    live = fetch_instance(client, name)
    assert live is not None
    yield live.uuid
    for volume in (f"{name}-v", f"{name}-c"):
        found = get_volume(client, "default", volume)
        assert found is not None
        yield found.data["created_at"], found.data["content_type"]
    snapshot = get_snapshot(client, "default", f"{name}-v", f"{name}-s")
    assert snapshot is not None
    yield snapshot.data["created_at"]


@pytest.mark.parametrize(
    ("option", "said_of"),
    [
        ({"delete_before_replace": False}, "delete_before_replace=False"),
        ({"retain_on_delete": True}, "retain_on_delete"),
    ],
)
def test_a_replacement_under_the_same_name_is_refused(
    stack: Stack, client: IncusClient, name: str, option: dict[str, object], said_of: str
) -> None:
    declare(stack, name, option)
    stack.up()
    before = list(things(client, name))
    for changed, (value, because, argument) in REFUSED.items():
        declare(stack, name, option, **{changed: value})
        for said in (stack.preview(fails=True), stack.up(fails=True)):
            assert f"({because} changed): " in said
            assert said_of in said
            assert f"another {argument}" in said
            assert "deletes the instance" not in said.partition("Diagnostics")[2]
        assert list(things(client, name)) == before
    # A job has nothing that stands in the way.
    declare(stack, name, option, command="exit 0")
    assert "+-1 replaced" in stack.up()
    assert list(things(client, name)) == before
    stack.settled()


def test_without_the_option_it_is_replaced(stack: Stack, client: IncusClient, name: str) -> None:
    declare(stack, name, {"retain_on_delete": True})
    stack.up()
    before = list(things(client, name))

    # What Pulumi deletes is decided by the option in the state, so that it goes there first.
    declare(stack, name, {}, image=OTHER_IMAGE)
    said = stack.up(fails=True)
    assert "remove retain_on_delete from the options and run `pulumi up` before this" in said
    assert list(things(client, name)) == before
    declare(stack, name, {})
    stack.up()
    assert list(things(client, name)) == before

    declare(stack, name, {}, image=OTHER_IMAGE, triggers="2", content_type="block")
    stack.up()
    after = list(things(client, name))
    assert after[1] == before[1]
    assert [one for one in after if one in before] == [before[1]]
    stack.settled()


def test_a_refresh_does_not_fail_for_the_option(
    stack: Stack, client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    stack.declare(box=runtime(name, mounts=[], opts={"retain_on_delete": True}))
    stack.up()
    kill_instance(client, name)
    source = {"source": {"type": "image", "alias": OTHER_IMAGE}}
    sandbox.daemon.request("POST", f"/instances/{name}/rebuild", source)
    stack.refresh()
    assert "retain_on_delete keeps the old instance" in stack.up(fails=True)


def test_forced_with_another_image_is_refused_before_anything(
    stack: Stack, client: IncusClient, name: str
) -> None:
    option: dict[str, object] = {"delete_before_replace": False}
    declare(stack, name, option)
    stack.up()
    before = list(things(client, name))
    urn = next(it["urn"] for it in stack.resources() if it["urn"].endswith("::box"))
    declare(stack, name, option, image=OTHER_IMAGE)
    for command in ("preview", "up"):
        more = ["--yes", "--skip-preview"] if command == "up" else []
        said = stack.run(command, *more, "--target-replace", urn, fails=True)
        assert "delete_before_replace=False" in said
        assert "incus.image_alias" in said
    assert list(things(client, name)) == before


def test_under_another_name_the_new_one_comes_first(
    stack: Stack, client: IncusClient, name: str
) -> None:
    more: dict[str, Any] = {
        "running": True,
        "delete_data": True,
        "timeouts": {"stop": 5},
        "opts": {"delete_before_replace": False},
    }
    stack.declare(box=runtime(name, **more))
    stack.up()
    assert exec_status(client, name, ["touch", "/mnt/state/file"], timeout=10) == 0
    other = runtime(name, **more)
    other["identity"] = {**other["identity"], "instance_name": f"{name}-2"}
    stack.declare(box=other)
    said = stack.preview()
    assert "creates the new instance first (delete_before_replace=False)" in said
    warned = said.partition("will be replaced (")[2].partition("\n")[0]
    assert "WITH ALL DATA" not in warned, "the new instance uses the volume by then"
    stack.up()

    assert fetch_instance(client, name) is None
    assert exec_status(client, f"{name}-2", ["test", "-f", "/mnt/state/file"], timeout=10) == 0
    stack.settled()


USED = """
import json
import pathlib
import pulumi
import pulumi_pika as pika

given = json.loads(pathlib.Path("given.json").read_text())
name = given["name"]
options = pulumi.ResourceOptions(replace_on_changes=["labels"])
volume = pika.PersistentVolume(
    f"{name}-v", delete_data=True, labels={"role": given["role"]}, opts=options
)
pika.VolumeSnapshot(f"{name}-s", volume_name=volume.volume_name, triggers=given["triggers"])
box = {
    "incus": {"project": "default", "profile": "default", "image_alias": "pika/tiny"},
    "mounts": [
        {
            "kind": "persistent_volume",
            "source": volume.volume_name,
            "guest_path": "/v",
            "mode": "read_write",
        }
    ],
    "instance_type": "container",
}
pika.IncusRuntime(
    "box", identity={"runtime_id": name, "instance_name": name}, timeouts={"stop": 5}, **box
)
pika.IncusJob(
    "job",
    command="true",
    identity={"runtime_id": f"{name}-j", "instance_name": f"{name}-j"},
    policies={"restart_policy": "never", "retention_policy": "keep_until_stopped"},
    **box,
)
"""


def test_a_volume_that_is_used_is_not_replaced(
    stack: Stack, client: IncusClient, name: str
) -> None:
    def declare_used(**given: str) -> None:
        text = json.dumps({"name": name, "role": "a", "triggers": "1", **given})
        (stack.directory / "given.json").write_text(text)
        stack.program(USED)

    declare_used()
    stack.up()
    before = get_snapshot(client, "default", f"{name}-v", f"{name}-s")
    assert before is not None
    declare_used(role="b")
    for said in (stack.preview(fails=True), stack.up(fails=True)):
        assert f"is used by instance {name} (project default)" in said
        assert f"{name}-j (project" not in said, "a job's instance goes before its volume"
    after = get_snapshot(client, "default", f"{name}-v", f"{name}-s")
    assert after is not None, "it was deleted for a replacement that can only fail"
    assert after.data["created_at"] == before.data["created_at"]
    declare_used()
    stack.settled()


def test_after_a_rename_of_the_stack_all_can_be_replaced(
    stack: Stack, client: IncusClient, name: str
) -> None:
    def declare_used(**given: str) -> None:
        text = json.dumps({"name": name, "role": "a", "triggers": "1", **given})
        (stack.directory / "given.json").write_text(text)
        stack.program(USED)

    declare_used()
    stack.up()
    first = get_snapshot(client, "default", f"{name}-v", f"{name}-s")
    assert first is not None
    stack.run("stack", "rename", "other")
    stack.name = "other"
    forced = [part for end in ("s", "v") for part in ("--replace", f"**{name}-{end}")]
    forced += ["--replace", "**box", "--replace", "**job"]
    assert "If this stack was renamed (its earlier name was test), first run" in stack.up(
        *forced, fails=True
    )
    assert fetch_instance(client, name) is not None
    assert fetch_instance(client, f"{name}-j") is not None

    stack.up()
    declare_used(triggers="2")
    stack.up()
    second = get_snapshot(client, "default", f"{name}-v", f"{name}-s")
    assert second is not None
    assert second.data["created_at"] != first.data["created_at"]
    stack.up(*forced)
    stack.up(*forced)
    stack.settled()
    kept = get_snapshot(client, "default", f"{name}-v", f"{name}-s")
    assert kept is not None
    assert kept.data["created_at"] == second.data["created_at"]
