"""The examples run as they are."""

import shutil
from pathlib import Path

from dev.paths import ROOT
from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.instances import exec_status
from pulumi_pika.planner.names import device_name
from pulumi_pika.reconcile.power import look

from ..conftest import IMAGE
from .stack import Stack


def run_example(stack: Stack, example: str, **config: str) -> None:
    for file in (ROOT / "examples" / example).iterdir():
        if file.is_file() and file.name in ("Pulumi.yaml", "__main__.py"):
            shutil.copy(file, stack.directory)
    # The stack was made in another project of the same folder.
    stack.run("stack", "init")
    for key, value in {"instance_type": "container", "image": IMAGE, **config}.items():
        stack.config(key, value)
    stack.up()
    stack.preview("--expect-no-changes")


def test_managed_agent(stack: Stack, client: IncusClient, name: str) -> None:
    run_example(stack, "managed_agent", instance_name=name)
    assert stack.outputs()["status"] == "Running"
    stack.destroy()


def test_ci_runner(stack: Stack, client: IncusClient, name: str, tmp_path: Path) -> None:
    for folder in ("snapshot", "artifacts"):
        (tmp_path / folder).mkdir()
    (tmp_path / "snapshot" / "source").write_text("text")
    cache = str(tmp_path / "cache")
    run_example(
        stack,
        "ci_runner",
        instance_name=name,
        snapshot=str(tmp_path / "snapshot"),
        artifacts=str(tmp_path / "artifacts"),
        cache=cache,
    )
    assert stack.outputs()["left_out"] == [device_name("cache", cache, "/cache")]
    for command, status in (
        ("grep -q text /workspace/snapshot/source", 0),
        ("touch /workspace/snapshot/more 2> /dev/null", 1),
        ("test -d /artifacts", 0),
    ):
        assert exec_status(client, name, ["sh", "-c", command], timeout=30) == status
    stack.destroy()


def test_ci_job(stack: Stack, client: IncusClient, name: str, tmp_path: Path) -> None:
    script = tmp_path / "build.sh"
    script.write_text(
        '#!/bin/sh\necho built >> "$CACHE/builds"\nmkdir "$REPORTS"\n'
        'cat "$CACHE/builds" > "$REPORTS/all.txt"\n'
    )
    script.chmod(0o755)
    tmp_path.chmod(0o755)

    run_example(stack, "ci_job", instance_name=name, sources=str(tmp_path), revision="one")

    assert stack.outputs()["status"] == "completed"
    assert stack.outputs()["outputs"] == ["output.log", "artifacts/reports/all.txt"]
    stack.config("revision", "two")
    stack.up()
    report = stack.directory / "outputs" / "artifacts" / "reports" / "all.txt"
    assert report.read_text() == "built\nbuilt\n", "the cache did not stay"
    assert look(client, name) is None
    stack.destroy()
