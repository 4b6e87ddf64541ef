"""Images of servers: what the host copies, and what a newer image there does."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient

from ...conftest import IMAGE, Sandbox
from ...support.daemons import Certificate, Server, make_certificate
from ...support.image_engine import Image
from ...support.image_server import ImageServer, serving_images, split, unified
from ...support.provider_engine import Refused
from ...support.reconcile import make, plan_of
from .conftest import alias, images, shown

Declare = Callable[..., Image]
CONTAINER = {"instance_type": "container"}


@pytest.mark.parametrize("make_files", [unified, split])
def test_copied_by_the_host(
    sandbox: Sandbox,
    client: IncusClient,
    streams: ImageServer,
    declare: Declare,
    tmp_path: Path,
    name: str,
    make_files: Any,
) -> None:
    files = make_files(tmp_path, f"{name}-one")
    fingerprint = streams.publish("tiny/1,tiny/one", files)
    image = declare(source="tiny/1", server=streams.url, properties={"owner": "me"}, **CONTAINER)

    # A preview knows the fingerprint.
    assert image.checked()["fingerprint"] == fingerprint
    assert image.up() == "create"
    assert image["fingerprint"] == fingerprint
    assert image["alias"] == name
    assert image["image_type"] == "container"
    assert image["newer_fingerprint"] == ""
    found = shown(sandbox.daemon, fingerprint)
    assert found is not None
    assert found["properties"]["owner"] == "me"
    assert found["properties"]["os"] == "Busybox"
    assert not found["public"]
    assert not found["auto_update"]
    assert not found["cached"]
    assert [it["name"] for it in found["aliases"]] == [name]

    # No change: neither by a preview, nor by a refresh.
    assert image.planned() == ""
    assert image.refresh() == {}
    assert image.planned() == ""

    # An instance of it runs.
    for source in (image["alias"], image["fingerprint"]):
        made = make(client, plan_of(f"{name}-{source[:3]}", incus={"image_alias": source}))
        assert made.live.status == "Running"
        assert made.live.fingerprint == fingerprint

    # Its instances stay when it is deleted.
    image.destroy()
    assert shown(sandbox.daemon, fingerprint) is None
    assert alias(sandbox.daemon, name) is None
    assert sandbox.daemon.request("GET", f"/instances/{name}-{name[:3]}")["status"] == "Running"


def test_pinned(
    sandbox: Sandbox,
    streams: ImageServer,
    declare: Declare,
    tmp_path: Path,
    name: str,
    said: list[str],
) -> None:
    old = streams.publish("tiny/1", unified(tmp_path, f"{name}-old"))
    image = declare(source="tiny/1", server=streams.url, **CONTAINER)
    image.up()
    new = streams.publish("tiny/1", unified(tmp_path, f"{name}-new"), "20260202_00:00")

    assert image.planned() == ""
    assert image.checked()["fingerprint"] == old
    assert image.refresh() == {"newer_fingerprint": new}
    assert any(new[:12] in line and 'update="replace"' in line for line in said)
    assert image.planned() == ""
    # The user's choice: the newer one. The host read the index a moment ago, and reads it again.
    assert image.up(update="replace") == "replace"
    assert image["fingerprint"] == new
    assert image["newer_fingerprint"] == ""
    assert shown(sandbox.daemon, old) is None
    moved = alias(sandbox.daemon, name)
    assert moved is not None
    assert moved["target"] == new
    assert image.planned() == ""
    # And back to a pinned one, in place.
    assert image.up(update="pin") == "update"
    streams.publish("tiny/1", unified(tmp_path, f"{name}-newest"), "20260303_00:00")
    assert image.planned() == ""


def test_pinned_in_the_program(
    streams: ImageServer, declare: Declare, tmp_path: Path, name: str
) -> None:
    old = streams.publish("tiny/1", unified(tmp_path, f"{name}-old"))
    streams.publish("tiny/1", unified(tmp_path, f"{name}-new"), "20260202_00:00")
    image = declare(source=old[:12], server=streams.url, **CONTAINER)
    image.up()
    assert image["fingerprint"] == old
    assert image.refresh() == {}


def test_another_source_of_the_same_image_is_no_replacement(
    streams: ImageServer, declare: Declare, tmp_path: Path, name: str
) -> None:
    fingerprint = streams.publish("tiny/1,tiny/one", unified(tmp_path, name))
    image = declare(source="tiny/1", server=streams.url, **CONTAINER)
    image.up()
    assert image.up(source="tiny/one") == "update"
    assert image["fingerprint"] == fingerprint
    assert image.planned() == ""


def test_architecture_and_type(
    streams: ImageServer, declare: Declare, tmp_path: Path, name: str
) -> None:
    here = streams.publish("tiny/1", unified(tmp_path, f"{name}-here"))
    there = streams.publish("tiny/1", unified(tmp_path, f"{name}-there"), arch="riscv64")
    of = {"source": "tiny/1", "server": streams.url}

    assert declare(**of, **CONTAINER).checked()["fingerprint"] == here
    other = declare(**of, architecture="riscv64", **CONTAINER)
    assert other.checked()["fingerprint"] == there
    long = declare(source="tiny/1/riscv64", server=streams.url, architecture="riscv64", **CONTAINER)
    assert long.checked()["fingerprint"] == there
    with pytest.raises(Refused, match=r"source: .* for aarch64; it has it as container for"):
        declare(**of, architecture="arm64", **CONTAINER).checked()
    # The type of a runtime is the default.
    with pytest.raises(Refused, match="of the type virtual-machine for"):
        declare(**of).checked()
    with pytest.raises(Refused, match="has no image tiny/2"):
        declare(source="tiny/2", server=streams.url, **CONTAINER).checked()


def test_https_with_a_certificate_of_its_own(declare: Declare, tmp_path: Path, name: str) -> None:
    made = make_certificate(
        tmp_path / "tls", "images", "-addext", "subjectAltName=IP:127.0.0.1,DNS:images"
    )
    with serving_images(made.certificate, made.key) as streams:
        fingerprint = streams.publish("tiny/1", unified(tmp_path, name))
        of = {"source": "tiny/1", "server": streams.url, **CONTAINER}
        # Nobody trusts the server: the preview does not know the image, and the host refuses.
        other = declare("-2", **of)
        assert "fingerprint" not in other.checked()
        with pytest.raises(Exception, match=r"could not create the image tiny/1 .*certificate"):
            other.up()
        image = declare(**of, server_certificate=str(made.certificate))
        assert image.checked()["fingerprint"] == fingerprint
        image.up()
        assert image["fingerprint"] == fingerprint


def test_remote_of_the_client(
    streams: ImageServer,
    declare: Declare,
    tmp_path: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("INCUS_CONF", str(tmp_path))
    remotes = {"tinies": {"addr": streams.url, "protocol": "simplestreams", "public": True}}
    (tmp_path / "config.yml").write_text(json.dumps({"remotes": remotes}))
    fingerprint = streams.publish("tiny/1", unified(tmp_path, name))
    image = declare(source="tinies:tiny/1", **CONTAINER)
    assert image.checked()["fingerprint"] == fingerprint
    image.up()
    assert image["fingerprint"] == fingerprint
    with pytest.raises(Refused, match=r"source: remote 'other' is not a remote .*images, tinies"):
        declare(source="other:tiny/1", **CONTAINER).checked()


def test_server_that_only_the_host_reaches(
    sandbox: Sandbox,
    streams: ImageServer,
    declare: Declare,
    tmp_path: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pulumi_pika.incus.simplestreams import ImageServerUnreachable
    from pulumi_pika.reconcile.images import image_source

    def cut_off(*_: Any, **__: Any) -> Any:
        raise ImageServerUnreachable("this machine has no way there")

    fingerprint = streams.publish("tiny/1", unified(tmp_path, name))
    image = declare(source="tiny/1", server=streams.url, update="replace", **CONTAINER)
    with monkeypatch.context() as patched:
        patched.setattr(image_source, "list_streamed_images", cut_off)
        assert "fingerprint" not in image.checked()
        image.up()
        assert image["fingerprint"] == fingerprint
        assert image.planned() == ""
        assert image.refresh() == {}
        # Another one that the project has: its settings stay as they are.
        before = shown(sandbox.daemon, fingerprint)
        other = declare("-2", source="tiny/1", server=streams.url, **CONTAINER)
        other.up()
        assert other["fingerprint"] == fingerprint
        with pytest.raises(Exception, match="cannot be looked up for the architecture riscv64"):
            declare("-3", source="tiny/1", server=streams.url, architecture="riscv64").up()
        other.destroy()
        assert shown(sandbox.daemon, fingerprint) == before
    # Later, from a machine that reaches it.
    assert image.planned() == ""


def test_server_that_only_the_host_reaches_and_an_image_of_nobody(
    sandbox: Sandbox,
    streams: ImageServer,
    declare: Declare,
    tmp_path: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from pulumi_pika.incus.simplestreams import ImageServerUnreachable
    from pulumi_pika.reconcile.images import image_source

    from .conftest import put_by_hand

    def cut_off(*_: Any, **__: Any) -> Any:
        raise ImageServerUnreachable("this machine has no way there")

    files = unified(tmp_path, name)
    fingerprint = streams.publish("tiny/1", files)
    put_by_hand(sandbox.daemon, files.metadata)
    found = shown(sandbox.daemon, fingerprint)
    assert found is not None
    sandbox.daemon.request("PUT", f"/images/{fingerprint}", {**found, "public": True})
    before = shown(sandbox.daemon, fingerprint)
    monkeypatch.setattr(image_source, "list_streamed_images", cut_off)
    image = declare(source="tiny/1", server=streams.url, **CONTAINER)
    with pytest.raises(Exception, match="has no owner, and was not changed"):
        image.up()
    after = shown(sandbox.daemon, fingerprint)
    assert after is not None
    assert before is not None
    assert {**after, "filename": ""} == {**before, "filename": ""}
    image.up(adopt=True)
    assert image["adopted"] is True
    image.destroy()
    after = shown(sandbox.daemon, fingerprint)
    assert after is not None
    assert after["public"]
    assert after["properties"] == before["properties"]


def test_broken_server(streams: ImageServer, declare: Declare, tmp_path: Path, name: str) -> None:
    streams.publish("tiny/1", unified(tmp_path, name))
    streams.broken = True
    with pytest.raises(Refused, match=r"source: GET http://.*index.json: the answer is not JSON"):
        declare(source="tiny/1", server=streams.url, **CONTAINER).checked()


def test_image_of_another_project(sandbox: Sandbox, declare: Declare, name: str) -> None:
    config = {"features.images": "true"}
    sandbox.daemon.request("POST", "/projects", {"name": name, "config": config})
    image = declare(source=IMAGE, source_project="default", project=name)
    try:
        image.up()
        assert image["fingerprint"] == sandbox.image
        [copy] = images(sandbox.daemon, name)
        assert [it["name"] for it in copy["aliases"]] == [name]
        image.destroy()
        assert images(sandbox.daemon, name) == []
        assert shown(sandbox.daemon, sandbox.image) is not None
    finally:
        sandbox.daemon.request("DELETE", f"/projects/{name}")


def test_another_alias_of_an_image_of_the_host(
    sandbox: Sandbox, declare: Declare, name: str
) -> None:
    before = shown(sandbox.daemon, sandbox.image)
    image = declare(source=IMAGE)
    image.up()
    assert image["fingerprint"] == sandbox.image
    assert image["adopted"] is True
    found = alias(sandbox.daemon, name)
    assert found is not None
    assert found["target"] == sandbox.image
    assert image.planned() == ""
    assert image.refresh() == {}
    image.destroy()
    assert shown(sandbox.daemon, sandbox.image) == before
    with pytest.raises(Refused, match="source: image nothing does not exist in project default"):
        declare(source="nothing").checked()


def test_incus_server(
    server: Server,
    trusted: Certificate,
    declare: Declare,
    tmp_path: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A public image of another Incus, and a private one by a remote of the client."""
    from .conftest import put_by_hand

    files = unified(tmp_path, name)
    fingerprint = put_by_hand(server.daemon, files.metadata, name)
    of = {
        "server": server.url,
        "protocol": "incus",
        "server_certificate": str(server.certificate),
        "source": name,
    }
    with pytest.raises(Refused, match="only public images can be copied from this server"):
        declare(**of).checked()
    (tmp_path / "servercerts").mkdir()
    (tmp_path / "servercerts" / "prod.crt").write_text(server.certificate.read_text())
    (tmp_path / "client.crt").write_text(trusted.certificate.read_text())
    (tmp_path / "client.key").write_text(trusted.key.read_text())
    entry = {"addr": server.url, "protocol": "incus", "auth_type": "tls"}
    (tmp_path / "config.yml").write_text(json.dumps({"remotes": {"prod": entry}}))
    monkeypatch.setenv("INCUS_CONF", str(tmp_path))
    private = declare("-private", source=f"prod:{name}")
    assert private.up() == "create"
    assert private["fingerprint"] == fingerprint
    assert private.planned() == ""
    private.destroy()

    found = server.daemon.request("GET", f"/images/{fingerprint}")
    server.daemon.request("PUT", f"/images/{fingerprint}", {**found, "public": True})
    public = declare(**of)
    assert public.up() == "create"
    assert public["fingerprint"] == fingerprint
    with pytest.raises(Refused, match="is for a container, not a virtual-machine"):
        declare("-2", **of, instance_type="virtual-machine").checked()
    with pytest.raises(Refused, match=r"is for .*, not riscv64"):
        declare("-2", **of, architecture="riscv64").checked()
    server.daemon.request("DELETE", f"/images/{fingerprint}")


