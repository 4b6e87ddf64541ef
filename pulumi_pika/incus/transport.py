"""Carry requests to a daemon, by its unix socket or by https, with limits of time and length."""

import errno
import socket
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote, unquote, urlsplit

import requests
import requests_unixsocket
import urllib3
from requests_unixsocket.adapters import (
    UnixAdapter,
    UnixHTTPConnection,
    UnixHTTPConnectionPool,
)

from .errors import (
    AnswerTooLong,
    IncusUnreachable,
    ServerCertificateChanged,
    UnexpectedResponse,
)
from .reply_bounds import BoundedConnection, ReplyBounds

if TYPE_CHECKING:
    from .tls import ClientIdentity, ServerTrust

MAX_RESPONSE_BYTES: Final = 64 * 1024 * 1024
CONNECT_TIMEOUT: Final = 10.0
REPLY_TIMEOUT: Final = 60.0
_SCHEME: Final = "http+unix://"


@dataclass(frozen=True, slots=True)
class Reply:
    """Hold a complete reply."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Hold the time limits for a connection and for a whole reply, in seconds.

    The second applies to requests without a limit of their own.
    """

    connect: float = CONNECT_TIMEOUT
    reply: float = REPLY_TIMEOUT


class Upload(Protocol):
    """Define a body that is read while it is sent, and so is never whole in memory."""

    def __len__(self) -> int:
        """Return the length in bytes."""

    def __iter__(self) -> Iterator[bytes]:
        """Yield the body in pieces."""

    def read(self, size: int = -1, /) -> bytes:
        """Return the next bytes; none at the end."""


class Transport(Protocol):
    """Define what a client needs of a connection to its server."""

    @property
    def host(self) -> str:
        """Return the server's address, for messages."""

    @property
    def is_local(self) -> bool:
        """Return whether the server is on this machine."""

    @property
    def client_fingerprint(self) -> str:
        """Return the certificate by which the server knows this client; empty without one."""

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str],
        json: Any = None,
        data: bytes | Upload | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        within: float | None = None,
        max_bytes: int = MAX_RESPONSE_BYTES,
    ) -> Reply:
        """Send one request and return its reply."""


class _Connection(BoundedConnection, UnixHTTPConnection):  # type: ignore[misc]
    """Close the socket if it cannot connect, which the library's own class does not."""

    def __init__(self, place: str, timeout: Any, bounds: ReplyBounds) -> None:
        super().__init__(place, timeout)
        self.bounds = bounds

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
    def __init__(self, place: str, timeout: Any, bounds: ReplyBounds) -> None:
        super().__init__(place, timeout)
        self._bounds = bounds

    def _new_conn(self) -> Any:
        return _Connection(self.socket_path, self.timeout, self._bounds)


class _KeptAdapter(UnixAdapter):  # type: ignore[misc]
    """Share one connection pool for a socket; the library creates one for every URL."""

    def __init__(self, bounds: ReplyBounds) -> None:
        super().__init__()
        self._bounds = bounds

    def get_connection(self, url: str, proxies: Any = None) -> Any:
        place = _SCHEME + urlsplit(url).netloc
        with self.pools.lock:
            if place not in self.pools:
                self.pools[place] = _Pool(place, self.timeout, self._bounds)
            return self.pools[place]


