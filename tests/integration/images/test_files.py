"""Images of files: their fingerprint in a preview, and one upload of each."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.image_upload import ImageFiles, ImageUpload, fingerprint_of

from ...conftest import Sandbox
from ...support.daemons import Certificate, Server
from ...support.image_engine import Image
from ...support.image_server import bare_metadata, split, unified
from ...support.provider_engine import Refused
from ...support.proxy import Proxy
from ...support.reconcile import make, plan_of
from .conftest import shown

Declare = Callable[..., Image]


@pytest.fixture
def through_proxy(proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> Proxy:
    monkeypatch.setenv("INCUS_SOCKET", str(proxy.socket))
    return proxy


def uploads(proxy: Proxy) -> int:
    return len(proxy.sent("POST", "/1.0/images"))


@pytest.mark.parametrize("make_files", [unified, split])
def test_uploaded(
    sandbox: Sandbox,
    client: IncusClient,
    declare: Declare,
    tmp_path: Path,
    name: str,
    make_files: Any,
    through_proxy: Proxy,
) -> None:
    files = make_files(tmp_path, name)
    of = {"file": str(files.metadata)}
    if files.rootfs:
        of["rootfs"] = str(files.rootfs)
    image = declare(**of, public=True, properties={"team": "a"})
    assert image.checked()["fingerprint"] == files.fingerprint
    image.up()
    assert image["fingerprint"] == files.fingerprint
    assert image["size"] == sum(path.stat().st_size for path in tmp_path.glob("t-*.tar")
                                if path in (files.metadata, files.rootfs))  # fmt: skip
    found = shown(sandbox.daemon, files.fingerprint)
    assert found is not None
    assert found["public"]
    assert found["properties"]["team"] == "a"
    assert found["filename"] == (files.rootfs or files.metadata).name
    assert image.planned() == ""
    assert image.refresh() == {}
    made = make(client, plan_of(name, incus={"image_alias": image["alias"]}))
    assert made.live.status == "Running"

    # The host has it: nothing is sent again, to whichever resource.
    declare("-2", **of, properties={"team": "a"}).up()
    assert uploads(through_proxy) == 1


def test_changed_file_replaces_the_image(
    sandbox: Sandbox, declare: Declare, tmp_path: Path, name: str, said: list[str]
) -> None:
    file = unified(tmp_path, f"{name}-one").metadata
    image = declare(file=str(file))
    image.up()
    old = image["fingerprint"]
    unified(tmp_path, f"{name}-two").metadata.replace(file)
    assert image.up() == "replace"
    assert image["fingerprint"] != old
    assert shown(sandbox.daemon, old) is None
    assert any(f"another image is used in place of {old[:12]}" in line for line in said)

    # Without the file, the image stays.
    file.unlink()
    assert image.planned() == ""
    assert any("the image on the host stays as it is" in line for line in said)
    with pytest.raises(Refused, match=rf"file: could not read {file}: No such file"):
        declare("-2", file=str(file)).checked()


def test_file_that_changes_after_the_preview(
    declare: Declare, tmp_path: Path, name: str, through_proxy: Proxy
) -> None:
    from pulumi_pika.providers.image import IncusImageProvider

    file = unified(tmp_path, f"{name}-one").metadata
    image = declare(file=str(file))
    checked = image.checked()
    unified(tmp_path, f"{name}-two").metadata.replace(file)
    with pytest.raises(Exception, match="was changed since the preview"):
        IncusImageProvider().create(checked)
    assert uploads(through_proxy) == 0


def test_type_that_the_file_is_not_for(
    sandbox: Sandbox, declare: Declare, tmp_path: Path, name: str
) -> None:
    files = unified(tmp_path, name)
    image = declare(file=str(files.metadata), instance_type="virtual-machine")
    with pytest.raises(
        Exception, match=r"it is for a container, and instance_type is virtual-machine. Undone"
    ):
        image.up()
    assert shown(sandbox.daemon, files.fingerprint) is None


def test_no_image(sandbox: Sandbox, declare: Declare, tmp_path: Path) -> None:
    file = tmp_path / "text.tar"
    file.write_text("not an image")
    image = declare(file=str(file))
    with pytest.raises(Exception, match="could not create the image of"):
        image.up()
    assert shown(sandbox.daemon, image.checked()["fingerprint"]) is None


def test_metadata_without_properties(
    sandbox: Sandbox, declare: Declare, tmp_path: Path, name: str
) -> None:
    """With the header for properties, Incus would end."""
    files = split(tmp_path, name)
    image = declare(
        file=str(bare_metadata(tmp_path)), rootfs=str(files.rootfs), properties={"team": "a"}
    )
    image.up()
    found = shown(sandbox.daemon, image["fingerprint"])
    assert found is not None
    assert found["properties"]["team"] == "a"


def test_by_https(
    server: Server,
    trusted: Certificate,
    tmp_path: Path,
    name: str,
    said: list[str],
) -> None:
    from pulumi_pika.incus.images import delete_image
    from pulumi_pika.reconcile.images.image_transfer import upload_files

    from ...support.daemons import client_of
    from ...support.reconcile import Recorder

    client = client_of(**server.settings(**trusted.settings))
    files = split(tmp_path, name)
    given = ImageFiles(files.metadata, files.rootfs)
    found = upload_files(
        client, given, files.fingerprint, lambda: "", timeout=60, reporter=Recorder()
    )
    assert found.fingerprint == files.fingerprint
    assert not found.is_older(client.get(f"/1.0/images/{files.fingerprint}").data["uploaded_at"])
    delete_image(client, found.fingerprint, timeout=60)


def test_memory_and_progress(
    sandbox: Sandbox,
    declare: Declare,
    tmp_path: Path,
    name: str,
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A large file is never in memory, and its upload says how far it is."""
    import tracemalloc

    monkeypatch.setattr("pulumi_pika.reconcile.shared.reporter.FIRST_AFTER", 0.0)
    file = unified(tmp_path, name).metadata
    # What follows the end of a tarball counts for the fingerprint only.
    os.truncate(file, 300 * 2**20)
    image = declare(file=str(file))
    tracemalloc.start()
    try:
        image.up()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 30 * 2**20
    assert image["size"] == 300 * 2**20
    assert any("uploading" in line and "of 300 MiB" in line and "MiB/s" in line for line in said)
    assert any("reading the files of the image" in line for line in said)


