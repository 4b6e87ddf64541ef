"""The smallest possible dynamic resource, which shows the cost of Pulumi itself."""

from typing import Any

from pulumi import ResourceOptions
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider


class EmptyProvider(ResourceProvider):
    """A provider that does nothing. It is importable and has no attributes, so that the state
    contains no code."""

    serialize_as_secret_always = False

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Create nothing."""
        return CreateResult("nothing", {})

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Report no change."""
        return DiffResult(changes=False)


class Empty(Resource):
    """A resource without inputs."""

    def __init__(self, name: str, opts: ResourceOptions | None = None) -> None:
        super().__init__(EmptyProvider(), name, {}, opts)
