"""Turns whatever a call ends with into an error that people can read."""

import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from pulumi.dynamic import CheckFailure, CheckResult

from ..errors import PikaError, internal_error_message
from ..incus.errors import IncusError
from ..reconcile.shared.errors import ReconcileError
from ..redaction import redacting
from ..text_safety import break_directives, strip_controls
from ..validation.lenient_validation import Failure
from ..validation.property_tree import path_text
from .engine_log import PulumiReporter
from .engine_watch import EngineGone, calls
from .schema_version import newer
from .secret_marking import Redactor


class ProviderError(PikaError):
    """What a call ends with; its message is for the user and has no secrets."""


def raise_if_failed(failures: Iterable[Failure]) -> None:
    """Ends a call where something is wrong: what was unknown to `check` was not looked at.

    Raises:
        ProviderError: all that is wrong.
    """
    said = "; ".join(f"{path_text(failure.path)}: {failure.reason}" for failure in failures)
    if said:
        raise ProviderError(said)


def nesting_failure() -> CheckResult:
    """The answer of a `check` that could not even read its inputs."""
    return CheckResult({}, [CheckFailure("", "the inputs are nested too deeply to be read")])


_ENGINE_GONE: Final = (
    "the Pulumi engine that started this provider process was killed: what was being created is "
    "removed again, and nothing else is begun. Run the same command again"
)


@contextmanager
def user_facing_errors(
    *trees: dict[str, Any], undoable: bool = False
) -> Iterator[Callable[[], PulumiReporter]]:
    """Gives a way to report, and turns every exception into one that people can read.

    Args:
        trees: the properties at hand, for their secrets and the resource's URN.
        undoable: whether the call takes back what it has made when it is interrupted.

    Raises:
        ProviderError: what the call ended with, or a newer version of us wrote one of the trees,
            or the engine is gone.
    """
    _silence_tracebacks()
    # First of all: nothing is known of its shape, that of its secrets included.
    if text := newer(*trees):
        raise ProviderError(text)
    redact = Redactor(*trees)
    try:
        with redacting(redact), calls.one(undoable=undoable):
            yield lambda: PulumiReporter(str(trees[-1].get("owner") or ""), redact)
    except EngineGone:
        raise ProviderError(_ENGINE_GONE) from None
    except (IncusError, ReconcileError, ProviderError) as error:
        raise ProviderError(_sayable(redact(str(error)))) from None
    except Exception as error:
        raise ProviderError(_sayable(redact(internal_error_message(error)))) from None


def _sayable(text: str) -> str:
    """The text of an error as the engine can show it. Its further lines are indented: none of them,
    whoever wrote it, can be taken for a line of the engine's."""
    return break_directives(re.sub(r"\n(?=\S)", "\n  ", strip_controls(text)))


class _NoTraceback(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is shown: not where its text is the user's error already."""
        return not (record.exc_info and isinstance(record.exc_info[1], ProviderError))


_NO_TRACEBACK = _NoTraceback()


def _silence_tracebacks() -> None:
    # gRPC logs the traceback of every exception that it passes on to the engine.
    logging.getLogger("grpc._server").addFilter(_NO_TRACEBACK)
    # It warns of odd headers in their own words, on standard error, which the engine shows.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
