"""The providers' calls one after the other, as the engine makes them, at the real daemon."""

import random
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.storage import get_volume
from pulumi_pika.providers.provider_errors import ProviderError
from pulumi_pika.reconcile.shared.ownership import OWNER_KEY
from pulumi_pika.reconcile.volumes.restore import RESTORING_KEY

from ...conftest import Sandbox
from ...support.provider_calls import snapshot_calls, volume_calls
from ...support.volumes import (
    CUSTOM,
    OTHER,
    OWNER,
    POOL,
    launch,
    snapshot,
    there,
)

SEED = 20260101
COUNT = 60


@pytest.fixture(autouse=True)
def _at_the_sandbox(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INCUS_SOCKET", str(sandbox.socket))


def wire(value: Any) -> Any:
    """A tree as it comes back over Pulumi's wire: every number a float."""
    if isinstance(value, dict):
        return {key: wire(item) for key, item in value.items()}
    if isinstance(value, list):
        return [wire(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def checked(olds: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    result = volume_calls.check({"owner": OWNER, "secret_inputs": [], **given}, olds)
    assert result.failures == []
    return dict(wire(result.inputs))


def any_volume(rng: random.Random, name: str) -> dict[str, Any]:
    content_type = rng.choice(["filesystem", "block"])
    more: dict[str, Any] = {
        "size": rng.choice(["1MiB", "1024KiB", "1500kB", "1GiB", "1073741824B", "2GB"]),
        "labels": {rng.choice(["a", "b c", "ä", "x.y"]): rng.choice(["", "1", "two words", "ü"])},
        "config": {f"user.{rng.choice('xyz')}": rng.choice(["1", " ", "a=b", "{}"])},
        "description": rng.choice(["", "words", "zwei\nZeilen", " "]),
        "snapshots_schedule": rng.choice(["@daily", "@hourly, @weekly", "5 4 * * *"]),
        "snapshots_expiry": rng.choice(["1d", "2w 3H"]),
        "snapshots_pattern": rng.choice(["s-%d", "{{ creation_date }}"]),
        "timeouts": {"stop": rng.choice([1, 2.5])},
        "delete_data": rng.random() < 0.5,
    }
    kept = {key: value for key, value in more.items() if rng.random() < 0.5}
    if content_type == "block":
        # Without one it has 10 GiB, which a later size could not go below.
        kept["size"] = more["size"]
    return {"volume_name": name, "content_type": content_type, **kept}


def refresh(outputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Outputs and inputs as a refresh gives them."""
    read = volume_calls.read("id", outputs)
    assert read.outs is not None
    assert read.inputs is not None
    return wire(read.outs), wire(read.inputs)


def test_no_perpetual_diffs(name: str) -> None:
    """Create, refresh, preview: no change, ever; nor after an update to another."""
    rng = random.Random(SEED)
    for number in range(COUNT):
        given = any_volume(rng, f"{name}-{number}")
        inputs = checked(**given)
        outputs = wire(volume_calls.create(inputs).outs)
        seen, seen_inputs = refresh(outputs)
        assert seen == outputs, given
        assert seen_inputs == inputs, given
        assert volume_calls.diff(seen, inputs).changes is False, given

        other = any_volume(rng, f"{name}-{number}")
        other["content_type"] = given["content_type"]
        other["size"] = "3GiB"
        inputs = checked(inputs, **other)
        outputs = wire(volume_calls.update(outputs, inputs).outs)
        seen, _ = refresh(outputs)
        assert seen == outputs, (given, other)
        assert volume_calls.diff(seen, inputs).changes is False, (given, other)


def test_block_volume_without_a_size_does_not_shrink(name: str, client: IncusClient) -> None:
    inputs = checked(volume_name=name, content_type="block")
    outputs = wire(volume_calls.create(inputs).outs)
    smaller = checked(inputs, volume_name=name, content_type="block", size="1GiB")
    with pytest.raises(ProviderError, match="1GiB is smaller than the volume"):
        volume_calls.update(outputs, smaller)
    assert "size" not in there(client, name).config


def test_drift_leads_back(name: str, client: IncusClient, sandbox: Sandbox) -> None:
    inputs = checked(volume_name=name, size="1GiB", snapshots_schedule="@daily", labels={"a": "1"})
    outputs = wire(volume_calls.create(inputs).outs)
    config = {
        "size": "",
        "snapshots.schedule": "",
        OWNER_KEY: "",
        "user.pika.generation": "",
        "user.pika.label.b": "theirs",
    }
    sandbox.daemon.request("PATCH", f"{CUSTOM}/{name}", {"config": config})

    seen, seen_inputs = refresh(outputs)

    assert "size" not in seen
    assert "snapshots_schedule" not in seen_inputs
    assert seen["labels"] == {"a": "1", "b": "theirs"}
    assert seen["owner"] == ""
    assert volume_calls.diff(seen, inputs).changes is True
    volume_calls.update(seen, inputs)
    live = there(client, name)
    assert live.config["size"] == "1GiB"
    assert live.owner == OWNER
    assert "user.pika.label.b" not in live.config


def test_volume_that_became_anothers_reads_as_gone(
    name: str, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = wire(volume_calls.create(checked(volume_name=name)).outs)
    sandbox.daemon.request("PATCH", f"{CUSTOM}/{name}", {"config": {OWNER_KEY: OTHER}})
    read = volume_calls.read("id", outputs)
    assert read.id == ""
    volume_calls.delete({**outputs, "delete_data": True})
    assert sandbox.daemon.request("GET", f"{CUSTOM}/{name}")
    assert OTHER in capsys.readouterr().err


def test_restore_that_was_cut_off_is_said_at_a_refresh(
    name: str, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = wire(volume_calls.create(checked(volume_name=name)).outs)
    mark = '{"snapshot": "one", "safety_snapshot": "two", "start": [["default", "box"]]}'
    sandbox.daemon.request("PATCH", f"{CUSTOM}/{name}", {"config": {RESTORING_KEY: mark}})
    assert refresh(outputs)[0] == outputs
    said = capsys.readouterr().err
    assert "may have left box (project default) stopped" in said


def test_what_cannot_be_restored_leaves_all_as_it_was(name: str, client: IncusClient) -> None:
    inputs = checked(volume_name=name)
    outputs = wire(volume_calls.create(inputs).outs)
    before = there(client, name)
    wanted = checked(inputs, volume_name=name, restore_from="none", description="new")
    volume_calls.diff(outputs, wanted)
    with pytest.raises(ProviderError, match=r"snapshot none of .* does not exist"):
        volume_calls.update(outputs, wanted)
    assert there(client, name) == before


def test_taken_up_again_is_not_restored_again(name: str, client: IncusClient) -> None:
    inputs = checked(volume_name=name)
    outputs = wire(volume_calls.create(inputs).outs)
    snapshot(client, name, "one")
    wanted = checked(inputs, volume_name=name, restore_from="one")
    outputs = wire(volume_calls.update(outputs, wanted).outs)
    assert outputs["restored_from"] == "one"
    safety = outputs["safety_snapshot"]
    volume_calls.delete(outputs)

    outputs = wire(volume_calls.create(wanted).outs)

    assert outputs["safety_snapshot"] == safety, "it was restored once more"
    volume_calls.delete({**outputs, "delete_data": True})
    assert get_volume(client, POOL, name) is None


def test_snapshot_calls(name: str, sandbox: Sandbox) -> None:
    volume_calls.create(checked(volume_name=name))
    given = {
        "volume_name": name,
        "snapshot_name": "s",
        "expires_at": "2030-01-01T00:00:00.123456789+02:00",
        "owner": OWNER,
        "secret_inputs": [],
    }
    inputs = wire(snapshot_calls.check(given).inputs)
    outputs = wire(snapshot_calls.create(inputs).outs)
    read = snapshot_calls.read("id", outputs)
    assert wire(read.outs) == outputs
    assert snapshot_calls.diff(wire(read.outs), inputs).changes is False
    body = {"description": "x", "expires_at": "2031-01-01T00:00:00Z"}
    sandbox.daemon.request("PUT", f"{CUSTOM}/{name}/snapshots/s", body)
    read = snapshot_calls.read("id", outputs)
    assert read.outs is not None
    assert read.outs["expires_at"] == "2031-01-01T00:00:00Z"
    assert snapshot_calls.diff(wire(read.outs), inputs).changes is True
    outputs = wire(snapshot_calls.update(wire(read.outs), inputs).outs)
    assert wire(snapshot_calls.read("id", outputs).outs) == outputs
    snapshot_calls.delete(outputs)
    assert snapshot_calls.read("id", outputs).id == ""


def test_restore_of_an_adopted_volume_is_announced(
    client: IncusClient, sandbox: Sandbox, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A create has no diff that could say it."""
    sandbox.daemon.request("POST", CUSTOM, {"name": name})
    box = f"{name}-box"
    launch(sandbox, box, name)
    snapshot(client, name, "first")
    given: dict[str, Any] = {"volume_name": name, "restore_from": "first", "adopt": True}

    inputs = checked(**given)

    assert f"stops {box}" in "".join(capfd.readouterr())
    checked(inputs, **given)
    checked(volume_name=name, adopt=True)
    checked(**{**given, "volume_name": f"{name}-new"})
    # The create refuses the volume of another resource, unless that gives it up before.
    theirs = {"name": f"{name}-theirs", "config": {OWNER_KEY: OTHER}}
    sandbox.daemon.request("POST", CUSTOM, theirs)
    sandbox.daemon.request("POST", f"{CUSTOM}/{name}-theirs/snapshots", {"name": "first"})
    checked(**{**given, "volume_name": f"{name}-theirs"})
    assert "goes back" not in "".join(capfd.readouterr())
