"""The base class of all providers of this package, whose resources are on an Incus host."""

from importlib import import_module
from typing import Any, ClassVar, Final

from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    ConfigureRequest,
    CreateResult,
    DiffResult,
    ReadResult,
    ResourceProvider,
    UpdateResult,
)

from ..validation.hidden_property import open_hidden
from .hidden_property import close_hidden

# Every program imports this module, so it imports nothing that takes time.

_NOT_HANDED_ON: Final = (
    "the program's Pulumi SDK did not hand on what this provider needs (the property `__pika`), so "
    "that no secret would be known as one. Nothing was done. Use the same version of the pulumi "
    "package in the program and in its provider, and pulumi_pika's own resource classes"
)


class HostProvider(ResourceProvider):
    """The base of the providers whose resources are on an Incus host.

    Each call goes to the function of the same name in the module that `calls` names. That module is
    imported by the first call. So a program that only declares resources imports neither the HTTP
    client nor the planner.

    The class is thread-safe and has no attributes of its own, so that a subclass pickles to a
    reference that never changes.
    """

    serialize_as_secret_always = False
    calls: ClassVar[str]
    """The name of the module with the calls."""

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
        given = open_hidden(news)
        if "secret_inputs" not in given:
            # Without the hidden property, no secret can be recognized.
            return CheckResult({}, [CheckFailure("", _NOT_HANDED_ON)])
        from .host_connection import settings_problem

        # This comes first, since the host's defaults are part of the inputs. It is needed even if
        # nothing changed, since no call reports changed arguments of an `IncusHost`.
        if problem := settings_problem():
            return CheckResult({}, [CheckFailure("", problem)])
        from .replacement_refusal import note_check

        owner = given.get("owner")
        note_check(owner if isinstance(owner, str) else "")
        result: CheckResult = self._calls().check(news=given, olds=open_hidden(_olds))
        result.inputs = close_hidden(result.inputs) or {}
        return result

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Return what a change of the inputs means."""
        result: DiffResult = self._calls().diff(open_hidden(_olds), open_hidden(_news))
        return result

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Create the object on the host, or resume its interrupted create."""
        result: CreateResult = self._calls().create(open_hidden(props))
        result.outs = close_hidden(result.outs)
        return result

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Return the state of the live object; a deleted object is returned as a deleted
        resource."""
        result: ReadResult = self._calls().read(id_, open_hidden(props))
        result.outs, result.inputs = close_hidden(result.outs), close_hidden(result.inputs)
        return result

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Change the object in place."""
        result: UpdateResult = self._calls().update(open_hidden(_olds), open_hidden(_news))
        result.outs = close_hidden(result.outs)
        return result

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Delete the object, as far as its arguments say so."""
        self._calls().delete(open_hidden(_props))

    def _calls(self) -> Any:
        return import_module(f"{__package__}.{self.calls}")
