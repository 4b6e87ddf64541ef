"""Send lines to Pulumi's log from a provider process."""

import re
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import pulumi

from ..text_safety import break_directives, without_breaks
from ..validation.warning_codes import ending

_ADDRESS: Final = re.compile(r"[\w.\-\[\]:]+:\d+")
_lock = threading.Lock()
_engine: list[Any] = []


class PulumiReporter:
    """A `reconcile.Reporter` whose lines Pulumi shows with the resource.

    Args:
        urn: The resource's URN; empty if it is unknown.
        redact: Removes the secrets from a line.
    """

    def __init__(self, urn: str, redact: Callable[[str], str]) -> None:
        self._urn = urn
        self._redact = redact

    def info(self, message: str) -> None:
        """Send a line of progress."""
        self._send(message, pulumi.log.info, "INFO")

    def warn(self, message: str) -> None:
        """Send a warning; the work continues."""
        self._send(message, pulumi.log.warn, "WARNING")

    def _send(self, message: str, otherwise: Callable[[str], None], severity: str) -> None:
        # No message of pulumi_pika has several lines. A newline comes from untrusted text and could
        # forge a line.
        text = break_directives(without_breaks(self._redact(message)))
        message = text + ending(message)
        engine = _connected_engine()
        if engine is None:
            _log(otherwise, message)
            return
        from pulumi.runtime.proto import engine_pb2

        try:
            engine.Log(
                engine_pb2.LogRequest(
                    severity=engine_pb2.LogSeverity.Value(severity), message=message, urn=self._urn
                )
            )
        except Exception:
            _log(otherwise, message)


def _log(line: Callable[[str], None], message: str) -> None:
    """Write a line, and ignore failures: the engine and standard error may both be closed."""
    with suppress(Exception):
        line(message)


def _connected_engine() -> Any:
    """Return a connection to the engine, whose address is the last argument of a provider process
    (plugin protocol).

    `pulumi.log` does not connect to the engine in a provider process, and cannot name the resource.
    """
    with _lock:
        if not _engine:
            address = sys.argv[-1] if len(sys.argv) > 1 else ""
            _engine.append(_connect(address) if _ADDRESS.fullmatch(address) else None)
    return _engine[0]


def _connect(address: str) -> Any:
    import grpc
    from pulumi.runtime.proto import engine_pb2_grpc

    return engine_pb2_grpc.EngineStub(grpc.insecure_channel(address))
