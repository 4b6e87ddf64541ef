"""A replacement deletes the instance first: only if the new one can be created."""

import json
from typing import Any

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.reconcile.power import look

from ..conftest import IMAGE
from .stack import Stack
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
    before = look(client, name)
    assert before is not None
    target = {"project": "default", "profile": "default"}
    declare(stack, runtime(name, incus={**target, "image_alias": "pika/tyni"}))

    said = stack.preview()
    assert "there is no image with the alias pika/tyni" in said, "it may come from the volume"
    assert "the instance that this replaces is deleted before that" in said

    said = stack.up(fails=True)
    assert "there is no image with the alias pika/tyni" in said
    live = look(client, name)
    assert live is not None
    assert live.uuid == before.uuid
    assert live.running

    declare(stack, runtime(name, incus={**target, "image_alias": IMAGE}))
    stack.settled()
    stack.destroy()
