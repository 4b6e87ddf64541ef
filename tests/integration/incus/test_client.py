"""The client against the real daemon, with faults put in between by the proxy."""

import http.client
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from pulumi_pika.incus import address
from pulumi_pika.incus.address import find_socket
from pulumi_pika.incus.client import IncusClient, url
from pulumi_pika.incus.errors import (
    AlreadyExists,
    BadHostSettings,
    BadRequest,
    IncusUnreachable,
    NotFound,
    OperationFailed,
    OperationLost,
    OperationTimedOut,
    PreconditionFailed,
    ServerFailure,
    Unauthorised,
    UnexpectedResponse,
)
from pulumi_pika.incus.instances import (
    create_instance,
    get_instance,
    running_operations,
)
from pulumi_pika.incus.storage import create_volume, get_volume

from ...conftest import IMAGE, Sandbox
from ...support.daemons import free_address
from ...support.proxy import (
    Answer,
    Forward,
    Proxy,
    Request,
    error,
    hold,
    reply,
    reset_after,
    reset_before,
    truncate,
)
from ...support.reconcile import eventually, there

WAITS = "/1.0/operations/[^/]+/wait"


def empty(name: str) -> dict[str, Any]:
    """The body that makes an instance without an image, at once."""
    return {"name": name, "type": "container", "source": {"type": "none"}}


def container(name: str) -> dict[str, Any]:
    """The body that makes a running container."""
    source = {"type": "image", "alias": IMAGE}
    return {"name": name, "type": "container", "start": True, "source": source}


# Errors


def test_missing_thing_is_not_found(client: IncusClient, name: str) -> None:
    with pytest.raises(NotFound) as caught:
        client.get(url("instances", name))

    assert caught.value.status == 404
    assert f"GET /1.0/instances/{name} (project default" in str(caught.value)


def test_taken_volume_name_already_exists(client: IncusClient, name: str) -> None:
    create_volume(client, "default", name, description="", config={})

    with pytest.raises(AlreadyExists):
        create_volume(client, "default", name, description="", config={})


def test_missing_pool_is_no_missing_volume(client: IncusClient, name: str) -> None:
    assert get_volume(client, "default", name) is None
    with pytest.raises(NotFound, match="pool"):
        get_volume(client, "no-such-pool", name)


def test_taken_instance_name_already_exists(client: IncusClient, name: str) -> None:
    client.run("POST", "/1.0/instances", empty(name), timeout=30)

    # 6.0.4 finds it only while it carries out the operation.
    with pytest.raises((AlreadyExists, OperationFailed), match=r"already exists|UNIQUE constraint"):
        client.run("POST", "/1.0/instances", empty(name), timeout=30)


def test_500_that_says_exists_already_exists(proxy: Proxy, proxied: IncusClient) -> None:
    body = {"type": "error", "error": 'Instance "x" already exists', "error_code": 500}
    proxy.on("POST", "/1.0/instances", reply(500, body))

    with pytest.raises(AlreadyExists):
        create_instance(proxied, empty("x"))


def test_stale_etag_is_a_failed_precondition(client: IncusClient, name: str) -> None:
    client.run("POST", "/1.0/instances", empty(name), timeout=30)
    old = client.get(url("instances", name))
    assert old.etag
    client.send_change("PATCH", url("instances", name), {"config": {"user.a": "1"}}, etag=old.etag)

    with pytest.raises(PreconditionFailed):
        client.send_change(
            "PATCH", url("instances", name), {"config": {"user.a": "2"}}, etag=old.etag
        )

    assert client.get(url("instances", name)).data["config"]["user.a"] == "1"


def test_refused_body_is_a_bad_request(client: IncusClient) -> None:
    with pytest.raises(BadRequest, match="name"):
        client.send_change("POST", "/1.0/profiles", {"name": "."})


def test_refused_patch_is_the_servers_failure(client: IncusClient, name: str) -> None:
    # Incus answers 500 to whatever a PATCH of an instance cannot do; its text is what tells.
    client.run("POST", "/1.0/instances", empty(name), timeout=30)

    with pytest.raises(ServerFailure, match="bogus") as caught:
        client.send_change("PATCH", url("instances", name), {"config": {"limits.memory": "bogus"}})

    assert "bogus" in caught.value.reason


