"""Replacements that the user forces: the engine asks no provider about their order.

Whatever forces it, and whatever `delete_before_replace` says, the thing is there afterwards, and
the next `up` and `refresh` change nothing.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.instances import exec_status
from pulumi_pika.incus.storage import get_snapshot, get_volume
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance

from ...conftest import IMAGE
from ...support.faults.table import section_of
from ...support.stack import Stack

PROGRAM = """
import json
import pathlib
import pulumi
import pulumi_pika as pika

given = json.loads(pathlib.Path("given.json").read_text())
name, image = given["name"], given["image"]
for word, first in (("default", None), ("true", True), ("false", False)):
    def options(**more):
        return pulumi.ResourceOptions(
            delete_before_replace=first, **given["trigger"], **more
        )

    target = {"project": "default", "profile": "default", "image_alias": image}
    pika.IncusRuntime(
        f"runtime-{word}",
        identity={"runtime_id": f"{name}-{word}", "instance_name": f"{name}-{word}"},
        incus=target,
        mounts=[
            {
                "kind": "persistent_volume",
                "source": f"{name}-{word}-state",
                "guest_path": "/data",
                "mode": "read_write",
            }
        ],
        instance_type="container",
        timeouts={"stop": 5},
        opts=options(),
    )
    pika.IncusJob(
        f"job-{word}",
        command="true",
        identity={"runtime_id": f"{name}-{word}-job", "instance_name": f"{name}-{word}-job"},
        incus=target,
        policies={"restart_policy": "never", "retention_policy": "keep_until_stopped"},
        instance_type="container",
        opts=options(),
    )
    volume = pika.PersistentVolume(f"{name}-{word}-kept", opts=options())
    pika.PersistentVolume(f"{name}-{word}-deleted", delete_data=True, opts=options())
    pika.VolumeSnapshot(
        f"{name}-{word}-s",
        volume_name=volume.volume_name,
        opts=options(),
    )
"""
KINDS = {
    "IncusRuntime": "runtime-{word}",
    "IncusJob": "job-{word}",
    "PersistentVolume": "{name}-{word}-kept",
    "PersistentVolume, delete_data": "{name}-{word}-deleted",
    "VolumeSnapshot": "{name}-{word}-s",
}
WORDS = ("default", "true", "false")


def flag(option: str) -> Callable[[Stack, list[str]], str]:
    return lambda stack, urns: stack.up(*(part for urn in urns for part in (option, urn)))


def taint(stack: Stack, urns: list[str]) -> str:
    stack.run("state", "taint", "--yes", *urns)
    return stack.up()


def trigger(stack: Stack, urns: list[str]) -> str:
    declare(stack, trigger={"replacement_trigger": "2"})
    return stack.up()


FORCES: dict[str, Callable[[Stack, list[str]], str]] = {
    "--replace": flag("--replace"),
    "--target-replace": flag("--target-replace"),
    "state taint": taint,
    "replacement_trigger": trigger,
}


def declare(stack: Stack, **changes: Any) -> None:
    file = stack.directory / "given.json"
    given = json.loads(file.read_text()) if file.exists() else {"trigger": {}}
    file.write_text(json.dumps({**given, **changes}))
    stack.program(PROGRAM)


def identity(client: IncusClient, kind: str, base: str) -> str:
    """What another thing of the same name does not share; empty if there is none."""
    if kind == "IncusRuntime":
        live = fetch_instance(client, base)
        return live.uuid if live and live.running else ""
    if kind == "IncusJob":
        kept = fetch_instance(client, f"{base}-job")
        return kept.uuid if kept else ""
    end = "deleted" if "delete_data" in kind else "kept"
    if kind == "VolumeSnapshot":
        found = get_snapshot(client, "default", f"{base}-{end}", f"{base}-s")
    else:
        found = get_volume(client, "default", f"{base}-{end}")
    return str(found.data["created_at"]) if found else ""


@pytest.mark.parametrize("force", FORCES)
def test_the_thing_is_there_afterwards(
    stack: Stack,
    client: IncusClient,
    name: str,
    force: str,
    record_property: Callable[[str, object], None],
) -> None:
    declare(stack, name=name, image=IMAGE)
    if force == "replacement_trigger":
        declare(stack, trigger={"replacement_trigger": "1"})
    stack.up()
    for word in WORDS:
        assert exec_status(client, f"{name}-{word}", ["touch", "/data/file"], timeout=10) == 0
    cells = [(kind, word) for kind in KINDS for word in WORDS]
    before = {cell: identity(client, cell[0], f"{name}-{cell[1]}") for cell in cells}
    names = {KINDS[kind].format(name=name, word=word) for kind, word in cells}
    urns = [it["urn"] for it in stack.resources() if it["urn"].rpartition("::")[2] in names]
    assert len(urns) == len(cells)

    said = FORCES[force](stack, urns)

    after = {cell: identity(client, cell[0], f"{name}-{cell[1]}") for cell in cells}
    settled = stack.settled()
    lost = [cell for cell in cells if not after[cell]]
    for kind, word in cells:
        cell = (kind, word)
        outcome = "LOST" if cell in lost else "kept" if after[cell] == before[cell] else "made anew"
        record_property(
            section_of("forced replacements"),
            [force, kind, f"delete_before_replace {word}", outcome],
        )
    assert not lost, said
    for word in WORDS:
        assert exec_status(client, f"{name}-{word}", ["test", "-f", "/data/file"], timeout=10) == 0
    assert f"{len(urns) + 1} unchanged" in settled, settled
    # The order that is the default makes an instance anew, as the user asked.
    assert after["IncusRuntime", "default"] != before["IncusRuntime", "default"]
    assert after["IncusRuntime", "false"] == before["IncusRuntime", "false"]
