"""Which image of a simplestreams index a name means, as Incus decides it; and hostile servers."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pulumi_pika.incus import simplestreams
from pulumi_pika.incus.simplestreams import (
    ImageServerError,
    ImageServerUnreachable,
    ServedImage,
    architecture_name,
    choose_image,
    list_streamed_images,
)


def product(**more: Any) -> dict[str, Any]:
    return {
        "aliases": "debian/12/cloud,debian/bookworm/cloud",
        "arch": "amd64",
        "os": "Debian",
        "release": "bookworm",
        "variant": "cloud",
        "versions": {},
        **more,
    }


def version(name: str, *kinds: str) -> dict[str, Any]:
    """A version with root file systems of these kinds; the fingerprints begin with its name."""
    fields = {
        "squashfs": "combined_squashfs_sha256",
        "root.tar.xz": "combined_rootxz_sha256",
        "disk-kvm.img": "combined_disk-kvm-img_sha256",
    }
    metadata = {"ftype": "incus.tar.xz", "path": "m"}
    metadata |= {fields[kind]: f"{name}-{kind}" for kind in kinds}
    items = {kind: {"ftype": kind, "path": kind} for kind in kinds}
    return {"items": {"incus.tar.xz": metadata, **items}}


def images(*products: dict[str, Any]) -> list[ServedImage]:
    return [image for it in products for image in simplestreams._images_of(it)]


def chosen(listed: list[ServedImage], name: str, **more: str) -> str:
    given = {"instance_type": "container", "architecture": "x86_64", **more}
    return choose_image(listed, name, server="https://x", **given).fingerprint


def test_newest_of_the_alias_by_type_and_preference() -> None:
    kinds = ("root.tar.xz", "squashfs", "disk-kvm.img")
    listed = images(
        product(
            versions={
                "20260101_05:24": version("old", *kinds),
                "20260102_05:24": version("new", *kinds),
                "20260103_05:24": version("newest", "disk-kvm.img"),
                "latest": version("not a date", *kinds),
            }
        )
    )
    assert chosen(listed, "debian/12/cloud") == "new-squashfs"
    assert chosen(listed, "debian/bookworm/cloud") == "new-squashfs"
    machine = chosen(listed, "debian/12/cloud", instance_type="virtual-machine")
    assert machine == "newest-disk-kvm.img"


def test_architectures() -> None:
    of = {"20260101_00:00": version("amd", "squashfs")}
    listed = images(
        product(versions=of),
        product(arch="arm64", versions={"20260101_00:00": version("arm", "squashfs")}),
    )
    assert chosen(listed, "debian/12/cloud") == "amd-squashfs"
    assert chosen(listed, "debian/12/cloud", architecture="aarch64") == "arm-squashfs"
    assert chosen(listed, "debian/12/cloud/arm64", architecture="aarch64") == "arm-squashfs"
    with pytest.raises(ImageServerError, match="for riscv64; it has it as container for aarch64"):
        chosen(listed, "debian/12/cloud", architecture="riscv64")
    assert architecture_name("amd64") == "x86_64"
    assert architecture_name("x86_64") == "x86_64"


def test_fingerprints() -> None:
    metadata = {"ftype": "incus_combined.tar.gz", "path": "p", "sha256": "ab" * 32}
    listed = images(product(versions={"20260101": {"items": {"a": metadata}}}))
    assert chosen(listed, "debian/12/cloud") == "ab" * 32
    assert chosen(listed, "AB" * 32) == "ab" * 32
    assert chosen(listed, "ab" * 6) == "ab" * 32
    with pytest.raises(ImageServerError, match="has no image ab of"):
        chosen(listed, "ab")


@contextmanager
def serving(answer: Any, status: int = 200, location: str = "") -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.end_headers()
            answer(self.wfile)

        def log_message(self, *_: Any) -> None: ...

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None: ...

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is not a JSON object"),
    ],
)
def test_no_json(body: bytes, text: str) -> None:
    with serving(lambda out: out.write(body)) as url, pytest.raises(ImageServerError, match=text):
        list_streamed_images(url, timeout=5)


@pytest.mark.parametrize(
    "body",
    [
        b'{"index": 3}',
        # The products are the same answer, which has none.
        b'{"index": {"a": {"datatype": "image-downloads", "products": [1], "path": 3}}}',
    ],
)
def test_answers_of_another_shape(body: bytes) -> None:
    with serving(lambda out: out.write(body)) as url:
        assert list_streamed_images(url, timeout=5) == []


def test_endless_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simplestreams, "_LONGEST", 1024 * 1024)

    def answer(out: Any) -> None:
        while True:
            out.write(b"x" * 65536)

    with serving(answer) as url, pytest.raises(ImageServerError, match="longer than 1048576"):
        list_streamed_images(url, timeout=10)


def test_errors_and_redirects() -> None:
    for status, error, text in (
        (404, ImageServerError, "answered 404"),
        (302, ImageServerUnreachable, "TooManyRedirects"),
    ):
        served = serving(lambda out: out.write(b"{}"), status=status, location="/again")
        with served as url, pytest.raises(error, match=text):
            list_streamed_images(url, timeout=5)
    with pytest.raises(ImageServerUnreachable, match="does not answer this machine"):
        list_streamed_images("http://127.0.0.1:1", timeout=5)


def test_products_of_any_shape() -> None:
    for versions in (3, {"20260101": 3}, {"20260101": {"items": {"a": 3}}}, None):
        assert images(product(versions=versions)) == []
    assert images({"aliases": None, "versions": {}}) == []
