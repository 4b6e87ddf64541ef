"""Declares an `IncusImage`, and calls its provider as the engine does.

It stands in for the engine, which would be too slow for a test of every case; `tests/system/engine`
has the engine itself.
"""

from dataclasses import dataclass, field
from typing import Any

from pulumi_pika.providers.image import IncusImageProvider
from pulumi_pika.reconcile.images.image_source import forget_lookups

from .provider_engine import Refused, wire

URN = "urn:pulumi:dev::images::pulumi-python:dynamic/pika:IncusImage::"


@dataclass
class Image:
    """One image of a program, with its state."""

    name: str
    arguments: dict[str, Any]
    stack: str = "dev"
    backend: str = "b1"
    options: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)
    id_: str = ""

    @property
    def urn(self) -> str:
        return URN.replace("dev", self.stack) + self.name

    def checked(self) -> dict[str, Any]:
        """What `check` returns for the program; raises what it refuses."""
        forget_lookups()
        hidden = {
            "owner": self.urn,
            "backend": self.backend,
            "secret_inputs": [],
            "after_others": False,
            "previewing": False,
            "replace_on_changes": [],
            "managed_mounts": [],
            "retain_on_delete": False,
            "create_first": False,
            **self.options,
        }
        news = wire({"aliases": [self.name], **self.arguments, "__pika": hidden})
        result = IncusImageProvider().check(self.inputs, news)
        if result.failures:
            raise Refused("; ".join(f"{it.property}: {it.reason}" for it in result.failures))
        return dict(wire(result.inputs))

    def planned(self) -> str:
        """What the next `up` does: create, update, replace, or nothing."""
        news = self.checked()
        if not self.state:
            return "create"
        result = IncusImageProvider().diff(self.id_, self.state, news)
        if result.replaces:
            return "replace"
        return "update" if result.changes else ""

    def up(self, **arguments: Any) -> str:
        """One `pulumi up`, with other arguments."""
        self.arguments = {
            key: value
            for key, value in {**self.arguments, **arguments}.items()
            if value is not None
        }
        provider = IncusImageProvider()
        step, news = self.planned(), self.checked()
        if step == "update":
            self.state = wire(provider.update(self.id_, self.state, news).outs or {})
        elif step:
            before = self.id_, self.state
            if step == "replace":
                # The engine checks once more, as for a new resource.
                self.inputs = {}
                news = self.checked()
            made = provider.create(news)
            self.id_, self.state = made.id, wire(made.outs or {})
            if step == "replace":
                provider.delete(*before)
        self.inputs = news
        return step

    def refresh(self) -> dict[str, Any]:
        """One `pulumi refresh`; the outputs that changed, or an empty id for a resource gone."""
        forget_lookups()
        result = IncusImageProvider().read(self.id_, self.state)
        if not result.id:
            self.id_, self.state, self.inputs = "", {}, {}
            return {"id": ""}
        outs = wire(result.outs or {})
        changed = {key: outs[key] for key in outs if outs[key] != self.state.get(key)}
        self.state, self.inputs = outs, wire(result.inputs or {})
        return changed

    def destroy(self) -> None:
        IncusImageProvider().delete(self.id_, self.state)
        self.id_, self.state, self.inputs = "", {}, {}

    def __getitem__(self, output: str) -> Any:
        return self.state[output]
