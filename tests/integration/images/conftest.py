from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dev import rest
from dev.sandbox import Daemon

from ...conftest import Sandbox
from ...support.host_fixtures import certificate, server, trusted
from ...support.image_engine import Image
from ...support.image_server import ImageServer, serving_images
from ..conftest import proxied, proxy, reporter

__all__ = ["certificate", "proxied", "proxy", "reporter", "server", "trusted"]


@pytest.fixture(autouse=True)
def _host(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INCUS_SOCKET", str(sandbox.socket))


@pytest.fixture(autouse=True)
def _swept(sandbox: Sandbox, name: str) -> Iterator[None]:
    """Removes the images that a test made, after its instances."""
    kept = {image["fingerprint"] for image in images(sandbox.daemon)}
    yield
    for image in images(sandbox.daemon):
        if image["fingerprint"] not in kept:
            sandbox.daemon.request("DELETE", f"/images/{image['fingerprint']}")
    for alias in sandbox.daemon.request("GET", "/images/aliases?recursion=1"):
        if alias["name"].startswith(name):
            sandbox.daemon.request("DELETE", f"/images/aliases/{rest.part(alias['name'])}")


@pytest.fixture
def streams() -> Iterator[ImageServer]:
    with serving_images() as served:
        yield served


@pytest.fixture
def declare(name: str) -> Callable[..., Image]:
    """Declares an image of the test; the alias is the name of the test."""

    def make(suffix: str = "", stack: str = "dev", backend: str = "b1", **arguments: Any) -> Image:
        return Image(f"{name}{suffix}", arguments, stack, backend)

    return make


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the provider told the engine."""
    import pulumi

    lines: list[str] = []
    for kind in ("info", "warn"):
        monkeypatch.setattr(pulumi.log, kind, lambda text, *_, **__: lines.append(text))
    return lines


def images(daemon: Daemon, project: str = "default") -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = daemon.request("GET", f"/images?recursion=1&project={project}")
    return listed


def shown(daemon: Daemon, fingerprint: str) -> dict[str, Any] | None:
    """An image as the daemon has it."""
    return next((it for it in images(daemon) if it["fingerprint"] == fingerprint), None)


def alias(daemon: Daemon, name: str) -> dict[str, Any] | None:
    listed = daemon.request("GET", "/images/aliases?recursion=1")
    return next((it for it in listed if it["name"] == name), None)


def put_by_hand(daemon: Daemon, file: Path, name: str = "") -> str:
    """Somebody imports an image, as `incus image import` does."""
    with file.open("rb") as opened:
        made = daemon.request("POST", "/images", upload=opened)
    fingerprint = str(made["fingerprint"])
    if name:
        daemon.request("POST", "/images/aliases", {"name": name, "target": fingerprint})
    return fingerprint
