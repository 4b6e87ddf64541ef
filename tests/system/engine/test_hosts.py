"""`IncusHost` with the real engine, before real daemons."""

import json
from pathlib import Path
from typing import Any

import pytest

from ...conftest import (
    IMAGE,
    Sandbox,
    sweep,
)
from ...integration.hosts.test_cluster import Cluster, sweep_volumes
from ...support.daemons import (
    Certificate,
    Server,
    await_members,
    free_address,
    make_certificate,
)
from ...support.proxy import Proxy
from ...support.stack import Stack, make_stack

PROGRAM = """
import json
import pathlib
import pulumi
from pulumi_pika import IncusHost, IncusRuntime

declared = json.loads(pathlib.Path("declared.json").read_text())
hosts = {}
for name, arguments in declared["hosts"].items():
    # A host that waits for others, whatever they are, is known after them only.
    hosts[name] = IncusHost(name, **arguments)
made = {}
for name, arguments in declared["runtimes"].items():
    after = [made[other] for other in arguments.pop("after", [])]
    provider = hosts.get(arguments.pop("host", None))
    options = pulumi.ResourceOptions(provider=provider, depends_on=after)
    made[name] = IncusRuntime(name, **arguments, opts=options)
    pulumi.export(name, made[name].location)
"""


def declare(stack: Stack, hosts: dict[str, Any], runtimes: dict[str, Any]) -> None:
    stack.program(PROGRAM)
    declared = json.dumps({"hosts": hosts, "runtimes": runtimes})
    (stack.directory / "declared.json").write_text(declared)


def runtime(name: str, **more: Any) -> dict[str, Any]:
    return {
        "identity": {"runtime_id": f"id-{name}", "instance_name": name},
        "incus": {"project": "default", "profile": "default", "image_alias": IMAGE},
        "instance_type": "container",
        **more,
    }


def instances(server: Server | Sandbox, prefix: str) -> list[str]:
    listed = server.daemon.request("GET", "/instances?recursion=1")
    return sorted(it["name"] for it in listed if it["name"].startswith(prefix))


def locations(stack: Stack) -> list[str]:
    outputs = {it["urn"].rpartition("::")[2]: it["outputs"] for it in stack.resources()}
    return [outputs[name]["location"] for name in sorted(outputs)]


@pytest.fixture
def stack(tmp_path: Path, sandbox: Sandbox, name: str) -> Stack:
    """Its default provider's host is the sandbox."""
    return make_stack(tmp_path / "stack", sandbox.socket)


def test_two_hosts_in_one_program_and_rotation(
    stack: Stack, sandbox: Sandbox, server: Server, trusted: Certificate, name: str, tmp_path: Path
) -> None:
    runtimes = {
        "here": runtime(f"{name}-here"),
        "there": runtime(f"{name}-there", host="there"),
    }
    key = trusted.key.read_text()
    pem = {
        "url": server.url,
        "server_fingerprint": server.fingerprint,
        "certificate": trusted.certificate.read_text(),
        "key": key,
    }
    try:
        declare(stack, {"there": pem}, runtimes)
        shown = stack.preview() + stack.up()
        assert instances(sandbox, name) == [f"{name}-here"]
        assert instances(server, name) == [f"{name}-there"]
        stack.up("--expect-no-changes")
        assert key[40:80] not in shown + json.dumps(stack.export())

        # Another certificate, another spelling of the address, from files.
        new = make_certificate(tmp_path / "new")
        server.trust(new)
        url = server.url.replace("127.0.0.1", "localhost")
        files = {"url": url, "server_certificate": str(server.certificate), **new.settings}
        declare(stack, {"there": files}, runtimes)
        shown = stack.up()
        assert "1 updated" in shown
        assert "replace" not in shown
        assert instances(server, name) == [f"{name}-there"]
        stack.settled()
        stack.destroy()
        assert instances(server, name) == []
        assert instances(sandbox, name) == []
    finally:
        sweep(server.daemon, name)


