"""What the providers answer to inputs and changes, without a server."""

import pickle
import random
from typing import Any

import pytest
from pulumi.runtime.rpc import UNKNOWN

from pulumi_pika.providers.snapshot import VolumeSnapshotProvider
from pulumi_pika.providers.snapshot_calls import KIND as SNAPSHOT
from pulumi_pika.providers.volume import PersistentVolumeProvider
from pulumi_pika.providers.volume_calls import DELETED, KEPT
from pulumi_pika.providers.volume_calls import KIND as VOLUME
from pulumi_pika.reconcile.volumes.volume_options import same_size, size_bytes

from ...support.provider_calls import snapshot_calls, volume_calls
from ...support.volumes import OWNER

SIG = "4dabf18193072939515e22adb298388d"
SECRET_SIG = "1b47061264138c4ac30d75fd1eb44270"


def inputs(**more: Any) -> dict[str, Any]:
    return {"volume_name": "data", "owner": OWNER, "secret_inputs": [], **more}


def checked(**more: Any) -> dict[str, Any]:
    result = volume_calls.check(inputs(**more))
    assert result.failures == []
    return dict(result.inputs)


def failures(olds: dict[str, Any], **more: Any) -> dict[str, str]:
    result = volume_calls.check(inputs(**more), olds)
    return {failure.property: failure.reason for failure in result.failures}


def state(**more: Any) -> dict[str, Any]:
    """What an earlier create has left."""
    return {
        **checked(**more),
        "created_at": "2026-01-01T00:00:00Z",
        "location": "none",
        "restored_from": "",
        "safety_snapshot": "",
        "schema_version": 1,
    }


@pytest.mark.parametrize("provider", [PersistentVolumeProvider, VolumeSnapshotProvider])
def test_provider_pickles_to_a_reference(provider: Any) -> None:
    assert len(pickle.dumps(provider())) < 100
    assert vars(provider()) == {}
    assert provider.serialize_as_secret_always is False


def test_all_problems_at_once() -> None:
    found = failures(
        {},
        volume_name="a b",
        storage_pool="x/y",
        project=" ",
        content_type="iso",
        size="10",
        config={
            "size": "1GiB",
            "user.pika.owner": "me",
            "snapshots.schedule": "@daily",
            "volatile.x": "1",
            "security.shifted": "",
        },
        labels={" x": "y", "n": 1},
        snapshots_schedule="@fortnightly",
        snapshots_expiry="two weeks",
        restore_from="a/b",
        timeouts={"stop": 0, "start": 1},
        delete_data="yes",
    )
    assert found["volume_name"].startswith(
        "`a b` is not a valid name: use an ASCII letter or digit at both ends"
    )
    assert "no slash" in found["storage_pool"]
    assert found["project"] == "must be non-empty"
    assert found["content_type"] == "must be one of 'filesystem', 'block'"
    assert "is not a valid size: add a unit" in found["size"]
    assert "10GiB" in found["size"]
    assert "set `size` instead" in found["config.size"]
    assert "store the ownership label" in found['config["user.pika.owner"]']
    assert "set `snapshots_schedule` instead" in found['config["snapshots.schedule"]']
    assert "is managed by Incus" in found['config["volatile.x"]']
    assert "remove the key" in found['config["security.shifted"]']
    assert (
        "is not a valid label key" in found['labels[" x"]']
        if 'labels[" x"]' in found
        else found["labels. x"]
    )
    assert found["labels.n"] == "must be a string"
    assert "is not a valid schedule" in found["snapshots_schedule"]
    assert "is not a valid expiry" in found["snapshots_expiry"]
    assert "is not a valid name" in found["restore_from"]
    assert found["timeouts.stop"] == "must be greater than 0.0"
    assert "is not a field of `timeouts`" in found["timeouts.start"]
    assert found["delete_data"] == "must be true or false"


@pytest.mark.parametrize(
    ("size", "said"),
    [
        ("10", "is not a valid size: add a unit, as in 10GiB"),
        ("10 GiB", "is not a valid size: use an integer and a unit"),
        ("1.5GiB", "is not a valid size: use an integer and a unit"),
        ("10gib", "is not a valid size: use an integer and a unit"),
        ("", "is not a valid size: use an integer and a unit"),
        ("-1GiB", "is not a valid size: use an integer and a unit"),
        ("٣GiB", "is not a valid size: use an integer and a unit"),
        ("0GiB", "at least 1B"),
        ("8EiB", "less than 8EiB"),
        (10, "must be a string"),
    ],
)
def test_wrong_sizes(size: Any, said: str) -> None:
    assert said in failures({}, size=size)["size"]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("1B", 1),
        ("1kB", 1000),
        ("1MB", 10**6),
        ("1KiB", 1024),
        ("10GiB", 10 * 2**30),
        ("1PiB", 2**50),
        ("12", 12),
        ("1 GiB", None),
        ("GiB", None),
        ("", None),
    ],
)
def test_sizes(size: str, expected: int | None) -> None:
    assert size_bytes(size) == expected


