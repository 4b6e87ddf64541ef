"""Turn every exception of a call into an error for the user."""

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
    """The error of a call. The message is for the user and has no secrets."""


def raise_if_failed(failures: Iterable[Failure]) -> None:
    """Raise an exception if there are failures. `check` could not check values that were unknown
    then.

    Raises:
        ProviderError: The message lists all failures.
    """
    said = "; ".join(f"{path_text(failure.path)}: {failure.reason}" for failure in failures)
    if said:
        raise ProviderError(said)


def nesting_failure() -> CheckResult:
    """Return the result of a `check` whose inputs are nested too deeply."""
    return CheckResult({}, [CheckFailure("", "the inputs are nested too deeply to be read")])


_ENGINE_GONE: Final = (
    "the Pulumi engine that started this provider process was killed: what was being created is "
    "removed again, and nothing else is begun. Run the same command again"
)


@contextmanager
def user_facing_errors(
    *trees: dict[str, Any], undoable: bool = False
) -> Iterator[Callable[[], PulumiReporter]]:
    """Yield a function that returns a reporter, and turn every exception into one for the user.

    Args:
        trees: The properties, for their secrets and the resource's URN.
        undoable: Whether the call deletes what it created if it is interrupted.

    Raises:
        ProviderError: The call failed, or a newer version of pulumi_pika wrote one of the trees, or
            the engine is gone.
    """
    _silence_tracebacks()
    # This comes first: the form of such a state, also that of its secrets, is unknown.
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
    """Return the text of an error in a form that the engine can show. Further lines are indented,
    so that none of them can be mistaken for a line of the engine."""
    return break_directives(re.sub(r"\n(?=\S)", "\n  ", strip_controls(text)))


class _NoTraceback(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a log record is shown: not if the user already sees its text as the
        error."""
        return not (record.exc_info and isinstance(record.exc_info[1], ProviderError))


_NO_TRACEBACK = _NoTraceback()


def _silence_tracebacks() -> None:
    # gRPC logs the traceback of every exception that it forwards to the engine.
    logging.getLogger("grpc._server").addFilter(_NO_TRACEBACK)
    # urllib3 quotes malformed headers in warnings on standard error, which the engine shows.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
