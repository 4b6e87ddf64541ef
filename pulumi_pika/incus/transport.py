"""Carries requests to a daemon over its unix socket: connections, time limits, bounded answers."""

import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import requests
import requests_unixsocket
from requests_unixsocket.adapters import (
    UnixAdapter,
    UnixHTTPConnection,
    UnixHTTPConnectionPool,
)

from .errors import IncusUnreachable, UnexpectedResponse

MAX_RESPONSE_BYTES: Final = 64 * 1024 * 1024
CONNECT_TIMEOUT: Final = 10.0
REPLY_TIMEOUT: Final = 60.0
_SCHEME: Final = "http+unix://"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, read whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _Connection(UnixHTTPConnection):  # type: ignore[misc]
    """The library's own leaves the socket open where it cannot connect."""

    def connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(self.timeout)
            sock.connect(unquote(urlsplit(self.unix_socket_url).netloc))
        except BaseException:
            sock.close()
            raise
        self.sock = sock


class _Pool(UnixHTTPConnectionPool):  # type: ignore[misc]
    def _new_conn(self) -> Any:
        return _Connection(self.socket_path, self.timeout)


class _KeptAdapter(UnixAdapter):  # type: ignore[misc]
    """One connection pool for a socket; the library's own makes one for every URL."""

    def get_connection(self, url: str, proxies: Any = None) -> Any:
        place = _SCHEME + urlsplit(url).netloc
        with self.pools.lock:
            if place not in self.pools:
                self.pools[place] = _Pool(place, self.timeout)
            return self.pools[place]


class UnixTransport:
    """Sends requests to one unix socket. Thread-safe: each thread has a session of its own."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket
        self._base = _SCHEME + quote(str(socket), safe="")
        self._local = threading.local()

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str],
        json: Any = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = REPLY_TIMEOUT,
        max_bytes: int = MAX_RESPONSE_BYTES,
    ) -> Reply:
        """Sends one request and reads its answer.

        Args:
            method: the HTTP method.
            path: the path, quoted.
            params: the query, not quoted.
            json: a JSON body.
            data: a raw body, in place of `json`.
            headers: further headers.
            timeout: seconds to wait for the answer.
            max_bytes: how much of an answer is read; a longer one is refused.

        Raises:
            IncusUnreachable: no answer came.
            UnexpectedResponse: the answer is too long.
        """
        where = f"{method} {path} at {self.socket}"
        try:
            response = self._session().request(
                method,
                self._base + path,
                params=params,
                json=json,
                data=data,
                headers=headers,
                timeout=(CONNECT_TIMEOUT, timeout),
                stream=True,
                allow_redirects=False,
            )
            with response:
                body = bytearray()
                for chunk in response.iter_content(256 * 1024):
                    body += chunk
                    if len(body) > max_bytes:
                        raise UnexpectedResponse(
                            f"{where}: the answer is longer than {max_bytes} bytes"
                        )
                return Reply(response.status_code, response.headers, bytes(body))
        except requests.exceptions.Timeout as error:
            raise IncusUnreachable(
                f"{where}: no answer within {timeout:g} s; the daemon is busy or hangs", sent=True
            ) from error
        except requests.exceptions.RequestException as error:
            raise self._unreachable(where, error) from error

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = requests_unixsocket.Session()
            session.mount(_SCHEME, _KeptAdapter())
            # A unix socket has no proxy and no netrc; looking for them costs time at each request.
            session.trust_env = False
            self._local.session = session
        return session

    def _unreachable(self, where: str, error: Exception) -> IncusUnreachable:
        cause = _os_error(error)
        if isinstance(cause, FileNotFoundError):
            return IncusUnreachable(
                f"{where}: there is no such socket; start Incus, or set INCUS_SOCKET to its socket",
                sent=False,
            )
        if isinstance(cause, PermissionError):
            return IncusUnreachable(
                f"{where}: this user may not open the socket; "
                "add the user to the group `incus-admin`, or run as root",
                sent=False,
            )
        if isinstance(cause, ConnectionRefusedError):
            return IncusUnreachable(
                f"{where}: nobody listens at the socket; start Incus", sent=False
            )
        return IncusUnreachable(f"{where}: the connection broke off: {cause or error}", sent=True)


def _os_error(error: BaseException) -> OSError | None:
    """The operating system's own error, which the libraries wrap several times."""
    seen: set[int] = set()
    stack: list[BaseException] = [error]
    found: OSError | None = None
    while stack:
        current = stack.pop()
        if id(current) in seen:
            continue
        seen.add(id(current))
        if isinstance(current, OSError) and not isinstance(
            current, requests.exceptions.RequestException
        ):
            found = current
        inner = [current.__cause__, current.__context__, *current.args]
        stack.extend(item for item in inner if isinstance(item, BaseException))
    return found