def test_same_sizes() -> None:
    assert same_size("1GiB", "1024MiB")
    assert not same_size("1GiB", "1GB")
    assert not same_size("1GiB", None)
    assert same_size(None, None)
    assert same_size("odd", "odd")


@pytest.mark.parametrize("schedule", ["@daily", "@hourly, @weekly", "0 6 * * *", "@Daily"])
def test_schedules(schedule: str) -> None:
    assert failures({}, snapshots_schedule=schedule) == {}


def test_on_delete_is_shown() -> None:
    assert checked()["on_delete"] == KEPT
    assert checked(delete_data=True)["on_delete"] == DELETED
    assert checked(delete_data=UNKNOWN)["on_delete"] == UNKNOWN


class TestChangesOfAnExistingVolume:
    def test_shrinking(self) -> None:
        said = failures(checked(size="2GiB"), size="1GiB")["size"]
        assert said.startswith("would shrink the volume from 2GiB to 1GiB")
        assert "would be lost" in said
        for size in ("2GiB", "2048MiB", "3GiB", None, UNKNOWN):
            more = {} if size is None else {"size": size}
            assert failures(checked(size="2GiB"), **more) == {}

    def test_another_volume_may_be_smaller(self) -> None:
        old = checked(size="2GiB")
        assert failures(old, size="1GiB", volume_name="other") == {}
        assert failures(old, size="1GiB", storage_pool="other") == {}
        assert failures(old, size="1GiB", storage_pool=UNKNOWN) == {}

    def test_content_type(self) -> None:
        assert "delete_data=True" in failures(checked(), content_type="block")["content_type"]
        both = failures(checked(), content_type="block", delete_data=True)
        assert "delete_data=True" in both["content_type"], "the data is the old state's to delete"
        assert failures(checked(delete_data=True), content_type="block", delete_data=True) == {}
        assert failures(checked(), content_type="block", volume_name="other") == {}

    def test_filesystem(self) -> None:
        old = checked(config={"block.filesystem": "ext4"})
        found = failures(old, config={"block.filesystem": "xfs"})
        assert "must stay the same on an existing volume" in found['config["block.filesystem"]']


class TestDiff:
    def diff(self, old: dict[str, Any], **new: Any) -> Any:
        return volume_calls.diff(old, checked(**new))

    def test_nothing(self) -> None:
        assert self.diff(state(size="1GiB"), size="1GiB").changes is False
        assert self.diff(state(size="1GiB"), size="1024MiB").changes is False
        # As Pulumi hands it back.
        old = {**state(timeouts={"stop": 5}), "__provider": "x", "schema_version": 1.0}
        assert self.diff(old, timeouts={"stop": 5.0}).changes is False

    @pytest.mark.parametrize(
        "more",
        [
            {"size": "2GiB"},
            {"labels": {"a": "b"}},
            {"config": {"security.shifted": "true"}},
            {"description": "x"},
            {"snapshots_schedule": "@daily"},
            {"snapshots_expiry": "2w"},
            {"snapshots_pattern": "a-%d"},
            {"delete_data": True},
            {"description": UNKNOWN},
            {"size": UNKNOWN},
        ],
    )
    def test_in_place(self, more: dict[str, Any]) -> None:
        result = self.diff(state(), **more)
        assert result.changes is True
        assert result.replaces == []

    @pytest.mark.parametrize("field", ["volume_name", "storage_pool", "project"])
    @pytest.mark.parametrize("value", ["other", UNKNOWN])
    def test_another_place_is_another_volume_made_first(self, field: str, value: str) -> None:
        result = self.diff(state(), **{field: value})
        assert result.replaces == [field]
        assert result.delete_before_replace is False

    def test_content_type_deletes_first(self) -> None:
        result = self.diff(state(delete_data=True), content_type="block", delete_data=True)
        assert result.replaces == ["content_type"]
        assert result.delete_before_replace is True

    def test_secret_that_is_no_more(self) -> None:
        old = state(labels={"a": "b"}, secret_inputs=["labels.a"])
        old["labels"] = {"a": "b"}
        assert self.diff(old, labels={"a": "b"}).changes is True


