"""A snapshot's life at the real daemon."""

import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.errors import IncusError, IncusUnreachable
from pulumi_pika.reconcile.shared.errors import (
    ReconcileError,
    SnapshotExists,
    VolumeGone,
)
from pulumi_pika.reconcile.volumes.snapshot import (
    SNAPSHOT_OWNER_PREFIX,
    change_snapshot,
    create_or_adopt_snapshot,
    fetch_snapshot,
    remove_snapshot,
)
from pulumi_pika.reconcile.volumes.volume import create_or_adopt_volume, find_volume_changes

from ...conftest import Sandbox
from ...support.proxy import (
    Proxy,
    call,
    reply,
    reset_after,
    reset_before,
    truncate,
)
from ...support.reconcile import Recorder
from ...support.volumes import (
    CUSTOM,
    OTHER,
    OWNER,
    POOL,
    options,
    snapshot_options,
    snapshots,
    there,
)


@pytest.fixture
def volume(client: IncusClient, name: str) -> str:
    create_or_adopt_volume(client, options(name, snapshots_expiry="2w"), Recorder())
    return name


def test_life(client: IncusClient, volume: str, reporter: Recorder) -> None:
    wanted = snapshot_options(volume, "s1", description="before", expires_at="never")

    live = create_or_adopt_snapshot(client, wanted, reporter)

    assert live.owner == OWNER
    assert live.description == "before"
    assert live.expires_at is None, "the volume's own expiry was taken"
    assert not find_volume_changes(
        there(client, volume), options(volume, snapshots_expiry="2w"), None
    )
    assert not any(key.startswith(SNAPSHOT_OWNER_PREFIX) for key in there(client, volume).config)

    later = snapshot_options(volume, "s1", expires_at="2030-01-31T01:00:00+01:00")
    changed = change_snapshot(client, later, created_at=live.created_at)
    assert changed.expires_at == datetime(2030, 1, 31, tzinfo=UTC)
    assert changed.description == "before"

    remove_snapshot(client, later, reporter, created_at=live.created_at, generation="")
    assert snapshots(client, volume) == []
    remove_snapshot(client, later, reporter, created_at=live.created_at, generation="")


def test_by_default_the_volumes_expiry_counts(
    client: IncusClient, volume: str, reporter: Recorder
) -> None:
    live = create_or_adopt_snapshot(client, snapshot_options(volume, "s1"), reporter)
    assert live.expires_at is not None
    assert 13 <= (live.expires_at - datetime.now(UTC)).days <= 14


def test_block_volume(client: IncusClient, name: str, reporter: Recorder) -> None:
    create_or_adopt_volume(client, options(name, content_type="block", size="16MiB"), reporter)
    create_or_adopt_snapshot(client, snapshot_options(name, "s1"), reporter)
    assert snapshots(client, name) == ["s1"]


def test_missing_volume(client: IncusClient, name: str, reporter: Recorder) -> None:
    with pytest.raises(VolumeGone, match="create it before its snapshot"):
        create_or_adopt_snapshot(client, snapshot_options(name, "s1"), reporter)


def test_snapshot_that_is_gone(client: IncusClient, volume: str) -> None:
    with pytest.raises(
        VolumeGone, match="any more; run `pulumi refresh`, then `pulumi up` to take a new one"
    ):
        change_snapshot(client, snapshot_options(volume, "s1"), created_at="")


@pytest.mark.parametrize("owner", ["", OTHER])
def test_anothers_is_refused_and_untouched(
    client: IncusClient, volume: str, reporter: Recorder, owner: str
) -> None:
    before = create_or_adopt_snapshot(client, snapshot_options(volume, "s1", owner=owner), reporter)
    with pytest.raises(SnapshotExists, match="incus storage volume snapshot delete"):
        create_or_adopt_snapshot(
            client, snapshot_options(volume, "s1", description="mine"), reporter
        )
    assert fetch_snapshot(client, POOL, volume, "s1") == before


def test_another_in_its_place_is_left_alone(
    client: IncusClient, volume: str, reporter: Recorder
) -> None:
    wanted = snapshot_options(volume, "s1")
    first = create_or_adopt_snapshot(client, wanted, reporter)
    remove_snapshot(client, wanted, reporter, created_at=first.created_at, generation="")
    create_or_adopt_snapshot(client, wanted, reporter)
    remove_snapshot(client, wanted, reporter, created_at=first.created_at, generation="")
    assert snapshots(client, volume) == ["s1"]
    assert "it is not deleted" in reporter.warnings[0]
    with pytest.raises(SnapshotExists):
        change_snapshot(client, wanted, created_at=first.created_at)


