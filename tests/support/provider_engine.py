"""What Pulumi's engine does with a resource, without the engine: it calls the provider in the same
order and keeps the same state, a hundred times faster. `tests/e2e` has the real one.
"""

import json
from dataclasses import dataclass, field
from typing import Any

from pulumi.runtime import rpc

from ..conftest import IMAGE
from .provider_calls import runtime_calls as calls


class Refused(AssertionError):
    """`check` had failures."""


@dataclass
class Managed:
    """One `IncusRuntime` of a program, and its state."""

    arguments: dict[str, Any]
    outputs: dict[str, Any] | None = None
    inputs: dict[str, Any] = field(default_factory=dict)
    id: str = ""

    def change(self, **arguments: Any) -> None:
        """Edits the program."""
        self.arguments = {**self.arguments, **arguments}

    def checked(self, *, anew: bool = False) -> dict[str, Any]:
        """The inputs, checked; `anew` as if there were none of before."""
        checked = calls.check(wire(self.arguments), None if anew else self.inputs or None)
        if checked.failures:
            raise Refused("; ".join(f"{f.property}: {f.reason}" for f in checked.failures))
        inputs: dict[str, Any] = wire(checked.inputs)
        return inputs

    def planned(self) -> str:
        """What an `up` would do: create, same, update or replace."""
        if self.outputs is None:
            return "create"
        difference = calls.diff(wire(self.outputs), self.checked())
        if difference.replaces:
            return "replace"
        return "update" if difference.changes else "same"

    def up(self) -> str:
        """Does it; returns what it was."""
        inputs, step = self.checked(), self.planned()
        if step == "replace" and self.outputs is not None:
            inputs = self.checked(anew=True)
            calls.delete(wire(self.outputs))
            self.outputs = None
        if step in ("create", "replace"):
            created = calls.create(inputs)
            self.id, self.outputs, self.inputs = created.id, wire(created.outs), inputs
        elif step == "update" and self.outputs is not None:
            self.outputs = wire(calls.update(wire(self.outputs), inputs).outs)
            self.inputs = inputs
        return step

    def refresh(self) -> dict[str, tuple[Any, Any]]:
        """Reads back; the inputs that changed by it, as (before, after)."""
        assert self.outputs is not None
        read = calls.read(self.id, wire(self.outputs))
        if not read.id:
            self.outputs, self.inputs = None, {}
            return {"id": (self.id, "")}
        # Without inputs the engine keeps those that it has.
        after = self.inputs if read.inputs is None else wire(read.inputs)
        drift = {
            name: (self.inputs.get(name), after.get(name))
            for name in self.inputs.keys() | after.keys()
            if self.inputs.get(name) != after.get(name)
        }
        self.outputs, self.inputs = wire(read.outs), after
        return drift

    def destroy(self) -> None:
        if self.outputs is not None:
            calls.delete(wire(self.outputs))
            self.outputs = None

    def __getitem__(self, output: str) -> Any:
        assert self.outputs is not None
        return self.outputs[output]


def wire(tree: Any) -> Any:
    """The tree after a journey through Pulumi's wire: numbers are floats, None is gone."""
    tree = json.loads(json.dumps(tree), parse_int=float)
    return _without_none(tree)


def received(tree: Any) -> Any:
    """A tree as the engine hands it back: secrets in plain text, and every number a float."""
    return wire(_open(tree))


def _open(tree: Any) -> Any:
    if rpc.is_rpc_secret(tree):
        return _open(tree["value"])
    if isinstance(tree, dict):
        return {key: _open(value) for key, value in tree.items()}
    return [_open(value) for value in tree] if isinstance(tree, list) else tree


def _without_none(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _without_none(value) for key, value in tree.items() if value is not None}
    return [_without_none(value) for value in tree] if isinstance(tree, list) else tree


def arguments(name: str, **more: Any) -> dict[str, Any]:
    """The arguments of a container with a volume, as `IncusRuntime` hands them on."""
    return {
        "identity": {"runtime_id": f"id-{name}", "instance_name": name},
        "incus": {"project": "default", "profile": "default", "image_alias": IMAGE},
        "mounts": [volume_mount(f"{name}-state")],
        "instance_type": "container",
        "storage_pool": "default",
        "running": True,
        "owner": f"urn:pulumi:test::state::pulumi-python:dynamic/pika:IncusRuntime::{name}",
        "secret_inputs": [],
        **more,
    }


def volume_mount(source: str, guest_path: str = "/mnt/state", **more: Any) -> dict[str, Any]:
    return {
        "kind": "persistent_volume",
        "source": source,
        "guest_path": guest_path,
        "mode": "read_write",
        **more,
    }
