"""The example `bare_host`: from an empty host to agents behind a network, and back."""

import secrets
from collections.abc import Iterator

import pytest

from ...conftest import Sandbox
from ...support.objects import require_bridges, shown, sweep_objects, there
from ...support.stack import Stack
from .helpers import apply, configure, take


@pytest.fixture
def bridge(sandbox: Sandbox, name: str) -> Iterator[str]:
    require_bridges(sandbox)
    bridge = f"t{secrets.token_hex(3)}"
    yield bridge
    sweep_objects(sandbox.daemon, name)
    sweep_objects(sandbox.daemon, bridge)


def test_bare_host(stack: Stack, sandbox: Sandbox, name: str, bridge: str) -> None:
    subnet = f"10.{100 + secrets.randbelow(100)}.{secrets.randbelow(250)}"
    take(stack, "bare_host", name=name, bridge=bridge, subnet=subnet)
    said = apply(stack)
    assert "8 to create" in said  # The stack, four objects and three agents.
    assert "warning" not in said.lower()
    assert stack.outputs()["gateway"] == f"{subnet}.1"
    for number in (1, 2, 3):
        box = shown(sandbox, "instances", f"{name}-{number}", name)
        assert box["status"] == "Running"
        assert box["expanded_devices"]["eth0"]["network"] == bridge
        assert box["expanded_devices"]["root"]["pool"] == name

    configure(stack, agents=2)
    stack.up()
    assert shown(sandbox, "projects", name)["config"]["limits.instances"] == "10"
    assert not there(sandbox, "instances", f"{name}-3", name)

    stack.destroy()
    for collection, thing in (("projects", name), ("storage-pools", name), ("networks", bridge)):
        assert not there(sandbox, collection, thing)
