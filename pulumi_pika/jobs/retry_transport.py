"""A client that waits for a host that is briefly unreachable, as during a restart of its daemon."""

import time
from copy import copy
from typing import Any, Final

from ..incus.client import IncusClient
from ..incus.errors import IncusUnreachable
from ..incus.transport import Reply, Transport

AWAY_FOR: Final = 30.0
"""Seconds for which an unreachable host is waited for."""
_PAUSE: Final = 0.2
_AT_ONCE: Final = 5.0
"""A request that fails after more seconds did hang, and is not repeated."""


def retry_transport(client: IncusClient) -> IncusClient:
    """Return the same client, but its read requests wait for an unreachable host. Changes are sent
    once."""
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
