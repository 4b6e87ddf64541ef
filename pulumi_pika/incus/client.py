"""Send requests in Incus's terms: with a project, errors as exceptions, operations awaited."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from ..redaction import cut
from .address import find_socket
from .errors import (
    LONGEST_REASON,
    IncusApiError,
    IncusUnreachable,
    NotFound,
    OperationFailed,
    OperationLost,
    OperationTimedOut,
    ServerFailure,
    UnexpectedResponse,
    api_error,
    clean_reason,
    not_trusted,
    short_reason,
)
from .shapes import describe_mismatch
from .transport import MAX_RESPONSE_BYTES, Reply, Transport, UnixTransport, Upload

_SUCCESS: Final = 200
_RUNNING: Final = 103
_WAIT_SLICE: Final = 2.0
"""How long one request to /wait may take, in seconds: the interval of progress lines."""
_GET_PAUSES: Final = (0.05, 0.3)
"""The pauses before a failed GET is sent again, in seconds."""
_CACHED_FOR: Final = 2.0
"""How long `get_cached` reuses a reply, in seconds."""
_RECONNECT_FOR: Final = 20.0
"""How long an interrupted wait tries to reach the daemon again, in seconds."""
_STARTS_WITHIN: Final = 15.0
"""How long a starting server may refuse requests before that is an error, in seconds."""
_STARTING: Final = b"Daemon is starting up"
"""The reply of a server that is still starting, with a 503 (Incus cmd/incusd/daemon.go)."""

OnProgress = Callable[[float, Mapping[str, Any]], None]
"""Called while an operation runs, with the seconds so far and the operation's metadata."""


@dataclass(frozen=True, slots=True)
class Server:
    """Hold a server's description of itself (GET /1.0)."""

    version: str
    extensions: frozenset[str]
    instance_types: frozenset[str]
    clustered: bool
    name: str
    fingerprint: str
    """The fingerprint of its certificate.

    The members of a cluster share it. It identifies the server.
    """
    architectures: tuple[str, ...] = ()
    """The architectures of its instances, its own one first."""

    def has(self, extension: str) -> bool:
        """Return whether the server has the API extension (Incus doc/api-extensions.md)."""
        return extension in self.extensions


@dataclass(frozen=True, slots=True)
class Entity:
    """Hold an object of the server, and the ETag that it had."""

    data: dict[str, Any]
    etag: str


