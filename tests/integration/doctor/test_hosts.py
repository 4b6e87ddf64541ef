"""`doctor` with real daemons: by socket, by https and by a remote's name."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dev.sandbox import Daemon
from pulumi_pika.doctor.finding import Finding
from pulumi_pika.doctor.host import HostExamination
from pulumi_pika.incus.client import IncusClient

from ...conftest import Sandbox
from ...support.command_line import call, environment
from ...support.daemons import Certificate, Server, client_of

Found = dict[str, Finding]


def examined(client: IncusClient, instance_type: str = "container") -> Found:
    """The findings by code; of several with one code, the worst."""
    order = ["ok", "note", "warning", "error"]
    found: Found = {}
    for finding in HostExamination(client, instance_type).examine():
        before = found.get(finding.code)
        if before is None or order.index(before.level) < order.index(finding.level):
            found[finding.code] = finding
    return found


@contextmanager
def changed(daemon: Daemon, path: str, **to: Any) -> Iterator[None]:
    before = daemon.request("GET", path)
    daemon.request("PUT", path, {**before, **to})
    try:
        yield
    finally:
        daemon.request("PUT", path, before)


def test_socket(sandbox: Sandbox, tmp_path: Path) -> None:
    arguments = ("doctor", "--json", "--type", "container", "--socket", str(sandbox.socket))
    done = call(*arguments, directory=tmp_path)
    tree = json.loads(done.stdout)
    levels = {it["code"]: it["level"] for it in tree["findings"] if it["subject"] == "host"}
    for code in ("connection", "trust", "rights", "version", "containers", "pools", "project"):
        assert levels[code] == "ok", tree
    assert levels["images"] == "ok"
    assert levels["root_disk"] == "ok"
    # The sandbox has no network; and nobody asked for virtual machines.
    assert levels["network"] == "warning"
    assert "virtual_machines" not in levels
    assert done.returncode == (1 if tree["counts"]["error"] else 0)


def test_virtual_machines(sandbox: Sandbox, client: IncusClient) -> None:
    # Of this machine, Incus says that they cannot run, and why.
    if "virtual-machine" in client.server().instance_types:
        pytest.skip("this machine runs virtual machines")
    any_type = examined(client, "")["virtual_machines"]
    assert any_type.level == "warning"
    assert 'instance_type="container"' in any_type.advice
    wanted = examined(client, "virtual-machine")["virtual_machines"]
    assert wanted.level == "error"
    listed = sandbox.daemon.request("GET", "/warnings?recursion=1")
    [why] = [it["last_message"] for it in listed if it["type"] == "Instance type not operational"]
    assert why in wanted.text
    assert "modprobe" in wanted.advice or "install QEMU" in wanted.advice


def test_warnings_of_the_server(sandbox: Sandbox, client: IncusClient) -> None:
    listed = sandbox.daemon.request("GET", "/warnings?recursion=1")
    kinds = {it["type"] for it in listed} - {"Instance type not operational"}
    shown = [it.text for it in HostExamination(client).examine() if "Incus warns" in it.text]
    assert all(any(kind in text for text in shown) for kind in kinds)


def test_trusted_by_https(server: Server, trusted: Certificate, tmp_path: Path) -> None:
    done = call(
        *("doctor", "--url", server.url, "--server-fingerprint", server.fingerprint),
        *("--certificate", str(trusted.certificate)),
        directory=tmp_path,
    )
    shown = done.stdout.decode()
    assert f"ok       {server.url} answers" in shown
    assert f"the client certificate {trusted.fingerprint[:12]} is valid until" in shown
    assert "the host's certificate is valid until" in shown


def test_not_trusted(server: Server, certificate: Certificate, tmp_path: Path) -> None:
    done = call(
        *("doctor", "--url", server.url, "--server-fingerprint", server.fingerprint),
        *("--certificate", str(certificate.certificate)),
        directory=tmp_path,
    )
    shown = done.stdout.decode()
    assert done.returncode == 1
    assert f"does not trust this client (certificate {certificate.fingerprint[:12]})" in shown
    assert "the project" not in shown


def test_another_server(server: Server, trusted: Certificate) -> None:
    other = "0" * 64
    client = client_of(url=server.url, server_fingerprint=other, **trusted.settings)
    found = examined(client)
    assert list(found) == ["connection"]
    assert other in found["connection"].text


def test_remote(server: Server, trusted: Certificate, tmp_path: Path) -> None:
    (tmp_path / "servercerts").mkdir()
    (tmp_path / "servercerts" / "prod.crt").write_text(server.certificate.read_text())
    (tmp_path / "client.crt").write_text(trusted.certificate.read_text())
    (tmp_path / "client.key").write_text(trusted.key.read_text())
    entry = {"addr": server.url, "protocol": "incus", "auth_type": "tls", "project": "default"}
    (tmp_path / "config.yml").write_text(json.dumps({"remotes": {"prod": entry}}))
    env = environment(INCUS_CONF=str(tmp_path))
    shown = call("doctor", "--remote", "prod", directory=tmp_path, env=env).stdout.decode()
    assert f"ok       {server.url} answers" in shown
    assert "ok       the host trusts this client" in shown


def test_restricted(server: Server, certificate: Certificate, name: str) -> None:
    server.daemon.request("POST", "/projects", {"name": name, "config": {}})
    try:
        server.trust(certificate, projects=[name])
        client = client_of(**server.settings(**certificate.settings))
        found = examined(client)
        assert found["rights"].level == "note"
        assert f"it may use the projects: {name}." in found["rights"].text
        assert found["project"].level == "error"
        assert f"name one of the projects that it may use ({name})" in found["project"].advice
        allowed = examined(client.in_project(name))
        assert allowed["project"].level == "ok"
    finally:
        server.daemon.request("DELETE", f"/certificates/{certificate.fingerprint}")
        server.daemon.request("DELETE", f"/projects/{name}")


def test_missing_project(client: IncusClient) -> None:
    found = examined(client.in_project("nowhere"))
    assert found["project"].level == "error"
    assert "incus project create nowhere" in found["project"].advice


def test_bare_project(sandbox: Sandbox, client: IncusClient, name: str) -> None:
    config = {"limits.instances": "0"}
    sandbox.daemon.request("POST", "/projects", {"name": name, "config": config})
    try:
        found = examined(client.in_project(name), "virtual-machine")
        assert found["root_disk"].level == "warning"
        assert found["network"].level == "warning"
        assert found["images"].level == "warning"
        assert found["images"].advice.endswith("--alias debian-12 --vm`")
        assert found["project_limits"].level == "warning"
    finally:
        sandbox.daemon.request("DELETE", f"/projects/{name}")


def test_nic_without_a_network(sandbox: Sandbox, client: IncusClient) -> None:
    before = sandbox.daemon.request("GET", "/profiles/default")
    nic = {"type": "nic", "nictype": "macvlan", "parent": "lo"}
    with changed(sandbox.daemon, "/profiles/default", devices={**before["devices"], "eth0": nic}):
        assert examined(client)["network"].level == "ok"


def test_full_pool(client: IncusClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulumi_pika.doctor.host._LITTLE", 2**80)
    found = examined(client)["pool_space"]
    assert found.level == "warning"
    assert "GiB left" in found.text


def test_old_server(client: IncusClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulumi_pika.doctor.host._OLDEST_INCUS", (99, 0))
    assert examined(client)["version"].level == "error"
    monkeypatch.setattr("pulumi_pika.doctor.host._OLDEST_INCUS", (6, 0))
    monkeypatch.setattr("pulumi_pika.doctor.host.IO_BUS_EXTENSION", "from_the_future")
    found = examined(client)["version"]
    assert found.level == "warning"
    assert "read-only mounts in virtual machines" in found.text
