"""What the program, the stack config and the environment say of a host."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.incus.errors import BadHostSettings, IncusUnreachable
from pulumi_pika.incus.hosts import HostSettings, resolve
from pulumi_pika.providers import clients
from pulumi_pika.providers.clients import configure, host, host_settings


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in clients._VARIABLES:
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
        ("url", 5, "is to be text"),
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
    first = host()

    assert host() is first
    assert first.settings.project == "p"
    assert first.client.host == str(tmp_path / "a")
    assert clients.client_for("q").transport is first.client.transport

    configure({})
    monkeypatch.setenv("INCUS_SOCKET", str(tmp_path / "b"))
    assert host().client.host == str(tmp_path / "b")