class _HttpTransport(ABC):
    """Implement what all connections to a server share.

    Thread-safe: each thread has a session of its own.
    """

    def __init__(self, limits: TimeLimits) -> None:
        self._limits = limits
        self._local = threading.local()

    @property
    @abstractmethod
    def host(self) -> str:
        """Return the server's address, for messages."""

    @abstractmethod
    def _new_session(self, bounds: ReplyBounds) -> requests.Session:
        """Return a session with the connections of one thread, which keep within the limits."""

    @abstractmethod
    def _unreachable(self, where: str, error: Exception) -> IncusUnreachable:
        """Return the error for a failed request."""

    def _send_to(
        self,
        base: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, str],
        json: Any,
        data: bytes | Upload | None,
        headers: Mapping[str, str] | None,
        timeout: float | None,
        within: float | None,
        max_bytes: int,
    ) -> Reply:
        where = f"{method} {path} at {self.host}"
        limit = self._limits.reply if timeout is None else timeout
        whole = limit if within is None else within
        session = self._session()
        self._local.bounds.set(within=whole, wait=limit, max_bytes=max_bytes)
        try:
            response = session.request(
                method,
                base + path,
                params=params,
                json=json,
                data=data,
                # A short compressed reply could expand to any length. Ranges would not be those of
                # the file either.
                headers={**(headers or {}), "Accept-Encoding": "identity"},
                timeout=(self._limits.connect, limit),
                stream=True,
                allow_redirects=False,
            )
            with response:
                encoding = response.headers.get("Content-Encoding", "identity")
                if encoding != "identity":
                    raise UnexpectedResponse(
                        f"{where}: the reply is compressed ({encoding!r:.40}), although no "
                        "compression was requested; configure the proxy in between to pass on "
                        "replies unchanged"
                    )
                body = bytearray()
                for chunk in response.raw.stream(256 * 1024, decode_content=False):
                    body += chunk
                    if len(body) > max_bytes:
                        raise AnswerTooLong(f"the reply is longer than {max_bytes} bytes")
                return Reply(response.status_code, response.headers, bytes(body))
        except AnswerTooLong as error:
            raise AnswerTooLong(f"{where}: {error}") from error
        except requests.exceptions.ConnectTimeout as error:
            raise IncusUnreachable(
                f"{where}: no connection within {self._limits.connect:g} s; check that the host "
                "runs, and that no firewall drops the packets",
                sent=False,
            ) from error
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
            if _is_timeout(error):
                raise IncusUnreachable(
                    f"{where}: no reply within {whole:g} s; the daemon is busy or hangs",
                    sent=True,
                ) from error
            raise self._unreachable(where, error) from error

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            self._local.bounds = ReplyBounds()
            session = self._new_session(self._local.bounds)
            # Looking for proxies and a netrc costs time at each request, and a daemon needs
            # neither.
            session.trust_env = False
            # Otherwise, the body of a redirect is read without a limit and dropped.
            session.get_redirect_target = _no_target  # type: ignore[method-assign,assignment]
            self._local.session = session
        return session


class UnixTransport(_HttpTransport):
    """Send requests to one unix socket."""

    def __init__(self, socket: Path, limits: TimeLimits | None = None) -> None:
        super().__init__(limits or TimeLimits())
        self.socket = socket
        self._base = _SCHEME + quote(str(socket), safe="")

    @property
    def host(self) -> str:
        """Return the socket's path."""
        return str(self.socket)

    @property
    def is_local(self) -> bool:
        """Return True: a unix socket is on this machine."""
        return True

    @property
    def client_fingerprint(self) -> str:
        """Return an empty string: the server checks the user of the socket, not a certificate."""
        return ""

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str],
        json: Any = None,
        data: bytes | Upload | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        within: float | None = None,
        max_bytes: int = MAX_RESPONSE_BYTES,
    ) -> Reply:
        """Send one request and return its reply.

        Args:
            method: the HTTP method.
            path: the path, quoted.
            params: the query, not quoted.
            json: a JSON body.
            data: a raw body, in place of `json`.
            headers: further headers.
            timeout: how long to wait for the next part of the reply, in seconds.
            within: how long the whole reply may take, in seconds; default: `timeout`.
            max_bytes: the limit of the reply's length, in bytes; a longer one is refused.

        Raises:
            IncusUnreachable: no reply, or no complete reply, came.
            UnexpectedResponse: the reply is too long, or compressed.
        """
        return self._send_to(
            self._base,
            method,
            path,
            params=params,
            json=json,
            data=data,
            headers=headers,
            timeout=timeout,
            within=within,
            max_bytes=max_bytes,
        )

    def _new_session(self, bounds: ReplyBounds) -> requests.Session:
        session: requests.Session = requests_unixsocket.Session()
        session.mount(_SCHEME, _KeptAdapter(bounds))
        return session

    def _unreachable(self, where: str, error: Exception) -> IncusUnreachable:
        cause = _os_error(error)
        if isinstance(cause, FileNotFoundError):
            return IncusUnreachable(
                f"{where}: the socket does not exist; start Incus, or set INCUS_SOCKET to its "
                "socket",
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
                f"{where}: no process listens at the socket; start Incus", sent=False
            )
        return IncusUnreachable(f"{where}: the connection was lost: {cause or error}", sent=True)


