"""The examples of one runtime, and of a job."""

from pathlib import Path

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.instances import exec_status
from pulumi_pika.planner.device_names import device_name
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance

from ...support.stack import Stack
from .helpers import (
    apply,
    configure,
    take,
)


def test_managed_agent(stack: Stack, client: IncusClient, name: str) -> None:
    take(stack, "managed_agent", instance_name=name)
    apply(stack)
    assert stack.outputs()["status"] == "Running"


def test_ci_runner(stack: Stack, client: IncusClient, name: str, tmp_path: Path) -> None:
    for folder in ("snapshot", "artifacts"):
        (tmp_path / folder).mkdir()
    (tmp_path / "snapshot" / "source").write_text("text")
    cache = str(tmp_path / "cache")
    take(
        stack,
        "ci_runner",
        instance_name=name,
        snapshot=str(tmp_path / "snapshot"),
        artifacts=str(tmp_path / "artifacts"),
        cache=cache,
    )
    apply(stack)
    assert stack.outputs()["skipped_mounts"] == [device_name("cache", cache, "/cache")]
    for command, status in (
        ("grep -q text /workspace/snapshot/source", 0),
        ("touch /workspace/snapshot/more 2> /dev/null", 1),
        ("test -d /artifacts", 0),
    ):
        assert exec_status(client, name, ["sh", "-c", command], timeout=30) == status


def test_ci_job(stack: Stack, client: IncusClient, name: str, tmp_path: Path) -> None:
    script = tmp_path / "build.sh"
    script.write_text(
        '#!/bin/sh\necho built >> "$CACHE/builds"\nmkdir "$REPORTS"\n'
        'cat "$CACHE/builds" > "$REPORTS/all.txt"\n'
    )
    script.chmod(0o755)
    tmp_path.chmod(0o755)

    take(stack, "ci_job", instance_name=name, sources=str(tmp_path), revision="one")
    apply(stack)

    assert stack.outputs()["status"] == "completed"
    assert stack.outputs()["collected_files"] == ["output.log", "artifacts/reports/all.txt"]
    configure(stack, revision="two")
    stack.up()
    report = stack.directory / "outputs" / "artifacts" / "reports" / "all.txt"
    assert report.read_text() == "built\nbuilt\n", "the cache did not stay"
    assert fetch_instance(client, name) is None
