"""A program that declares all that its runtimes need: nothing of it exists at the first preview."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from ...conftest import IMAGE, Sandbox
from ...support.objects import require_bridges, shown, sweep_objects, there
from ...support.stack import Stack
from .test_objects import declare


@pytest.fixture
def bridge(sandbox: Sandbox, name: str) -> Iterator[str]:
    require_bridges(sandbox)
    bridge = f"t{secrets.token_hex(3)}"
    yield bridge
    sweep_objects(sandbox.daemon, name)
    sweep_objects(sandbox.daemon, bridge)


def test_project_pool_network_profile_and_runtimes(
    stack: Stack, name: str, bridge: str, sandbox: Sandbox
) -> None:
    subnet = f"10.{100 + secrets.randbelow(100)}.{secrets.randbelow(250)}"
    objects: dict[str, Any] = {
        "project": {"kind": "IncusProject", "name": name, "own_images": False},
        "pool": {"kind": "StoragePool", "name": name, "driver": "dir"},
        "network": {
            "kind": "IncusNetwork",
            "name": bridge,
            "ipv4_address": f"{subnet}.1/24",
            "ipv6_address": "none",
        },
        "profile": {
            "kind": "IncusProfile",
            "name": name,
            "project": "@project",
            "storage_pool": "@pool",
            "network": "@network",
        },
    }
    runtimes = {
        f"{name}-{number}": {"image": IMAGE, "project": "@project", "profile": "@profile"}
        for number in range(2)
    }
    declare(stack, objects=objects, runtimes=runtimes)
    said = stack.preview()
    assert "7 to create" in said
    assert "warning" not in said.lower()
    stack.up()
    box = shown(sandbox, "instances", f"{name}-0", name)
    assert box["profiles"] == [name]
    assert box["expanded_devices"]["eth0"]["network"] == bridge
    assert box["expanded_devices"]["root"]["pool"] == name
    stack.settled()

    # Renamed with what uses it: Incus refuses that for a network, and the preview says so.
    objects["network"]["name"] = f"{bridge}x"
    declare(stack, objects=objects, runtimes=runtimes)
    said = stack.preview(fails=True)
    assert f"profile {name} (project {name})" in said
    objects["network"]["name"] = bridge
    objects["network"]["ipv4_nat"] = True
    declare(stack, objects=objects, runtimes=runtimes)
    stack.up()
    assert shown(sandbox, "networks", bridge)["config"]["ipv4.nat"] == "true"

    stack.destroy()
    for collection, thing in (
        ("projects", name),
        ("storage-pools", name),
        ("networks", bridge),
    ):
        assert not there(sandbox, collection, thing)


def test_a_runtime_of_a_project_with_another_name_moves_with_it(
    stack: Stack, name: str, sandbox: Sandbox
) -> None:
    """The name of a project with instances cannot change; the preview says which."""
    objects = {
        "project": {
            "kind": "IncusProject",
            "name": name,
            "own_images": False,
            "own_profiles": False,
        }
    }
    runtimes = {f"{name}-0": {"image": IMAGE, "project": "@project", "profile": "default"}}
    declare(stack, objects=objects, runtimes=runtimes)
    stack.up()
    objects["project"]["name"] = f"{name}-x"
    declare(stack, objects=objects, runtimes=runtimes)
    said = stack.preview(fails=True)
    assert f"could not change name of project {name}" in said
    assert f"instance {name}-0 (project {name})" in said
    assert "Traceback" not in said
    stack.destroy()
    assert not there(sandbox, "projects", name)
    sweep_objects(sandbox.daemon, name)
