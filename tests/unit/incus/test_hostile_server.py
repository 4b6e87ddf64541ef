"""Servers that never end their answers, by a unix socket and by TLS: each request ends in time."""

import contextlib
import gzip
import resource
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.errors import (
    AnswerTooLong,
    IncusUnreachable,
    UnexpectedResponse,
)
from pulumi_pika.incus.tls import ServerTrust
from pulumi_pika.incus.transport import (
    HttpsTransport,
    TimeLimits,
    UnixTransport,
)
from pulumi_pika.jobs.output_tail import CHUNK, Tail

from ...support.daemons import make_certificate

LIMIT = 1.5
Answer = Callable[[Any], None]


def slow_head(peer: Any) -> None:
    for byte in b"HTTP/1.1 200 OK\r\nX: " + b"a" * 60_000:
        peer.sendall(bytes([byte]))
        time.sleep(0.2)


def slow_body(peer: Any) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        peer.sendall(b"x")
        time.sleep(0.2)


def slow_chunks(peer: Any) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        peer.sendall(b"1\r\nx\r\n")
        time.sleep(0.2)


def slow_trailers(peer: Any) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
    while True:
        peer.sendall(b"X: y\r\n")
        time.sleep(0.2)


def slow_continues(peer: Any) -> None:
    while True:
        peer.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        time.sleep(0.2)


def continues(peer: Any) -> None:
    while True:
        peer.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)


def endless_trailer(peer: Any) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
    while True:
        peer.sendall(b"x" * 65536)


def endless_body(peer: Any) -> None:
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n")
    while True:
        peer.sendall(b"x" * 65536)


def redirect(peer: Any) -> None:
    peer.sendall(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n")
    peer.sendall(b"Content-Length: 99999999999\r\n\r\n")
    while True:
        peer.sendall(b"x" * 65536)


def redirect_that_drips(peer: Any) -> None:
    peer.sendall(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 9999\r\n\r\n")
    while True:
        peer.sendall(b"x")
        time.sleep(0.2)


_asked: list[bytes] = []
"""What the servers were asked."""


@contextlib.contextmanager
def answering(listening: socket.socket, answer: Answer, context: ssl.SSLContext | None) -> Any:
    """A server that answers each connection's first request like this."""

    def serve(peer: Any) -> None:
        with contextlib.suppress(OSError), peer:
            wrap = (
                partial(context.wrap_socket, server_side=True)
                if context
                else contextlib.nullcontext
            )
            with wrap(peer) as wrapped:
                _asked.append(wrapped.recv(65536))
                answer(wrapped)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield
    finally:
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


@pytest.fixture(params=["unix", "tls"])
def client_of(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Makes a server with an answer, and a client of it."""
    with contextlib.ExitStack() as stack:

        def make(answer: Answer) -> IncusClient:
            limits = TimeLimits(reply=LIMIT)
            if request.param == "unix":
                listening = socket.socket(socket.AF_UNIX)
                listening.bind(str(tmp_path / "socket"))
                transport: Any = UnixTransport(tmp_path / "socket", limits)
                context = None
            else:
                listening = socket.create_server(("127.0.0.1", 0))
                made = make_certificate(tmp_path, "server")
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(made.certificate, made.key)
                url = f"https://127.0.0.1:{listening.getsockname()[1]}"
                transport = HttpsTransport(
                    [url], ServerTrust(fingerprint=made.fingerprint), None, limits
                )
            listening.listen()
            stack.enter_context(answering(listening, answer, context))
            return IncusClient(transport=transport)

        yield make


@pytest.mark.parametrize(
    "answer",
    [slow_head, slow_body, slow_chunks, slow_trailers, slow_continues, redirect_that_drips],
)
def test_answer_that_drips_ends_in_time(client_of: Any, answer: Answer) -> None:
    client = client_of(answer)

    begun = time.monotonic()
    with pytest.raises(IncusUnreachable, match=f"no reply within {LIMIT:g} s") as caught:
        client.get_raw("/1.0")

    assert LIMIT <= time.monotonic() - begun < LIMIT + 2
    assert caught.value.sent


@pytest.mark.parametrize("answer", [continues, endless_trailer, endless_body, redirect])
def test_answer_that_floods_ends_in_time_and_memory(client_of: Any, answer: Answer) -> None:
    client = client_of(answer)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    begun = time.monotonic()
    with pytest.raises((IncusUnreachable, AnswerTooLong)):
        client.get_raw("/1.0", max_bytes=2**20)

    assert time.monotonic() - begun < LIMIT + 2
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024


def test_request_that_is_not_read_ends_in_time(client_of: Any) -> None:
    client = client_of(lambda peer: time.sleep(20))

    begun = time.monotonic()
    with pytest.raises(IncusUnreachable, match=f"no reply within {LIMIT:g} s"):
        client.send_change("POST", "/1.0/x", data=b"x" * 50_000_000, timeout=LIMIT)

    assert time.monotonic() - begun < LIMIT + 2


def test_waits_for_what_still_comes(client_of: Any) -> None:
    """A part each second is in time, where the whole may take longer than a part."""

    def answer(peer: Any) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
        for _ in range(4):
            time.sleep(LIMIT / 2)
            peer.sendall(b"x")

    reply = client_of(answer).get_raw("/1.0", within=LIMIT * 4)
    assert reply.body == b"xxxx"


def test_compressed_answer_is_not_unpacked(client_of: Any) -> None:
    body = gzip.compress(b"\0" * 200_000_000)

    def answer(peer: Any) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n")
        peer.sendall(b"Content-Length: %d\r\n\r\n" % len(body) + body)

    client = client_of(answer)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(
        UnexpectedResponse, match=r"compressed \('gzip'\), although no compression was requested"
    ):
        client.get("/1.0")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50 * 1024
    assert b"accept-encoding: identity\r\n" in _asked[-1].lower()


def test_tail_of_a_server_without_ranges_is_bounded(
    client_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulumi_pika.jobs.output_tail.MAX_RESPONSE_BYTES", 3 * CHUNK)

    def answer(peer: Any) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n")
        peer.sendall(b"Content-Length: %d\r\n\r\n" % (10 * CHUNK) + b"x" * (10 * CHUNK))

    tail = Tail(client_of(answer), "/1.0/x")
    tail.offset = 2 * CHUNK
    assert tail.read() == b""
    assert "does not support ranges" in tail.cut
    assert tail.read() == b""
