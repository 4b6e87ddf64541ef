"""Limit one request as a whole: the seconds until its reply is complete, and its bytes.

The time limit of a socket applies to each read. A server that sends a byte a second would never
reach it. Nor would one that sends an endless row of ``100 Continue``, which Python's `http.client`
skips without a limit. So each read and each write of a connection gets only the rest of the whole
request's time.
"""

import http.client
import io
import time
from typing import Any, Final

from .errors import AnswerTooLong

_HEAD_BYTES: Final = 1024 * 1024
"""The limit for the bytes outside the body: the head, earlier replies (1xx), and trailers."""
_SENT_AT_ONCE: Final = 64 * 1024
"""How many bytes are given to a socket at a time; for more, TLS limits the time of each record."""


class ReplyBounds:
    """Hold the remaining limits of a request.

    Each thread's session has one, for one request at a time.
    """

    def __init__(self) -> None:
        self._within = self._wait = 0.0
        self._until = 0.0
        self._max_bytes = self._bytes = 0

    def set(self, *, within: float, wait: float, max_bytes: int) -> None:
        """Set the limits of the next request.

        Args:
            within: seconds from the first byte of the request to the last one of the reply.
            wait: seconds without any byte.
            max_bytes: bytes of the reply's body.
        """
        self._within, self._wait = within, wait
        self._max_bytes = max_bytes
        self.begin()

    def begin(self) -> None:
        """Start the clock; called when the request is about to be sent."""
        self._until = time.monotonic() + self._within
        # A chunk of a body has a line of its own, and may be as short as a byte.
        self._bytes = 8 * self._max_bytes + _HEAD_BYTES

    def seconds(self) -> float:
        """Return how long the next read or write may take, in seconds.

        Raises:
            TimeoutError: no time is left.
        """
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"no complete reply within {self._within:g} s")
        return min(left, self._wait)

    def count(self, size: int) -> None:
        """Count bytes of the reply, of any part of it.

        Raises:
            AnswerTooLong: there are more bytes than a reply of the allowed length can have.
        """
        self._bytes -= size
        if self._bytes < 0:
            raise AnswerTooLong(f"the reply is longer than {self._max_bytes} bytes")


class _BoundedReader(io.RawIOBase):
    """Read the bytes of a socket within the limits."""

    def __init__(self, raw: io.RawIOBase, sock: Any, bounds: ReplyBounds) -> None:
        self._raw, self._sock, self._bounds = raw, sock, bounds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._bounds.seconds())
        size = self._raw.readinto(buffer)
        self._bounds.count(size or 0)
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BoundedResponse(http.client.HTTPResponse):
    """Read all parts of a reply within the limits."""

    def __init__(self, bounds: ReplyBounds, sock: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_BoundedReader(self.fp.detach(), sock, bounds))


class BoundedConnection:
    """Keep a connection of urllib3 within the limits. List it before the connection's class.

    Attributes:
        bounds: the limits of the session that the connection belongs to.
    """

    bounds: ReplyBounds

    def request(self, *arguments: Any, **options: Any) -> None:
        """Send a request."""
        self.bounds.begin()
        super().request(*arguments, **options)  # type: ignore[misc]

    def send(self, data: Any) -> None:
        """Send a part of a request."""
        connection: Any = self
        if connection.sock is None:
            connection.connect()
        if not isinstance(data, bytes | bytearray):
            data = bytes(data)
        view = memoryview(data)
        for start in range(0, len(view), _SENT_AT_ONCE):
            connection.sock.settimeout(self.bounds.seconds())
            super().send(view[start : start + _SENT_AT_ONCE])  # type: ignore[misc]

    def response_class(self, sock: Any, *arguments: Any, **options: Any) -> _BoundedResponse:
        """Return the object that reads the reply, in place of `http.client`'s class."""
        return _BoundedResponse(self.bounds, sock, *arguments, **options)
