"""Images through the commands of a user, with the real engine."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.report.markdown import markdown
from pulumi_pika.report.report_builder import report_of
from pulumi_pika.report.terminal import terminal

from ...conftest import Sandbox
from ...support.image_server import ImageServer, serving_images, split, unified
from ...support.stack import Stack
from .test_report import preview

PROGRAM = """
import json
import pathlib
import pulumi
import pulumi_pika as pika

declared = json.loads(pathlib.Path("declared.json").read_text())
arguments = declared["image"]
secret = declared.get("secret")
if secret:
    arguments["properties"] = {"note": pulumi.Output.secret(secret)}
image = pika.IncusImage("tiny", **arguments)
pulumi.export("fingerprint", image.fingerprint)
pulumi.export("newer", image.newer_fingerprint)
for name, output in declared.get("runtimes", {}).items():
    pika.IncusRuntime(name, image=getattr(image, output), instance_type="container")
if "job" in declared:
    job = pika.IncusJob(
        declared["job"], image=image.fingerprint, command="cat /etc/marker",
        instance_type="container",
    )
    pulumi.export("log", job.log_tail)
"""


def declare(stack: Stack, **declared: Any) -> None:
    stack.program(PROGRAM)
    (stack.directory / "declared.json").write_text(json.dumps(declared))


@pytest.fixture
def streams(sandbox: Sandbox) -> Iterator[ImageServer]:
    before = sandbox.daemon.request("GET", "/images")
    with serving_images() as served:
        yield served
    for path in sandbox.daemon.request("GET", "/images"):
        if path not in before:
            sandbox.daemon.request("DELETE", path.removeprefix("/1.0"))


def fingerprint_of(sandbox: Sandbox, instance: str) -> str:
    config = sandbox.daemon.request("GET", f"/instances/{instance}")["config"]
    return str(config["volatile.base_image"])


def test_life_of_an_image_and_of_runtimes_that_name_it(
    stack: Stack, streams: ImageServer, sandbox: Sandbox, name: str, tmp_path: Path
) -> None:
    old = streams.publish("tiny/1", unified(tmp_path, f"{name}-old"))
    image = {
        "source": "tiny/1",
        "server": streams.url,
        "instance_type": "container",
        "aliases": [name],
        "update": "replace",
    }
    runtimes = {f"{name}-by-alias": "alias", f"{name}-by-hash": "fingerprint"}
    declare(stack, image=image, runtimes=runtimes)
    said = stack.preview()
    assert f'image_alias: "{name}"' in said
    assert f'image_alias: "{old}"' in said
    assert "deletes the image, unless it existed before" in said
    # The preview misses no image that the program itself declares.
    assert "warning" not in said.lower()
    stack.up()
    assert stack.outputs()["fingerprint"] == old
    for instance in runtimes:
        assert fingerprint_of(sandbox, instance) == old
    stack.settled()

    new = streams.publish("tiny/1", unified(tmp_path, f"{name}-new"), "20260202_00:00")
    assert f"is {new[:12]} now" in stack.refresh()
    [resource] = [it for it in stack.resources() if it["type"].endswith(":IncusImage")]
    assert resource["outputs"]["newer_fingerprint"] == new
    said = stack.preview()
    assert "because of fingerprint, another image is used in place of" in said
    stack.up()
    # The one with the alias stays, the one with the fingerprint is another.
    assert fingerprint_of(sandbox, f"{name}-by-alias") == old
    assert fingerprint_of(sandbox, f"{name}-by-hash") == new
    assert f"/1.0/images/{old}" not in sandbox.daemon.request("GET", "/images")
    stack.settled()
    stack.destroy()
    assert f"/1.0/images/{new}" not in sandbox.daemon.request("GET", "/images")


def test_uploaded_image_and_a_job(
    stack: Stack, streams: ImageServer, sandbox: Sandbox, name: str, tmp_path: Path
) -> None:
    files = split(tmp_path, name)
    image = {"file": str(files.metadata), "rootfs": str(files.rootfs), "aliases": []}
    declare(stack, image=image, job=f"{name}-job")
    assert files.fingerprint in stack.preview()
    stack.up()
    assert stack.outputs()["log"].strip() == name
    stack.settled()
    stack.destroy()
    assert f"/1.0/images/{files.fingerprint}" not in sandbox.daemon.request("GET", "/images")


def test_secrets_stay_secret(
    stack: Stack, streams: ImageServer, sandbox: Sandbox, name: str, tmp_path: Path
) -> None:
    secret = "hunter2-of-images"
    file = unified(tmp_path, name).metadata
    declare(stack, image={"file": str(file), "aliases": [name]}, secret=secret)
    said = stack.preview()
    said += stack.up()
    said += stack.settled()
    assert secret not in said
    assert secret not in json.dumps(stack.export())
    stored = sandbox.daemon.request("GET", "/images?recursion=1")
    assert secret in [it["properties"].get("note") for it in stored]
    report = report_of(preview(stack), ())
    for shown in (markdown(report), terminal(report, colours=False)):
        assert secret not in shown
    stack.destroy()
    assert secret not in stack.last


def test_problems_are_reported_at_once(stack: Stack, streams: ImageServer, name: str) -> None:
    image = {
        "source": "images:debian/12",
        "server": streams.url,
        "rootfs": "x",
        "aliases": ["no good", "deadbeefdead"],
        "properties": {"user.pika.owner": "x", "empty": ""},
    }
    declare(stack, image=image)
    said = stack.preview(fails=True)
    for property_ in ("source", "rootfs", "aliases[0]", "aliases[1]", "properties"):
        assert f"{property_}" in said
    assert "Traceback" not in said
