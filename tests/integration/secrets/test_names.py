"""Names, paths and keys that would mean another thing in a URL, a query or a config are refused by
`check`, and quoted by the client whatever came of that."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient, url
from pulumi_pika.incus.errors import BadRequest, NotFound, UnexpectedResponse
from pulumi_pika.incus.instances import create_instance, get_instance
from pulumi_pika.incus.storage import get_volume
from pulumi_pika.providers import host_connection
from pulumi_pika.validation.property_tree import set_path

from ...conftest import Sandbox
from ...support.provider_calls import runtime_calls
from ...support.proxy import Proxy
from ...unit.providers.test_secret_marking import inputs


@pytest.fixture(autouse=True)
def _no_preflight() -> Iterator[None]:
    host_connection.configure({"pika:preflight": "off"})
    yield
    host_connection.configure({})


NOT_PLAIN = ("..", ".", "../x", "a/b", "a\nb", "a\x00b", "a\x1b[2J", "\u202eab", "a\u2028b")
REFUSED: list[tuple[tuple[str | int, ...], tuple[str, ...]]] = [
    (
        ("identity", "instance_name"),
        (
            *NOT_PLAIN,
            "a?x=1",
            "a#b",
            "a%2fb",
            "a b",
            "a&b",
            "-a",
            "a-",
            "é",
            "a_b",
            "1",
            "a" * 64,
            "a\n",
        ),
    ),
    (("identity", "runtime_id"), ("a\nb", "a\x00b", "a\x1b[2J", "\u202eab")),
    (("incus", "project"), NOT_PLAIN),
    (("incus", "profile"), NOT_PLAIN),
    (("incus", "image_alias"), ("..", ".", "a\nb", "a\x00", "\u202eab")),
    (("storage_pool",), (*NOT_PLAIN, " ")),
    (("extra_profiles", 0), (*NOT_PLAIN, "")),
    (
        ("mounts", 1, "source"),
        ("..", ".", "../x", "v/..", "v/../w", "v//x", "v/./x", "v\nw", "v\x00", "./v", "v/\u202e"),
    ),
    (("mounts", 1, "guest_path"), ("/a\nb", "/a/../b", "/", "a", "/a/", "/a//b", "/a\x00")),
]
KEYS: dict[str, tuple[str, ...]] = {
    "config": (
        "user.pika.owner", "user.pika.label.x", "user.pika.", "limits.cpu", "volatile.uuid",
        "volatile.x", "a=b", "user.a\nb", "user.a\x00", " user.pika.owner", "\tuser.pika.owner",
        "limits.cpu ", "limits.cpu\n", "cpu", "", ".", "user.", "environment.A=B", "a b.c",
        "user.\u202epika", "../x.y", "boot.autorestart",
    ),
    "labels": ("", " ", "a\nb", "a\x00", " a", "a ", "\u202ea", "a\u2028"),
    "devices": (
        "pk-x", "pk-persist-00000000", "root", "a/b", "..", ".", "a b", "a?b", "a#b", "a%2f", "é",
        "", "a\nb", "a\n", "-a", "a-", "a" * 64, "a&b", "a=b",
    ),
}  # fmt: skip
LABEL_KEYS = (
    "a.b",
    "é",
    "a=b",
    "a/b",
    "a b",
    "..",
    "user.pika.owner",
    "%2e",
    "?#&",
    '"',
    "'",
    "a:b",
)


@pytest.mark.parametrize(
    ("path", "value"), [(path, value) for path, values in REFUSED for value in values]
)
def test_refused_value(path: tuple[str | int, ...], value: str) -> None:
    given = inputs(storage_pool="default", extra_profiles=["x"])
    set_path(given, path, value)
    checked = runtime_calls.check(given)
    said = {failure.property for failure in checked.failures}
    expected = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in path).lstrip(".")
    assert expected in said, [vars(failure) for failure in checked.failures]


@pytest.mark.parametrize(("where", "key"), [(w, key) for w, keys in KEYS.items() for key in keys])
def test_refused_key(where: str, key: str) -> None:
    value: Any = {"type": "none"} if where == "devices" else "x"
    checked = runtime_calls.check(inputs(**{where: {key: value}}))
    assert checked.failures, f"{where} takes {key!r}"
    assert all(failure.property.startswith(where) for failure in checked.failures)


@pytest.mark.parametrize("key", LABEL_KEYS)
def test_a_label_stays_below_its_prefix(key: str, client: IncusClient, name: str) -> None:
    """Odd as a label may be, Incus keeps it as one config key."""
    assert runtime_calls.check(inputs(labels={key: "x"})).failures == []
    config = {f"user.pika.label.{key}": "x"}
    source = {"type": "none"}
    body = {"name": name, "type": "container", "config": config, "source": source}
    client.wait(create_instance(client, body), timeout=30, what="create")
    live = get_instance(client, name)
    assert live is not None
    own = {k: v for k, v in live.data["config"].items() if not k.startswith("volatile.")}
    assert own == config


ODD = (
    "a&project=b",
    "a?recursion=1",
    "a#b",
    "a%2fb",
    "a/b",
    "..",
    ".",
    "a b",
    "é€",
    "a;b",
    "a+b",
    "%",
)


@pytest.mark.parametrize("odd", ODD)
def test_client_quotes(odd: str, sandbox: Sandbox, tmp_path: Path) -> None:
    with Proxy(sandbox.socket, tmp_path / "p.socket") as proxy:
        client = IncusClient(proxy.socket, odd)
        for path in (url("instances", odd), url("profiles", odd), url("images", "aliases", odd)):
            # Incus 7.0 answers `.` and `..` with a redirect, which is not followed.
            with pytest.raises((NotFound, BadRequest, UnexpectedResponse)):
                client.get(path)
        with pytest.raises((NotFound, BadRequest, UnexpectedResponse)):
            get_volume(client, odd, odd)
        assert len(proxy.requests) == 4
        depth = {"instances": 3, "profiles": 3, "images": 4, "storage-pools": 6}
        for request in proxy.requests:
            steps = request.path.strip("/").split("/")
            assert len(steps) == depth[steps[1]], request.target
            assert "#" not in request.target
            assert request.query == {"project": odd}
