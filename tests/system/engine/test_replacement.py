"""A replacement deletes the instance first: only if the new one can be created."""

import json
from typing import Any

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance

from ...conftest import (
    IMAGE,
    OTHER_IMAGE,
    Sandbox,
)
from ...support.stack import Stack
from .test_up import runtime

_WITH_VOLUME = """
import json
import pathlib
from pulumi_pika import IncusRuntime, PersistentVolume

arguments = json.loads(pathlib.Path("runtime.json").read_text())
mount = arguments["mounts"][0]
volume = PersistentVolume("data", volume_name=mount["source"], delete_data=True)
mount["source"] = volume.volume_name
IncusRuntime("box", **arguments)
"""


def declare(stack: Stack, arguments: dict[str, Any]) -> None:
    (stack.directory / "runtime.json").write_text(json.dumps(arguments))
    stack.program(_WITH_VOLUME)


def test_a_wrong_image_deletes_nothing(stack: Stack, client: IncusClient, name: str) -> None:
    declare(stack, runtime(name))
    stack.up()
    before = fetch_instance(client, name)
    assert before is not None
    target = {"project": "default", "profile": "default"}
    declare(stack, runtime(name, incus={**target, "image_alias": "pika/tyni"}))

    said = stack.preview()
    assert "image alias pika/tyni does not exist" in said, "it may come from the volume"
    assert "the instance that this replaces is deleted before that" in said

    said = stack.up(fails=True)
    assert "image alias pika/tyni does not exist" in said
    live = fetch_instance(client, name)
    assert live is not None
    assert live.uuid == before.uuid
    assert live.running

    declare(stack, runtime(name, incus={**target, "image_alias": IMAGE}))
    stack.settled()
    stack.destroy()


_HANDED_ON = """
import json
import pathlib
import pulumi
from pulumi_pika import IncusRuntime

given = json.loads(pathlib.Path("runtimes.json").read_text())
first = IncusRuntime("first", **given["first"])
waits = [first] if given["waits"] else []
IncusRuntime("second", **given["second"], opts=pulumi.ResourceOptions(depends_on=waits))
"""


def test_a_name_that_is_handed_on(stack: Stack, client: IncusClient, name: str) -> None:
    def declare_both(first: str, second: str, *, waits: bool) -> None:
        given = {"first": runtime(first, mounts=[]), "second": runtime(second, mounts=[])}
        for key, arguments in given.items():
            arguments["identity"]["runtime_id"] = key
        (stack.directory / "runtimes.json").write_text(json.dumps({**given, "waits": waits}))
        stack.program(_HANDED_ON)

    declare_both(name, f"{name}-2", waits=True)
    stack.up()
    second = fetch_instance(client, f"{name}-2")
    assert second is not None

    # Swapped: neither can be created as long as the other is there.
    declare_both(f"{name}-2", name, waits=True)
    said = stack.up(fails=True)
    assert "add it to depends_on of this resource" in said
    live = fetch_instance(client, f"{name}-2")
    assert live is not None
    assert live.uuid == second.uuid

    declare_both(f"{name}-1", name, waits=True)
    assert "The name must be free when" in stack.preview()
    stack.up()
    assert fetch_instance(client, f"{name}-2") is None
    stack.settled()
    stack.destroy()


def test_a_full_project(stack: Stack, client: IncusClient, name: str, sandbox: Sandbox) -> None:
    limits = {"limits.instances": "1", "limits.memory": "64MiB", "limits.cpu": "1"}
    features = ("features.images", "features.profiles", "features.storage.volumes")
    config = {**limits, **dict.fromkeys(features, "false")}
    sandbox.daemon.request("POST", "/projects", {"name": name, "config": config})
    try:
        target = {"project": name, "profile": "default"}
        box = runtime(name, mounts=[], incus={**target, "image_alias": IMAGE})
        stack.declare(box=box)
        stack.up()
        for more in ({"image_alias": OTHER_IMAGE}, {"image_alias": IMAGE}):
            box["incus"] |= more
            box["identity"]["instance_name"] += "-x"
            stack.declare(box=box)
            stack.preview()
            stack.up()
            stack.settled()
        urn = stack.resources()[0]["urn"]
        stack.up("--target-replace", urn)
    finally:
        stack.destroy()
        sandbox.daemon.request("DELETE", f"/projects/{name}")
