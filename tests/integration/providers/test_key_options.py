"""Pinned CPUs, relative limits, scheduled snapshots and ephemeral instances."""

from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.validation.plan_inputs import plan_inputs

from ...conftest import Sandbox
from ...support.provider_engine import Managed, Refused, arguments
from ...support.reconcile import there

ALL: dict[str, Any] = {
    "cpu_pinning": "0-0",
    "cpu_allowance": "25ms/100ms",
    "memory_percent": 50,
    "snapshots_schedule": "@daily",
    "snapshots_expiry": "2w",
    "snapshots_pattern": "day%d",
}
KEYS = {
    "limits.cpu": "0-0",
    "limits.cpu.allowance": "25ms/100ms",
    "limits.memory": "50%",
    "snapshots.schedule": "@daily",
    "snapshots.expiry": "2w",
    "snapshots.pattern": "day%d",
}


def of(config: dict[str, str]) -> dict[str, str]:
    return {key: config[key] for key in KEYS if key in config}


def test_set_kept_corrected_and_dropped(sandbox: Sandbox, client: IncusClient, name: str) -> None:
    managed = Managed(arguments(name, mounts=[], **ALL))
    try:
        managed.up()
        assert of(there(client, name).config) == KEYS
        assert managed.refresh() == {}
        assert managed.up() == "same"

        theirs = {"limits.memory": "30%", "snapshots.expiry": "", "limits.cpu": "1"}
        sandbox.daemon.request("PATCH", f"/instances/{name}", {"config": theirs})
        drift = managed.refresh()
        assert drift["memory_percent"] == (50, 30)
        assert drift["cpu_pinning"] == ("0-0", "1")
        assert drift["snapshots_expiry"] == ("2w", "")
        assert managed.up() == "update"
        assert of(there(client, name).config) == KEYS

        for option in ALL:
            del managed.arguments[option]
        assert managed.up() == "update"
        assert of(there(client, name).config) == {}
        assert managed.refresh() == {}
    finally:
        managed.destroy()


def test_plan_is_the_same_without_and_with_them(name: str) -> None:
    """The plan's JSON is the reference's."""
    plain = plan_inputs(arguments(name)).plan_tree
    assert plan_inputs(arguments(name, **ALL)).plan_tree == plain


def test_ephemeral_instance_is_restarted_without_being_lost(
    sandbox: Sandbox, client: IncusClient, name: str
) -> None:
    managed = Managed(arguments(name, ephemeral=True))
    managed.up()
    live = there(client, name)
    assert live.ephemeral
    assert managed.refresh() == {}
    managed.change(restart_triggers="1")
    assert managed.up() == "update"
    managed.change(config={"security.nesting": "true"})
    assert managed.up() == "update"
    after = there(client, name)
    assert (after.uuid, after.ephemeral, after.running) == (live.uuid, True, True)
    assert managed.refresh() == {}

    sandbox.daemon.request("PATCH", f"/instances/{name}", {"ephemeral": False})
    assert managed.refresh()["ephemeral"] == (True, False)
    assert managed.up() == "update"
    assert there(client, name).ephemeral

    # It stops: Incus deletes it, and the next `up` creates another.
    stop = {"action": "stop", "force": True}
    sandbox.daemon.request("PUT", f"/instances/{name}/state", stop)
    assert fetch_instance(client, name) is None
    assert "id" in managed.refresh()
    assert managed.up() == "create"
    managed.change(ephemeral=False)
    assert managed.up() == "update"
    assert not there(client, name).ephemeral
    managed.change(ephemeral=True)
    managed.up()
    managed.destroy()
    assert fetch_instance(client, name) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cpu_pinning": "3"}, r'cpu_pinning: `3` is not a valid set of CPUs: .*"3-3"'),
        ({"cpu_pinning": "0-"}, "cpu_pinning: `0-` is not"),
        ({"cpu_pinning": "0-1", "resources": {"vcpu_count": 1}}, "conflicts with `resources.vcpu"),
        ({"memory_percent": 0}, "memory_percent: must be at least 1"),
        ({"memory_percent": 5, "resources": {"memory_mib": 64}}, "conflicts with `resources.mem"),
        ({"cpu_allowance": "50"}, "cpu_allowance: `50` is not a valid share"),
        (
            {"cpu_allowance": "5%", "config": {"limits.cpu.allowance": "1%"}},
            "conflicts with `cpu_allowance`",
        ),
        ({"cpu_allowance": "5%", "instance_type": "virtual-machine"}, "cpu_allowance: conflicts"),
        ({"snapshots_schedule": "daily"}, "`daily` is not a valid schedule"),
        ({"snapshots_expiry": "2 weeks"}, "`2 weeks` is not a valid expiry"),
        ({"snapshots_pattern": " "}, "snapshots_pattern: must be non-empty"),
        ({"ephemeral": True, "running": False}, "ephemeral: conflicts with `running=False`"),
    ],
)
def test_refused(name: str, change: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        Managed(arguments(name, mounts=[], **change)).checked()
