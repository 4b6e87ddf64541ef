"""First contact with a token, restricted certificates, and the remotes of the `incus` client."""

import base64
import concurrent.futures
import json
import stat
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.errors import (
    BadHostSettings,
    ServerCertificateChanged,
    Unauthorised,
)
from pulumi_pika.incus.hosts import (
    HostSettings,
    connect,
    resolve,
)
from pulumi_pika.incus.remotes import find_remote
from pulumi_pika.incus.trust import (
    decode_token,
    enrol,
    identities_directory,
)

from ...support.daemons import (
    Certificate,
    Server,
    client_of,
    make_certificate,
)


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path / "home")}


def first_contact(token: str, home: dict[str, str], **settings: Any) -> IncusClient:
    client = connect(resolve(HostSettings(trust_token=token, **settings), home), home)
    enrol(client, decode_token(token))
    return client


def test_token_makes_a_certificate_and_is_used_once(server: Server, home: dict[str, str]) -> None:
    token = server.token("laptop")

    client = first_contact(token, home)

    assert client.get("/1.0").data["auth"] == "trusted"
    shown = client.transport.client_fingerprint
    assert server.trusted()[shown]["name"] == "laptop"
    keys = list(identities_directory(home).rglob("*.key"))
    assert [stat.S_IMODE(key.stat().st_mode) for key in keys] == [0o600]
    assert stat.S_IMODE(keys[0].parent.stat().st_mode) == 0o700

    # The next run has the same token, which is used up, and the same certificate.
    again = first_contact(token, home)
    assert again.transport.client_fingerprint == shown
    assert again.get_list("/1.0/instances") == []

    # The token may leave the program; what it made is found by the server's fingerprint.
    settings = HostSettings(url=server.url, server_fingerprint=server.fingerprint)
    assert connect(settings, home).get("/1.0").data["auth"] == "trusted"


def test_used_up_token_elsewhere_says_what_to_do(
    server: Server, home: dict[str, str], tmp_path: Path
) -> None:
    token = server.token("laptop")
    first_contact(token, home)

    with pytest.raises(Unauthorised) as caught:
        first_contact(token, {"HOME": str(tmp_path / "other")})

    said = str(caught.value)
    assert "incus config trust add laptop" in said
    assert token not in said
    assert decode_secret(token) not in said


def decode_secret(token: str) -> str:
    return str(json.loads(base64.b64decode(token))["secret"])


def test_server_is_compared_with_the_token(
    server: Server, home: dict[str, str], tmp_path: Path
) -> None:
    tree = json.loads(base64.b64decode(server.token("laptop")))
    other = make_certificate(tmp_path, "other").fingerprint
    forged = base64.b64encode(json.dumps({**tree, "fingerprint": other}).encode()).decode()

    with pytest.raises(ServerCertificateChanged):
        first_contact(forged, home)


def test_processes_that_begin_at_once_share_a_certificate(
    server: Server, home: dict[str, str]
) -> None:
    token = server.token("many")

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        clients = list(pool.map(lambda _: first_contact(token, home), range(4)))

    assert len({client.transport.client_fingerprint for client in clients}) == 1


def test_each_client_name_has_its_own_certificate(server: Server, home: dict[str, str]) -> None:
    one = first_contact(server.token("one"), home)
    two = first_contact(server.token("../two"), home)

    assert one.transport.client_fingerprint != two.transport.client_fingerprint
    assert len(list(identities_directory(home).rglob("*.key"))) == 2
    settings = HostSettings(url=server.url, server_fingerprint=server.fingerprint)
    with pytest.raises(BadHostSettings, match="one"):
        connect(settings, home)


@pytest.mark.parametrize("text", ["", "no token", "e30=", "bnVsbA==", "W10="])
def test_what_is_no_token(text: str) -> None:
    with pytest.raises(BadHostSettings, match="incus config trust add"):
        decode_token(text)


