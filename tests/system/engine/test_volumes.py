"""Volumes and snapshots through the commands of a user, with the real engine and daemon."""

import json
from typing import Any

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.storage import get_volume

from ...conftest import IMAGE, Sandbox
from ...support.stack import Stack
from ...support.volumes import (
    CUSTOM,
    POOL,
    holds,
    snapshots,
    status,
    there,
    write,
)

PROGRAM = """
import json
import pathlib
import pulumi
from pulumi_pika import IncusRuntime, PersistentVolume, VolumeSnapshot


def secret(value):
    if isinstance(value, dict):
        if "secret" in value:
            return pulumi.Output.secret(value["secret"])
        return {key: secret(item) for key, item in value.items()}
    return value


declared = json.loads(pathlib.Path("declared.json").read_text())
volume = None
if "volume" in declared:
    arguments = secret(declared["volume"])
    volume = PersistentVolume("data", **arguments)
    for output in ("volume_name", "on_delete", "location", "restored_from", "safety_snapshot"):
        pulumi.export(output, getattr(volume, output))
for name, arguments in declared.get("snapshots", {}).items():
    VolumeSnapshot(name, volume_name=volume.volume_name, **secret(arguments))
if "box" in declared:
    source = volume.volume_name
    IncusRuntime(
        "box",
        identity={"runtime_id": "id", "instance_name": declared["box"]},
        incus={"project": "default", "profile": "default", "image_alias": declared["image"]},
        mounts=[{
            "kind": "persistent_volume",
            "source": source,
            "guest_path": "/data",
            "mode": "read_write",
        }],
        instance_type="container",
        storage_pool="default",
    )
"""


def declare(stack: Stack, **declared: Any) -> None:
    stack.program(PROGRAM)
    (stack.directory / "declared.json").write_text(json.dumps({"image": IMAGE, **declared}))


def test_life_of_a_volume(stack: Stack, client: IncusClient, name: str, sandbox: Sandbox) -> None:
    box = f"{name}-box"
    volume: dict[str, Any] = {"volume_name": name, "size": "1GiB", "labels": {"team": "a"}}
    declare(stack, volume=volume, snapshots={"one": {}}, box=box)
    shown = stack.preview()
    assert "keeps the volume and its data" in shown
    said = stack.up()
    assert "Warning" not in said
    assert stack.outputs()["volume_name"] == name
    assert snapshots(client, name) == ["one"]
    write(client, box, "two")

    # Growing in place, and restoring: in words before, done, and to be undone.
    volume |= {"size": "2GiB", "restore_from": "one"}
    declare(stack, volume=volume, snapshots={"one": {}}, box=box)
    shown = stack.preview()
    assert '"1GiB" => "2GiB"' in shown
    assert "1 to update" in shown
    assert f"stops {box} (project default) first" in shown
    assert "pika-before-one-<time>" in shown
    stack.up()
    outputs = stack.outputs()
    assert outputs["restored_from"] == "one"
    assert outputs["safety_snapshot"] in snapshots(client, name)
    assert status(sandbox, box) == "Running"
    assert not holds(client, box, "two")
    stack.settled()
    volume["restore_from"] = outputs["safety_snapshot"]
    declare(stack, volume=volume, snapshots={"one": {}}, box=box)
    stack.up()
    assert holds(client, box, "two")

    # Destroyed: kept, in words; taken up again; and deleted, in so many words.
    said = stack.destroy()
    assert "is retained with its data, because delete_data is off" in said
    assert get_volume(client, POOL, name)
    declare(stack, volume=volume, box=box)
    stack.up()
    assert holds(client, box, "two"), "the data is not there again, or was restored again"
    volume["delete_data"] = True
    declare(stack, volume=volume)
    said = stack.up("--diff")
    assert "to destroy or replace the resource deletes the volume" in said
    assert "DELETES THE VOLUME WITH ALL ITS DATA" in said
    stack.destroy()
    assert get_volume(client, POOL, name) is None
    assert stack.resources() == []


def test_drift_is_shown_and_put_right(
    stack: Stack, client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    volume = {
        "volume_name": name,
        "size": "1GiB",
        "labels": {"team": "a"},
        "config": {"security.shifted": "true"},
        "description": "ours",
        "snapshots_expiry": "2w",
    }
    declare(stack, volume=volume, snapshots={"one": {"description": "first"}})
    stack.up()
    config = {
        "size": "2GiB",
        "user.pika.label.team": "b",
        "user.theirs": "1",
        "security.shifted": "",
        "snapshots.expiry": "1d",
    }
    body = {"description": "theirs", "config": config}
    sandbox.daemon.request("PATCH", f"{CUSTOM}/{name}", body)
    sandbox.daemon.request("PATCH", f"{CUSTOM}/{name}/snapshots/one", {"description": "changed"})

    shown = stack.refresh()

    assert '"1GiB" => "2GiB"' in shown
    assert '"a" => "b"' in shown
    assert '"ours" => "theirs"' in shown
    assert '"2w" => "1d"' in shown
    assert '"first" => "changed"' in shown
    assert "user.theirs" not in shown
    said = stack.up(fails=True)
    assert "would shrink the volume from 2GiB to 1GiB" in said
    volume["size"] = "2GiB"
    declare(stack, volume=volume, snapshots={"one": {"description": "first"}})
    stack.up()
    live = there(client, name)
    assert live.config["user.pika.label.team"] == "a"
    assert live.config["security.shifted"] == "true"
    assert live.config["snapshots.expiry"] == "2w"
    assert live.config["user.theirs"] == "1"
    assert live.description == "ours"
    stack.settled()

    sandbox.daemon.request("DELETE", f"{CUSTOM}/{name}")
    stack.refresh()
    assert stack.resources() == []
    stack.up()
    assert snapshots(client, name) == ["one"]


def test_another_name_keeps_the_old_volume(
    stack: Stack, client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    declare(stack, volume={"volume_name": f"{name}-a"})
    stack.up()
    declare(stack, volume={"volume_name": f"{name}-b"})
    said = stack.up()
    assert "will be replaced by another volume (volume_name changed)" in said
    assert "kept with its data" in said
    assert there(client, f"{name}-a")
    assert there(client, f"{name}-b")


def test_volume_of_another_is_refused(
    stack: Stack, client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    marks = {"user.pika.runtime_id": "agent-7"}
    body = {"name": name, "type": "custom", "content_type": "filesystem", "config": marks}
    sandbox.daemon.request("POST", CUSTOM, body)
    declare(stack, volume={"volume_name": name, "adopt": True, "restore_from": "x"})
    said = stack.up(fails=True)
    assert "runtime id agent-7" in said
    assert "Traceback" not in said
    assert stack.resources() == []


def test_secrets_stay_secret(stack: Stack, client: IncusClient, name: str) -> None:
    volume: dict[str, Any] = {
        "volume_name": {"secret": name},
        "labels": {"a": {"secret": "s3cret-label"}},
        "config": {"user.x": {"secret": "s3cret-config"}},
        "description": {"secret": "s3cret-words"},
    }
    declare(stack, volume=volume, snapshots={"one": {"description": {"secret": "s3cret-snap"}}})
    said = stack.preview() + stack.up()
    assert there(client, name).description == "s3cret-words"
    said += stack.settled()
    volume["labels"]["a"] = {"secret": "s3cret-other"}
    declare(stack, volume=volume)
    said += stack.preview() + stack.up() + json.dumps(stack.export())
    said += stack.destroy()
    assert "s3cret" not in said
    assert name not in said
