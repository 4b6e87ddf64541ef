"""A simplestreams server on loopback, with real files of images; and files of images.

It is what images.linuxcontainers.org is for Incus: `streams/v1/index.json`, the products, and the
files, by http or https.

    python -m tests.support.image_server FOLDER ALIAS

serves an image until its parent ends, as the remote `images` of the `incus` client; each file
`FOLDER/newer` that appears, a newer one.
"""

import hashlib
import io
import json
import os
import platform
import ssl
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from dev import image
from dev.packages import busybox

_DEBIAN = {"x86_64": "amd64", "aarch64": "arm64"}
HERE = _DEBIAN.get(platform.machine(), platform.machine())


@dataclass(frozen=True)
class Files:
    """The files of an image: one, or metadata and root file system."""

    metadata: Path
    rootfs: Path | None = None

    @property
    def fingerprint(self) -> str:
        paths = [self.metadata, *([self.rootfs] if self.rootfs else [])]
        return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def unified(directory: Path, marker: str, padding: int = 0) -> Files:
    """A unified image of a container; with so many bytes that do nothing."""
    file = directory / f"{marker}.tar"
    image.build(file, busybox(), marker=marker + "x" * padding)
    return Files(file)


def split(directory: Path, marker: str) -> Files:
    """The same, as metadata and root file system."""
    whole = unified(directory, marker)
    metadata, rootfs = io.BytesIO(), io.BytesIO()
    with (
        tarfile.open(whole.metadata) as source,
        tarfile.open(fileobj=metadata, mode="w") as of_metadata,
        tarfile.open(fileobj=rootfs, mode="w") as of_rootfs,
    ):
        for member in source.getmembers():
            data = source.extractfile(member) if member.isreg() else None
            if member.name == "rootfs":
                continue
            target = of_rootfs if member.name.startswith("rootfs/") else of_metadata
            member.name = member.name.removeprefix("rootfs/")
            member.linkname = member.linkname.removeprefix("rootfs/")
            target.addfile(member, data)
    files = Files(directory / f"{marker}.meta.tar", directory / f"{marker}.root.tar")
    assert files.rootfs is not None
    files.metadata.write_bytes(metadata.getvalue())
    files.rootfs.write_bytes(rootfs.getvalue())
    return files


def bare_metadata(directory: Path) -> Path:
    """The metadata of an image without any properties."""
    text = json.dumps({"architecture": platform.machine(), "creation_date": 1735689600})
    file = directory / "bare.tar"
    with tarfile.open(file, "w") as tar:
        entry = tarfile.TarInfo("metadata.yaml")
        entry.size = len(text)
        tar.addfile(entry, io.BytesIO(text.encode()))
    return file


@dataclass
class ImageServer:
    """The server; what it serves can be changed while it runs."""

    url: str
    certificate: str = ""
    products: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    pause: float = 0.0
    """Seconds between 64 KiB of a file."""
    broken: bool = False
    """Whether the index is not JSON."""

    def publish(
        self,
        aliases: str,
        files: Files,
        serial: str = "20260101_00:00",
        *,
        arch: str = HERE,
        variant: str = "default",
    ) -> str:
        """Serve an image, as a newer one of its product if there is one already."""
        product = self.products.setdefault(
            f"{aliases}:{arch}",
            {
                "aliases": aliases,
                "arch": arch,
                "os": "Busybox",
                "release": "tiny",
                "release_title": "tiny",
                "variant": variant,
                "versions": {},
            },
        )
        paths = [files.metadata, *([files.rootfs] if files.rootfs else [])]
        items: dict[str, Any] = {}
        kinds = (
            ["incus_combined.tar.gz"] if files.rootfs is None else ["incus.tar.xz", "root.tar.xz"]
        )
        for kind, path in zip(kinds, paths, strict=True):
            served = f"images/{files.fingerprint}/{kind}"
            self.files[served] = path
            items[kind] = {
                "ftype": kind,
                "path": served,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "size": path.stat().st_size,
            }
        if files.rootfs is not None:
            items["incus.tar.xz"]["combined_rootxz_sha256"] = files.fingerprint
        product["versions"][serial] = {"items": items}
        return files.fingerprint

    def withdraw(self, aliases: str, serial: str, *, arch: str = HERE) -> None:
        """Serve a version no longer, as servers do with old ones."""
        del self.products[f"{aliases}:{arch}"]["versions"][serial]

    def answer(self, path: str) -> bytes | Path | None:
        if path == "streams/v1/index.json":
            if self.broken:
                return b"<html>"
            entry = {
                "datatype": "image-downloads",
                "path": "streams/v1/images.json",
                "products": sorted(self.products),
            }
            return json.dumps({"index": {"images": entry}, "format": "index:1.0"}).encode()
        if path == "streams/v1/images.json":
            return json.dumps({"products": self.products, "format": "products:1.0"}).encode()
        return self.files.get(path)


@contextmanager
def serving_images(
    certificate: Path | None = None, key: Path | None = None
) -> Iterator[ImageServer]:
    """A server by http, or by https with a certificate and its key."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = "/".join(step for step in self.path.split("/") if step not in ("", "."))
            served.asked.append(path)
            found = served.answer(path)
            if found is None:
                self.send_error(404)
                return
            data = found.read_bytes() if isinstance(found, Path) else found
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            for start in range(0, len(data), 65536):
                self.wfile.write(data[start : start + 65536])
                if isinstance(found, Path) and served.pause:
                    time.sleep(served.pause)

        def log_message(self, *_: Any) -> None: ...

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None: ...

    server = Server(("127.0.0.1", 0), Handler)
    scheme = "http"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    pem = certificate.read_text() if certificate else ""
    served = ImageServer(f"{scheme}://127.0.0.1:{server.server_port}", pem)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()


def main(folder: Path, aliases: str) -> None:
    """Serves an image as the remote `images`, until the parent process is gone."""
    import yaml

    folder.mkdir(parents=True, exist_ok=True)
    with serving_images() as served:
        serial = 20260101
        served.publish(aliases, unified(folder, f"v{serial}"), f"{serial}_00:00")
        file = Path(os.environ["INCUS_CONF"], "config.yml")
        tree = yaml.safe_load(file.read_text())
        remote = {"addr": served.url, "protocol": "simplestreams", "public": True}
        tree.setdefault("remotes", {})["images"] = remote
        file.write_text(yaml.safe_dump(tree))
        (folder / "ready").touch()
        parent = os.getppid()
        while os.getppid() == parent:
            if (folder / "newer").exists():
                serial += 1
                served.publish(aliases, unified(folder, f"v{serial}"), f"{serial}_00:00")
                (folder / "newer").unlink()
            time.sleep(0.1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
