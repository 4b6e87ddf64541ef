"""Lost replies, interruptions and failures: nothing is left, and nothing is done twice."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.providers.image import IncusImageProvider
from pulumi_pika.reconcile.images.image_source import forget_lookups

from ...conftest import Sandbox
from ...support.image_engine import Image
from ...support.image_server import ImageServer, unified
from ...support.proxy import Proxy, call, error, reply, reset_after, reset_before
from .conftest import alias, put_by_hand, shown

Declare = Callable[..., Image]
CONTAINER = {"instance_type": "container"}


@pytest.fixture(params=["copy", "upload"])
def image(
    request: pytest.FixtureRequest,
    declare: Declare,
    streams: ImageServer,
    tmp_path: Path,
    name: str,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
) -> Image:
    """An image of each kind, of a host behind the proxy."""
    monkeypatch.setenv("INCUS_SOCKET", str(proxy.socket))
    files = unified(tmp_path, name)
    streams.publish("tiny/1", files)
    if request.param == "copy":
        return declare(source="tiny/1", server=streams.url, **CONTAINER)
    return declare(file=str(files.metadata))


def fingerprint_of(image: Image) -> str:
    return str(image.checked()["fingerprint"])


WAITS = "/1.0/operations/[^/]+/wait"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/1.0/images"),
        ("GET", WAITS),
        ("PUT", "/1.0/images/.*"),
        ("POST", "/1.0/images/aliases"),
        ("GET", "/1.0/images/.*"),
    ],
)
def test_lost_reply_to_a_create(
    sandbox: Sandbox, image: Image, proxy: Proxy, method: str, path: str
) -> None:
    fingerprint = fingerprint_of(image)
    proxy.clear_requests()
    proxy.on(method, path, reset_after())
    image.up()
    assert image["fingerprint"] == fingerprint
    assert image.planned() == ""
    assert image.refresh() == {}
    assert len(proxy.sent("POST", "/1.0/images")) == 1
    image.destroy()
    assert shown(sandbox.daemon, fingerprint) is None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/1.0/images"),
        ("PUT", "/1.0/images/.*"),
        ("POST", "/1.0/images/aliases"),
    ],
)
@pytest.mark.parametrize("status", [400, 500])
def test_failed_create_leaves_nothing(
    sandbox: Sandbox, image: Image, proxy: Proxy, method: str, path: str, status: int, name: str
) -> None:
    fingerprint = fingerprint_of(image)
    proxy.on(method, path, reply(status, error("no such luck", status)), times=None)
    with pytest.raises(Exception, match="no such luck"):
        image.up()
    assert shown(sandbox.daemon, fingerprint) is None
    assert alias(sandbox.daemon, name) is None
    proxy.clear()
    assert image.up() == "create"


def test_request_that_never_arrived(image: Image, proxy: Proxy, sandbox: Sandbox) -> None:
    fingerprint = fingerprint_of(image)
    proxy.on("POST", "/1.0/images", reset_before())
    with pytest.raises(Exception, match="could not create"):
        image.up()
    assert shown(sandbox.daemon, fingerprint) is None


def test_lost_reply_to_a_delete(sandbox: Sandbox, image: Image, proxy: Proxy) -> None:
    image.up()
    fingerprint = image["fingerprint"]
    proxy.on("DELETE", "/1.0/images/.*", reset_after())
    image.destroy()
    assert shown(sandbox.daemon, fingerprint) is None


def test_another_client_changes_it_meanwhile(sandbox: Sandbox, image: Image, proxy: Proxy) -> None:
    image.up()
    fingerprint = image["fingerprint"]

    def meanwhile(_: Any) -> None:
        found: Any = shown(sandbox.daemon, fingerprint)
        found["properties"]["more"] = "x"
        sandbox.daemon.request("PUT", f"/images/{fingerprint}", found)

    proxy.on("PUT", "/1.0/images/.*", call(meanwhile))
    image.up(properties={"team": "a"})
    found: Any = shown(sandbox.daemon, fingerprint)
    assert found["properties"]["more"] == "x"
    assert found["properties"]["team"] == "a"


def test_another_client_was_faster(
    sandbox: Sandbox, image: Image, proxy: Proxy, tmp_path: Path, name: str
) -> None:
    fingerprint = fingerprint_of(image)
    file = tmp_path / f"{name}.tar"
    proxy.on("POST", "/1.0/images", call(lambda _: put_by_hand(sandbox.daemon, file)))
    with pytest.raises(Exception, match="could not create"):
        image.up()
    # It is another client's, and stays.
    found = shown(sandbox.daemon, fingerprint)
    assert found is not None
    assert "pika" not in str(found["properties"]).replace("pulumi_pika", "")


def test_alias_appears_meanwhile(sandbox: Sandbox, image: Image, proxy: Proxy, name: str) -> None:
    fingerprint = fingerprint_of(image)
    target = {"name": name, "target": sandbox.image}
    proxy.on(
        "POST",
        "/1.0/images/aliases",
        call(lambda _: sandbox.daemon.request("POST", "/images/aliases", target)),
    )
    with pytest.raises(Exception, match="another client created the image alias"):
        image.up()
    assert shown(sandbox.daemon, fingerprint) is None
    found = alias(sandbox.daemon, name)
    assert found is not None
    assert found["target"] == sandbox.image


def test_failed_replacement_brings_the_alias_back(
    sandbox: Sandbox,
    declare: Declare,
    streams: ImageServer,
    tmp_path: Path,
    name: str,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("INCUS_SOCKET", str(proxy.socket))
    old = streams.publish("tiny/1", unified(tmp_path, f"{name}-old"))
    image = declare(
        source="tiny/1", server=streams.url, update="replace", aliases=[name, f"{name}-b"],
        **CONTAINER,
    )  # fmt: skip
    image.up()
    before = alias(sandbox.daemon, name)
    new = streams.publish("tiny/1", unified(tmp_path, f"{name}-new"), "20260202_00:00")
    proxy.on("PUT", f"/1.0/images/aliases/{name}-b", reply(500, error("no", 500)))
    with pytest.raises(Exception, match=r"could not create .*Undone"):
        image.up()
    assert alias(sandbox.daemon, name) == before
    assert shown(sandbox.daemon, old) is not None
    assert shown(sandbox.daemon, new) is None
    assert image.up() == "replace"
    assert alias(sandbox.daemon, name) != before


def test_interrupted_download_is_cancelled(
    sandbox: Sandbox, declare: Declare, streams: ImageServer, tmp_path: Path, name: str
) -> None:
    """As when the engine is killed: the call is interrupted, and removes what it began."""
    import ctypes

    from pulumi_pika.providers.engine_watch import EngineGone

    fingerprint = streams.publish("tiny/1", unified(tmp_path, name))
    streams.pause = 0.5
    image = declare(source="tiny/1", server=streams.url, **CONTAINER)
    news, raised = image.checked(), []

    def create() -> None:
        try:
            IncusImageProvider().create(news)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=create)
    thread.start()
    deadline = time.monotonic() + 20
    while not any("incus_combined" in path for path in streams.asked):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    began = time.monotonic()
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread.ident or 0), ctypes.py_object(EngineGone)
    )
    thread.join(30)
    assert not thread.is_alive()
    assert time.monotonic() - began < 15
    assert "engine that started this provider process was killed" in str(raised[0])
    assert shown(sandbox.daemon, fingerprint) is None
    running = sandbox.daemon.request("GET", "/operations?recursion=1").get("running") or []
    assert [it for it in running if it["description"] == "Downloading image"] == []


def test_two_at_once(
    sandbox: Sandbox,
    declare: Declare,
    streams: ImageServer,
    tmp_path: Path,
    name: str,
    proxy: Proxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Resources of one `up` that need the same image share it."""
    monkeypatch.setenv("INCUS_SOCKET", str(proxy.socket))
    fingerprint = streams.publish("tiny/1", unified(tmp_path, name))
    of = [declare(f"-{i}", source="tiny/1", server=streams.url, **CONTAINER) for i in range(4)]
    news = [image.checked() for image in of]
    made: list[Any] = []

    def create(inputs: Any) -> None:
        made.append(IncusImageProvider().create(inputs))

    threads = [threading.Thread(target=create, args=(inputs,)) for inputs in news]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 4
    found: Any = shown(sandbox.daemon, fingerprint)
    assert str(found["properties"]).count("pika.owner") == 4
    assert len(found["aliases"]) == 4
    # The first one has it copied, and the others find it.
    assert len(proxy.sent("POST", "/1.0/images")) == 1


def test_server_answers_never(
    client: IncusClient, declare: Declare, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look-up has a time limit of its own."""
    import socket

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        image = declare(source="tiny/1", server=url, timeouts={"lookup": 1.5}, **CONTAINER)
        forget_lookups()
        began = time.monotonic()
        assert "fingerprint" not in image.checked()
        assert time.monotonic() - began < 5