class IncusClient:
    """Send requests to one server. Thread-safe; `in_project` and `on_member` share its connections.

    Args:
        socket: the daemon's unix socket; default: the result of `find_socket`.
        project: the Incus project of all requests.
        transport: another connection to the server, in place of a socket.
        target: the cluster member, or ``@group``, of new instances and volumes; empty for the
            server's own choice.

    Attributes:
        member: the cluster member on which volumes are looked up and created, once it is decided;
            see `on_member`.
    """

    member: str = ""

    def __init__(
        self,
        socket: str | Path | None = None,
        project: str = "default",
        *,
        transport: Transport | None = None,
        target: str = "",
    ) -> None:
        self.transport: Transport = transport or UnixTransport(
            find_socket(None if socket is None else str(socket))
        )
        self.project = project
        self.target = target
        self._shared: dict[str, Server] = {}
        self._cached: dict[tuple[str, str], tuple[float, Entity]] = {}
        self._cache_lock = threading.Lock()

    def in_project(self, project: str) -> "IncusClient":
        """Return the same client for another project."""
        client = copy(self)
        client.project = project
        return client

    def on_member(self, location: str) -> "IncusClient":
        """Return the same client for work that has to be on one cluster member.

        Args:
            location: the location of an instance or a volume, as Incus reports it. It is ``none``
                on a server without a cluster, and empty for storage that all members share.
        """
        if location in ("", "none", self.member):
            return self
        client = copy(self)
        client.member = location
        return client

    def aimed_at(self, target: str | None) -> "IncusClient":
        """Return the same client with another target for what it creates; None keeps the target."""
        if target is None or target == self.target:
            return self
        client = copy(self)
        client.target = target
        return client

    @property
    def placement(self) -> dict[str, str]:
        """Return the query parameters of a request that creates an instance."""
        target = self.member or self.target
        return {"target": target} if target else {}

    @property
    def host(self) -> str:
        """Return the server's address, for messages."""
        return self.transport.host

    @property
    def is_local(self) -> bool:
        """Return whether the server sees this machine's files, so that host paths can be checked.

        An instance of a cluster may be on another member.
        """
        return self.transport.is_local and not self.server().clustered

    def server(self) -> Server:
        """Return the server's description of itself, which is requested once."""
        if "server" not in self._shared:
            data = self.get("/1.0").data
            if data.get("auth") == "untrusted":
                raise not_trusted(self.host, self.transport.client_fingerprint)
            environment = data.get("environment") or {}
            types = {"container": "lxc", "virtual-machine": "qemu"}
            drivers = str(environment.get("driver", ""))
            self._shared["server"] = Server(
                version=str(environment.get("server_version", "")),
                extensions=frozenset(data.get("api_extensions") or ()),
                instance_types=frozenset(kind for kind, name in types.items() if name in drivers),
                clustered=bool(environment.get("server_clustered")),
                name=str(environment.get("server_name", "")),
                fingerprint=str(environment.get("certificate_fingerprint", "")),
                architectures=tuple(map(str, environment.get("architectures") or ())),
            )
        return self._shared["server"]

    def get(self, path: str, /, **params: str) -> Entity:
        """Return the object at `path`.

        A GET changes nothing, so it is sent again if it fails because of the server.
        """
        reply = self._get(path, params)
        return Entity(self._metadata(reply, f"GET {path}"), reply.headers.get("ETag", ""))

    def get_cached(self, path: str, /) -> Entity:
        """Return the object at `path`, as it was at most two seconds ago.

        This is for objects that many resources share while they are created; all of them wait for
        one reply.
        """
        key = (self.project, path)
        with self._cache_lock:
            fetched, entity = self._cached.get(key, (0.0, None))
            if entity is None or time.monotonic() - fetched > _CACHED_FOR:
                fetched, entity = time.monotonic(), self.get(path)
                self._cached[key] = fetched, entity
            return entity

    def get_list(self, path: str, /, **params: str) -> list[Any]:
        """Return the collection at `path`."""
        reply = self._get(path, params)
        listed = self._envelope(reply, f"GET {path}").get("metadata")
        if not isinstance(listed, list):
            raise UnexpectedResponse(f"GET {path} ({self.host}): the reply has no list")
        for index, item in enumerate(listed):
            if isinstance(item, dict) and (wrong := describe_mismatch(item)):
                raise UnexpectedResponse(
                    f"GET {path} ({self.host}): item {index} of the reply is not valid: {wrong}"
                )
        return listed

    def get_raw(
        self,
        path: str,
        /,
        *,
        max_bytes: int = MAX_RESPONSE_BYTES,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        within: float | None = None,
        **params: str,
    ) -> Reply:
        """Return the contents of `path` if they are not JSON, for example a file or a console log.

        The request is sent once. A reply that is an error is returned as well.

        Args:
            path: the path, quoted.
            max_bytes: the limit of the reply's length, in bytes.
            headers: further headers.
            timeout: how long to wait for the next part of the reply, in seconds.
            within: how long the whole reply may take, in seconds; default: `timeout`.
            params: the query.
        """
        options: dict[str, Any] = {"max_bytes": max_bytes, "headers": headers, "timeout": timeout}
        return self._send("GET", path, params, **options, within=within)

    def head(self, path: str, /, *, timeout: float | None = None, **params: str) -> Reply:
        """Return the reply to a HEAD: what `get_raw` would return, without a body.

        Args:
            path: the path, quoted.
            timeout: how long to wait for the reply, in seconds.
        """
        return self._send("HEAD", path, params, timeout=timeout)

    def send_change(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        etag: str = "",
        timeout: float = 60.0,
        params: Mapping[str, str] | None = None,
        data: bytes | Upload | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> str:
        """Send a change and return the id of the operation that carries it out, or ``""``.

        With an `etag`, the server refuses (PreconditionFailed) if the object has changed since it
        was read. `data` is a body that is not JSON, in place of `body`.

        Args:
            method: the HTTP method.
            path: the path, quoted.
            body: the JSON body.
            etag: the ETag of the object when it was read; empty for no check.
            timeout: how long to wait for the reply, in seconds. Default: 60.
            params: the query.
            data: the raw body.
            headers: further headers.
        """
        sent = {**(headers or {}), **({"If-Match": etag} if etag else {})}
        reply = self._send(
            method,
            path,
            params or {},
            json=body,
            data=data,
            headers=sent or None,
            timeout=timeout,
        )
        envelope = self._envelope(reply, f"{method} {path}")
        if envelope.get("type") != "async":
            return ""
        operation = str(envelope.get("operation", "")).partition("?")[0].rpartition("/")[2]
        if not operation:
            raise UnexpectedResponse(f"{method} {path}: the reply has no operation")
        return operation

    def run(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        etag: str = "",
        timeout: float,
        params: Mapping[str, str] | None = None,
        on_progress: OnProgress | None = None,
    ) -> dict[str, Any]:
        """Send a change and wait for its operation, if there is one; see `wait`.

        Args:
            method: the HTTP method.
            path: the path, quoted.
            body: the JSON body.
            etag: see `send_change`.
            timeout: how long to wait for the operation, in seconds.
            params: the query.
            on_progress: see `wait`.
        """
        operation = self.send_change(method, path, body, etag=etag, params=params)
        if not operation:
            return {}
        return self.wait(operation, timeout=timeout, what=f"{method} {path}", progress=on_progress)

    def wait(
        self,
        operation: str,
        *,
        timeout: float,
        what: str,
        progress: OnProgress | None = None,
    ) -> dict[str, Any]:
        """Wait for an operation and return its metadata.

        A wait that is interrupted, or that gets an invalid reply, is continued. The operation
        itself is never started again.

        Args:
            operation: the id of the operation.
            timeout: how long to wait at most, in seconds.
            what: what the operation does, for messages.
            progress: called about every two seconds while the operation runs.

        Raises:
            OperationFailed: the operation failed; the text is Incus's.
            OperationTimedOut: the operation is still running.
            OperationLost: the server no longer knows the operation.
            IncusUnreachable, ServerFailure, UnexpectedResponse: no valid reply came for a while.
        """
        path = f"/1.0/operations/{segment(operation)}/wait"
        start = time.monotonic()
        unreachable_since: float | None = None
        while True:
            elapsed = time.monotonic() - start
            left = timeout - elapsed
            if left <= 0:
                raise OperationTimedOut(
                    f"{what}: not finished after {timeout:g} s; it continues at {self.host} as "
                    f"operation {operation}",
                    operation=operation,
                )
            slice_ = max(1, round(min(left, _WAIT_SLICE)))
            try:
                reply = self._send("GET", path, {"timeout": str(slice_)}, timeout=slice_ + 30)
                state = self._operation(reply, operation, what)
            except (IncusUnreachable, ServerFailure, UnexpectedResponse):
                # The reply is lost, but the operation runs on: its result can still be observed.
                now = time.monotonic()
                unreachable_since = unreachable_since or now
                if now - unreachable_since > _RECONNECT_FOR:
                    raise
                time.sleep(0.2)
                continue
            except NotFound as error:
                raise OperationLost(
                    f"{what}: {self.host} no longer has operation {operation}, so that its result "
                    "is unknown",
                    operation=operation,
                ) from error
            unreachable_since = None
            code = state.get("status_code")
            if code is None:
                raise UnexpectedResponse(f"{what} ({self.host}): the operation has no status_code")
            if code == _SUCCESS:
                metadata = state.get("metadata")
                return metadata if isinstance(metadata, dict) else {}
            if isinstance(code, int) and code >= 400:
                given = str(state.get("err") or state.get("status") or "no reason given")
                reason = clean_reason(given)
                raise OperationFailed(
                    f"{what} (project {self.project}) failed: {short_reason(reason)}",
                    operation=operation,
                    reason=reason,
                )
            if progress:
                metadata = state.get("metadata")
                progress(time.monotonic() - start, metadata if isinstance(metadata, dict) else {})

    def poll_operation(self, operation: str, *, seconds: float) -> dict[str, Any] | None:
        """Wait a moment for an operation; return its state if it has ended, None while it runs.

        Args:
            operation: the id of the operation.
            seconds: how long to wait, in seconds; at least one.

        Raises:
            OperationLost: the server does not know the operation, or no longer knows it.
            IncusUnreachable, ServerFailure, UnexpectedResponse: no valid reply came.
        """
        path = f"/1.0/operations/{segment(operation)}/wait"
        slice_ = max(1, round(seconds))
        try:
            reply = self._send("GET", path, {"timeout": str(slice_)}, timeout=slice_ + 30)
            state = self._operation(reply, operation, "GET wait")
        except NotFound as error:
            raise OperationLost(
                f"{self.host} no longer has operation {operation}", operation=operation
            ) from error
        return None if state.get("status_code") == _RUNNING else state

    def cancel(self, operation: str) -> bool:
        """Cancel an operation; return whether the server accepted it.

        The server refuses it for operations that cannot be cancelled, or that have ended.

        Args:
            operation: the id of the operation.

        Raises:
            IncusUnreachable: no reply came.
        """
        try:
            self.send_change("DELETE", url("operations", operation))
        except IncusApiError:
            return False
        return True

    def _get(self, path: str, params: Mapping[str, str]) -> Reply:
        for pause in _GET_PAUSES:
            try:
                reply = self._send("GET", path, params)
            except IncusUnreachable as error:
                if not error.sent:
                    raise
            else:
                # Incus 6.0.4 may answer 500 (invalid PID) to a request for an instance that is just
                # stopping.
                if reply.status < 500:
                    return reply
            time.sleep(pause)
        return self._send("GET", path, params)

    def _operation(self, reply: Reply, operation: str, what: str) -> dict[str, Any]:
        """Return the operation in a reply of /wait.

        Incus 6.0 answers with an error inside a 200 if the operation failed. It does the same if
        the operation still runs when the time of the wait is up. Later versions answer with the
        operation.
        """
        try:
            return self._metadata(reply, what)
        except IncusApiError as error:
            if reply.status != 200:
                raise
            if "deadline exceeded" not in error.reason:
                return {"status_code": error.status, "err": error.reason}
        # A failure of the operation itself may have the same text, so the operation is fetched.
        reply = self._send("GET", url("operations", operation), {})
        return self._metadata(reply, what)

    def _send(self, method: str, path: str, params: Mapping[str, str], **options: Any) -> Reply:
        if "/volumes/" in path and path.startswith("/1.0/storage-pools/"):
            # The local pools of the members are separate, and each may have a volume of that name.
            makes = method == "POST" and path.endswith("/volumes/custom")
            where = self.member or (self.target if makes else "")
            if where:
                params = {"target": where, **params}
        deadline = time.monotonic() + _STARTS_WITHIN
        while True:
            reply = self.transport.send(
                method, path, params={"project": self.project, **params}, **options
            )
            # The server refused it before it did anything, so a change may be sent again too.
            starting = reply.status == 503 and _STARTING in reply.body
            if not starting or time.monotonic() > deadline:
                return reply
            time.sleep(0.2)

    def _envelope(self, reply: Reply, where: str) -> dict[str, Any]:
        where = f"{where} (project {self.project}, {self.host})"
        try:
            envelope = json.loads(reply.body)
            if b"\\u" in reply.body:
                # A lone surrogate, which cannot be encoded.
                json.dumps(envelope, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise UnexpectedResponse(
                f"{where}: the reply ({reply.status}, {len(reply.body)} bytes) is not JSON; "
                "is this an Incus server?"
            ) from error
        if not isinstance(envelope, dict):
            raise UnexpectedResponse(f"{where}: the reply is not a JSON object")
        code = envelope.get("error_code")
        if reply.status >= 400 or envelope.get("type") == "error":
            status = code if isinstance(code, int) and code >= 400 else reply.status
            raise api_error(
                status,
                str(envelope.get("error") or ""),
                where,
                client_fingerprint=self.transport.client_fingerprint,
            )
        return envelope

    def _metadata(self, reply: Reply, where: str) -> dict[str, Any]:
        metadata = self._envelope(reply, where).get("metadata")
        if not isinstance(metadata, dict):
            raise UnexpectedResponse(f"{where}: the reply has no object")
        if wrong := describe_mismatch(metadata):
            raise UnexpectedResponse(
                f"{where} ({self.host}): the reply is not valid: {cut(wrong, LONGEST_REASON)}"
            )
        return metadata


def segment(name: str) -> str:
    """Return `name` as one segment of a path, whatever characters it has.

    ``.`` and ``..``, which clients and servers would resolve, are quoted too. So a server refuses
    them rather than answering for another path.
    """
    quoted = quote(name, safe="")
    return quoted.replace(".", "%2E") if set(name) == {"."} else quoted


def url(*segments: str) -> str:
    """Return the path ``/1.0/...`` of the given segments, each quoted."""
    return "/1.0/" + "/".join(segment(part) for part in segments)
