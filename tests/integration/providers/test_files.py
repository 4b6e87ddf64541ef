"""`files`: written into a container before its first start, with no content in the state."""

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from pulumi.runtime import rpc

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.guest_files import read_small_file
from pulumi_pika.incus.storage import list_volumes
from pulumi_pika.providers.provider_errors import ProviderError
from pulumi_pika.reconcile.instances import setup_files
from pulumi_pika.reconcile.instances.adopt import adopt_instance
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.validation.plan_inputs import plan_inputs
from pulumi_pika.validation.property_tree import UNKNOWN

from ...conftest import Sandbox
from ...support.provider_calls import runtime_calls
from ...support.provider_engine import Managed, Refused, arguments, wire
from ...support.reconcile import Recorder, shell, there

BYTES = bytes(range(256)) * 3


def given(name: str, *files: dict[str, Any], **more: Any) -> dict[str, Any]:
    return arguments(name, mounts=[], files=list(files), **more)


def text_of(client: IncusClient, name: str, path: str) -> bytes | None:
    return read_small_file(client, name, path)


def meta(client: IncusClient, name: str, path: str) -> str:
    """Mode and owner, as the guest sees them."""
    assert shell(client, name, f"stat -c '%a %u %g' {path} >/tmp/meta") == 0
    return (text_of(client, name, "/tmp/meta") or b"").decode().strip()


def test_written_before_the_first_start(client: IncusClient, name: str, tmp_path: Path) -> None:
    source = tmp_path / "unit"
    source.write_bytes(BYTES)
    # The guest runs /etc/rc when it starts: it finds the other files then.
    rc = "cp /opt/new/dir/token /etc/seen-at-start\n"
    managed = Managed(
        given(
            name,
            {"path": "/etc/rc", "content": rc, "mode": "0755"},
            {"path": "/opt/new/dir/token", "content": "t0k3n\n", "mode": "600", "uid": 7, "gid": 8},
            {"path": "/opt/raw", "content": base64.b64encode(BYTES).decode(), "encoding": "base64"},
            {"path": "/opt/unit", "source": str(source)},
            {"path": "/etc/hosts.d", "content": ""},
            # A file of the image: overwritten, with mode and owner.
            {"path": "/etc/passwd", "content": "root:x:0:0::/root:/bin/sh\n", "mode": "0640"},
        )
    )
    try:
        managed.up()
        assert text_of(client, name, "/etc/seen-at-start") == b"t0k3n\n"
        assert meta(client, name, "/opt/new/dir/token") == "600 7 8"
        assert meta(client, name, "/opt/new/dir") == "755 0 0"
        assert meta(client, name, "/etc/passwd") == "640 0 0"
        assert meta(client, name, "/etc/rc") == "755 0 0"
        assert text_of(client, name, "/opt/raw") == BYTES
        assert text_of(client, name, "/opt/unit") == BYTES
        for kept in (managed.inputs, managed.outputs):
            assert "t0k3n" not in json.dumps(kept)
        assert managed.inputs["files"][1]["digest"] == hashlib.sha256(b"t0k3n\n").hexdigest()
        assert managed.refresh() == {}
        assert managed.up() == "same"
    finally:
        managed.destroy()


def test_changed_files_are_written_again_in_place(
    client: IncusClient, name: str, tmp_path: Path
) -> None:
    source = tmp_path / "s"
    source.write_text("one")
    one = {"path": "/opt/one", "content": "1"}
    two = {"path": "/opt/two", "source": str(source)}
    managed = Managed(given(name, one, two))
    try:
        managed.up()
        uuid = there(client, name).uuid
        assert shell(client, name, "echo mine >/opt/one") == 0

        source.write_text("other")
        assert managed.up() == "update"

        assert text_of(client, name, "/opt/two") == b"other"
        assert text_of(client, name, "/opt/one") == b"mine\n", "it did not change in the program"
        managed.change(files=[{**one, "mode": "0600"}])
        assert managed.up() == "update"
        assert text_of(client, name, "/opt/one") == b"1"
        assert meta(client, name, "/opt/one") == "600 0 0"
        assert text_of(client, name, "/opt/two") == b"other", "a file that is dropped stays"
        assert there(client, name).uuid == uuid
        # As `ignore_changes=["files"]` hands them on: the sealed files.
        managed.change(files=managed.inputs["files"])
        assert managed.up() == "same"
    finally:
        managed.destroy()