def test_cached_image_is_made_permanent(
    sandbox: Sandbox, streams: ImageServer, declare: Declare, tmp_path: Path, name: str
) -> None:
    fingerprint = streams.publish("tiny/1", unified(tmp_path, name))
    source = {
        "type": "image",
        "server": streams.url,
        "protocol": "simplestreams",
        "alias": "tiny/1",
    }
    body = {"name": f"{name}-box", "type": "container", "source": source}
    sandbox.daemon.request("POST", "/instances", body)
    found = shown(sandbox.daemon, fingerprint)
    assert found is not None
    assert found["cached"]
    image = declare(source="tiny/1", server=streams.url, **CONTAINER)
    image.up()
    found = shown(sandbox.daemon, fingerprint)
    assert found is not None
    assert not found["cached"]
    assert image["adopted"] is False
    image.destroy()
    assert shown(sandbox.daemon, fingerprint) is None


def test_progress_and_time_limit(
    sandbox: Sandbox,
    streams: ImageServer,
    declare: Declare,
    tmp_path: Path,
    name: str,
    said: list[str],
) -> None:
    """A slow download says how far it is, and is cancelled when its time is up."""
    fingerprint = streams.publish("tiny/1", unified(tmp_path, name))
    streams.pause = 0.3
    image = declare(source="tiny/1", server=streams.url, timeouts={"create": 4}, **CONTAINER)
    began = time.monotonic()
    with pytest.raises(Exception, match="not finished after"):
        image.up()
    assert time.monotonic() - began < 30
    assert any("copying the image" in line and "%" in line for line in said)
    assert shown(sandbox.daemon, fingerprint) is None
    running = sandbox.daemon.request("GET", "/operations?recursion=1").get("running") or []
    assert [it for it in running if it["description"] == "Downloading image"] == []
    assert alias(sandbox.daemon, name) is None
