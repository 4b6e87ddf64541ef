"""The smallest dynamic resource that can be: what Pulumi itself costs."""

from typing import Any

from pulumi import ResourceOptions
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider


class EmptyProvider(ResourceProvider):
    """Does nothing. Importable and without attributes, as ours are, so that state has no code."""

    serialize_as_secret_always = False

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Makes nothing."""
        return CreateResult("nothing", {})

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Nothing ever changes."""
        return DiffResult(changes=False)


class Empty(Resource):
    """A resource without a single input."""

    def __init__(self, name: str, opts: ResourceOptions | None = None) -> None:
        super().__init__(EmptyProvider(), name, {}, opts)
