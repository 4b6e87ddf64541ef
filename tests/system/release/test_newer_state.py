"""A state that a newer version of us wrote is refused by every call, and nothing is done."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from pulumi_pika import __version__
from pulumi_pika.incus.client import IncusClient
from pulumi_pika.providers.provider_errors import ProviderError
from pulumi_pika.providers.schema_version import SCHEMA_VERSION, newer
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance

from ...support.provider_calls import (
    job_calls,
    runtime_calls,
    snapshot_calls,
    volume_calls,
)
from ...support.stack import Stack, make_stack
from ...support.volumes import there
from ..engine.test_up import runtime
from .life import LIFE, declare

MODULES = (runtime_calls, volume_calls, snapshot_calls, job_calls)
CALLS: dict[str, Callable[[Any, dict[str, Any]], object]] = {
    "diff": lambda module, state: module.diff(state, {}),
    "read": lambda module, state: module.read("id", state),
    "update": lambda module, state: module.update(state, {}),
    "delete": lambda module, state: module.delete(state),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("module", MODULES, ids=lambda calls: type(calls.provider).__name__)
def test_every_call_of_every_kind_refuses_it(module: Any, call: str) -> None:
    # As the engine hands it over, and otherwise unlike anything that we know.
    state = {"schema_version": SCHEMA_VERSION + 1.0, "plan": 3, "secret_inputs": {"a": 1}}
    with pytest.raises(ProviderError, match=f"schema_version {SCHEMA_VERSION + 1}") as caught:
        CALLS[call](module, state)
    assert f"pulumi_pika {__version__}" in str(caught.value)
    assert "in the way in which it was installed" in str(caught.value)


@pytest.mark.parametrize("version", ["2", "1.5", [], {}, 1.5])
def test_no_version_of_ours_is_refused(version: Any) -> None:
    assert newer(version)


@pytest.mark.parametrize("version", [None, 1, 1.0])
def test_what_is_known_is_not(version: Any) -> None:
    assert newer(version) == ""


OLDER: dict[str, dict[str, Any]] = {
    "IncusRuntimeProvider": {"made_of": "f", "left_out": [], "pool": "default"},
    "IncusJobProvider": {"kept": "", "outputs": []},
    "PersistentVolumeProvider": {"pool": "default"},
    "VolumeSnapshotProvider": {"pool": "default"},
}
"""A part of the state of 0.1.0.dev2, by provider: its names are others."""


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("module", MODULES, ids=lambda calls: type(calls.provider).__name__)
def test_every_call_refuses_the_state_of_a_development_version(module: Any, call: str) -> None:
    state = {"schema_version": 1.0, "owner": "urn:x", **OLDER[type(module.provider).__name__]}
    with pytest.raises(ProviderError, match="a development version of pulumi_pika before"):
        CALLS[call](module, state)


@pytest.fixture
def stack(tmp_path: Any, sandbox: Any, name: str) -> Stack:
    made = make_stack(tmp_path / "stack", sandbox.socket)
    made.program(LIFE)
    return made


def test_the_engine_says_so_and_all_stays(stack: Stack, client: IncusClient, name: str) -> None:
    declare(
        stack,
        runtime=runtime(name),
        volume={"volume_name": f"{name}-data", "delete_data": True},
    )
    stack.up()
    written = stack.export()
    kinds = raise_version(stack, written)
    assert kinds == {"pika:IncusRuntime", "pika:PersistentVolume"}
    for arguments in (["preview"], ["refresh", "--yes"], ["destroy", "--yes"]):
        said = stack.run(*arguments, fails=True)
        assert "a newer version of pulumi_pika wrote it" in said, arguments
        assert "Traceback" not in said
    live = fetch_instance(client, name)
    assert live is not None
    assert live.running
    there(client, f"{name}-data")
    load(stack, written)
    stack.preview("--expect-no-changes")
    stack.destroy()


def raise_version(stack: Stack, written: dict[str, Any]) -> set[str]:
    """Has the state say that a newer version wrote it; the kinds of the resources that had one."""
    changed = json.loads(json.dumps(written))
    kinds = set()
    for resource in changed["deployment"]["resources"]:
        if "schema_version" in resource.get("outputs", {}):
            resource["outputs"]["schema_version"] = SCHEMA_VERSION + 1
            kinds.add(resource["type"].rpartition("/")[2])
    load(stack, changed)
    return kinds


def load(stack: Stack, state: dict[str, Any]) -> None:
    file = stack.directory / "state.json"
    file.write_text(json.dumps(state))
    stack.run("stack", "import", "--file", str(file))