def test_host_from_the_stack_config(
    stack: Stack, sandbox: Sandbox, server: Server, trusted: Certificate, name: str
) -> None:
    stack.config("pika:url", server.url)
    stack.config("pika:server_fingerprint", server.fingerprint)
    stack.config("pika:certificate", str(trusted.certificate))
    stack.run("config", "set", "--secret", "pika:key", str(trusted.key))
    named = runtime(f"{name}-host", host="own")
    try:
        # A host without a word of its own goes by the config as well.
        declare(stack, {"own": {}}, {"box": runtime(name), "named": named})
        stack.up()
        assert instances(server, name) == [name, f"{name}-host"]
        stack.destroy()
        assert instances(server, name) == []
    finally:
        sweep(server.daemon, name)


def test_token_at_first_contact(stack: Stack, server: Server, name: str, tmp_path: Path) -> None:
    token = server.token(name)
    environment = {"HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": ""}
    stack.environment.update(environment)
    before = set(server.trusted())
    try:
        declare(stack, {"new": {"trust_token": token}}, {"box": runtime(name, host="new")})
        shown = stack.preview()
        assert "the first `pulumi up` uses the trust_token" in shown
        assert set(server.trusted()) == before, "a preview changed the server"
        during = stack.up()
        # This is the one that uses it.
        assert "trust_token" not in during
        assert "does not trust this client" not in during
        shown += during
        assert instances(server, name) == [name]
        assert len(set(server.trusted()) - before) == 1
        stack.up("--expect-no-changes")
        assert token not in shown + json.dumps(stack.export())
    finally:
        sweep(server.daemon, name)


def test_unreachable_host_is_one_warning_in_a_preview(stack: Stack, name: str) -> None:
    away = {"socket": "/nowhere/unix.socket"}
    runtimes = {f"box{i}": runtime(f"{name}-{i}", host="away") for i in range(3)}
    quiet = runtime(f"{name}-quiet", host="quiet")
    hosts = {"away": away, "quiet": {**away, "preflight": "off"}}
    declare(stack, hosts, {**runtimes, "quiet": quiet})

    shown = stack.preview()
    assert shown.count("could not check the host") == 1
    assert shown.count('instance_name: "') >= 4

    declare(stack, {"away": {**away, "preflight": "required"}}, runtimes)
    assert "could not check the host" in stack.preview(fails=True)


def test_changed_server_certificate_fails_a_preview(
    stack: Stack, server: Server, trusted: Certificate, name: str
) -> None:
    host = {"url": server.url, "server_fingerprint": "0" * 64, **trusted.settings}
    declare(stack, {"wrong": host}, {"box": runtime(name, host="wrong")})

    shown = stack.preview(fails=True)

    assert "0" * 64 in shown
    assert server.fingerprint in shown


def test_findings_all_at_once_and_on_their_properties(stack: Stack, name: str) -> None:
    lacking = runtime(
        name,
        incus={"project": "default", "profile": "defualt", "image_alias": "pika/tyni"},
        instance_type="virtual-machine",
        storage_pool="fast",
    )
    declare(stack, {}, {"box": lacking})
    shown = stack.preview(fails=True)
    for said in (
        "did you mean default?",
        "did you mean pika/tiny?",
        "storage pool fast does not exist",
    ):
        assert said in shown
    assert "instance_type virtual-machine is not supported at" in shown
    assert "Traceback" not in shown

    # What something else may bring meanwhile is a warning in a preview, and an error of `check` in
    # the `up`, where all that it waits for is there.
    lacking["instance_type"] = "container"
    declare(stack, {}, {"other": runtime(f"{name}-o"), "box": {**lacking, "after": ["other"]}})
    shown = stack.preview()
    assert "It must exist when" in shown
    shown = stack.up(fails=True)
    for said in (
        "did you mean default?",
        "did you mean pika/tiny?",
        "storage pool fast does not exist",
    ):
        assert said in shown
    assert "problem" in shown
    assert "cannot be made" not in shown, "it came as far as the create"


def test_defaults_of_the_host_count_when_a_runtime_is_made(
    stack: Stack, sandbox: Sandbox, name: str
) -> None:
    box = runtime(name)
    del box["incus"]["project"]
    host = {"socket": str(sandbox.socket), "project": "default", "storage_pool": "default"}
    declare(stack, {"here": host}, {"box": {**box, "host": "here"}})
    stack.up()
    (made,) = (it for it in stack.resources() if "IncusRuntime" in it["type"])
    assert made["outputs"]["incus"]["project"] == "default"
    assert made["outputs"]["storage_pool"] == "default"

    host |= {"project": "elsewhere", "storage_pool": "fast"}
    declare(stack, {"here": host}, {"box": {**box, "host": "here"}})
    shown = stack.up()
    assert "1 updated" in shown  # the provider
    assert "replace" not in shown
    stack.settled()


