"""Turn every exception of a call into an error for the user."""

import functools
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from ..errors import PikaError, internal_error_message
from ..incus.errors import IncusError
from ..message_templates import Message
from ..reconcile.shared.errors import ReconcileError
from ..redaction import ValueRedactor, redacting
from ..text_safety import break_directives, strip_controls
from .engine_log import PulumiReporter
from .engine_watch import EngineGone, calls


class ProviderError(PikaError):
    """The error of a call. The message is for the user and has no secrets."""


_ENGINE_GONE: Final = (
    "the Pulumi engine that started this provider process was killed. A create in progress is "
    "undone, and no further call starts. Run the same command again"
)


@contextmanager
def user_facing_errors(
    redact: ValueRedactor, owner: str, *, undoable: bool = False
) -> Iterator[PulumiReporter]:
    """Yield a reporter, and turn every exception into one for the user.

    Args:
        redact: Replaces the secrets of the resource, in errors and in what is reported.
        owner: The URN of the resource; empty if it is unknown.
        undoable: Whether the call deletes what it created if it is interrupted.

    Raises:
        ProviderError: The call failed, or the engine has ended.
    """
    _silence_tracebacks()
    try:
        with redacting(redact), calls.one(undoable=undoable):
            yield PulumiReporter(owner, redact)
    except EngineGone:
        raise ProviderError(_ENGINE_GONE) from None
    except (IncusError, ReconcileError, ProviderError) as error:
        raise ProviderError(Message(_showable(redact(str(error))), error.code)) from None
    except Exception as error:
        raise ProviderError(_showable(redact(internal_error_message(error)))) from None


def _showable(text: str) -> str:
    """Return the text of an error in a form that the engine can show. Further lines are indented,
    so that none of them can be mistaken for a line of the engine."""
    return break_directives(re.sub(r"\n(?=\S)", "\n  ", strip_controls(text)))


class _NoTraceback(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a log record is shown: not if the user already sees its text as the
        error."""
        return not (record.exc_info and isinstance(record.exc_info[1], ProviderError))


_NO_TRACEBACK = _NoTraceback()


@functools.cache
def _silence_tracebacks() -> None:
    # gRPC logs the traceback of every exception that it forwards to the engine.
    logging.getLogger("grpc._server").addFilter(_NO_TRACEBACK)
    # urllib3 quotes malformed headers in warnings on standard error, which the engine shows.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
