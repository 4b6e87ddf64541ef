"""Networks and pools of a real cluster: prepared on each member, or not created at all."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.providers.provider_errors import ProviderError

from ...support.daemons import Server
from ...support.object_engine import Declared
from ...support.provider_engine import Refused

Cluster = tuple[Server, Server]


@pytest.fixture
def name(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("INCUS_SOCKET", str(cluster[0].daemon.socket))
    prefix = f"t{secrets.token_hex(3)}"
    yield prefix
    request = cluster[0].daemon.request
    for collection in ("profiles", "networks", "storage-pools"):
        for path in request("GET", f"/{collection}"):
            if path.rpartition("/")[2].startswith(prefix):
                request("DELETE", f"/{collection}/{path.rpartition('/')[2]}")


def of_member(cluster: Cluster, path: str, member: str) -> dict[str, Any]:
    found: dict[str, Any] = cluster[0].daemon.request("GET", f"{path}?target={member}")
    return found


def exists(cluster: Cluster, collection: str, name: str) -> bool:
    listed = cluster[0].daemon.request("GET", f"/{collection}")
    return any(path.rpartition("/")[2] == name for path in listed)


def test_a_pool_is_created_on_each_member(cluster: Cluster, name: str, tmp_path: Path) -> None:
    sources = {member: str(tmp_path / member) for member in ("one", "two")}
    for source in sources.values():
        Path(source).mkdir()
    made = Declared(
        "storage pool",
        {
            "name": name,
            "driver": "dir",
            "description": "d",
            "config": {"rsync.bwlimit": "10MB"},
            "member_config": {member: {"source": source} for member, source in sources.items()},
        },
    )
    made.up()
    for member, source in sources.items():
        live = of_member(cluster, f"/storage-pools/{name}", member)
        assert (live["status"], live["config"]["source"]) == ("Created", source)
        assert live["config"]["rsync.bwlimit"] == "10MB"
        assert live["description"] == "d"
    assert made.settled()

    # What is the same for all changes in place; what is each member's own is refused.
    assert made.up(config={"rsync.bwlimit": "20MB"}) == "update"
    for member, source in sources.items():
        live = of_member(cluster, f"/storage-pools/{name}", member)
        assert (live["config"]["rsync.bwlimit"], live["config"]["source"]) == ("20MB", source)
    assert made.settled()
    with pytest.raises(ProviderError, match="each member has its own member_config"):
        made.up(member_config={"one": {"source": sources["one"]}})
    made.destroy()
    assert not exists(cluster, "storage-pools", name)


def test_a_pool_that_one_member_refuses_is_nowhere(
    cluster: Cluster, name: str, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("x")
    (tmp_path / "free").mkdir()
    members = {
        "one": {"source": str(tmp_path / "free")},
        "two": {"source": str(tmp_path / "full")},
    }
    made = Declared("storage pool", {"name": name, "driver": "dir", "member_config": members})
    with pytest.raises(ProviderError, match=r"could not create storage pool .*deleted again"):
        made.up()
    assert not exists(cluster, "storage-pools", name)
    assert (tmp_path / "full" / "file").exists()


def test_what_is_prepared_on_one_member_is_deleted_if_the_next_one_refuses(
    cluster: Cluster, name: str
) -> None:
    members = {"two": {"zfs.pool_name": "not-for-dir"}}
    made = Declared("storage pool", {"name": name, "driver": "dir", "member_config": members})
    with pytest.raises(ProviderError, match=r"could not create storage pool .*zfs.pool_name"):
        made.up()
    assert not exists(cluster, "storage-pools", name)


def test_a_member_that_the_cluster_does_not_have(cluster: Cluster, name: str) -> None:
    members = {"three": {"source": "/nowhere"}}
    made = Declared("storage pool", {"name": name, "driver": "dir", "member_config": members})
    with pytest.raises((ProviderError, Refused), match="names three, and the members are one, two"):
        made.up()
    assert not exists(cluster, "storage-pools", name)


def test_a_network_with_a_parent_on_each_member(cluster: Cluster, name: str) -> None:
    members = {member: {"parent": "lo"} for member in ("one", "two")}
    made = Declared(
        "network",
        {
            "name": name,
            "network_type": "macvlan",
            "config": {"user.a": "1"},
            "member_config": members,
        },
    )
    made.up()
    for member, config in members.items():
        live = of_member(cluster, f"/networks/{name}", member)["config"]
        assert live["parent"] == config["parent"]
        assert live["user.a"] == "1"
    assert made.settled()
    assert made.up(config={"user.a": "2"}) == "update"
    assert of_member(cluster, f"/networks/{name}", "two")["config"]["parent"] == "lo"
    made.destroy()
    assert not exists(cluster, "networks", name)


def test_one_that_an_interrupted_create_prepared_is_named(cluster: Cluster, name: str) -> None:
    body = {"name": name, "driver": "dir", "config": {}}
    cluster[0].daemon.request("POST", "/storage-pools?target=one", body)
    made = Declared("storage pool", {"name": name, "driver": "dir", "adopt": True})
    with pytest.raises(Refused, match=rf"only prepared .*`incus storage delete {name}`"):
        made.up()
