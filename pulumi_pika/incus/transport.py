"""Carries requests to a daemon, by its unix socket or by https: connections, time limits, bounded
answers."""

import errno
import socket
import ssl
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote, unquote, urlsplit

import requests
import requests_unixsocket
from requests_unixsocket.adapters import (
    UnixAdapter,
    UnixHTTPConnection,
    UnixHTTPConnectionPool,
)

from .errors import IncusUnreachable, ServerCertificateChanged, UnexpectedResponse

if TYPE_CHECKING:
    from .tls import ClientIdentity, ServerTrust

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


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Seconds to wait for a connection, and for an answer where a request sets no own limit."""

    connect: float = CONNECT_TIMEOUT
    reply: float = REPLY_TIMEOUT


class Transport(Protocol):
    """What a client needs of a way to its server."""

    @property
    def host(self) -> str:
        """Where the server is, for messages."""

    @property
    def is_local(self) -> bool:
        """Whether the server is on this machine."""

    @property
    def client_fingerprint(self) -> str:
        """The certificate by which the server knows this client; empty without one."""

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str],
        json: Any = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        max_bytes: int = MAX_RESPONSE_BYTES,
    ) -> Reply:
        """Sends one request and reads its answer."""


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


class _HttpTransport(ABC):
    """What all ways to a server share. Thread-safe: each thread has a session of its own."""

    def __init__(self, limits: TimeLimits) -> None:
        self._limits = limits
        self._local = threading.local()

    @property
    @abstractmethod
    def host(self) -> str:
        """Where the server is, for messages."""

    @abstractmethod
    def _new_session(self) -> requests.Session:
        """A session with the connections of one thread."""

    @abstractmethod
    def _unreachable(self, where: str, error: Exception) -> IncusUnreachable:
        """What a failed request is to the user."""

    def _send_to(
        self,
        base: str,
        method: str,
        path: str,
        *,
        params: Mapping[str, str],
        json: Any,
        data: bytes | None,
        headers: Mapping[str, str] | None,
        timeout: float | None,
        max_bytes: int,
    ) -> Reply:
        where = f"{method} {path} at {self.host}"
        limit = self._limits.reply if timeout is None else timeout
        try:
            response = self._session().request(
                method,
                base + path,
                params=params,
                json=json,
                data=data,
                headers=headers,
                timeout=(self._limits.connect, limit),
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
        except requests.exceptions.ConnectTimeout as error:
            raise IncusUnreachable(
                f"{where}: no connection within {self._limits.connect:g} s; the host is down, or a "
                "firewall drops what is sent to it",
                sent=False,
            ) from error
        except requests.exceptions.Timeout as error:
            raise IncusUnreachable(
                f"{where}: no answer within {limit:g} s; the daemon is busy or hangs", sent=True
            ) from error
        except requests.exceptions.RequestException as error:
            raise self._unreachable(where, error) from error

    def _session(self) -> requests.Session:
        session: requests.Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._new_session()
            # Looking for proxies and a netrc costs time at each request, and there is none for
            # a daemon.
            session.trust_env = False
            self._local.session = session
        return session


class UnixTransport(_HttpTransport):
    """Sends requests to one unix socket."""

    def __init__(self, socket: Path, limits: TimeLimits | None = None) -> None:
        super().__init__(limits or TimeLimits())
        self.socket = socket
        self._base = _SCHEME + quote(str(socket), safe="")

    @property
    def host(self) -> str:
        """The socket's path."""
        return str(self.socket)

    @property
    def is_local(self) -> bool:
        """A unix socket is on this machine."""
        return True

    @property
    def client_fingerprint(self) -> str:
        """The server goes by the user of the socket, not by a certificate."""
        return ""

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str],
        json: Any = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
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
        return self._send_to(
            self._base,
            method,
            path,
            params=params,
            json=json,
            data=data,
            headers=headers,
            timeout=timeout,
            max_bytes=max_bytes,
        )

    def _new_session(self) -> requests.Session:
        session: requests.Session = requests_unixsocket.Session()
        session.mount(_SCHEME, _KeptAdapter())
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


class HttpsTransport(_HttpTransport):
    """Sends requests to one server by https, or to whichever of its addresses answers.

    Args:
        urls: ``https://host:port``, one or more of the same server or cluster.
        trust: how the server shows that it is the right one.
        identity: what this client shows; None shows nothing.
        limits: how long it waits.

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
        """The address that answered last."""
        return self.urls[self._answering]

    @property
    def is_local(self) -> bool:
        """Another machine as a rule, whose files cannot be looked at from here."""
        return False

    @property
    def client_fingerprint(self) -> str:
        """That of the identity."""
        return self.identity.fingerprint if self.identity else ""

    def send(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str],
        json: Any = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        max_bytes: int = MAX_RESPONSE_BYTES,
    ) -> Reply:
        """Sends one request and reads its answer; see `UnixTransport.send`.

        A request goes to a second address only where the first cannot have seen it.

        Raises:
            IncusUnreachable: no answer came from any address.
            ServerCertificateChanged: the server is not the right one.
            UnexpectedResponse: the answer is too long.
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

    def _new_session(self) -> requests.Session:
        from .tls import TlsAdapter

        session = requests.Session()
        session.mount("https://", TlsAdapter(self._context, self.trust))
        return session

    def _unreachable(self, where: str, error: Exception) -> IncusUnreachable:
        cause = _os_error(error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return IncusUnreachable(
                f"{where}: the server's certificate is not one to trust ({cause.verify_message}); "
                "give its own certificate (server_certificate) or fingerprint "
                "(server_fingerprint), or the CA that signed it (ca_certificate)",
                sent=False,
            )
        if isinstance(cause, ssl.SSLError):
            return IncusUnreachable(
                f"{where}: no TLS connection ({cause.reason or cause}); is this an Incus server, "
                "which wants TLS 1.3?",
                sent=False,
            )
        if isinstance(cause, ConnectionRefusedError):
            return IncusUnreachable(
                f"{where}: nobody listens there; check the address, and core.https_address of "
                "the server (`incus config get core.https_address`)",
                sent=False,
            )
        if isinstance(cause, socket.gaierror):
            return IncusUnreachable(
                f"{where}: no such host name ({cause.strerror}); check the address", sent=False
            )
        if isinstance(cause, OSError) and cause.errno in _NO_WAY:
            return IncusUnreachable(
                f"{where}: no way to the host ({cause.strerror}); check the address, and the "
                "network between",
                sent=False,
            )
        return IncusUnreachable(f"{where}: the connection broke off: {cause or error}", sent=True)


_NO_WAY: Final = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EADDRNOTAVAIL})


def _most_telling(errors: Sequence[IncusUnreachable]) -> IncusUnreachable:
    """One error for all addresses: a wrong certificate says more than a refused connection."""
    wrong = [error for error in errors if isinstance(error, ServerCertificateChanged)]
    if wrong or len(errors) == 1:
        return (wrong or errors)[0]
    return IncusUnreachable("; ".join(map(str, errors)), sent=False)


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