def test_client_without_rights_is_unauthorised(
    sandbox: Sandbox, proxy: Proxy, proxied: IncusClient, name: str
) -> None:
    # The daemon itself refuses: the request reaches it over TLS, without a certificate.
    where = free_address()
    port = int(where.rpartition(":")[2])
    before = sandbox.daemon.request("GET", "")["config"].get("core.https_address", "")
    sandbox.daemon.request("PATCH", "", {"config": {"core.https_address": where}})
    proxy.on("*", ".*", _over_tls(port), times=None)
    try:
        with pytest.raises(Unauthorised, match="this user may use the server") as caught:
            proxied.get(url("instances", name))
        assert caught.value.status == 403
    finally:
        sandbox.daemon.request("PATCH", "", {"config": {"core.https_address": before}})


def _over_tls(port: int) -> Any:
    def act(request: Request, forward: Forward) -> Answer:
        context = ssl._create_unverified_context()
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context)
        try:
            connection.request(request.method, request.target)
            response = connection.getresponse()
            return Answer(response.status, {"Content-Type": "application/json"}, response.read())
        finally:
            connection.close()

    return act


# Unreachable


def test_no_socket_is_unreachable_and_nothing_was_sent(tmp_path: Path) -> None:
    with pytest.raises(IncusUnreachable, match="the socket does not exist") as caught:
        IncusClient(tmp_path / "none").get("/1.0")

    assert not caught.value.sent


def test_socket_without_daemon_is_unreachable(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "left"))

    with pytest.raises(IncusUnreachable, match="no process listens") as caught:
        IncusClient(tmp_path / "left").get("/1.0")

    assert not caught.value.sent


