"""`restart_triggers`, and what the guest says of itself."""

import json
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient, url
from pulumi_pika.incus.guest_files import read_kernel_file
from pulumi_pika.incus.instances import exec_status
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance

from ...conftest import Sandbox
from ...support.provider_engine import (
    Managed,
    Refused,
    arguments,
)

STATUS_PATH = "/run/pika-cloud/status.json"


def boot_id(client: IncusClient, name: str) -> str:
    return read_kernel_file(client, name, "/proc/sys/kernel/random/boot_id").decode().strip()


def processes_since(client: IncusClient, name: str) -> int:
    live = fetch_instance(client, name)
    assert live is not None
    return int(live.raw["state"]["pid"])


def test_recover_restarts_and_starts(client: IncusClient, name: str, sandbox: Sandbox) -> None:
    managed = Managed(arguments(name, mounts=[]))
    managed.up()
    before = processes_since(client, name)
    managed.change(restart_triggers="first")
    assert managed.up() == "update"
    after = processes_since(client, name)
    assert after != before
    assert managed.planned() == "same"

    sandbox.daemon.request("PUT", f"/instances/{name}/state", {"action": "stop", "force": True})
    managed.change(restart_triggers={"any": ["value", 2]})
    assert managed.up() == "update"
    live = fetch_instance(client, name)
    assert live is not None
    assert live.running


def test_recover_with_a_power_state_left_to_others(client: IncusClient, name: str) -> None:
    given = arguments(name, mounts=[])
    del given["running"]
    managed = Managed(given)
    managed.up()
    managed.change(restart_triggers=1)
    managed.up()
    assert managed["status"] == "Running"


def test_recover_of_what_is_to_be_stopped_is_refused(name: str) -> None:
    with pytest.raises(
        Refused, match="restart_triggers: conflicts with `running=False`; remove one of them"
    ):
        Managed(arguments(name, running=False, restart_triggers=1)).up()


def say(client: IncusClient, name: str, status: Any) -> None:
    text = status if isinstance(status, str) else json.dumps(status)
    path = url("instances", name, "files")
    exec_status(client, name, ["mkdir", "-p", "/run/pika-cloud"], timeout=30)
    client.transport.send(
        "POST",
        path,
        params={"path": STATUS_PATH, "project": "default"},
        data=text.encode(),
        headers={"X-Incus-type": "file", "X-Incus-write": "overwrite"},
    )


def test_guest_status(client: IncusClient, name: str) -> None:
    managed = Managed(arguments(name, mounts=[]))
    managed.up()
    nothing = managed["guest_status"]
    assert nothing == {
        "state": "unknown",
        "reason": f"the guest has not written the status file {STATUS_PATH} yet",
    }

    def seen(status: Any) -> dict[str, Any]:
        say(client, name, status)
        assert managed.refresh() == {}
        found: dict[str, Any] = managed["guest_status"]
        return found

    good = {
        "schema_version": 1,
        "state": "ready",
        "updated_at": "2026-11-24T00:00:00Z",
        "message": "up",
        "boot_id": boot_id(client, name),
        "details": {"port": 80},
    }
    assert seen(good) == {
        "state": "ready",
        "message": "up",
        "updated_at": "2026-11-24T00:00:00Z",
        "details": {"port": 80},
    }
    for status, reason in (
        ({**good, "boot_id": "another"}, "is from an earlier boot (its state is 'ready')"),
        (
            {key: good[key] for key in good if key != "boot_id"},
            "has no boot_id, so that its boot is unknown",
        ),
        ({**good, "schema_version": 2}, "has schema version 2, not 1"),
        ({**good, "schema_version": True}, "has schema version True, not 1"),
        ({**good, "state": "fine"}, "has an unknown state 'fine'"),
        ({**good, "state": ["ready"]}, "has an unknown state"),
        ([good], "is not a JSON object"),
        ("{", "is not JSON (1 bytes)"),
        ("", "is empty, or is a FIFO or a device"),
        ("[" * 100_000, "is not JSON"),
        ("x" * 2_000_000, "cannot be read"),
    ):
        found = seen(status)
        assert found["state"] == "unknown"
        assert reason in found["reason"]

    managed.change(running=False)
    managed.up()
    assert managed["guest_status"] == {"state": "unknown", "reason": "the instance is Stopped"}