def test_without_openssl_it_says_so(
    server: Server, home: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulumi_pika.incus.trust.shutil.which", lambda _: None)

    with pytest.raises(BadHostSettings, match="openssl"):
        first_contact(server.token("laptop"), home)


@pytest.fixture(scope="session")
def project(server: Server) -> str:
    name = "limited"
    config = {"restricted": "true", "features.images": "false", "features.profiles": "true"}
    server.daemon.request("POST", "/projects", {"name": name, "config": config})
    root = {"type": "disk", "path": "/", "pool": "default"}
    path = f"/profiles/default?project={name}"
    server.daemon.request("PATCH", path, {"devices": {"root": root}})
    return name


def test_restricted_certificate_is_told_what_it_may_not_do(
    server: Server, certificate: Certificate, project: str
) -> None:
    server.trust(certificate, [project])
    client = client_of(project, **server.settings(**certificate.settings))

    assert client.get_list("/1.0/instances") == []
    for what in (
        # Not a list: newer servers leave out of it what the client may not see.
        lambda: client.in_project("default").get("/1.0/instances/x"),
        lambda: client.in_project("default").send_change("POST", "/1.0/instances", {"name": "x"}),
        lambda: client.send_change("POST", "/1.0/storage-pools", {"name": "x", "driver": "dir"}),
    ):
        with pytest.raises(Unauthorised) as caught:
            what()
        said = str(caught.value)
        assert f"incus config trust show {certificate.fingerprint[:12]}" in said
        assert "project" in said


def test_restricted_by_token(server: Server, home: dict[str, str], project: str) -> None:
    client = first_contact(server.token("ci", [project]), home).in_project(project)

    assert client.get_list("/1.0/instances") == []
    with pytest.raises(Unauthorised):
        client.in_project("default").get("/1.0/instances/x")


# The `incus` client's own remotes


def client_config(tmp_path: Path, remotes: str) -> dict[str, str]:
    directory = tmp_path / "incus"
    (directory / "servercerts").mkdir(parents=True)
    (directory / "config.yml").write_text(f"default-remote: local\nremotes:\n{remotes}")
    empty = str(tmp_path / "none")
    return {"INCUS_CONF": str(directory), "INCUS_GLOBAL_CONF": empty, "HOME": empty}


def test_remote_of_the_incus_client(server: Server, trusted: Certificate, tmp_path: Path) -> None:
    environ = client_config(
        tmp_path,
        f"  prod:\n    addr: {server.url}\n    project: limited\n    protocol: incus\n"
        "    public: false\n    auth_type: tls\n",
    )
    directory = Path(environ["INCUS_CONF"])
    (directory / "servercerts" / "prod.crt").write_text(server.certificate.read_text())
    (directory / "client.crt").write_text(trusted.certificate.read_text())
    (directory / "client.key").write_text(trusted.key.read_text())

    for settings, variables in (
        (HostSettings(remote="prod"), environ),
        (HostSettings(), {**environ, "INCUS_REMOTE": "prod"}),
    ):
        client = connect(resolve(settings, variables), variables)
        assert client.get("/1.0").data["auth"] == "trusted"
        assert client.project == "limited"

    # What is said beside it has the last word.
    other = make_certificate(tmp_path, "other").fingerprint
    settings = resolve(HostSettings(remote="prod", server_fingerprint=other), environ)
    with pytest.raises(ServerCertificateChanged):
        connect(settings, environ).get("/1.0")


def test_remotes_that_are_no_servers(tmp_path: Path) -> None:
    environ = client_config(
        tmp_path,
        "  images:\n    addr: https://i\n    protocol: simplestreams\n    public: true\n"
        "  sso:\n    addr: https://s\n    auth_type: oidc\n"
        "  here:\n    addr: unix:///run/x/unix.socket\n",
    )

    with pytest.raises(BadHostSettings, match="image server"):
        find_remote("images", environ)
    with pytest.raises(BadHostSettings, match="oidc"):
        find_remote("sso", environ)
    with pytest.raises(BadHostSettings, match="it has: here, images, sso"):
        find_remote("prod", environ)
    assert resolve(HostSettings(remote="here"), environ).socket == "/run/x/unix.socket"
    local = {**environ, "INCUS_SOCKET": "/run/y/unix.socket"}
    assert resolve(HostSettings(remote="local"), local).socket == "/run/y/unix.socket"


def test_config_of_the_client_that_cannot_be_read(tmp_path: Path) -> None:
    environ = client_config(tmp_path, "  - [\n")

    with pytest.raises(BadHostSettings, match=r"config\.yml cannot be read"):
        find_remote("prod", environ)


def test_a_certificate_that_another_process_is_just_adding(
    server: Server, home: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = server.token("race")
    first_contact(token, home)
    # As seen while the server is at it: the token is used up, and the client not known yet.
    answers = iter([False, False, False])
    monkeypatch.setattr(
        "pulumi_pika.incus.trust.is_trusted", lambda client: next(answers, None) is None
    )

    first_contact(token, home)

    assert next(answers, None) is None


def test_client_name_of_any_length_makes_a_certificate(
    server: Server, home: dict[str, str]
) -> None:
    names = ["n" * 64, "n" * 70, "n" * 69 + "m", "ü" * 120]
    for name in names:
        client = first_contact(server.token(name), home)
        assert client.get("/1.0").data["auth"] == "trusted"
        assert server.trusted()[client.transport.client_fingerprint]["name"] == name

    keys = [key.stem for key in identities_directory(home).rglob("*.key")]
    assert len(set(keys)) == len(names)
    assert max(map(len, keys)) == 64