@pytest.mark.parametrize("action", [reset_after(), truncate(10)])
@pytest.mark.parametrize("what", ["snapshots", "wait"])
def test_lost_reply_is_no_matter(
    proxied: IncusClient, proxy: Proxy, volume: str, reporter: Recorder, action: Any, what: str
) -> None:
    if what == "wait":
        proxy.on("GET", ".*/wait", action)
    else:
        proxy.on("POST", ".*/snapshots", action)
    live = create_or_adopt_snapshot(proxied, snapshot_options(volume, "s1"), reporter)
    assert live.owner == OWNER
    assert len(proxy.sent("POST", ".*/snapshots")) == 1


def test_killed_after_the_request_is_finished_by_the_next(
    client: IncusClient, proxied: IncusClient, proxy: Proxy, volume: str, reporter: Recorder
) -> None:
    proxy.on("POST", ".*/snapshots", reset_after(), call(lambda _: None))
    proxy.on("GET", ".*/snapshots/s1", reset_before(), nth=2, times=None)
    with pytest.raises(IncusError):
        create_or_adopt_snapshot(proxied, snapshot_options(volume, "s1", description="d"), reporter)
    made = fetch_snapshot(client, POOL, volume, "s1")
    assert made is not None

    live = create_or_adopt_snapshot(
        client, snapshot_options(volume, "s1", description="d"), reporter
    )

    assert live.created_at == made.created_at
    assert live.description == "d"


def test_never_arrived(proxied: IncusClient, proxy: Proxy, volume: str, reporter: Recorder) -> None:
    proxy.on("POST", ".*/snapshots", reset_before())
    with pytest.raises(IncusUnreachable):
        create_or_adopt_snapshot(proxied, snapshot_options(volume, "s1"), reporter)
    create_or_adopt_snapshot(proxied, snapshot_options(volume, "s1"), reporter)


def test_volume_changed_meanwhile(
    proxied: IncusClient, proxy: Proxy, volume: str, reporter: Recorder, sandbox: Sandbox
) -> None:
    def edit(_: Any) -> None:
        body = {"config": {"user.theirs": "1"}}
        sandbox.daemon.request("PATCH", f"{CUSTOM}/{volume}", body)

    proxy.on("PATCH", f"/1.0{CUSTOM}/{volume}", call(edit))
    assert (
        create_or_adopt_snapshot(proxied, snapshot_options(volume, "s1"), reporter).owner == OWNER
    )
    assert there(proxied, volume).config["user.theirs"] == "1"


def test_failed_operation_says_why(
    proxied: IncusClient, proxy: Proxy, volume: str, reporter: Recorder
) -> None:
    proxy.on("POST", ".*/snapshots", reply(500, {"type": "error", "error": "no space left"}))
    with pytest.raises(IncusError, match="no space left"):
        create_or_adopt_snapshot(proxied, snapshot_options(volume, "s1"), reporter)
    # The mark is off again.
    assert not any(key.startswith(SNAPSHOT_OWNER_PREFIX) for key in there(proxied, volume).config)


def test_two_at_once_one_wins(client: IncusClient, volume: str) -> None:
    outcomes: list[Any] = []
    barrier = threading.Barrier(4)

    def attempt(owner: str) -> None:
        barrier.wait()
        try:
            wanted = snapshot_options(volume, "s1", owner=owner)
            create_or_adopt_snapshot(client, wanted, Recorder())
            outcomes.append(owner)
        except (IncusError, ReconcileError) as error:
            outcomes.append(error)

    threads = [threading.Thread(target=attempt, args=(f"{OWNER}-{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    live = fetch_snapshot(client, POOL, volume, "s1")
    assert live is not None
    assert [outcome for outcome in outcomes if isinstance(outcome, str)] == [live.owner]
    for outcome in outcomes:
        assert isinstance(outcome, str | SnapshotExists), outcome


def test_many_of_one_volume_at_once(client: IncusClient, volume: str) -> None:
    failed: list[Exception] = []

    def attempt(number: int) -> None:
        try:
            live = create_or_adopt_snapshot(
                client, snapshot_options(volume, f"s{number}"), Recorder()
            )
            assert live.owner == OWNER
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=attempt, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert sorted(snapshots(client, volume)) == ["s0", "s1", "s2", "s3"]
