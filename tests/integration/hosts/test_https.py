"""The transport by https, before a real daemon on a loopback port."""

import socket
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.incus.errors import (
    BadHostSettings,
    IncusUnreachable,
    ServerCertificateChanged,
    Unauthorised,
)
from pulumi_pika.incus.hosts import (
    HostSettings,
    clean_url,
    resolve,
)
from pulumi_pika.incus.tls import certificate_fingerprint
from pulumi_pika.incus.transport import HttpsTransport

from ...support.daemons import (
    Certificate,
    Server,
    client_of,
    free_address,
    make_certificate,
)


def test_pinned_by_certificate(server: Server, trusted: Certificate) -> None:
    client = client_of(**server.settings(**trusted.settings))

    assert client.server().version
    assert not client.is_local
    assert client.host == server.url
    assert client.get_list("/1.0/instances") == []


def test_pinned_by_fingerprint_in_any_spelling(server: Server, trusted: Certificate) -> None:
    digits = server.fingerprint.upper()
    spelled = ":".join(digits[i : i + 2] for i in range(0, 64, 2))

    client = client_of(url=server.url, server_fingerprint=spelled, **trusted.settings)

    assert client.server().version


def test_pem_in_place_of_paths(server: Server, trusted: Certificate) -> None:
    client = client_of(
        url=server.url,
        server_certificate=server.certificate.read_text(),
        certificate=trusted.certificate.read_text(),
        key=trusted.key.read_text(),
    )

    assert client.server().version


def test_changed_server_certificate_names_both_fingerprints(
    server: Server, trusted: Certificate, tmp_path: Path
) -> None:
    other = make_certificate(tmp_path, "other")
    client = client_of(
        url=server.url, server_certificate=str(other.certificate), **trusted.settings
    )

    with pytest.raises(ServerCertificateChanged) as caught:
        client.server()

    assert other.fingerprint in str(caught.value)
    assert server.fingerprint in str(caught.value)
    assert not caught.value.sent


def test_certificate_changed_between_requests_is_seen(
    server: Server, trusted: Certificate, tmp_path: Path
) -> None:
    client = client_of(**server.settings(**trusted.settings))
    before = server.fingerprint
    client.server()
    old = {path: path.read_bytes() for path in server.daemon.directory.glob("server.*")}
    new = make_certificate(tmp_path, "server")
    try:
        for path, suffix in ((new.certificate, "crt"), (new.key, "key")):
            (server.daemon.directory / f"server.{suffix}").write_bytes(path.read_bytes())
        server.daemon.restart()
        with pytest.raises(ServerCertificateChanged) as caught:
            client.get("/1.0")
    finally:
        for path, content in old.items():
            path.write_bytes(content)
        server.daemon.restart()

    assert before in str(caught.value)
    assert new.fingerprint in str(caught.value)
    assert client.get("/1.0").data["auth"] == "trusted"


def test_self_signed_server_that_is_not_pinned_is_refused(
    server: Server, trusted: Certificate
) -> None:
    client = client_of(url=server.url, **trusted.settings)

    with pytest.raises(IncusUnreachable, match="is not trusted") as caught:
        client.server()

    assert "server_fingerprint" in str(caught.value)
    assert not caught.value.sent


def test_insecure_takes_any_server(server: Server, trusted: Certificate) -> None:
    assert client_of(url=server.url, insecure=True, **trusted.settings).server().version


def test_ca_vouches_for_the_name(server: Server, trusted: Certificate, tmp_path: Path) -> None:
    # Incus names 127.0.0.1 in the certificate that it makes, which is its own CA.
    by_ca = client_of(url=server.url, ca_certificate=str(server.certificate), **trusted.settings)
    assert by_ca.server().version

    other = make_certificate(tmp_path, "ca", "-addext", "basicConstraints=critical,CA:TRUE")
    by_other = client_of(url=server.url, ca_certificate=str(other.certificate), **trusted.settings)
    with pytest.raises(IncusUnreachable, match="is not trusted"):
        by_other.server()


def test_unknown_certificate_is_told_what_to_do(server: Server, certificate: Certificate) -> None:
    client = client_of(**server.settings(**certificate.settings))

    with pytest.raises(Unauthorised) as caught:
        client.server()
    assert certificate.fingerprint[:12] in str(caught.value)
    assert "incus config trust add" in str(caught.value)

    with pytest.raises(Unauthorised) as caught:
        client.get_list("/1.0/instances")
    assert certificate.fingerprint[:12] in str(caught.value)


def test_other_key_than_the_certificates(
    server: Server, trusted: Certificate, certificate: Certificate
) -> None:
    with pytest.raises(BadHostSettings, match="cannot be used together") as caught:
        client_of(**server.settings(certificate=str(trusted.certificate), key=str(certificate.key)))

    assert "PRIVATE KEY" not in str(caught.value)


def test_key_beside_the_certificate_is_found(server: Server, trusted: Certificate) -> None:
    client = client_of(**server.settings(certificate=str(trusted.certificate)))

    assert client.server().version


