"""The example `image`: an image of a server, pinned, and then followed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ...conftest import Sandbox
from ...support.image_server import ImageServer, serving_images, unified
from ...support.stack import Stack
from .helpers import apply, configure, take, uuids


@pytest.fixture
def streams() -> Iterator[ImageServer]:
    with serving_images() as served:
        yield served


def test_image(
    stack: Stack, streams: ImageServer, sandbox: Sandbox, name: str, tmp_path: Path
) -> None:
    old = streams.publish("debian/12/cloud", unified(tmp_path, f"{name}-old"))
    folder = tmp_path / "incus"
    folder.mkdir()
    remote = {"addr": streams.url, "protocol": "simplestreams", "public": True}
    (folder / "config.yml").write_text(json.dumps({"remotes": {"images": remote}}))
    stack.environment["INCUS_CONF"] = str(folder)

    take(stack, "image", name=name)
    configure(stack, image=None)
    shown = apply(stack)
    assert old in shown
    assert stack.outputs()["fingerprint"] == old
    before = uuids(sandbox.daemon, name)

    new = streams.publish("debian/12/cloud", unified(tmp_path, f"{name}-new"), "20260202_00:00")
    assert f"is {new[:12]} now" in stack.refresh()
    # A stack's outputs change with the next `up`.
    assert "replace" not in stack.preview()
    stack.up()
    assert stack.outputs()["newer_fingerprint"] == new
    assert stack.outputs()["fingerprint"] == old

    configure(stack, follow=True)
    shown = apply(stack)
    assert stack.outputs()["fingerprint"] == new
    assert uuids(sandbox.daemon, name) != before
    listed = sandbox.daemon.request("GET", "/images")
    assert f"/1.0/images/{old}" not in listed
    stack.destroy()
    assert f"/1.0/images/{new}" not in sandbox.daemon.request("GET", "/images")