class HttpsTransport(_HttpTransport):
    """Send requests to one server by https, at any of its addresses that replies.

    Args:
        urls: ``https://host:port``, one or more of the same server or cluster.
        trust: how the server proves its identity.
        identity: the certificate of this client; None for none.
        limits: the time limits.

    Raises:
        BadHostSettings: the certificates cannot be used.
    """

    def __init__(
        self,
        urls: Sequence[str],
        trust: "ServerTrust",
        identity: "ClientIdentity | None",
        limits: TimeLimits | None = None,
    ) -> None:
        from .tls import client_context

        super().__init__(limits or TimeLimits())
        self.urls = tuple(urls)
        self.trust, self.identity = trust, identity
        self._context = client_context(trust, identity)
        self._answering = 0

    @property
    def host(self) -> str:
        """Return the address that replied last."""
        return self.urls[self._answering]

    @property
    def is_local(self) -> bool:
        """Return False: the server is usually on another machine.

        Files of another machine cannot be checked here.
        """
        return False

    @property
    def client_fingerprint(self) -> str:
        """Return the fingerprint of the identity."""
        return self.identity.fingerprint if self.identity else ""

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str],
        json: Any = None,
        data: bytes | Upload | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        within: float | None = None,
        max_bytes: int = MAX_RESPONSE_BYTES,
    ) -> Reply:
        """Send one request and return its reply; see `UnixTransport.send`.

        A request goes to a second address only if the first cannot have received it.

        Raises:
            IncusUnreachable: no reply came from any address.
            ServerCertificateChanged: the server's certificate is not the expected one.
            UnexpectedResponse: the reply is too long, or compressed.
        """
        first = self._answering
        errors: list[IncusUnreachable] = []
        for step in range(len(self.urls)):
            index = (first + step) % len(self.urls)
            try:
                reply = self._send_to(
                    self.urls[index],
                    method,
                    path,
                    params=params,
                    json=json,
                    data=data,
                    headers=headers,
                    timeout=timeout,
                    within=within,
                    max_bytes=max_bytes,
                )
            except IncusUnreachable as error:
                if error.sent:
                    raise
                errors.append(error)
            else:
                self._answering = index
                return reply
        raise _most_telling(errors)

    def _new_session(self, bounds: ReplyBounds) -> requests.Session:
        from .tls import TlsAdapter

        session = requests.Session()
        session.mount("https://", TlsAdapter(self._context, self.trust, bounds))
        return session

    def _unreachable(self, where: str, error: Exception) -> IncusUnreachable:
        cause = _os_error(error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return IncusUnreachable(
                f"{where}: the server's certificate is not trusted ({cause.verify_message}); set "
                "server_certificate or server_fingerprint of the server, or ca_certificate of the "
                "CA that signed it",
                sent=False,
            )
        if isinstance(cause, ssl.SSLError):
            return IncusUnreachable(
                f"{where}: no TLS connection ({cause.reason or cause}); is this an Incus server, "
                "which uses TLS 1.3?",
                sent=False,
            )
        if isinstance(cause, ConnectionRefusedError):
            return IncusUnreachable(
                f"{where}: no process listens at the address; check it, and core.https_address of "
                "the server (`incus config get core.https_address`)",
                sent=False,
            )
        if isinstance(cause, socket.gaierror):
            return IncusUnreachable(
                f"{where}: the host name cannot be resolved ({cause.strerror}); check the address",
                sent=False,
            )
        if isinstance(cause, OSError) and cause.errno in _NO_WAY:
            return IncusUnreachable(
                f"{where}: no route to the host ({cause.strerror}); check the address and the "
                "network",
                sent=False,
            )
        return IncusUnreachable(f"{where}: the connection was lost: {cause or error}", sent=True)


_NO_WAY: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL})


def _most_telling(errors: Sequence[IncusUnreachable]) -> IncusUnreachable:
    """Return one error for all addresses.

    A wrong certificate is more informative than a refused connection.
    """
    wrong = [error for error in errors if isinstance(error, ServerCertificateChanged)]
    if wrong or len(errors) == 1:
        return (wrong or errors)[0]
    return IncusUnreachable("; ".join(map(str, errors)), sent=False)


def _no_target(response: requests.Response) -> None:
    """Return no redirect target, so that redirects are not followed."""


def _is_timeout(error: Exception) -> bool:
    """Return whether the time of the request, rather than that of the connection, was up."""
    if isinstance(error, requests.exceptions.Timeout | urllib3.exceptions.ReadTimeoutError):
        return True
    return isinstance(_os_error(error), TimeoutError)


def _os_error(error: BaseException) -> OSError | None:
    """Return the operating system's own error, which the libraries wrap several times."""
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