def test_encrypted_key_asks_nobody(server: Server, trusted: Certificate, tmp_path: Path) -> None:
    locked = tmp_path / "locked.key"
    subprocess.run(
        [
            *("openssl", "pkey", "-aes256", "-passout", "pass:secret"),
            *("-in", str(trusted.key), "-out", str(locked)),
        ],
        check=True,
    )

    with pytest.raises(BadHostSettings, match="encrypted"):
        client_of(**server.settings(certificate=str(trusted.certificate), key=str(locked)))


def test_keys_are_in_no_text(server: Server, trusted: Certificate) -> None:
    key = trusted.key.read_text()
    settings = HostSettings(url=server.url, key=key, trust_token="c2VjcmV0")
    transport = client_of(**server.settings(**trusted.settings)).transport
    assert isinstance(transport, HttpsTransport)

    shown = repr(settings) + repr(transport.identity)
    with pytest.raises(BadHostSettings) as caught:
        client_of(url=server.url, certificate=key.replace("-----", ""), key=key[30:90])

    assert key[40:80] not in shown
    assert "c2VjcmV0" not in shown
    assert key[40:80] not in str(caught.value)


def test_second_address_is_used_where_the_first_does_not_answer(
    server: Server, trusted: Certificate
) -> None:
    nobody = f"https://{free_address()}"
    settings = server.settings(**trusted.settings) | {"url": f"{nobody}, {server.url}"}
    client = client_of(**settings)

    assert client.server().version
    assert client.host == server.url


def test_nobody_listens(server: Server, trusted: Certificate) -> None:
    settings = server.settings(**trusted.settings) | {"url": f"https://{free_address()}"}

    with pytest.raises(IncusUnreachable, match="no process listens") as caught:
        client_of(**settings).server()

    assert "core.https_address" in str(caught.value)


def test_no_such_host_name(server: Server, trusted: Certificate) -> None:
    settings = server.settings(**trusted.settings) | {"url": "https://no-such-host.invalid:8443"}

    with pytest.raises(
        IncusUnreachable, match=r"the host name cannot be resolved \(.*\); check the address"
    ):
        client_of(**settings).server()


def test_silent_host_costs_the_connect_timeout(trusted: Certificate, server: Server) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        settings = server.settings(**trusted.settings) | {
            "url": f"https://127.0.0.1:{port}",
            "connect_timeout": 0.3,
            "reply_timeout": 0.3,
        }
        with pytest.raises(IncusUnreachable, match=r"within 0\.3 s"):
            client_of(**settings).server()


def test_a_thread_keeps_its_connection(server: Server, trusted: Certificate) -> None:
    client = client_of(**server.settings(**trusted.settings))
    transport: Any = client.transport
    for _ in range(5):
        client.get("/1.0")

    pools = transport._session().get_adapter("https://").poolmanager.pools
    assert [pools[key].num_connections for key in list(pools.keys())] == [1]


@pytest.mark.parametrize(
    "url",
    ["http://host:8443", "host:8443", "https://", "https://h:99999", "https://h/path", "ftp://h"],
)
def test_what_is_no_url(url: str) -> None:
    with pytest.raises(BadHostSettings, match="use https://HOST:8443"):
        clean_url(url)


def test_password_in_a_url_is_not_shown() -> None:
    with pytest.raises(BadHostSettings) as caught:
        clean_url("https://user:hunter2@host:8443")

    assert "hunter2" not in str(caught.value)


def test_port_of_incus_is_the_default() -> None:
    assert clean_url("https://incus.example") == "https://incus.example:8443"
    assert clean_url("https://[::1]/") == "https://[::1]:8443"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"socket": "/s", "url": "https://h"}, "set only one of them"),
        ({"target": "a", "cluster_group": "b", "socket": "/s"}, "remove one of them"),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(BadHostSettings, match=said):
        _ = resolve(HostSettings(**settings), {}).placement


def test_pins_that_disagree(server: Server, trusted: Certificate) -> None:
    with pytest.raises(BadHostSettings, match="keep the one"):
        client_of(**server.settings(server_fingerprint="0" * 64, **trusted.settings))
    with pytest.raises(BadHostSettings, match="insecure"):
        client_of(**server.settings(insecure=True, **trusted.settings))
    with pytest.raises(BadHostSettings, match="64 hex digits"):
        client_of(url=server.url, server_fingerprint="57bb", **trusted.settings)


def test_missing_files_are_named(server: Server, tmp_path: Path) -> None:
    missing = tmp_path / "missing.crt"
    with pytest.raises(BadHostSettings, match=r"missing\.crt.*No such file"):
        client_of(**server.settings(certificate=str(missing)))
    with pytest.raises(BadHostSettings, match="no client certificate"):
        client_of(**server.settings())
    assert stat.S_ISDIR(tmp_path.stat().st_mode)
    with pytest.raises(BadHostSettings, match="not a valid certificate: use PEM"):
        certificate_fingerprint("nothing", "here")
