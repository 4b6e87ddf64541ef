"""Requests in Incus's terms: a project on every call, errors as exceptions, operations awaited."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from .address import find_socket
from .errors import (
    IncusApiError,
    IncusUnreachable,
    NotFound,
    OperationFailed,
    OperationLost,
    OperationTimedOut,
    UnexpectedResponse,
    api_error,
)
from .transport import MAX_RESPONSE_BYTES, Reply, UnixTransport

_SUCCESS: Final = 200
_RUNNING: Final = 103
_WAIT_SLICE: Final = 2.0
"""Seconds that one /wait may take: the rhythm of progress lines."""
_RECONNECT_FOR: Final = 20.0
"""Seconds that a broken-off wait goes on trying to reach the daemon again."""

OnProgress = Callable[[float, Mapping[str, Any]], None]
"""Called while an operation goes on, with the seconds so far and the operation's metadata."""


@dataclass(frozen=True, slots=True)
class Server:
    """What a server says of itself (GET /1.0)."""

    version: str
    extensions: frozenset[str]
    instance_types: frozenset[str]
    clustered: bool

    def has(self, extension: str) -> bool:
        """Whether the server has the API extension (Incus doc/api-extensions.md)."""
        return extension in self.extensions


@dataclass(frozen=True, slots=True)
class Entity:
    """A thing of the server's, and the ETag that it had."""

    data: dict[str, Any]
    etag: str


