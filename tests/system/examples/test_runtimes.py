"""The examples of one runtime, and of a job."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.console import Failure
from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.instances import exec_status
from pulumi_pika.planner.device_names import device_name
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance

from ...conftest import OTHER_IMAGE, Sandbox, sweep
from ...support.reconcile import output, there
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


@pytest.fixture
def profile_with_network(sandbox: Sandbox, name: str) -> Iterator[str]:
    """A profile of the test's own, with a nic on a bridge with DHCP."""
    daemon, bridge = sandbox.daemon, f"pikax{secrets.token_hex(4)}"
    default = daemon.request("GET", "/profiles/default")
    try:
        daemon.add_network(bridge)
    except (Failure, OSError) as error:
        pytest.skip(f"this machine allows no bridge: {error}")
    devices = daemon.request("GET", "/profiles/default")["devices"]
    daemon.request("PUT", "/profiles/default", default)
    daemon.request("POST", "/profiles", {"name": name, "devices": devices})
    yield name
    sweep(daemon, name)
    daemon.request("DELETE", f"/profiles/{name}")
    daemon.request("DELETE", f"/networks/{bridge}")


def test_first_up_of_the_managed_agent_shows_its_address(
    stack: Stack, name: str, profile_with_network: str
) -> None:
    profile = profile_with_network
    take(stack, "managed_agent", instance_name=name, profile=profile, wait_for="ipv4")
    apply(stack)
    assert stack.outputs()["ipv4_address"].startswith("10.")


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


def test_guest_setup(stack: Stack, client: IncusClient, name: str) -> None:
    take(stack, "guest_setup", instance_name=name)
    apply(stack)
    assert stack.outputs()["migrations"] == "1"
    uuid = there(client, name).uuid

    configure(stack, schema="2")
    stack.up()
    assert stack.outputs()["migrations"] == "2"
    configure(stack, retention="30d")
    stack.up()
    stack.settled()
    assert there(client, name).uuid == uuid
    assert output(client, name, "cat /etc/store.conf") == "retention = 30d\n"
    assert stack.outputs()["migrations"] == "2", "another file does not run the command"

    # A new container is set up again, by itself.
    configure(stack, image=OTHER_IMAGE)
    stack.up()
    assert there(client, name).uuid != uuid
    assert stack.outputs()["migrations"] == "1"
    stack.settled()
