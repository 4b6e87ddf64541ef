"""What every provider of ours has in common: the host that its resources are on."""

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

# As with every module that a program imports: nothing that costs time comes with it.

_NOT_HANDED_ON: Final = (
    "the program's Pulumi SDK did not hand on what this provider needs (the property `__pika`), so "
    "that no secret would be known as one. Nothing was done. Use the same version of the pulumi "
    "package in the program and in its provider, and pulumi_pika's own resource classes"
)


class HostProvider(ResourceProvider):
    """Base of the providers whose resources are on an Incus host.

    Each call goes to the function of that name in the module `calls` of this package, which comes
    with the first call: a program that only declares resources imports this module for the class,
    and pays for no HTTP client and no planner.

    Thread-safe, and without attributes of its own, so that a subclass pickles to a reference that
    never changes.
    """

    serialize_as_secret_always = False
    calls: ClassVar[str]
    """The module that does the work."""

    def configure(self, req: ConfigureRequest) -> None:
        """Takes what the `IncusHost`, or the stack config, says of the host."""
        from .engine_watch import watch_engine
        from .host_connection import configure
        from .thread_pool import enlarge_thread_pool

        enlarge_thread_pool()
        watch_engine()
        configure(req.config)

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Validates the inputs, and adds what a preview is to show."""
        given = open_hidden(news)
        if "secret_inputs" not in given:
            # Without it no secret would be known as one.
            return CheckResult({}, [CheckFailure("", _NOT_HANDED_ON)])
        from .host_connection import settings_problem

        # Before all else: the host's defaults are part of the inputs. Also if nothing changed: no
        # call tells that the arguments of an `IncusHost` did.
        if problem := settings_problem():
            return CheckResult({}, [CheckFailure("", problem)])
        from .replacement_refusal import note_check

        note_check(str(given.get("owner") or ""))
        result: CheckResult = self._calls().check(news=given, olds=open_hidden(_olds))
        result.inputs = close_hidden(result.inputs) or {}
        return result

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Tells what a change of the inputs means."""
        result: DiffResult = self._calls().diff(open_hidden(_olds), open_hidden(_news))
        return result

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Creates the thing, or resumes an interrupted create of it."""
        result: CreateResult = self._calls().create(open_hidden(props))
        result.outs = close_hidden(result.outs)
        return result

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Reads the live thing back; one that is gone reads as a resource that is gone."""
        result: ReadResult = self._calls().read(id_, open_hidden(props))
        result.outs, result.inputs = close_hidden(result.outs), close_hidden(result.inputs)
        return result

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Changes the thing in place."""
        result: UpdateResult = self._calls().update(open_hidden(_olds), open_hidden(_news))
        result.outs = close_hidden(result.outs)
        return result

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Deletes the thing, as far as its arguments say so."""
        self._calls().delete(open_hidden(_props))

    def _calls(self) -> Any:
        return import_module(f"{__package__}.{self.calls}")
