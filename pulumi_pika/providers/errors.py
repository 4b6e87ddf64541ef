"""Turns whatever a call ends with into an error that people can read."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..incus.errors import IncusError
from ..reconcile.errors import ReconcileError
from .report import PulumiReporter, printable
from .secrets import Redactor


class ProviderError(Exception):
    """What a call ends with; its message is for the user and has no secrets."""


@contextmanager
def for_people(*trees: dict[str, Any]) -> Iterator[Callable[[], PulumiReporter]]:
    """Gives a way to report, and turns every exception into one that people can read.

    Args:
        trees: the properties at hand, for their secrets and the resource's URN.
    """
    redact = Redactor(*trees)
    _silence_tracebacks()
    try:
        yield lambda: PulumiReporter(str(trees[-1].get("owner") or ""), redact)
    except (IncusError, ReconcileError, ProviderError) as error:
        raise ProviderError(printable(redact(str(error)))) from None
    except Exception as error:
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        at = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else "?"
        raise ProviderError(
            redact(
                f"pulumi_pika failed in itself ({type(error).__name__} at {at}: {error}); "
                "please report this, it is no mistake of yours"
            )
        ) from None


class _NoTraceback(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is shown: not where its text is the user's error already."""
        return not (record.exc_info and isinstance(record.exc_info[1], ProviderError))


_NO_TRACEBACK = _NoTraceback()


def _silence_tracebacks() -> None:
    # gRPC logs the traceback of every exception that it passes on to the engine.
    logging.getLogger("grpc._server").addFilter(_NO_TRACEBACK)
