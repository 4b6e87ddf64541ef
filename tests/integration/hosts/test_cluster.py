"""A real cluster of two members: where things go, and what is said when a member is away."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.cluster import list_members
from pulumi_pika.incus.errors import MemberOffline
from pulumi_pika.incus.storage import create_volume, get_volume
from pulumi_pika.jobs.api import run_job
from pulumi_pika.jobs.observer import LineObserver
from pulumi_pika.planner.plan import IncusRuntimePlan
from pulumi_pika.planner.spec import RuntimeSpec
from pulumi_pika.reconcile.instances.changes import LastApplied
from pulumi_pika.reconcile.instances.create import create_runtime
from pulumi_pika.reconcile.instances.delete import delete_runtime
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.reconcile.instances.live_instance import LiveInstance
from pulumi_pika.reconcile.instances.location import choose_member, select_member_for_new_volume
from pulumi_pika.reconcile.instances.runtime_options import RuntimeOptions
from pulumi_pika.reconcile.instances.update import update_runtime
from pulumi_pika.reconcile.preflight import HostFacts, run_preflight
from pulumi_pika.reconcile.shared.errors import PlacementError

from ...conftest import IMAGE, sweep
from ...support.daemons import (
    AWAY,
    Server,
    await_members,
    offline_after,
    until,
)
from ...support.reconcile import (
    Recorder,
    claim_of,
    there,
)

Cluster = tuple[Server, Server]


@pytest.fixture
def client(cluster: Cluster) -> IncusClient:
    return IncusClient(cluster[0].daemon.socket)


@pytest.fixture
def name(cluster: Cluster) -> Iterator[str]:
    import secrets

    prefix = f"t-{secrets.token_hex(4)}"
    yield prefix
    sweep(cluster[0].daemon, prefix)
    sweep_volumes(cluster, prefix)


def sweep_volumes(cluster: Cluster, prefix: str) -> None:
    request = cluster[0].daemon.request
    custom = "/storage-pools/default/volumes/custom"
    for volume in request("GET", f"{custom}?recursion=1"):
        if volume["name"].startswith(prefix):
            request("DELETE", f"{custom}/{volume['name']}?target={volume['location']}")


def plan_of(name: str, volumes: int = 0, **more: Any) -> IncusRuntimePlan:
    mounts = [
        {
            "kind": "persistent_volume",
            "source": f"{name}-{index}",
            "guest_path": f"/mnt/{index}",
            "mode": "read_write",
        }
        for index in range(volumes)
    ]
    fields = {
        "identity": {"runtime_id": f"id-{name}", "instance_name": name},
        "provider": "incus",
        "incus": {"project": "default", "profile": "default", "image_alias": IMAGE},
        "mounts": mounts,
        **more,
    }
    return RuntimeSpec.model_validate(fields).build_incus_plan()


OPTIONS = RuntimeOptions(instance_type="container", storage_pool="default")


def make(client: IncusClient, plan: IncusRuntimePlan) -> LiveInstance:
    _, live = create_runtime(client, plan, OPTIONS, Recorder())
    return live


def location_of(client: IncusClient, volume: str) -> str:
    found = get_volume(client, "default", volume)
    assert found is not None
    return str(found.data["location"])


@pytest.mark.parametrize("target", ["one", "two", "@second"])
def test_target_counts_for_instance_and_volumes(
    client: IncusClient, name: str, target: str
) -> None:
    client.target = target

    live = make(client, plan_of(name, volumes=2))

    expected = {"@second": "two"}.get(target, target)
    assert live.location == expected
    assert live.running
    assert {location_of(client, f"{name}-{i}") for i in range(2)} == {expected}


def test_without_a_target_both_go_to_one_member(client: IncusClient, name: str) -> None:
    live = make(client, plan_of(name, volumes=2))

    assert live.location in ("one", "two")
    assert {location_of(client, f"{name}-{i}") for i in range(2)} == {live.location}


def test_instance_goes_to_its_data(client: IncusClient, name: str) -> None:
    for location in ("one", "two"):
        volume = f"{name}-{location}"
        create_volume(client.on_member(location), "default", volume, description="", config={})
        mount = {"kind": "persistent_volume", "source": volume, "guest_path": "/mnt"}
        live = make(client, plan_of(f"{name}-{location}", mounts=[{**mount, "mode": "read_write"}]))
        assert live.location == location


def test_data_elsewhere_than_the_target_is_refused(client: IncusClient, name: str) -> None:
    create_volume(client.on_member("two"), "default", f"{name}-0", description="", config={})
    client.target = "one"

    with pytest.raises(PlacementError, match="target is one") as caught:
        make(client, plan_of(name, volumes=1))

    assert f"{name}-0 on two" in str(caught.value)
    assert fetch_instance(client, name) is None


def test_update_and_delete_are_at_the_instances_member(
    client: IncusClient, cluster: Cluster, name: str
) -> None:
    client.target = "two"
    before = plan_of(name)
    live = make(client, before)
    client.target = "one"  # What the host says now counts for new things only.

    after = plan_of(name, volumes=1)
    options = OPTIONS.model_copy(update={"delete_data": True})
    previous = LastApplied()
    _, changed = update_runtime(
        client,
        after,
        options,
        Recorder(),
        previous=previous,
        claim=claim_of(live),
        known_pool="default",
    )
    assert changed.location == "two"
    assert location_of(client, f"{name}-0") == "two"

    # A volume of the same name at another member is another volume.
    create_volume(client.on_member("one"), "default", f"{name}-0", description="", config={})
    delete_runtime(client, after, options, Recorder(), claim=claim_of(live), pool="default")
    assert fetch_instance(client, name) is None
    assert get_volume(client.on_member("two"), "default", f"{name}-0") is None
    assert get_volume(client.on_member("one"), "default", f"{name}-0") is not None


def test_new_volumes_follow_the_target_or_spread(client: IncusClient, name: str) -> None:
    def chosen(target: str, volume: str) -> str:
        client.target = target
        return select_member_for_new_volume(client, "default", volume).member

    assert {chosen("one", f"{name}-{i}") for i in range(5)} == {"one"}
    assert {chosen("@second", f"{name}-{i}") for i in range(5)} == {"two"}
    assert {chosen("", f"{name}-{i}") for i in range(20)} == {"one", "two"}


def test_what_is_no_member_or_group(client: IncusClient) -> None:
    for target, said in (("tow", "did you mean two?"), ("@gpu", "existing: default, second")):
        client.target = target
        found = run_preflight(HostFacts(client), plan_of("box"), OPTIONS)
        assert [said in finding.message(secret=False) for finding in found] == [True]


def test_names_spread_over_the_members(client: IncusClient) -> None:
    chosen = [choose_member(client, f"box-{i}") for i in range(20)]

    assert set(chosen) == {"one", "two"}
    assert chosen == [choose_member(client, f"box-{i}") for i in range(20)]


def test_moved_instance_is_where_it_is(client: IncusClient, cluster: Cluster, name: str) -> None:
    client.target = "one"
    plan = plan_of(name)
    live = make(client, plan)
    request = cluster[0].daemon.request
    request("PUT", f"/instances/{name}/state", {"action": "stop", "force": True})
    request("POST", f"/instances/{name}?target=two", {"name": name, "migration": True})
    request("PUT", f"/instances/{name}/state", {"action": "start"})

    moved = fetch_instance(client, name)

    assert moved is not None
    assert (moved.location, moved.uuid) == ("two", live.uuid)


def test_member_away_is_said_and_comes_back(
    client: IncusClient, cluster: Cluster, name: str
) -> None:
    client.target = "two"
    plan = plan_of(name, volumes=1)
    live = make(client, plan)
    two = cluster[1].daemon
    two.kill()
    try:
        # At once, though it still counts as online, and once the cluster knows.
        with pytest.raises(MemberOffline, match="cluster member two") as caught:
            fetch_instance(client, name)
        assert caught.value.member == "two"
        offline_after(cluster[0].daemon, AWAY)
        until(lambda: not all(member.online for member in list_members(client)))
        with pytest.raises(MemberOffline, match="Offline"):
            fetch_instance(client, name)
        with pytest.raises(MemberOffline):
            delete_runtime(client, plan, OPTIONS, Recorder(), claim=claim_of(live), pool="default")

        found = run_preflight(HostFacts(client), plan, OPTIONS)
        assert "target 'two' is Offline" in found[0].reason
        client.target = "@second"
        found = run_preflight(HostFacts(client), plan, OPTIONS)
        assert "none of its members is online" in found[0].reason
        with pytest.raises(PlacementError, match="two is Offline"):
            choose_member(client, name)
        # Without a target there is another one.
        client.target = ""
        assert choose_member(client, name) == "one"
        assert make(client, plan_of(f"{name}-b", volumes=1)).location == "one"
    finally:
        two.start()
        await_members(cluster[0].daemon)

    back = fetch_instance(client, name)
    assert back is not None
    assert back.uuid == live.uuid


def test_job_runs_on_another_member(
    client: IncusClient, cluster: Cluster, name: str, tmp_path: Path
) -> None:
    client.target = "two"
    spec = {
        "identity": {"runtime_id": name, "instance_name": name},
        "provider": "incus",
        "incus": {"project": "default", "profile": "default", "image_alias": IMAGE},
        "policies": {
            "restart_policy": "never",
            "retention_policy": "destroy_on_completion",
            "output_collection": {"mode": "always", "artifact_globs": ["*"]},
        },
    }
    where: list[str] = []

    class Looking(LineObserver):
        def output(self, data: bytes) -> None:
            where.append(there(client, name).location)

    outcome = run_job(
        spec,
        "head -c 3000000 /dev/zero; sleep 2; head -c 3000000 /dev/zero; "
        "echo made > /run/pika-cloud/artifacts/made",
        instance_type="container",
        client=client,
        output_dir=str(tmp_path),
        watcher=Looking(Recorder(), name),
    )

    assert outcome.completed, outcome
    assert set(where) == {"two"}
    assert (tmp_path / "output.log").stat().st_size == 6000000
    assert (tmp_path / "artifacts" / "made").read_text() == "made\n"
    assert fetch_instance(client, name) is None