def test_failed_write_undoes_the_create(client: IncusClient, name: str) -> None:
    files = ({"path": "/opt/a", "content": "s3cr3t"}, {"path": "/etc", "content": "s3cr3t"})
    managed = Managed(arguments(name, files=list(files)))
    with pytest.raises(ProviderError) as caught:
        managed.up()
    assert "could not write /etc into" in str(caught.value)
    assert "Undone: removed" in str(caught.value)
    assert "s3cr3t" not in str(caught.value)
    assert fetch_instance(client, name) is None
    assert ("default", f"{name}-state") not in list_volumes(client)


def test_source_that_changes_after_the_preview_is_refused(
    client: IncusClient, name: str, tmp_path: Path
) -> None:
    source = tmp_path / "s"
    source.write_text("one")
    inputs = Managed(given(name, {"path": "/opt/a", "source": str(source)})).checked()
    source.write_text("two")
    with pytest.raises(ProviderError, match="was changed after the preview"):
        runtime_calls.create(inputs)
    assert fetch_instance(client, name) is None


def test_content_that_only_the_state_has_is_not_invented(
    client: IncusClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = Managed(given(name, {"path": "/opt/a", "content": "x"})).checked()
    monkeypatch.setattr(setup_files, "_contents", {})
    with pytest.raises(ProviderError, match="Remove `files` from `ignore_changes`"):
        runtime_calls.create(inputs)
    assert fetch_instance(client, name) is None


def test_interrupted_create_is_completed_with_its_files(
    sandbox: Sandbox, client: IncusClient, name: str
) -> None:
    """A kill between the creation and the files leaves a stopped instance without them."""
    managed = Managed(given(name, {"path": "/etc/rc", "content": "cp /etc/rc /etc/seen\n"}))
    inputs = managed.checked()
    try:
        runtime_calls.create({**inputs, "files": [], "running": False})
        examined = plan_inputs(inputs)
        taken = adopt_instance(client, examined.plan, examined.options, Recorder())
        assert taken is not None
        assert text_of(client, name, "/etc/seen") == b"cp /etc/rc /etc/seen\n"
    finally:
        sandbox.daemon.request("PUT", f"/instances/{name}/state", {"action": "stop", "force": True})


def test_digest_of_a_secret_content_is_secret(name: str) -> None:
    values = given(name, {"path": "/a", "content": "1234"}, {"path": "/b", "content": "1234"})
    checked = runtime_calls.check({**values, "secret_inputs": ["files[0].content"]}, None)
    assert checked.failures == []
    one, two = checked.inputs["files"]
    assert rpc.is_rpc_secret(one["digest"])
    assert isinstance(two["digest"], str)
    assert "1234" not in json.dumps(wire(checked.inputs))


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ({"path": "/a"}, r"files\[0\].content: is required"),
        ({"path": "/a", "content": "", "source": "/etc/hosts"}, "source: conflicts with `content`"),
        ({"path": "/a", "source": "/no/such"}, r"`/no/such` is not a valid source: No such file"),
        ({"path": "/a", "content": 1}, r"files\[0\].content: must be a string"),
        ({"path": "/a", "content": "!", "encoding": "base64"}, "must be valid base64"),
        ({"path": "/a", "content": "", "encoding": "x"}, "must be one of"),
        ({"path": "a", "content": ""}, r"files\[0\].path: `a` is not"),
        ({"path": "/a/../b", "content": ""}, "is not a valid path"),
        ({"path": "/run/a", "content": ""}, "/run is empty after each start"),
        ({"path": "/mnt/state/a", "content": ""}, "the mount at /mnt/state would hide it"),
        ({"path": "/a", "content": "", "mode": "rw"}, "`rw` is not a valid file mode"),
        ({"path": "/a", "content": "", "user": 1}, r"files\[0\].user: .*did you mean `uid`|known"),
        ({"content": ""}, r"files\[0\].path: is required"),
    ],
)
def test_refused(name: str, file: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        Managed(arguments(name, files=[file])).checked()


def test_virtual_machine_is_refused_with_the_other_way(name: str) -> None:
    values = given(name, {"path": "/a", "content": ""}, instance_type="virtual-machine")
    with pytest.raises(Refused, match=r"files: .*set `cloud_init.files` instead"):
        Managed(values).checked()


def test_unknown_content_is_planned(name: str) -> None:
    inputs = Managed(given(name, {"path": "/a", "content": UNKNOWN})).checked()
    assert inputs["files"] == [{"path": "/a", "digest": UNKNOWN}]
