"""The life of a storage pool."""

from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.providers.provider_errors import ProviderError

from ...conftest import Sandbox
from ...support.object_engine import Declared
from ...support.objects import edit, shown, there
from ...support.provider_engine import Refused


def pool(name: str, **more: Any) -> Declared:
    return Declared("storage pool", {"name": name, "driver": "dir", **more})


def test_it_is_created_as_planned_and_stays(name: str, sandbox: Sandbox, tmp_path: Path) -> None:
    made = pool(name, source=str(tmp_path), description="d", config={"user.a": "1"})
    plan = made.checked()["plan"]
    made.up()
    live = shown(sandbox, "storage-pools", name)
    assert plan == {
        "name": name,
        "driver": "dir",
        "description": "d",
        "config": {"source": str(tmp_path), "user.a": "1"},
    }
    assert (live["driver"], live["description"]) == ("dir", "d")
    assert live["config"]["source"] == str(tmp_path)
    assert made.outputs is not None
    assert made.outputs["status"] == "Created"
    assert made.settled()
    made.destroy()
    assert not there(sandbox, "storage-pools", name)


def test_without_a_source_incus_chooses_one(name: str) -> None:
    made = pool(name)
    made.up()
    assert made.outputs is not None
    assert made.outputs["unmanaged"] == ["source"]
    assert made.settled()


def test_keys_change_in_place_and_drift_is_corrected(name: str, sandbox: Sandbox) -> None:
    made = pool(name, config={"rsync.bwlimit": "10MB", "user.a": "1"})
    made.up()
    assert made.up(config={"rsync.bwlimit": "20MB"}) == "update"
    live = shown(sandbox, "storage-pools", name)["config"]
    assert live["rsync.bwlimit"] == "20MB"
    assert "user.a" not in live
    edit(sandbox, "storage-pools", name, config={"rsync.bwlimit": "1MB", "user.o": "1"})
    made.refresh()
    assert made.outputs is not None
    assert made.outputs["plan"]["config"] == {"rsync.bwlimit": "1MB"}
    assert "user.o" in made.outputs["unmanaged"]
    assert made.up() == "update"
    live = shown(sandbox, "storage-pools", name)["config"]
    assert (live["rsync.bwlimit"], live["user.o"]) == ("20MB", "1")


def test_a_used_one_is_not_deleted_and_not_replaced(
    name: str, sandbox: Sandbox, tmp_path: Path
) -> None:
    made = pool(name)
    made.up()
    custom = f"/storage-pools/{name}/volumes/custom"
    sandbox.daemon.request("POST", custom, {"name": "data"})
    user = rf"volume data in pool {name} \(project default\)"
    with pytest.raises(ProviderError, match=f"it is used by {user}"):
        made.destroy()
    made.arguments["source"] = str(tmp_path)
    with pytest.raises(
        ProviderError,
        match=rf"could not replace storage pool .*\(because of config.source\).*{user}",
    ):
        made.planned()
    made.arguments["name"] = f"{name}-new"
    with pytest.raises(ProviderError, match="could not replace storage pool"):
        made.planned()
    sandbox.daemon.request("DELETE", f"{custom}/data")
    assert made.up() == "replace"
    assert not there(sandbox, "storage-pools", name)
    assert made.settled()


def test_an_existing_pool_is_adopted_and_released(sandbox: Sandbox) -> None:
    before = shown(sandbox, "storage-pools", "default")
    with pytest.raises(
        Refused, match=r"its driver is .*, and the program says zfs|driver zfs not supported"
    ):
        pool("default", driver="zfs", adopt=True).up()
    made = pool("default", driver=before["driver"], config={"user.team": "a"}, adopt=True)
    made.up()
    assert made.settled()
    made.destroy()
    edit(sandbox, "storage-pools", "default", config={"user.team": None})
    assert shown(sandbox, "storage-pools", "default")["config"] == before["config"]


def test_a_driver_that_the_host_does_not_have_is_reported_in_the_preview(name: str) -> None:
    with pytest.raises(Refused, match=r"driver: driver linstor not supported at .* dir"):
        pool(name, driver="linstor").checked()


def test_a_refused_create_leaves_nothing(name: str, sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "full").write_text("x")
    made = pool(name, source=str(tmp_path))
    with pytest.raises(ProviderError, match=r"could not create storage pool .*Nothing was"):
        made.up()
    assert not there(sandbox, "storage-pools", name)
    assert (tmp_path / "full").exists()


def test_a_pool_in_a_file_grows_and_does_not_shrink(name: str, sandbox: Sandbox) -> None:
    if sandbox.daemon.driver != "btrfs":
        pytest.skip("only a machine with btrfs has a pool with a size")
    made = pool(name, driver="btrfs", size="300MiB")
    made.up()
    assert made.settled()
    assert made.up(size="400MiB") == "update"
    assert shown(sandbox, "storage-pools", name)["config"]["size"] == "400MiB"
    made.arguments["size"] = "200MiB"
    with pytest.raises(Refused, match="does not shrink a pool"):
        made.checked()