def test_body_of_an_upload(tmp_path: Path, name: str) -> None:
    files = split(tmp_path, name)
    given = ImageFiles(files.metadata, files.rootfs)
    upload = ImageUpload(given)
    body = b"".join(upload)
    assert len(body) == len(upload)
    boundary = upload.content_type.partition("boundary=")[2].encode()
    parts = body.split(b"--" + boundary)
    assert parts[-1] == b"--\r\n"
    assert b'name="metadata"' in parts[1]
    assert b'name="rootfs"' in parts[2]
    assert fingerprint_of(given) == files.fingerprint
    assert files.rootfs is not None
    files.rootfs.write_bytes(b"QFI\xfb" + b"x" * 100)
    assert given.instance_type() == "virtual-machine"
    assert b'name="rootfs.img"' in b"".join(ImageUpload(given))


def test_file_that_becomes_shorter_while_it_is_sent(
    sandbox: Sandbox, tmp_path: Path, name: str
) -> None:
    from pulumi_pika.reconcile.images.image_transfer import upload_files
    from pulumi_pika.reconcile.shared.errors import ObjectRefused

    from ...support.reconcile import Recorder

    file = unified(tmp_path, name).metadata
    os.truncate(file, 200 * 2**20)
    upload_size = ImageUpload.__init__

    def shrink(self: ImageUpload, *arguments: Any) -> None:
        upload_size(self, *arguments)
        os.truncate(file, 2**20)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ImageUpload, "__init__", shrink)
        with pytest.raises(ObjectRefused, match="became shorter while it was sent"):
            upload_files(
                IncusClient(sandbox.socket), ImageFiles(file), "0" * 64, lambda: "",
                timeout=20, reporter=Recorder(),
            )  # fmt: skip
