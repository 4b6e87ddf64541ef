"""What Pulumi's engine does with a volume or a snapshot; see `tests/support/provider_engine.py`."""

from dataclasses import dataclass, field
from typing import Any

from .provider_calls import ProviderCalls, snapshot_calls, volume_calls
from .provider_engine import Refused, wire
from .volumes import OWNER


@dataclass
class Kept:
    """A volume, or a snapshot where it has a `snapshot_name`, and its state."""

    arguments: dict[str, Any]
    outputs: dict[str, Any] | None = None
    inputs: dict[str, Any] = field(default_factory=dict)

    @property
    def calls(self) -> ProviderCalls:
        return snapshot_calls if "snapshot_name" in self.arguments else volume_calls

    def checked(self) -> dict[str, Any]:
        news = wire({"owner": OWNER, "secret_inputs": [], **self.arguments})
        result = self.calls.check(news, None if self.calls is snapshot_calls else self.inputs)
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
        if step == "create":
            self.outputs = wire(self.calls.create(inputs).outs)
        elif step == "update":
            self.outputs = wire(self.calls.update(wire(self.outputs), inputs).outs)
        self.inputs = inputs
        return step

    def refresh(self) -> bool:
        """Whether it is still there."""
        read = self.calls.read("id", wire(self.outputs))
        self.outputs = wire(read.outs) if read.id else None
        self.inputs = wire(read.inputs) if read.id else {}
        return bool(read.id)

    def destroy(self) -> None:
        self.calls.delete(wire(self.outputs))
        self.outputs = None
