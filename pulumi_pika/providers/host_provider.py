"""The base class of all providers of this package, whose resources are on an Incus host."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from pulumi.dynamic import (
    CheckResult,
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    ResourceProvider,
    UpdateResult,
)

if TYPE_CHECKING:
    from .resource_kind import Kind

# Every program imports this module, so it imports nothing that takes time.


class HostProvider(ResourceProvider):
    """The base of the providers whose resources are on an Incus host.

    Each call goes through `call_boundary` to the function of the same name in the module that
    `calls` names. That module is imported by the first call. So a program that only declares
    resources imports neither the HTTP client nor the planner.

    The class is thread-safe and has no attributes of its own, so that a subclass pickles to a
    reference that never changes.
    """

    serialize_as_secret_always = False
    calls: ClassVar[str]
    """The name of the module with the calls and their `KIND`."""

    def configure(self, req: ConfigureRequest) -> None:
        """Store the settings of the `IncusHost` or of the stack configuration."""
        from .engine_watch import watch_engine
        from .host_connection import configure
        from .thread_pool import enlarge_thread_pool

        enlarge_thread_pool()
        watch_engine()
        configure(req.config)

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Validate the inputs, and add what a preview shows.

        Args:
            _olds: The inputs that an earlier `check` returned; empty for a new resource.
            news: The inputs of the program.
        """
        from . import call_boundary

        return call_boundary.check(self._kind(), _olds, news)

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Return what a change of the inputs means."""
        from . import call_boundary

        return call_boundary.diff(self._kind(), _olds, _news)

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Create the object on the host, or resume its interrupted create."""
        from . import call_boundary

        return call_boundary.create(self._kind(), props)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Return the state of the live object; a deleted object is returned as a deleted
        resource."""
        from . import call_boundary

        return call_boundary.read(self._kind(), id_, props)

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Change the object in place."""
        from . import call_boundary

        return call_boundary.update(self._kind(), _olds, _news)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Delete the object, as far as its arguments say so."""
        from . import call_boundary

        call_boundary.delete(self._kind(), _props)

    def _kind(self) -> "Kind[Any, Any]":
        kind: Kind[Any, Any] = import_module(f"{__package__}.{self.calls}").KIND
        return kind
