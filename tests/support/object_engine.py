"""What Pulumi's engine does with a config object; see `tests/support/provider_engine.py`."""

from dataclasses import dataclass, field
from typing import Any

from .provider_calls import ProviderCalls, object_calls
from .provider_engine import Refused, wire

OWNER = "urn:pulumi:test::project::pulumi-python:dynamic/pika:IncusProfile::thing"
OTHER = "urn:pulumi:test::project::pulumi-python:dynamic/pika:IncusProfile::other"


@dataclass
class Declared:
    """A config object of a program, and its state."""

    noun: str
    arguments: dict[str, Any]
    owner: str = OWNER
    outputs: dict[str, Any] | None = None
    inputs: dict[str, Any] = field(default_factory=dict)

    @property
    def calls(self) -> ProviderCalls:
        return object_calls[self.noun]

    def checked(self) -> dict[str, Any]:
        given = {"owner": self.owner, "backend": "b1", "secret_inputs": []}
        result = self.calls.check(wire({**given, **self.arguments}), self.inputs)
        if result.failures:
            raise Refused("; ".join(f"{f.property}: {f.reason}" for f in result.failures))
        return dict(wire(result.inputs))

    def planned(self) -> str:
        if self.outputs is None:
            return "create"
        difference = self.calls.diff(wire(self.outputs), self.checked())
        if difference.replaces:
            return "replace"
        return "update" if difference.changes else "same"

    def up(self, **arguments: Any) -> str:
        self.arguments.update(arguments)
        inputs, step = self.checked(), self.planned()
        if step == "replace":
            self.destroy()
        if step in ("create", "replace"):
            self.outputs = wire(self.calls.create(inputs).outs)
        elif step == "update":
            self.outputs = wire(self.calls.update(wire(self.outputs), inputs).outs)
        self.inputs = inputs
        return step

    def drop(self, *names: str) -> None:
        """Takes arguments out of the program."""
        for name in names:
            del self.arguments[name]

    def refresh(self) -> bool:
        """Whether it is still there."""
        read = self.calls.read("id", wire(self.outputs))
        self.outputs = wire(read.outs) if read.id else None
        self.inputs = wire(read.inputs) if read.id else {}
        return bool(read.id)

    def settled(self) -> bool:
        """Whether a refresh changes nothing, and neither does an update."""
        before = (self.outputs, self.inputs)
        return self.refresh() and (self.outputs, self.inputs) == before and self.up() == "same"

    def destroy(self) -> None:
        self.calls.delete(wire(self.outputs))
        self.outputs, self.inputs = None, {}
