"""A client that waits for a host which is away for a moment, as while its daemon restarts."""

import time
from copy import copy
from typing import Any, Final

from ..incus.client import IncusClient
from ..incus.errors import IncusUnreachable
from ..incus.transport import Reply, Transport

AWAY_FOR: Final = 30.0
"""Seconds for which a host is waited for."""
_PAUSE: Final = 0.2
_AT_ONCE: Final = 5.0
"""A request that fails later than that hung, and would again."""


def retry_transport(client: IncusClient) -> IncusClient:
    """The same client, whose questions wait for a host that is away; changes are sent once."""
    other = copy(client)
    other.transport = _RetryingTransport(client.transport)
    return other


class _RetryingTransport:
    def __init__(self, inner: Transport) -> None:
        self._inner = inner
        self._silent_since: float | None = None

    @property
    def host(self) -> str:
        return self._inner.host

    @property
    def is_local(self) -> bool:
        return self._inner.is_local

    @property
    def client_fingerprint(self) -> str:
        return self._inner.client_fingerprint

    def send(self, method: str, path: str, **options: Any) -> Reply:
        while True:
            begun = time.monotonic()
            try:
                reply = self._inner.send(method, path, **options)
            except IncusUnreachable:
                now = time.monotonic()
                self._silent_since = self._silent_since or begun
                away = now - self._silent_since > AWAY_FOR
                if method not in ("GET", "HEAD") or away or now - begun > _AT_ONCE:
                    raise
            else:
                self._silent_since = None
                return reply
            time.sleep(_PAUSE)
