"""Stands between a client and a real daemon, on unix sockets, and makes things go wrong.

Every request passes through and is recorded. Rules change what becomes of some of them:

    proxy.on("POST", "/1.0/instances", reset_after())             # carried out, the reply is lost
    proxy.on("GET", r"/1.0/operations/[^/]+/wait", reset_before(), nth=2)
    proxy.on("PATCH", "/1.0/instances/.*", delay(0.2), reply(412, error("changed")), times=None)

A rule's actions apply from the first to the last; of several rules that match, the one made first
is the outermost. The daemon behind is the real one.
"""

import contextlib
import http.client
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

# They speak of one connection, and each side makes its own.
_HOP_HEADERS = frozenset({"connection", "content-length", "keep-alive", "transfer-encoding"})


@dataclass(frozen=True)
class Request:
    """A request as the client sent it."""

    method: str
    target: str
    """Path and query, quoted."""
    headers: dict[str, str]
    body: bytes
    connection: int
    """The how many-th connection it came on, from 1."""

    @property
    def path(self) -> str:
        """The path, quoted, without the query."""
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def json(self) -> Any:
        """The body; None where there is none."""
        return json.loads(self.body) if self.body else None

    def header(self, name: str) -> str | None:
        found = (value for key, value in self.headers.items() if key.lower() == name.lower())
        return next(found, None)

    def __str__(self) -> str:
        return f"{self.method} {unquote(self.target)}"


@dataclass(frozen=True)
class Answer:
    """An answer, and how many bytes of its body arrive before the connection breaks."""

    status: int
    headers: dict[str, str]
    body: bytes
    cut_at: int | None = None

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Reset(Exception):
    """Raised by an action: the connection breaks, and no answer is sent."""


Forward = Callable[[Request], Answer]
Action = Callable[[Request, Forward], Answer]
"""Makes the answer to a request; calling the Forward lets it go on to the daemon."""


def reset_before() -> Action:
    """The connection breaks; the request never reaches the daemon."""

    def act(request: Request, forward: Forward) -> Answer:
        raise Reset

    return act


def reset_after() -> Action:
    """The request is carried out; the connection breaks and the answer is lost."""

    def act(request: Request, forward: Forward) -> Answer:
        forward(request)
        raise Reset

    return act


def reply(status: int, body: bytes | dict[str, Any], **headers: str) -> Action:
    """The daemon is not asked; this is the answer. Headers are spelt `Content_Type`."""
    content = json.dumps(body).encode() if isinstance(body, dict) else body
    given = {name.replace("_", "-"): value for name, value in headers.items()}

    def act(request: Request, forward: Forward) -> Answer:
        return Answer(status, {"Content-Type": "application/json", **given}, content)

    return act


def truncate(size: int) -> Action:
    """The request is carried out; the connection breaks after so many bytes of the body."""

    def act(request: Request, forward: Forward) -> Answer:
        return replace(forward(request), cut_at=size)

    return act


def delay(seconds: float) -> Action:
    """The request waits before it goes on."""

    def act(request: Request, forward: Forward) -> Answer:
        time.sleep(seconds)
        return forward(request)

    return act


def hold(go: threading.Event) -> Action:
    """The request waits until it may go on. Set the event before the proxy is closed."""

    def act(request: Request, forward: Forward) -> Answer:
        assert go.wait(300), "it was never let go"
        return forward(request)

    return act


def call(function: Callable[[Request], object]) -> Action:
    """Something else happens before the request goes on: another client's change, a crash."""

    def act(request: Request, forward: Forward) -> Answer:
        function(request)
        return forward(request)

    return act


def edit(function: Callable[[dict[str, Any]], object]) -> Action:
    """The request is carried out; `function` changes the JSON of the answer in place."""

    def act(request: Request, forward: Forward) -> Answer:
        answer = forward(request)
        content = answer.json
        function(content)
        return replace(answer, body=json.dumps(content).encode())

    return act


def error(text: str, status: int = 400) -> dict[str, Any]:
    """The body of an error answer as Incus writes it."""
    return {"type": "error", "error": text, "error_code": status, "metadata": None}


@dataclass
class Rule:
    """What to do with the n-th request that matches, and with the `times - 1` after it."""

    method: str
    path: re.Pattern[str]
    actions: tuple[Action, ...]
    nth: int
    times: int | None
    matched: int = 0
    """How many requests matched."""
    applied: int = 0
    """How many times it acted; a test asserts this, so that no fault is imagined."""

    def takes(self, request: Request) -> bool:
        if self.method not in ("*", request.method) or not self.path.fullmatch(request.path):
            return False
        self.matched += 1
        late = self.times is not None and self.matched >= self.nth + self.times
        if self.matched < self.nth or late:
            return False
        self.applied += 1
        return True


