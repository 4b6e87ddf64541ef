"""The example `agents`: a list in the stack's config."""

from typing import Any

from pulumi_pika.incus.client import IncusClient

from ...conftest import Sandbox
from ...support.stack import Stack
from .helpers import (
    apply,
    configure,
    sh,
    take,
    there,
    uuids,
    volumes,
)

ADA = {"name": "ada", "memory_mib": 64, "labels": {"team": "search"}}
BEN = {"name": "ben", "memory_mib": 64}
CLEO = {"name": "cleo", "memory_mib": 64}


def test_an_edit_of_the_list_touches_one_agent(
    stack: Stack, client: IncusClient, sandbox: Sandbox, name: str
) -> None:
    daemon = sandbox.daemon
    take(stack, "agents", prefix=f"{name}-", agents=[ADA, CLEO])
    shown = apply(stack)
    assert f'"deletes the instance and its root disk; keeps volume {name}-ada-state"' in shown
    live = there(daemon, name)
    assert set(live) == {f"{name}-ada", f"{name}-cleo"}
    assert live[f"{name}-ada"]["config"]["user.pika.label.team"] == "search"
    assert live[f"{name}-ada"]["config"]["limits.memory"] == "64MiB"
    assert volumes(daemon, name) == [f"{name}-ada-state", f"{name}-cleo-state"]
    assert stack.outputs()["agents"]["ada"]["status"] == "Running"
    assert sh(client, f"{name}-ada", "echo known > /mnt/pika-state/file; sync")

    # Added before the last one, which only its position tells of.
    before = uuids(daemon, name)
    configure(stack, agents=[ADA, BEN, CLEO])
    shown = stack.preview()
    assert "1 to create" in shown
    assert "3 unchanged" in shown
    stack.up()
    assert uuids(daemon, name) | before == uuids(daemon, name)
    assert set(uuids(daemon, name)) - set(before) == {f"{name}-ben"}

    # Taken off, and changed beside it: its volume stays.
    before = uuids(daemon, name)
    configure(stack, agents=[{**BEN, "labels": {"team": "ads"}}, CLEO])
    shown = stack.preview()
    assert "1 to update" in shown
    assert "1 to delete" in shown
    assert "2 unchanged" in shown
    stack.up()
    left = uuids(daemon, name)
    assert left == {it: uuid for it, uuid in before.items() if it != f"{name}-ada"}
    assert f"{name}-ada-state" in volumes(daemon, name)

    # Back again, it finds what it knew.
    configure(stack, agents=[BEN, CLEO, ADA])
    stack.up()
    stack.settled()
    assert sh(client, f"{name}-ada", "grep -q known /mnt/pika-state/file")
    stack.destroy()
    assert there(daemon, name) == {}
    assert len(volumes(daemon, name)) == 3


def test_all_mistakes_at_once(stack: Stack, sandbox: Sandbox, name: str) -> None:
    mount: dict[str, Any] = {
        "kind": "cache",
        "guest_path": "/mnt/pika-state",
        "source": "/var/tmp",
        "mode": "read_only",
    }
    wrong = [
        {"name": "Ada", "memory_mib": "64", "cpus": 2},
        BEN,
        {**CLEO, "mounts": [mount]},
        {"memory_mib": 0},
        BEN,
    ]
    take(stack, "agents", prefix=f"{name}-", agents=wrong)
    said = stack.up(fails=True)
    for where in (
        "agents[0].name: ",
        "agents[0].memory_mib: ",
        "agents[0].cpus: ",
        "agents[2]: runtime spec mount guest_path `/mnt/pika-state` must be unique",
        "agents[3].name: Field required",
        "agents[3].memory_mib: ",
        "agents[4].name: there is an agent ben already",
    ):
        assert where in said
    assert "Traceback" not in said
    assert there(sandbox.daemon, name) == {}


def test_the_list_that_comes_with_it(stack: Stack, sandbox: Sandbox, name: str) -> None:
    take(stack, "agents", prefix=f"{name}-")
    apply(stack)
    limits = {it["config"]["limits.memory"] for it in there(sandbox.daemon, name).values()}
    assert limits == {"512MiB", "1024MiB"}
