"""Records what a real daemon answers, and answers it again with one thing in it changed."""

import json
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pulumi_pika.incus.transport import Reply, Transport

Key = tuple[str, str, str]
ODD: tuple[Any, ...] = (
    None,
    True,
    7,
    -1.5,
    "odd",
    [],
    ["odd"],
    [None],
    [[]],
    {},
    {"odd": 1},
    {"a": {}},
)
DROPPED = object()


@dataclass
class Recorder:
    """A way to a daemon that keeps all answers."""

    transport: Transport
    answers: dict[Key, list[Reply]] = field(default_factory=lambda: defaultdict(list))
    client_fingerprint: str = ""

    @property
    def host(self) -> str:
        return self.transport.host

    @property
    def is_local(self) -> bool:
        return self.transport.is_local

    def send(self, method: str, path: str, *, params: Mapping[str, str], **options: Any) -> Reply:
        reply = self.transport.send(method, path, params=params, **options)
        self.answers[_key(method, path, params)].append(reply)
        return reply


@dataclass
class Replay:
    """Answers as was recorded, in the same order for a path, and the last of them ever after; but
    for one answer, which is changed."""

    recorded: dict[Key, list[Reply]]
    changed: Key | None = None
    number: int = 0
    body: bytes = b""
    host: str = "replay"
    is_local: bool = True
    client_fingerprint: str = ""
    used: bool = False
    _asked: dict[Key, int] = field(default_factory=lambda: defaultdict(int))

    def send(self, method: str, path: str, *, params: Mapping[str, str], **options: Any) -> Reply:
        key = _key(method, path, params)
        number = self._asked[key]
        self._asked[key] += 1
        known = self.recorded.get(key)
        if not known:
            body = {"type": "error", "error": "not found", "error_code": 404, "metadata": None}
            return Reply(404, {}, json.dumps(body).encode())
        number = min(number, len(known) - 1)
        reply = known[number]
        if key == self.changed and number == self.number:
            self.used = True
            return Reply(reply.status, reply.headers, self.body)
        return reply


def _key(method: str, path: str, params: Mapping[str, str]) -> Key:
    # An operation's id and the length of a wait are not the same in two runs.
    path = "/1.0/operations/any" if path.startswith("/1.0/operations/") else path
    query = sorted((k, v) for k, v in params.items() if k != "timeout")
    return method, path, json.dumps(query)


def spoiled(answer: Any, rng: random.Random) -> Iterator[tuple[str, bytes]]:
    """The answer with each part of it replaced by some odd values, or left out; what it was."""
    for at, parent, step in list(_places(answer)):
        before = parent[step]
        for odd in rng.sample((*ODD, DROPPED), 2):
            if odd is DROPPED:
                if isinstance(parent, list):
                    continue
                del parent[step]
            else:
                if odd == before and type(odd) is type(before):
                    continue
                parent[step] = odd
            yield (
                f"{at} = {'(none)' if odd is DROPPED else json.dumps(odd)}",
                json.dumps(answer).encode(),
            )
            parent[step] = before
    for odd in ODD:
        yield f"all = {json.dumps(odd)}", json.dumps(odd).encode()
    for text in (
        b"",
        b"<html>",
        b"{",
        b"\xff\xfe",
        b"NaN",
        b'"\\ud800"',
        b"[" * 100_000,
        b"9" * 10_000,
    ):
        yield f"all = {text[:20]!r}", text


def _places(tree: Any, at: str = "") -> Iterator[tuple[str, Any, Any]]:
    # Of many of a kind, one says all.
    keys = list(tree)[:40] if isinstance(tree, dict) else range(min(len(tree), 1))
    for key in keys:
        yield f"{at}.{key}", tree, key
        if isinstance(tree[key], dict | list):
            yield from _places(tree[key], f"{at}.{key}")
