"""Stands in for the HTTP API of a forge, on loopback: the comments of one request, and no more of
it. GitHub's and GitLab's own are not to be had here."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class StandIn:
    """The comments that there are, and the requests that came."""

    def __init__(self, comments: list[dict[str, Any]]) -> None:
        self.comments = comments
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.url = ""
        self.status = 0
        self.elsewhere = ""
        """Where it redirects to; empty to answer itself."""

    def answer(self, method: str, url: str, body: dict[str, Any]) -> Any:
        split = urlsplit(url)
        if split.path == "/user":
            return {"id": 7}
        if method == "GET":
            query = parse_qs(split.query)
            size, page = int(query["per_page"][0]), int(query["page"][0])
            return self.comments[(page - 1) * size : page * size]
        if method == "POST":
            author = {"user": {"login": "github-actions[bot]"}, "author": {"id": 7}}
            self.comments.append({"id": len(self.comments), **author, **body})
            return self.comments[-1]
        comment = self.comments[int(split.path.rpartition("/")[2])]
        comment.update(body)
        return comment


@contextmanager
def stand_in(comments: list[dict[str, Any]]) -> Iterator[StandIn]:
    forge = StandIn(comments)

    class Handler(BaseHTTPRequestHandler):
        def _reply(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else {}
            forge.requests.append((self.command, self.path, dict(self.headers)))
            data = json.dumps(forge.answer(self.command, self.path, body)).encode()
            self.send_response(forge.status or 200)
            if forge.elsewhere:
                self.send_header("Location", forge.elsewhere + self.path)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PATCH = do_PUT = _reply

        def log_message(self, format: str, *args: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    forge.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield forge
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
