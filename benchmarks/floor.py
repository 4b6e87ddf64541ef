"""Measure the floor: the requests of a fast script without Pulumi and without pulumi_pika."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

_GRACE = 30


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("incus", timeout=120)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


class Script:
    """Plain REST calls over persistent connections, one for each thread.

    Args:
        socket: The path of the daemon's socket.
        image: The alias of the image for instances.
        parallel: The number of parallel operations on instances.
    """

    def __init__(self, socket: Path, image: str, parallel: int) -> None:
        self._socket, self._image, self._parallel = socket, image, parallel
        self._local = threading.local()

    def make(self, names: Sequence[str]) -> float:
        """Create, start and fetch containers; return the total duration in seconds."""
        return self.each(self._make, names)

    def look(self, names: Sequence[str]) -> float:
        """Fetch each container with its state; return the total duration in seconds."""
        return self.each(self._look, names)

    def remove(self, names: Sequence[str]) -> float:
        """Shut down and delete each container; return the total duration in seconds."""
        return self.each(self._remove, names)

    def run(self, name: str) -> None:
        """Create a container, run a command in it, read the output, kill and delete the
        container."""
        self._create(name)
        path = f"/1.0/instances/{name}"
        body = {
            "command": ["/bin/sh", "-c", "echo hello"],
            "interactive": False,
            "wait-for-websocket": False,
            "record-output": True,
        }
        done = self._change("POST", f"{path}/exec", body)
        self._request("GET", done["metadata"]["output"]["1"])
        self._change("PUT", f"{path}/state", {"action": "stop", "force": True})
        self._change("DELETE", path)

    def each(self, work: Callable[[str], None], names: Sequence[str]) -> float:
        """Apply a function to each name in parallel; return the total duration in seconds."""
        begun = time.perf_counter()
        with ThreadPoolExecutor(self._parallel) as pool:
            for done in [pool.submit(work, name) for name in names]:
                done.result()
        return time.perf_counter() - begun

    def _make(self, name: str) -> None:
        self._create(name)
        self._look(name)

    def _create(self, name: str) -> None:
        body = {
            "name": name,
            "type": "container",
            "profiles": ["default"],
            "source": {"type": "image", "alias": self._image},
            "start": True,
        }
        self._change("POST", "/1.0/instances", body)

    def _look(self, name: str) -> None:
        self._send("GET", f"/1.0/instances/{name}?recursion=1")

    def _remove(self, name: str) -> None:
        body = {"action": "stop", "timeout": _GRACE}
        self._change("PUT", f"/1.0/instances/{name}/state", body)
        self._change("DELETE", f"/1.0/instances/{name}")

    def _change(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        operation = self._send(method, path, body)["operation"]
        done = self._send("GET", f"{operation}/wait")["metadata"]
        if done["status_code"] != 200:
            raise RuntimeError(f"{method} {path}: {done}")
        found: dict[str, Any] = done
        return found

    def _send(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        reply: dict[str, Any] = json.loads(self._request(method, path, body))
        if reply["type"] == "error":
            raise RuntimeError(f"{method} {path}: {reply['error']}")
        return reply

    def _request(self, method: str, path: str, body: object = None) -> bytes:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = _Connection(self._socket)
        connection.request(method, path, None if body is None else json.dumps(body))
        content: bytes = connection.getresponse().read()
        return content