def test_socket_of_others_is_unreachable(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.errors import IncusUnreachable
import requests.adapters, encodings.idna, stringprep
IncusClient("/nowhere").transport._session()
import os
if os.getuid() == 0:
    os.setgroups([]), os.setgid(65534), os.setuid(65534)
try:
    IncusClient(sys.argv[1]).get("/1.0")
except IncusUnreachable as error:
    print(error.sent, error)
"""
    place = tmp_path / "closed"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        server.listen()
        place.chmod(0)
        done = subprocess.run(
            [sys.executable, "-c", program, str(place)],
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            check=False,
        )

    assert done.stdout.startswith("False "), done.stderr
    assert "may not open the socket" in done.stdout


def test_no_answer_in_time_is_unreachable_and_may_have_been_sent(
    proxy: Proxy, proxied: IncusClient
) -> None:
    go = threading.Event()
    proxy.on("POST", "/1.0/profiles", hold(go))

    with pytest.raises(IncusUnreachable, match=r"no reply within 0\.2 s") as caught:
        proxied.send_change("POST", "/1.0/profiles", {"name": "."}, timeout=0.2)
    go.set()

    assert caught.value.sent


# What is sent


@pytest.fixture
def project(sandbox: Sandbox, name: str) -> Iterator[str]:
    """A real second project, which shares images and profiles with `default`."""
    config = {"features.images": "false", "features.profiles": "false"}
    sandbox.daemon.request("POST", "/projects", {"name": f"{name}-p", "config": config})
    yield f"{name}-p"
    for path in sandbox.daemon.request("GET", f"/instances?project={name}-p"):
        sandbox.daemon.request("DELETE", path.removeprefix("/1.0"))
    sandbox.daemon.request("DELETE", f"/projects/{name}-p")


def test_every_call_names_the_project(
    proxy: Proxy, proxied: IncusClient, project: str, name: str
) -> None:
    client = proxied.in_project(project)

    client.run("POST", "/1.0/instances", empty(name), timeout=30)

    assert there(client, name).project == project
    assert get_instance(proxied.in_project("default"), name) is None
    *ours, last = proxy.requests
    assert len(ours) >= 3
    assert {request.query["project"] for request in ours} == {project}
    assert last.query["project"] == "default"


@pytest.mark.parametrize(
    "odd", ["a b", "a?b", "a#b", "a%20b", "a&b=c", "a+b", "a;b", "a:b", "ü", "😀"]
)
def test_odd_characters_in_names_are_quoted(
    proxy: Proxy, proxied: IncusClient, name: str, odd: str
) -> None:
    volume = f"{name}-{odd}"
    refused = False
    try:
        create_volume(proxied, "default", volume, description="odd", config={})
    except BadRequest as error:
        # Newer servers have a rule for names of new volumes; older ones' volumes live on.
        refused = "Invalid storage volume name: Name" in str(error)
        assert refused, error  # noqa: PT017

    found = get_volume(proxied, "default", volume)
    assert unquote(proxy.requests[-1].path).endswith(f"/custom/{volume}")
    assert (found is None) == refused
    assert found is None or found.data["name"] == volume
    assert get_volume(proxied, "default", f"{name}-a") is None


@pytest.mark.parametrize("dots", [".", ".."])
def test_dots_are_not_folded_into_another_path(
    proxy: Proxy, proxied: IncusClient, dots: str
) -> None:
    # Folded, these would be the list of profiles and the server itself. Incus 7 answers with a
    # redirect to those, which is not followed.
    with pytest.raises((NotFound, BadRequest, UnexpectedResponse)):
        proxied.get(url("profiles", dots))

    (request,) = proxy.requests
    assert unquote(request.path) == f"/1.0/profiles/{dots}"


def test_slash_in_a_name_stays_in_its_segment(client: IncusClient) -> None:
    with pytest.raises((NotFound, BadRequest)):
        client.get(url("instances", "../profiles/default"))


# What comes back


def test_answer_longer_than_asked_for_is_refused(client: IncusClient) -> None:
    with pytest.raises(UnexpectedResponse, match="longer than 100 bytes"):
        client.get_raw("/1.0", max_bytes=100)


def test_endless_answer_is_refused(proxy: Proxy, proxied: IncusClient) -> None:
    proxy.on("GET", "/1.0", reply(200, b" " * (64 * 1024 * 1024 + 1)))

    with pytest.raises(UnexpectedResponse, match="longer than 67108864 bytes"):
        proxied.get("/1.0")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>not Incus</html>", "is not JSON"),
        (b"", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"metadata": "\xff"}', "is not JSON"),
        (b"[1]", "is not a JSON object"),
        (b'{"type": "sync"}', "has no object"),
        (b'{"type": "sync", "metadata": ["/1.0"]}', "has no object"),
    ],
)
def test_answer_of_another_shape_is_unexpected(
    proxy: Proxy, proxied: IncusClient, body: bytes, said: str
) -> None:
    proxy.on("GET", "/1.0", reply(200, body))

    with pytest.raises(UnexpectedResponse, match=said):
        proxied.get("/1.0")


def test_error_page_of_another_server_is_unexpected(proxy: Proxy, proxied: IncusClient) -> None:
    proxy.on("GET", "/1.0", reply(502, b"<html>Bad Gateway</html>"), times=None)

    with pytest.raises(UnexpectedResponse, match=r"\(502, 24 bytes\) is not JSON"):
        proxied.get("/1.0")


def test_operation_without_a_name_is_unexpected(proxy: Proxy, proxied: IncusClient) -> None:
    proxy.on("POST", "/1.0/instances", reply(202, {"type": "async", "operation": ""}))

    with pytest.raises(UnexpectedResponse, match="has no operation"):
        create_instance(proxied, empty("x"))


def test_truncated_answer_is_asked_for_again(proxy: Proxy, proxied: IncusClient) -> None:
    rule = proxy.on("GET", "/1.0", truncate(50))

    assert proxied.get("/1.0").data["api_version"] == "1.0"
    assert rule.applied == 1
    assert len(proxy.sent("GET", "/1.0")) == 2


def test_answer_that_is_always_truncated_is_unreachable(proxy: Proxy, proxied: IncusClient) -> None:
    proxy.on("GET", "/1.0", truncate(50), times=None)

    with pytest.raises(IncusUnreachable, match="connection was lost"):
        proxied.get("/1.0")

    assert 2 <= len(proxy.requests) <= 5


def test_get_that_the_server_fails_at_is_sent_again(proxy: Proxy, proxied: IncusClient) -> None:
    # As 6.0.4 does, for a moment, of a container that just ends.
    proxy.on("GET", "/1.0", reply(500, error("Invalid PID", 500)))

    assert proxied.get("/1.0").data["api_version"] == "1.0"


def test_server_that_is_starting_is_waited_for(
    proxy: Proxy, proxied: IncusClient, name: str
) -> None:
    starting = reply(503, error("Daemon is starting up", 503))
    proxy.on("GET", "/1.0", starting, times=4)
    proxy.on("POST", "/1.0/instances", starting, times=4)

    assert proxied.get("/1.0").data["api_version"] == "1.0"
    proxied.run("POST", "/1.0/instances", empty(name), timeout=30)
    assert len(proxy.sent("POST")) == 5


def test_cluster_member_that_is_just_back_is_waited_for(
    proxy: Proxy, client: IncusClient, proxied: IncusClient, name: str
) -> None:
    client.run("POST", "/1.0/instances", empty(name), timeout=30)
    # What 6.0.4 answers for a member that is online and refuses what is passed on to it.
    not_yet = reply(500, error("Server isn't ready yet", 500))
    proxy.on("GET", f"/1.0/instances/{name}", not_yet, times=8)

    live = get_instance(proxied, name)

    assert live is not None
    assert live.data["name"] == name


def test_broken_off_get_is_sent_once_more(proxy: Proxy, proxied: IncusClient) -> None:
    proxy.on("GET", "/1.0", reset_before())

    assert proxied.get("/1.0").data["api_version"] == "1.0"


@pytest.mark.parametrize("fault", [reset_before, reset_after])
def test_broken_off_change_is_not_repeated(
    proxy: Proxy, proxied: IncusClient, name: str, fault: Any
) -> None:
    proxy.on("POST", "/1.0/instances", fault())

    with pytest.raises(IncusUnreachable) as caught:
        create_instance(proxied, empty(name))

    assert caught.value.sent, "whether it was carried out cannot be known"
    assert len(proxy.sent("POST")) == 1
    # What was carried out goes on for a moment; it is swept when it is done.
    eventually(lambda: not running_operations(proxied, name))


# Operations


def test_operation_is_awaited(proxy: Proxy, proxied: IncusClient, name: str) -> None:
    proxied.run("POST", "/1.0/instances", empty(name), timeout=30)

    waits = proxy.sent("GET", WAITS)
    assert waits
    assert all(int(wait.query["timeout"]) >= 1 for wait in waits)
    assert get_instance(proxied, name) is not None


@pytest.mark.parametrize("fault", [reset_before, reset_after, lambda: truncate(20)])
def test_cut_off_wait_is_resumed_and_nothing_repeated(
    proxy: Proxy, proxied: IncusClient, name: str, fault: Any
) -> None:
    rule = proxy.on("GET", WAITS, fault())

    proxied.run("POST", "/1.0/instances", empty(name), timeout=30)

    assert rule.applied == 1
    assert len(proxy.sent("POST")) == 1
    assert len({request.path for request in proxy.sent("GET", WAITS)}) == 1
    assert there(proxied, name).name == name


def test_wait_outlives_a_daemon_that_is_away(proxy: Proxy, proxied: IncusClient, name: str) -> None:
    proxied.run("POST", "/1.0/instances", container(name), timeout=30)
    operation = proxied.send_change("POST", url("instances", name, "exec"), sleep(2))

    def away() -> None:
        proxy.close()
        time.sleep(0.5)
        proxy.start()

    absence = threading.Timer(0.3, away)
    absence.start()
    done = proxied.wait(operation, timeout=30, what="sleeping")
    absence.join()

    assert done["return"] == 0
    assert len(proxy.sent("POST", ".*/exec")) == 1


def sleep(seconds: int) -> dict[str, Any]:
    return {"command": ["sleep", str(seconds)], "interactive": False, "wait-for-websocket": False}


def test_failed_operation_carries_its_text(client: IncusClient, name: str) -> None:
    body = container(name)
    body["devices"] = {"eth0": {"type": "nic", "nictype": "bridged", "parent": "no-such-bridge"}}

    with pytest.raises(OperationFailed, match="no-such-bridge") as caught:
        client.run("POST", "/1.0/instances", body, timeout=30)

    assert "no-such-bridge" in caught.value.reason
    assert "POST /1.0/instances (project default) failed: " in str(caught.value)


def test_operation_that_goes_on_times_out(client: IncusClient, name: str) -> None:
    client.run("POST", "/1.0/instances", container(name), timeout=30)
    start = time.monotonic()
    ticks = []

    with pytest.raises(
        OperationTimedOut, match=r"not finished after 1 s; it continues at"
    ) as caught:
        client.run(
            "POST",
            url("instances", name, "exec"),
            sleep(600),
            timeout=1,
            on_progress=lambda elapsed, _: ticks.append(elapsed),
        )

    # The guest's own sleep is not waited for.
    assert 0.9 < time.monotonic() - start < 60
    assert ticks
    state = client.get(url("operations", caught.value.operation)).data
    assert state["status"] == "Running"


def test_forgotten_operation_is_lost(client: IncusClient) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"

    with pytest.raises(OperationLost, match="no longer has operation") as caught:
        client.wait(unknown, timeout=5, what="something")

    assert caught.value.operation == unknown


# Connections


def test_connection_is_kept(proxy: Proxy, proxied: IncusClient, name: str) -> None:
    for _ in range(20):
        proxied.get("/1.0")
        get_instance(proxied, name)
    proxied.in_project("other").server()

    assert proxy.connections == 1


def test_each_thread_has_one_connection(proxy: Proxy, proxied: IncusClient) -> None:
    barrier = threading.Barrier(4)

    def ask(_: int) -> None:
        barrier.wait(10)
        for _ in range(5):
            proxied.get("/1.0")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(ask, range(4)))

    assert proxy.connections == 4
    by_connection = [request.connection for request in proxy.requests]
    assert {by_connection.count(number) for number in set(by_connection)} == {5}


def test_connection_that_broke_while_idle_is_made_anew(
    proxy: Proxy, proxied: IncusClient, name: str
) -> None:
    proxied.get("/1.0")
    proxy.break_connections()
    time.sleep(0.1)

    proxied.run("POST", "/1.0/instances", empty(name), timeout=30)

    assert proxy.connections == 2


# Where the daemon is


def test_socket_argument_comes_first(tmp_path: Path) -> None:
    environ = {"INCUS_SOCKET": "/b", "INCUS_DIR": "/c"}

    assert find_socket("/a", environ) == Path("/a")
    assert find_socket(None, environ) == Path("/b")
    assert find_socket(None, {"INCUS_SOCKET": "", "INCUS_DIR": "/c"}) == Path("/c/unix.socket")
    with pytest.raises(BadHostSettings, match="socket is empty"):
        find_socket("", environ)


def test_usual_places_are_looked_at_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [tmp_path / name for name in ("first", "second", "third")]
    monkeypatch.setattr(address, "USUAL_SOCKETS", tuple(map(str, places)))

    with pytest.raises(IncusUnreachable, match="no Incus daemon found") as caught:
        find_socket(None, {})
    assert str(places[0]) in str(caught.value)
    for place in reversed(places):
        place.touch()
        assert find_socket(None, {}) == place


def test_environment_leads_to_the_daemon(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("INCUS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("INCUS_DIR", str(sandbox.daemon.directory))
    assert IncusClient().get("/1.0").data["api_version"] == "1.0"
    monkeypatch.setenv("INCUS_SOCKET", "/nowhere/at/all")
    with pytest.raises(IncusUnreachable, match="/nowhere/at/all"):
        IncusClient().get("/1.0")


# The server


def test_server_says_what_it_is_and_is_asked_once(proxy: Proxy, proxied: IncusClient) -> None:
    server = proxied.server()

    assert server.version.split(".")[0].isdigit()
    assert server.has("instance_auto_restart")
    assert not server.has("no_such_extension")
    assert "container" in server.instance_types
    assert not server.clustered
    assert proxied.in_project("other").server() is server
    assert len(proxy.requests) == 1
