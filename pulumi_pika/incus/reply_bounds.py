"""Bounds of one request in total: the seconds until its answer is there, and the bytes of it.

The time limit of a socket is one for each read. A server that sends a byte a second would never
reach it, nor one that sends an endless row of ``100 Continue``, which Python's `http.client` skips
without a bound. So each read and each write of a connection gets only what is left of the whole
request's time.
"""

import http.client
import io
import time
from typing import Any, Final

from .errors import AnswerTooLong

_HEAD_BYTES: Final = 1024 * 1024
"""The bytes of an answer that are not its body: the head, answers before it (1xx), and trailers."""
_SENT_AT_ONCE: Final = 64 * 1024
"""The bytes that are given to a socket at a time; of more, TLS limits each record's time."""


class ReplyBounds:
    """What a request may still take. Each thread's session has one, for one request at a time."""

    def __init__(self) -> None:
        self._within = self._wait = 0.0
        self._until = 0.0
        self._max_bytes = self._bytes = 0

    def set(self, *, within: float, wait: float, max_bytes: int) -> None:
        """Set the bounds of the next request.

        Args:
            within: seconds from the first byte of the request to the last one of the answer.
            wait: seconds without any byte.
            max_bytes: bytes of the answer's body.
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
        """Return the seconds that the next read or write may take.

        Raises:
            TimeoutError: none are left.
        """
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"not done within {self._within:g} s")
        return min(left, self._wait)

    def count(self, size: int) -> None:
        """Count bytes of the answer, of whatever part of it.

        Raises:
            AnswerTooLong: there are more than any answer of the allowed length has.
        """
        self._bytes -= size
        if self._bytes < 0:
            raise AnswerTooLong(f"the answer is longer than {self._max_bytes} bytes")


class _BoundedReader(io.RawIOBase):
    """The bytes of a socket, read within the bounds."""

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
    """An answer, all parts of which are read within the bounds."""

    def __init__(self, bounds: ReplyBounds, sock: Any, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_BoundedReader(self.fp.detach(), sock, bounds))


class BoundedConnection:
    """Keeps a connection of urllib3's within the bounds; to be named before its class.

    Attributes:
        bounds: those of the session that the connection belongs to.
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
        """Make the object that reads the answer, in place of the class that `http.client` has."""
        return _BoundedResponse(self.bounds, sock, *arguments, **options)
