"""The project or the pool of a volume is removed outside, or was never there."""

from typing import Any

import pytest

from pulumi_pika.providers.provider_errors import ProviderError

from ...conftest import Sandbox
from ...support.provider_engine import (
    Managed,
    arguments,
    volume_mount,
)
from ...support.volume_engine import Kept


@pytest.fixture(autouse=True)
def _host(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INCUS_SOCKET", str(sandbox.socket))


@pytest.fixture(params=["project", "storage_pool"])
def place(request: pytest.FixtureRequest, name: str, sandbox: Sandbox) -> Any:
    """An argument that names a project or a pool of the test's own, and what removes it."""
    daemon = sandbox.daemon
    if request.param == "project":
        features = {"features.images": "false", "features.profiles": "false"}
        daemon.request("POST", "/projects", {"name": name, "config": features})
        path = f"/projects/{name}"
        volumes = f"/storage-pools/default/volumes/custom/{{}}?project={name}"
    else:
        daemon.request("POST", "/storage-pools", {"name": name, "driver": "dir"})
        path = f"/storage-pools/{name}"
        volumes = f"/storage-pools/{name}/volumes/custom/{{}}"

    def remove(*names: str) -> None:
        for volume in names:
            daemon.request("DELETE", volumes.format(volume))
        daemon.request("DELETE", path)

    return {request.param: name}, remove


def test_volume_and_snapshot_are_read_as_gone_and_can_be_destroyed(
    name: str, place: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    where, remove = place
    volume = Kept({"volume_name": name, "delete_data": True, **where})
    volume.up()
    snapshot = Kept({"volume_name": name, "snapshot_name": "one", **where})
    snapshot.up()
    before = dict(volume.outputs or {}), dict(snapshot.outputs or {})
    remove(name)

    assert not volume.refresh()
    assert not snapshot.refresh()
    said = capsys.readouterr().err
    what = "storage pool" if "storage_pool" in where else "project"
    assert f"no longer exists: {what} {name} does not exist" in said

    volume.outputs, snapshot.outputs = before
    snapshot.destroy()
    volume.destroy()
    assert "no longer exists: " in capsys.readouterr().err


def test_create_names_what_is_missing(name: str) -> None:
    with pytest.raises(ProviderError, match=f"storage pool {name} does not exist at"):
        Kept({"volume_name": name, "storage_pool": name}).up()
    with pytest.raises(ProviderError, match=f"project {name} does not exist at"):
        Kept({"volume_name": name, "project": name}).up()
    with pytest.raises(ProviderError, match=f"storage pool {name} does not exist at"):
        Kept({"volume_name": name, "snapshot_name": "one", "storage_pool": name}).up()


def test_runtime_whose_volumes_pool_is_gone_can_be_destroyed(
    name: str, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    sandbox.daemon.request("POST", "/storage-pools", {"name": name, "driver": "dir"})
    managed = Managed(arguments(name, mounts=[volume_mount(name)], mount_storage_pools=[name]))
    managed.change(delete_data=True)
    managed.up()
    assert managed.outputs is not None
    sandbox.daemon.request("PUT", f"/instances/{name}/state", {"action": "stop", "force": True})
    sandbox.daemon.request("DELETE", f"/instances/{name}")
    sandbox.daemon.request("DELETE", f"/storage-pools/{name}/volumes/custom/{name}")
    sandbox.daemon.request("DELETE", f"/storage-pools/{name}")

    managed.destroy()

    assert f"is deleted already: storage pool {name} does not exist" in capsys.readouterr().err
