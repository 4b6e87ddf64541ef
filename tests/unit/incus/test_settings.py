"""What the program, the stack config and the environment say of a host."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pulumi.dynamic import CheckResult

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.errors import BadHostSettings, IncusUnreachable
from pulumi_pika.incus.hosts import (
    HostSettings,
    connect,
    resolve,
)
from pulumi_pika.providers import host_connection
from pulumi_pika.providers.host_connection import (
    configure,
    current_host,
    host_settings,
)
from pulumi_pika.providers.host_provider import HostProvider
from pulumi_pika.providers.image import IncusImageProvider
from pulumi_pika.providers.job import IncusJobProvider
from pulumi_pika.providers.runtime import IncusRuntimeProvider
from pulumi_pika.providers.snapshot import VolumeSnapshotProvider
from pulumi_pika.providers.volume import PersistentVolumeProvider

from ...support.daemons import make_certificate


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in host_connection._VARIABLES:
        monkeypatch.delenv(name, raising=False)
    yield
    configure({})


def test_texts_of_a_config_become_settings() -> None:
    said = {"url": " https://h ", "insecure": "true", "connect_timeout": "2.5"}

    assert host_settings(said) == HostSettings(url="https://h", insecure=True, connect_timeout=2.5)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("insecure", "perhaps", "true or false"),
        ("connect_timeout", "soon", "number of seconds"),
        ("reply_timeout", -1, "number of seconds"),
        ("preflight", "never", "auto, required, off"),
        ("url", 5, "must be a string"),
    ],
)
def test_what_cannot_be(name: str, value: Any, said: str) -> None:
    with pytest.raises(BadHostSettings, match=said) as caught:
        host_settings({name: value})

    assert f"pika:{name}" in str(caught.value)


def test_argument_then_environment_then_usual_places(monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"INCUS_SOCKET": "/e/unix.socket", "INCUS_DIR": "/d", "INCUS_PROJECT": "p"}

    assert resolve(HostSettings(socket="/a"), environ).socket == "/a"
    assert resolve(HostSettings(), environ).socket == "/e/unix.socket"
    assert resolve(HostSettings(), {"INCUS_DIR": "/d"}).socket == "/d/unix.socket"
    assert resolve(HostSettings(), environ).project == "p"
    assert resolve(HostSettings(project="q"), environ).project == "q"
    monkeypatch.setattr("pulumi_pika.incus.address.USUAL_SOCKETS", ("/none",))
    with pytest.raises(IncusUnreachable, match="INCUS_SOCKET"):
        resolve(HostSettings(), {})


def test_a_process_keeps_its_host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    configure({"pika:socket": str(tmp_path / "a"), "pika:project": "p", "other:socket": "x"})
    first = current_host()

    assert current_host() is first
    assert first.settings.project == "p"
    assert first.client.host == str(tmp_path / "a")
    assert host_connection.client_for("q").transport is first.client.transport

    configure({})
    monkeypatch.setenv("INCUS_SOCKET", str(tmp_path / "b"))
    assert current_host().client.host == str(tmp_path / "b")


# A host that is named never becomes the local one.

LOCAL = "/local/unix.socket"
CONFIG = """
remotes:
  empty: {addr: "", protocol: incus}
  commas: {addr: " , ,", protocol: incus}
  nothing: {protocol: incus}
  none: {addr: null, protocol: incus}
  text: https://text
  number: {addr: 5}
  list: {addr: [https://a]}
  images: {addr: "https://i", protocol: simplestreams}
  public: {addr: "https://p", public: true}
  here: {addr: "unix:"}
  old: {addr: "https://old", protocol: "", auth_type: null}
"""


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An environment with a local daemon, and remotes of which many are wrong."""
    (tmp_path / "config.yml").write_text(CONFIG)
    found = {
        "INCUS_CONF": str(tmp_path),
        "INCUS_GLOBAL_CONF": str(tmp_path / "none"),
        "INCUS_SOCKET": LOCAL,
        "HOME": str(tmp_path),
    }
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    return found


@pytest.mark.parametrize("name", ["socket", "url", "remote", "trust_token"])
@pytest.mark.parametrize("value", ["", " ", "\n", ",", " , "])
def test_an_empty_name_is_refused(environ: dict[str, str], name: str, value: str) -> None:
    settings: dict[str, Any] = {name: value}

    with pytest.raises(BadHostSettings, match=f"{name} is empty"):
        connect(resolve(HostSettings(**settings), environ), environ)


@pytest.mark.parametrize("name", list(HostSettings.__dataclass_fields__))
@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_argument_of_a_host_is_refused(
    environ: dict[str, str], name: str, value: str
) -> None:
    # As by `pulumi config set pika:url ""`, or `IncusHost(url=os.environ.get("URL", ""))`.
    configure({f"pika:{name}": value})

    with pytest.raises(BadHostSettings, match=f"pika:{name} is empty"):
        current_host()


@pytest.mark.parametrize(
    ("remote", "said"),
    [
        ("empty", r"config\.yml\) has no address for it; set one with `incus remote set-url empty"),
        ("commas", "has no address"),
        ("nothing", "has no address"),
        ("none", "has no address"),
        ("text", "remote 'text' does not exist in the incus client's config "),
        ("number", "is not a valid address"),
        ("list", "is not a valid address"),
        ("images", "image server"),
        ("public", "image server"),
        ("absent", "remote 'absent' does not exist in the incus client's config "),
        ("here:", "remote 'here:' does not exist in the incus client's config "),
    ],
)
def test_a_remote_that_is_wrong_is_not_the_local_daemon(
    environ: dict[str, str], remote: str, said: str
) -> None:
    by_environment = {**environ, "INCUS_REMOTE": remote}
    for settings, variables in (
        (HostSettings(remote=remote, insecure=True, certificate="x"), environ),
        (HostSettings(remote=remote), environ),
        (HostSettings(), by_environment),
    ):
        identity = make_identity(Path(environ["HOME"]))
        assert identity
        with pytest.raises(BadHostSettings, match=said):
            connect(resolve(settings, variables), variables)


def make_identity(directory: Path) -> bool:
    """A client certificate where the `incus` client has its own."""
    if not (directory / "client.crt").exists():
        make_certificate(directory)
    return (directory / "client.key").exists()


def test_what_names_the_local_daemon(environ: dict[str, str]) -> None:
    for settings in (
        HostSettings(),
        HostSettings(remote="local"),
        HostSettings(remote="here"),
        HostSettings(url="unix:"),
        HostSettings(url=f"unix://{LOCAL}"),
        HostSettings(socket=LOCAL),
    ):
        assert resolve(settings, environ).socket == LOCAL
    # As for the `incus` client, an empty variable is one that is not set.
    empty = dict.fromkeys(["INCUS_REMOTE", "INCUS_DIR"], "")
    assert resolve(HostSettings(), {**environ, **empty}).socket == LOCAL
    assert resolve(HostSettings(remote="old"), environ).url == "https://old"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "neither url, remote nor trust_token is set"),
        ({"socket": "/a"}, "socket is a unix socket"),
        ({"url": "unix:/a"}, "url is a unix socket"),
        ({"remote": "local"}, "remote 'local' is a unix socket"),
        ({"remote": "here"}, "remote 'here' is a unix socket"),
    ],
)
@pytest.mark.parametrize(
    "more",
    [
        {"certificate": "c.crt"},
        {"key": "c.key"},
        {"server_certificate": "s.crt"},
        {"server_fingerprint": "0" * 64},
        {"ca_certificate": "ca.crt"},
        {"insecure": True},
        {"trust_token": "token"},
    ],
)
def test_settings_of_another_server_do_not_lead_to_a_socket(
    environ: dict[str, str], settings: dict[str, Any], more: dict[str, Any], said: str
) -> None:
    if not settings and "trust_token" in more:
        return  # That names a server.
    with pytest.raises(BadHostSettings, match=said) as caught:
        resolve(HostSettings(**settings, **more), environ)
    assert str(caught.value).startswith(next(iter(more)))


