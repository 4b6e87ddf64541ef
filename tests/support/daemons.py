"""Daemons that are reached over https, and a cluster of two, all on loopback addresses."""

import base64
import json
import secrets
import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dev import image, rest
from dev.console import Failure
from dev.packages import busybox
from dev.sandbox import Daemon
from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.hosts import (
    HostSettings,
    connect,
    resolve,
)
from pulumi_pika.incus.tls import certificate_fingerprint

from ..conftest import IMAGE

_BELOW_THE_KERNELS = range(10_000, 32_000)
"""Of the ports, those that a kernel gives to nobody by itself (ip_local_port_range)."""


@dataclass(frozen=True)
class Certificate:
    """A client certificate and its key, as files."""

    certificate: Path
    key: Path

    @property
    def fingerprint(self) -> str:
        return certificate_fingerprint(self.certificate.read_text(), "test")

    @property
    def settings(self) -> dict[str, str]:
        return {"certificate": str(self.certificate), "key": str(self.key)}


def make_certificate(directory: Path, name: str = "client", *more: str) -> Certificate:
    directory.mkdir(parents=True, exist_ok=True)
    made = Certificate(directory / f"{name}.crt", directory / f"{name}.key")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"),
            *("ec_paramgen_curve:secp384r1", "-sha384", "-nodes", "-days", "3650"),
            *("-subj", f"/CN={name}", *more),
            *("-keyout", str(made.key), "-out", str(made.certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return made


@dataclass(frozen=True)
class Server:
    """A daemon that listens on a loopback port."""

    daemon: Daemon
    address: str

    @property
    def url(self) -> str:
        return f"https://{self.address}"

    @property
    def certificate(self) -> Path:
        """The server's own; a cluster has one for all its members."""
        of_cluster = self.daemon.directory / "cluster.crt"
        return of_cluster if of_cluster.exists() else self.daemon.directory / "server.crt"

    @property
    def fingerprint(self) -> str:
        return certificate_fingerprint(self.certificate.read_text(), "test")

    def settings(self, **more: Any) -> dict[str, Any]:
        return {"url": self.url, "server_certificate": str(self.certificate), **more}

    def trust(self, client: Certificate, projects: Sequence[str] | None = None) -> None:
        """Has the server trust a client, in some projects only where they are given."""
        body = {
            "type": "client",
            "name": client.certificate.stem,
            "certificate": certificate_body(client.certificate.read_text()),
            "restricted": projects is not None,
            "projects": list(projects or ()),
        }
        self.daemon.request("POST", "/certificates", body)

    def token(self, name: str, projects: Sequence[str] | None = None) -> str:
        """What `incus config trust add NAME` shows."""
        body = {
            "type": "client",
            "name": name,
            "token": True,
            "restricted": projects is not None,
            "projects": list(projects or ()),
        }
        made = _token_operation(self.daemon, "/certificates", body)
        tree = {
            "client_name": name,
            "fingerprint": made["fingerprint"],
            "addresses": made["addresses"],
            "secret": made["secret"],
            "expires_at": "0001-01-01T00:00:00Z",
        }
        return base64.b64encode(json.dumps(tree).encode()).decode()

    def trusted(self) -> dict[str, dict[str, Any]]:
        """The certificates that the server trusts, by fingerprint."""
        listed = self.daemon.request("GET", "/certificates?recursion=1")
        return {entry["fingerprint"]: entry for entry in listed}


def client_of(project: str = "default", **settings: Any) -> IncusClient:
    """A client of a host as the providers make it, without anything from the environment."""
    return connect(resolve(HostSettings(**settings), {}), {}).in_project(project)


def certificate_body(pem: str) -> str:
    return "".join(line for line in pem.splitlines() if not line.startswith("-----"))


def free_address() -> str:
    """A loopback address where nobody listens, nor will by chance.

    A port that the kernel would choose may be another's before it is used: that of any connection
    that is made meanwhile, or of a test beside this one.
    """
    while True:
        port = _BELOW_THE_KERNELS.start + secrets.randbelow(len(_BELOW_THE_KERNELS))
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return f"127.0.0.1:{port}"


def serve(daemon: Daemon, *, marker: str = "one") -> Server:
    """Starts a daemon with a pool and an image, which listens on a loopback port."""
    daemon.start()
    daemon.init()
    daemon.acknowledge_warnings()
    file = daemon.directory / f"{marker}.tar"
    image.build(file, busybox(), marker=marker)
    daemon.import_image(file, IMAGE)
    return listen(daemon)


def listen(daemon: Daemon) -> Server:
    address = free_address()
    daemon.request("PATCH", "", {"config": {"core.https_address": address}})
    return Server(daemon, address)


def make_cluster(first: Daemon, second: Daemon) -> tuple[Server, Server]:
    """A cluster of the members `one` and `two`, the latter in the group `second` as well."""
    one = serve(first)
    first.request("PUT", "/cluster", {"server_name": "one", "enabled": True})
    offline_after(first, BUSY)
    second.start()
    token = _token_operation(first, "/cluster/members", {"server_name": "two"})
    join = {
        "server_name": "two",
        "fingerprint": token["fingerprint"],
        "addresses": token["addresses"],
        "secret": token["secret"],
        "expires_at": token["expiresAt"],
    }
    address = free_address()
    body = {
        "server_name": "two",
        "enabled": True,
        "server_address": address,
        "cluster_address": token["addresses"][0],
        "cluster_certificate": one.certificate.read_text(),
        "cluster_token": base64.b64encode(json.dumps(join).encode()).decode(),
        "member_config": [
            {"entity": "storage-pool", "name": "default", "key": "source", "value": ""}
        ],
    }
    second.request("PUT", "/cluster", body, timeout=120)
    first.request("POST", "/cluster/groups", {"name": "second", "members": ["two"]})
    return one, Server(second, address)


BUSY = 120
"""Seconds without a word after which a member counts as offline that may just be busy."""
AWAY = 25
"""Seconds after which one is told from a member that is busy, whose heartbeat comes late."""
SHORTEST = 11
"""The fewest that Incus takes: a heartbeat comes every ten seconds."""


def offline_after(first: Daemon, seconds: int) -> None:
    """Sets after how long a silence a member of a cluster counts as offline."""
    first.request("PATCH", "", {"config": {"cluster.offline_threshold": str(seconds)}})


def await_members(first: Daemon) -> None:
    """Waits until all members of a cluster have been heard of just now, and can be asked.

    One that is back counts as online before it answers, and on its last heartbeat of before.
    """

    def answers(name: str) -> bool:
        try:
            first.request("GET", f"/resources?target={name}")
        except (OSError, Failure):
            return False
        return True

    def are_back() -> bool:
        members = first.request("GET", "/cluster/members?recursion=1")
        return all(it["status"] == "Online" and answers(it["server_name"]) for it in members)

    offline_after(first, SHORTEST)
    until(are_back)
    offline_after(first, BUSY)


def until(what: Callable[[], bool], timeout: float = 180.0) -> None:
    deadline = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)


def _token_operation(daemon: Daemon, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Tokens come as operations that never end by themselves."""
    reply = rest._send(daemon.socket, "POST", f"/1.0{path}", body, None, 30.0)
    made: dict[str, Any] = reply["metadata"]["metadata"]
    return made