def test_secrets_are_sealed_with_all_that_follows_from_them() -> None:
    sealed = volume_calls.check(
        inputs(
            labels={"a": "s3cret-label"},
            config={"user.x": "s3cret-config"},
            restore_from="s3cret-snap",
            delete_data=True,
            secret_inputs=["labels.a", 'config["user.x"]', "restore_from", "delete_data"],
        ),
    ).inputs
    assert sealed["restore_from"][SIG] == SECRET_SIG
    assert sealed["on_delete"][SIG] == SECRET_SIG
    assert sealed["labels"]["a"][SIG] == SECRET_SIG
    tree = {"restored_from": "x", "safety_snapshot": "y", "restore_from": "x"}
    VOLUME.mark_secrets(tree, [("restore_from",)], {})
    assert all(isinstance(value, dict) and value[SIG] == SECRET_SIG for value in tree.values())


def test_reasons_do_not_tell_secrets() -> None:
    found = failures({}, size="s3cret!!", secret_inputs=["size"])
    assert "s3cret" not in str(found)
    assert "[secret]" in str(found)


def test_a_snapshot_that_would_expire_at_once() -> None:
    given = {"volume_name": "v", "snapshot_name": "s", "owner": OWNER}
    past = {**given, "expires_at": "2001-01-31T00:00:00Z"}
    for olds in ({}, given, {**given, "expires_at": "never"}):
        (failure,) = snapshot_calls.check(past, olds).failures
        assert failure.property == "expires_at"
        assert "is in the past" in failure.reason
    # One whose time has come since is left to Incus.
    assert snapshot_calls.check(past, past).failures == []
    for expires_at in ("never", "2999-01-31T00:00:00Z"):
        assert snapshot_calls.check({**given, "expires_at": expires_at}, {}).failures == []


def test_snapshot_problems_at_once() -> None:
    result = snapshot_calls.check(
        {
            "volume_name": "..",
            "snapshot_name": "x" * 65,
            "expires_at": "2030-01-01",
            "storage_pool": "",
            "owner": OWNER,
        }
    )
    found = {failure.property: failure.reason for failure in result.failures}
    assert set(found) == {"volume_name", "snapshot_name", "expires_at", "storage_pool"}
    assert "RFC 3339" in found["expires_at"]


def test_snapshot_diff() -> None:
    given = {"volume_name": "v", "snapshot_name": "s", "owner": OWNER, "secret_inputs": []}
    old = {**given, "expires_at": "2030-01-01T00:00:00Z", "created_at": "x", "triggers": [1.0]}

    def diff(**more: Any) -> Any:
        new = {**given, "expires_at": "2030-01-01T01:00:00+01:00", "triggers": [1], **more}
        return snapshot_calls.diff(old, new)

    assert diff().changes is False
    assert diff(description="x").replaces == []
    assert diff(description="x").changes is True
    assert diff(expires_at="never").changes is True
    assert diff(triggers=[2]).replaces == ["triggers"]
    assert diff(triggers=[2]).delete_before_replace is True
    assert diff(snapshot_name="t").replaces == ["snapshot_name"]
    assert diff(snapshot_name="t").delete_before_replace is False
    assert diff(volume_name=UNKNOWN).replaces == ["volume_name"]


def _junk(rng: random.Random, depth: int = 0) -> Any:
    leaves: list[Any] = [
        None, True, 0, -1, 1.5, 2**70, float("inf"), "", " ", "a", "10GiB", "..", "a/b",
        UNKNOWN, "\ud800", "\0", "ä" * 70, "@daily", "2030-01-01T00:00:00Z", "٣GiB",
    ]  # fmt: skip
    if depth > 3 or rng.random() < 0.6:
        return rng.choice(leaves)
    if rng.random() < 0.5:
        return [_junk(rng, depth + 1) for _ in range(rng.randrange(3))]
    keys = ["size", "a", "", "user.pika.owner", "snapshots.expiry", "stop", "\n", "\ud800", "[0]"]
    return {rng.choice(keys): _junk(rng, depth + 1) for _ in range(rng.randrange(3))}


@pytest.mark.parametrize("seed", range(4))
def test_check_never_raises(seed: int) -> None:
    rng = random.Random(seed)
    names = [*VOLUME.input_names, *SNAPSHOT.input_names, "else"]
    for _ in range(1500):
        olds = {rng.choice(names): _junk(rng) for _ in range(rng.randrange(4))}
        news = {**inputs(snapshot_name="s"), **{rng.choice(names): _junk(rng) for _ in range(4)}}
        for result in (volume_calls.check(news, olds), snapshot_calls.check(news)):
            assert all(isinstance(failure.reason, str) for failure in result.failures)


def test_deep_nesting_is_a_failure() -> None:
    deep: Any = "x"
    for _ in range(5000):
        deep = {"a": deep}
    assert failures({}, config=deep)
    assert snapshot_calls.check({"volume_name": "v", "triggers": deep}).failures