def test_up_without_changes_asks_the_host_nothing(
    stack: Stack, sandbox: Sandbox, name: str, tmp_path: Path
) -> None:
    with Proxy(sandbox.socket, tmp_path / "p.socket") as proxy:
        host = {"here": {"socket": str(proxy.socket)}}
        boxes = {f"box{i}": runtime(f"{name}-{i}", host="here") for i in range(4)}
        declare(stack, host, boxes)
        stack.up()
        asked = [request for request in proxy.requests if "/instances" not in request.path]
        lookups = [it for it in asked if it.method == "GET" and "/operations" not in it.path]
        # Once each, whatever the number of runtimes.
        assert sorted(it.path for it in lookups) == [
            "/1.0",
            "/1.0/images/aliases",
            "/1.0/profiles",
            "/1.0/projects/default",
        ]
        proxy.clear()
        stack.up("--expect-no-changes")
        assert proxy.requests == []


def test_cluster(stack: Stack, cluster: Cluster, name: str) -> None:
    one, two = cluster
    host = {"socket": str(one.daemon.socket)}
    runtimes = {
        "moves": runtime(f"{name}-moves", host="two"),
        "stops": runtime(f"{name}-stops", host="group", config={"cluster.evacuate": "stop"}),
    }
    hosts = {"two": {**host, "target": "two"}, "group": {**host, "cluster_group": "second"}}
    request = one.daemon.request
    try:
        declare(stack, hosts, runtimes)
        stack.up()
        assert stack.outputs() == {"moves": "two", "stops": "two"}

        request("POST", "/cluster/members/two/state", {"action": "evacuate"}, timeout=60)
        shown = stack.refresh()
        assert locations(stack) == ["one", "two"]
        assert "is evacuated" in shown
        stack.up("--expect-no-changes")
        request("POST", "/cluster/members/two/state", {"action": "restore"}, timeout=60)
        stack.refresh()

        # Another target is for what is made from now on.
        declare(stack, {**hosts, "two": {**host, "target": "one"}}, runtimes)
        assert "replace" not in stack.up()
        assert locations(stack) == ["two", "two"]

        two.daemon.kill()
        try:
            shown = stack.refresh()
            assert "is on the cluster member two, which does not reply" in shown
            assert "deleted" not in shown
            stack.up("--expect-no-changes")
        finally:
            two.daemon.start()
            await_members(one.daemon)
    finally:
        sweep(one.daemon, name)
        sweep_volumes(cluster, name)


def test_target_without_a_cluster(stack: Stack, sandbox: Sandbox, name: str) -> None:
    host = {"socket": str(sandbox.socket), "target": "one"}
    declare(stack, {"here": host}, {"box": runtime(name, host="here")})
    assert "the server is not a cluster" in stack.preview(fails=True)

    declare(stack, {"here": {**host, "preflight": "off"}}, {"box": runtime(name, host="here")})
    assert "the server is not a cluster" in stack.up(fails=True)
    assert instances(sandbox, name) == []


def test_nobody_listens(stack: Stack, server: Server, trusted: Certificate, name: str) -> None:
    host = {
        "url": f"https://{free_address()}",
        "server_fingerprint": server.fingerprint,
        **trusted.settings,
    }
    declare(stack, {"there": host}, {"box": runtime(name, host="there")})

    assert "no process listens at the address" in stack.up(fails=True)


UNKNOWN = """
import pulumi
from pulumi_pika import IncusHost, IncusRuntime, PersistentVolume

volume = PersistentVolume("v", volume_name="NAME-v", storage_pool="default")
known = volume.id.apply(lambda _: "HOST")
there = IncusHost("there", **{"WAY": known}, project="default")
IncusRuntime(
    "box",
    identity={"runtime_id": "id", "instance_name": "NAME"},
    incus={"profile": "default", "image_alias": "IMAGE"},
    instance_type="container",
    opts=pulumi.ResourceOptions(provider=there),
)
"""