def test_settings_that_were_not_resolved_lead_nowhere() -> None:
    with pytest.raises(BadHostSettings, match="the settings name no host"):
        connect(HostSettings(), {})
    with pytest.raises(BadHostSettings, match="socket is empty"):
        IncusClient("")


def test_a_password_in_a_url_is_not_shown(environ: dict[str, str]) -> None:
    with pytest.raises(BadHostSettings) as caught:
        connect(resolve(HostSettings(url="https://me:s3cr3t@h"), environ), environ)
    assert "s3cr3t" not in str(caught.value)


# What is wrong with a host is said as itself.


def check(incus: dict[str, str]) -> CheckResult:
    """The answer of a runtime's check."""
    return IncusRuntimeProvider().check(
        {},
        {
            "identity": {"runtime_id": "id", "instance_name": "box"},
            "incus": {"profile": "default", "image_alias": "any", **incus},
            "secret_inputs": [],
            "owner": "urn:pulumi:s::p::t::box",
        },
    )


WRONG: dict[str, tuple[dict[str, str], str]] = {
    "fingerprint": (
        {"server_fingerprint": "12ab"},
        "server_fingerprint: `12ab` is not a valid SHA-256",
    ),
    "certificate": ({"certificate": "no.crt"}, "certificate: 'no.crt' is neither PEM"),
    "key": ({"certificate": "no.crt", "key": ""}, "pika:key is empty"),
    "both": (
        {"target": "a", "cluster_group": "b"},
        "target 'a' conflicts with cluster_group 'b'; remove one of them",
    ),
    "url": ({"url": "http://h"}, "`http://h` is not a valid address of an Incus server"),
    "remote": ({"url": "https://h", "remote": "r"}, "each name a host"),
    "seconds": (
        {"connect_timeout": "soon"},
        "pika:connect_timeout: `soon` is not a valid time limit",
    ),
    "insecure": (
        {"insecure": "true", "server_fingerprint": "0" * 64},
        "conflicts with server_fingerprint",
    ),
}


@pytest.mark.parametrize("case", list(WRONG))
@pytest.mark.parametrize("preflight", ["auto", "required", "off"])
def test_a_mistake_is_told_as_itself(environ: dict[str, str], case: str, preflight: str) -> None:
    wrong, said = WRONG[case]
    config = {"url": "https://h", "project": "p", "preflight": preflight, **wrong}
    configure({f"pika:{name}": value for name, value in config.items()})

    # The project is the host's, or the resource's own.
    for incus in ({}, {"project": "p"}):
        if (case, preflight) == ("certificate", "off"):
            # A preview where the credentials are not: the defaults of the host count as well.
            result = check(incus)
            assert result.failures == []
            assert result.inputs["incus"]["project"] == "p"
        else:
            (failure,) = check(incus).failures
            assert failure.property == ""
            assert said in failure.reason


@pytest.mark.parametrize(
    "provider",
    [
        IncusRuntimeProvider,
        IncusJobProvider,
        PersistentVolumeProvider,
        VolumeSnapshotProvider,
        IncusImageProvider,
    ],
)
def test_a_mistake_is_told_for_each_kind_of_resource(
    environ: dict[str, str], provider: type[HostProvider]
) -> None:
    configure({"pika:url": "https://h", "pika:server_fingerprint": "12ab"})

    (failure,) = provider().check({}, {"secret_inputs": []}).failures

    assert "is not a valid SHA-256 fingerprint" in failure.reason
