"""Call Incus's REST API over its Unix socket, as far as a sandbox needs it."""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from dev.console import Failure


class ApiError(Failure):
    """Incus refused a request, or an operation of it failed."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("incus", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(self.timeout)
        try:
            connection.connect(str(self._path))
        except OSError:
            connection.close()
            raise
        self.sock = connection


def request(
    unix_socket: Path,
    method: str,
    path: str,
    body: object | None = None,
    *,
    upload: BinaryIO | None = None,
    timeout: float = 60.0,
) -> Any:
    """Send one request to `/1.0` + path, and wait for its operation if it starts one.

    Returns the metadata of the operation if there is one, else that of the reply. Raises `ApiError`
    if Incus refuses the request, and `OSError` if Incus is unreachable.
    """
    reply = _send(unix_socket, method, "/1.0" + path, body, upload, timeout)
    if reply.get("type") != "async":
        return reply.get("metadata")
    # The path of a cluster member's operation may have a query.
    waiting = f"{reply['operation'].partition('?')[0]}/wait?timeout={int(timeout)}"
    operation = _send(unix_socket, "GET", waiting, None, None, timeout + 5)["metadata"]
    if operation["status_code"] != 200:
        why = operation.get("err") or operation["status"]
        raise ApiError(f"{method} {path}: {why}", operation["status_code"])
    return operation.get("metadata")


def part(name: str) -> str:
    """Return a name, escaped as one component of a request's path."""
    return quote(name, safe="")


def _send(
    unix_socket: Path,
    method: str,
    target: str,
    body: object | None,
    upload: BinaryIO | None,
    timeout: float,
) -> dict[str, Any]:
    connection = _UnixConnection(unix_socket, timeout)
    try:
        if upload is not None:
            headers = {"Content-Type": "application/octet-stream"}
            connection.request(method, target, body=upload.read(), headers=headers)
        else:
            data = None if body is None else json.dumps(body)
            connection.request(method, target, body=data)
        response = connection.getresponse()
        reply: dict[str, Any] = json.loads(response.read())
    except (http.client.HTTPException, ValueError) as error:
        raise ConnectionError(f"no sensible answer on {unix_socket}: {error!r}") from error
    finally:
        connection.close()
    if reply.get("type") == "error":
        raise ApiError(f"{method} {target}: {reply.get('error')}", int(reply["error_code"]))
    return reply