@dataclass
class _Log:
    requests: list[Request] = field(default_factory=list)
    connections: int = 0


class Proxy:
    """One proxy. Use it as a context manager, or call `start` and `close`."""

    def __init__(self, upstream: Path, listen: Path) -> None:
        self.upstream = upstream
        self.socket = listen
        self._rules: list[Rule] = []
        self._log = _Log()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Rules

    def on(
        self, method: str, path: str, *actions: Action, nth: int = 1, times: int | None = 1
    ) -> Rule:
        """Adds a rule.

        Args:
            method: the HTTP method; "*" for any.
            path: a regular expression for the whole path, quoted as sent, without the query.
            actions: what to do, the first being the outermost.
            nth: the first matching request that is meant, counted from 1.
            times: for how many matching requests; None for all from there on.
        """
        rule = Rule(method, re.compile(path), actions, nth, times)
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Forgets all rules and all that was recorded, but for the connections."""
        with self._lock:
            self._rules.clear()
            self._log.requests.clear()

    # Records

    def clear_requests(self) -> None:
        """Forgets what was recorded; rules stay."""
        with self._lock:
            self._log.requests.clear()

    @property
    def connections(self) -> int:
        """How many connections were accepted."""
        return self._log.connections

    @property
    def requests(self) -> list[Request]:
        """All requests so far, in the order in which they arrived."""
        with self._lock:
            return list(self._log.requests)

    def sent(self, method: str = "*", path: str = ".*") -> list[Request]:
        """The requests so far of a method whose path matches."""
        return [
            request
            for request in self.requests
            if method in ("*", request.method) and re.fullmatch(path, request.path)
        ]

    def changes(self) -> list[Request]:
        """The requests so far that are neither GET nor HEAD."""
        return [request for request in self.requests if request.method not in ("GET", "HEAD")]

    # Life

    def start(self) -> None:
        """Listens; also again after `close`, at the same place."""
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stops listening and breaks all connections; the socket is gone."""
        server, self._server = self._server, None
        if server is None or self._thread is None:
            return
        server.shutdown()
        self._thread.join()
        self.break_connections()
        server.server_close()
        self.socket.unlink(missing_ok=True)

    def break_connections(self) -> None:
        """Breaks the connections that are open now, those to the daemon included."""
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    # Inside

    def _answer(self, request: Request) -> Answer:
        with self._lock:
            self._log.requests.append(request)
            rules = [rule for rule in self._rules if rule.takes(request)]
        forward: Forward = self._forward
        for action in reversed([action for rule in rules for action in rule.actions]):
            forward = _bind(action, forward)
        return forward(request)

    def _forward(self, request: Request) -> Answer:
        upstream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with self._kept(upstream):
            connection = http.client.HTTPConnection("incus")
            connection.sock = upstream
            try:
                upstream.connect(str(self.upstream))
                headers = {k: v for k, v in request.headers.items() if k.lower() != "connection"}
                connection.request(request.method, request.target, request.body or None, headers)
                response = connection.getresponse()
                body = response.read()
            except (OSError, http.client.HTTPException) as problem:
                raise Reset from problem
            # The length in an answer to a HEAD is that of another answer's body.
            dropped = _HOP_HEADERS - ({"content-length"} if request.method == "HEAD" else set())
            kept = {k: v for k, v in response.getheaders() if k.lower() not in dropped}
            return Answer(response.status, kept, body)

    def _opened(self) -> int:
        with self._lock:
            self._log.connections += 1
            return self._log.connections

    @contextlib.contextmanager
    def _kept(self, connection: socket.socket) -> Iterator[None]:
        """Keeps account of a connection that can be broken, and closes it at the end."""
        with self._lock:
            self._open.add(connection)
        try:
            yield
        finally:
            with self._lock:
                self._open.discard(connection)
                connection.close()


def _bind(action: Action, forward: Forward) -> Forward:
    return lambda request: action(request, forward)


class _Server(ThreadingMixIn, UnixStreamServer):
    daemon_threads = False
    block_on_close = True
    request_queue_size = 128

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        super().__init__(str(proxy.socket), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A broken connection is what this is for: nothing to print."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def handle(self) -> None:
        self.number = self.server.proxy._opened()
        with self.server.proxy._kept(self.connection):
            super().handle()

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        request = Request(
            self.command, self.path, dict(self.headers), self.rfile.read(length), self.number
        )
        self.close_connection = True
        with contextlib.suppress(Reset, OSError):
            self._send(self.server.proxy._answer(request))

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve

    def _send(self, answer: Answer) -> None:
        self.send_response_only(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body[: answer.cut_at])
        self.close_connection = answer.cut_at is not None