class IncusClient:
    """A client of one daemon. Thread-safe; `in_project` shares its connections.

    Args:
        socket: the daemon's unix socket; by default it is looked for (see `find_socket`).
        project: the Incus project of all calls.
    """

    def __init__(self, socket: str | Path | None = None, project: str = "default") -> None:
        self.transport = UnixTransport(find_socket(str(socket) if socket else None))
        self.project = project
        self._shared: dict[str, Server] = {}

    def in_project(self, project: str) -> "IncusClient":
        """The same client for another project."""
        client = object.__new__(type(self))
        client.transport, client.project, client._shared = self.transport, project, self._shared
        return client

    @property
    def host(self) -> str:
        """Where the server is, for messages."""
        return str(self.transport.socket)

    @property
    def is_local(self) -> bool:
        """Whether the server sees this machine's files, so that host paths can be looked at."""
        return True

    def server(self) -> Server:
        """What the server says of itself; asked once."""
        if "server" not in self._shared:
            data = self.get("/1.0").data
            environment = data.get("environment") or {}
            types = {"container": "lxc", "virtual-machine": "qemu"}
            drivers = str(environment.get("driver", ""))
            self._shared["server"] = Server(
                version=str(environment.get("server_version", "")),
                extensions=frozenset(data.get("api_extensions") or ()),
                instance_types=frozenset(kind for kind, name in types.items() if name in drivers),
                clustered=bool(environment.get("server_clustered")),
            )
        return self._shared["server"]

    def get(self, path: str, /, **params: str) -> Entity:
        """The thing at `path`.

        A GET changes nothing, so one whose connection broke off is sent once more.
        """
        reply = self._get(path, params)
        return Entity(self._metadata(reply, f"GET {path}"), reply.headers.get("ETag", ""))

    def get_list(self, path: str, /, **params: str) -> list[Any]:
        """The collection at `path`."""
        reply = self._get(path, params)
        listed = self._envelope(reply, f"GET {path}").get("metadata")
        if not isinstance(listed, list):
            raise UnexpectedResponse(f"GET {path} ({self.host}): the answer carries no list")
        return listed

    def get_raw(self, path: str, /, *, max_bytes: int = MAX_RESPONSE_BYTES, **params: str) -> Reply:
        """What is at `path` where that is no JSON, as a file or a console log."""
        return self._send("GET", path, params, max_bytes=max_bytes)

    def change(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        etag: str = "",
        timeout: float = 60.0,
    ) -> str:
        """Sends a change and returns the id of the operation that carries it out, or ``""``.

        An `etag` makes the server refuse (PreconditionFailed) where the thing is no longer the one
        that was read.
        """
        headers = {"If-Match": etag} if etag else None
        reply = self._send(method, path, {}, json=body, headers=headers, timeout=timeout)
        envelope = self._envelope(reply, f"{method} {path}")
        if envelope.get("type") != "async":
            return ""
        operation = str(envelope.get("operation", "")).partition("?")[0].rpartition("/")[2]
        if not operation:
            raise UnexpectedResponse(f"{method} {path}: the answer names no operation")
        return operation

    def run(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        etag: str = "",
        timeout: float,
        on_progress: OnProgress | None = None,
    ) -> dict[str, Any]:
        """Sends a change and waits for its operation, where there is one; see `wait`."""
        operation = self.change(method, path, body, etag=etag)
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
        """Waits for an operation and returns its metadata.

        A wait that is cut off is taken up again; the operation itself is never started anew.

        Args:
            operation: its id.
            timeout: seconds to wait at most.
            what: what it does, for messages.
            progress: called about every two seconds while it goes on.

        Raises:
            OperationFailed: it failed; the text is Incus's.
            OperationTimedOut: it goes on still.
            OperationLost: the server no longer knows it.
            IncusUnreachable: the daemon stayed away.
        """
        path = f"/1.0/operations/{segment(operation)}/wait"
        start = time.monotonic()
        unreachable_since: float | None = None
        while True:
            elapsed = time.monotonic() - start
            left = timeout - elapsed
            if left <= 0:
                raise OperationTimedOut(
                    f"{what}: not done after {timeout:g} s; it goes on at {self.host} "
                    f"as operation {operation}",
                    operation=operation,
                )
            slice_ = max(1, round(min(left, _WAIT_SLICE)))
            try:
                reply = self._send("GET", path, {"timeout": str(slice_)}, timeout=slice_ + 30)
                state = self._operation(reply, operation, what)
            except IncusUnreachable:
                now = time.monotonic()
                unreachable_since = unreachable_since or now
                if now - unreachable_since > _RECONNECT_FOR:
                    raise
                time.sleep(0.2)
                continue
            except NotFound as error:
                raise OperationLost(
                    f"{what}: {self.host} no longer knows operation {operation}; "
                    "its outcome has to be looked for",
                    operation=operation,
                ) from error
            unreachable_since = None
            code = state.get("status_code")
            if code == _SUCCESS:
                metadata = state.get("metadata")
                return metadata if isinstance(metadata, dict) else {}
            if isinstance(code, int) and code >= 400:
                reason = str(state.get("err") or state.get("status") or "no reason given")
                raise OperationFailed(
                    f"{what} (project {self.project}) failed: {reason}",
                    operation=operation,
                    reason=reason,
                )
            if progress:
                metadata = state.get("metadata")
                progress(time.monotonic() - start, metadata if isinstance(metadata, dict) else {})

    def _get(self, path: str, params: Mapping[str, str]) -> Reply:
        try:
            return self._send("GET", path, params)
        except IncusUnreachable as error:
            if not error.sent:
                raise
            return self._send("GET", path, params)

    def _operation(self, reply: Reply, operation: str, what: str) -> dict[str, Any]:
        """The operation as an answer of /wait shows it.

        Incus 6.0 answers with an error inside a 200 where the operation failed, and also where it
        goes on when the time of the wait is up; later versions answer with the operation.
        """
        try:
            return self._metadata(reply, what)
        except IncusApiError as error:
            if reply.status != 200:
                raise
            if "deadline exceeded" not in error.reason:
                return {"status_code": error.status, "err": error.reason}
        # Its own failure may read the same: look.
        reply = self._send("GET", url("operations", operation), {})
        return self._metadata(reply, what)

    def _send(self, method: str, path: str, params: Mapping[str, str], **options: Any) -> Reply:
        return self.transport.send(
            method, path, params={"project": self.project, **params}, **options
        )

    def _envelope(self, reply: Reply, where: str) -> dict[str, Any]:
        where = f"{where} (project {self.project}, {self.host})"
        try:
            envelope = json.loads(reply.body)
        except (ValueError, RecursionError) as error:
            raise UnexpectedResponse(
                f"{where}: the answer ({reply.status}, {len(reply.body)} bytes) is no JSON; "
                "is this an Incus daemon's socket?"
            ) from error
        if not isinstance(envelope, dict):
            raise UnexpectedResponse(f"{where}: the answer is no JSON object")
        code = envelope.get("error_code")
        if reply.status >= 400 or envelope.get("type") == "error":
            status = code if isinstance(code, int) and code >= 400 else reply.status
            raise api_error(status, str(envelope.get("error") or ""), where)
        return envelope

    def _metadata(self, reply: Reply, where: str) -> dict[str, Any]:
        metadata = self._envelope(reply, where).get("metadata")
        if not isinstance(metadata, dict):
            raise UnexpectedResponse(f"{where}: the answer carries no object")
        return metadata


def segment(name: str) -> str:
    """`name` as one segment of a path, whatever characters it has.

    ``.`` and ``..``, which clients and servers fold away, are quoted too, so that a server refuses
    them rather than answering for another path.
    """
    quoted = quote(name, safe="")
    return quoted.replace(".", "%2E") if set(name) == {"."} else quoted


def url(*segments: str) -> str:
    """The path ``/1.0/...`` of the given segments, each quoted."""
    return "/1.0/" + "/".join(segment(part) for part in segments)