@pytest.mark.parametrize("way", ["socket", "url"])
def test_a_host_that_is_unknown_in_a_preview_is_not_the_local_one(
    stack: Stack, sandbox: Sandbox, name: str, tmp_path: Path, way: str
) -> None:
    with Proxy(sandbox.socket, tmp_path / "p.socket") as local:
        stack.environment["INCUS_SOCKET"] = str(local.socket)
        text = UNKNOWN.replace("NAME", name).replace("IMAGE", IMAGE).replace("WAY", way)
        stack.program(text.replace("HOST", "/nowhere/unix.socket" if way == "socket" else ""))
        stack.preview()
        assert not any("/profiles" in request.path for request in local.requests)

        shown = stack.up(fails=True)
        assert ("pika:url is empty" if way == "url" else "/nowhere/unix.socket") in shown
        assert "incus.project" not in shown
        assert instances(sandbox, name) == []
        stack.destroy()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"url": []}, "pika:url is empty"),
        (
            {"url": "https://h:1", "server_fingerprint": "12ab"},
            "server_fingerprint: `12ab` is not a valid",
        ),
        ({"url": "https://h:1", "certificate": "no.crt"}, "'no.crt' is neither PEM"),
        ({"remote": "prod"}, "remote 'prod' does not exist"),
    ],
)
def test_a_mistake_in_a_host_is_told_though_no_runtime_changed(
    stack: Stack, sandbox: Sandbox, name: str, wrong: dict[str, Any], said: str
) -> None:
    box = runtime(name, host="here")
    del box["incus"]["project"]
    declare(stack, {"here": {"project": "default"}}, {"box": box})
    stack.up()

    declare(stack, {"here": {"project": "default", **wrong}}, {"box": box})
    for shown in (stack.preview(fails=True), stack.up(fails=True)):
        assert said in shown
        assert "incus.project" not in shown
        assert "Traceback" not in shown

    declare(stack, {"here": {"project": "default"}}, {"box": box})
    # The state has the wrong host by now: a refresh would go by it until an `up` corrects it.
    stack.up()
    stack.settled()


def test_a_change_of_the_host_alone_is_looked_at(
    stack: Stack, sandbox: Sandbox, server: Server, trusted: Certificate, name: str, tmp_path: Path
) -> None:
    here = {"url": server.url, "server_fingerprint": server.fingerprint, **trusted.settings}
    boxes = {"box": runtime(name, host="there"), "twin": runtime(f"{name}-twin", host="there")}
    boxes["twin"]["incus"] = {**boxes["twin"]["incus"], "image_alias": name}
    request = server.daemon.request
    target = request("GET", f"/images/aliases/{IMAGE.replace('/', '%2F')}")["target"]
    try:
        request("POST", "/images/aliases", {"name": name, "target": target})
        declare(stack, {"there": here}, boxes)
        stack.up()
        # What is there needs its image no more.
        request("DELETE", f"/images/aliases/{name}")
        away = {**here, "url": f"https://{free_address()}"}
        declare(stack, {"there": away}, boxes)
        assert stack.preview().count("could not check the host") == 1
        declare(stack, {"there": {**away, "preflight": "required"}}, boxes)
        assert "no process listens at the address" in stack.preview(fails=True)
        declare(stack, {"there": {**here, "target": "nobody"}}, boxes)
        assert "the server is not a cluster" in stack.preview(fails=True)
        # Another server, which has no such instances.
        declare(stack, {"there": {"socket": str(sandbox.socket)}}, boxes)
        shown = stack.preview()
        assert f"instance {name} does not exist in project default" in shown
        assert "it was last found on another server" in shown
        assert "3 unchanged" in shown

        # What an `up` has seen is known by the next.
        with Proxy(server.daemon.socket, tmp_path / "p.socket") as proxy:
            declare(stack, {"there": {"socket": str(proxy.socket)}}, boxes)
            shown = stack.up()
            assert "1 updated" in shown  # the provider
            assert "3 unchanged" in shown
            assert "another server" not in shown
            assert proxy.requests != []
            proxy.clear()
            stack.up("--expect-no-changes")
            assert proxy.requests == []
            stack.settled()
            proxy.clear()
            stack.up("--expect-no-changes")
            assert proxy.requests == []
            stack.destroy()
    finally:
        sweep(server.daemon, name)
