"""The storage pool has no room left at a step: a small file system of its own, filled up."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from dev.root import as_root
from dev.sandbox import Daemon

from ...conftest import Sandbox, daemon_directory
from ...support.faults.faults import Fault, Scene
from ...support.faults.matrix import Place, run
from ...support.faults.scenarios import Scenario, runtime
from ...support.faults.steps import Step
from ...support.proxy import (
    Action,
    Request,
    call,
)
from .conftest import Tell

POOL = "small"
DIRECTORY = daemon_directory("small")


def _fill(scene: Scene) -> Action:
    filler = DIRECTORY / "disk" / "filler"
    as_daemon = scene.daemon.as_daemon

    def fill(request: Request) -> None:
        argv = as_daemon(["dd", "if=/dev/zero", f"of={filler}", "bs=4k"])
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert "No space left" in done.stderr, done.stderr

    scene.after.append(lambda: subprocess.run(as_daemon(["rm", "-f", str(filler)]), check=True))
    return call(fill)


SMALL: dict[str, Any] = {"storage_pool": POOL, "resources": {"root_disk_gib": 1}}
"""The root disk is in the pool too: it follows `storage_pool` where it has a size of its own."""

DISK_FULL = Fault("disk full", lambda step: step.changes, _fill)

SCENARIOS = (
    Scenario(
        "create on a small disk",
        "up",
        lambda name: (None, runtime(name, "state", running=True, **SMALL)),
    ),
    Scenario(
        "update on a small disk",
        "up",
        lambda name: (
            runtime(name, "state", **SMALL),
            runtime(name, "more", **SMALL, running=True, config={"user.x": "1"}),
        ),
    ),
    Scenario(
        "update on a small disk, while running",
        "up",
        lambda name: (
            runtime(name, running=True, **SMALL),
            runtime(name, "more", running=True, **SMALL, config={"user.x": "1"}),
        ),
    ),
    Scenario(
        "delete on a small disk",
        "destroy",
        lambda name: (runtime(name, "state", **SMALL, running=True),) * 2,
    ),
)


@pytest.fixture(scope="module")
def small_place(sandbox: Sandbox, places: list[Place]) -> Iterator[Place]:
    """A pool on a file system of 8 MiB: an instance of the test's image takes 2."""
    # A directory as sandboxes have it, so that it is cleared away like one of theirs.
    script = 'mkdir -p "$1/disk" && touch "$1/.pika-sandbox"'
    subprocess.run(as_root(["sh", "-c", script, "sh", str(DIRECTORY)]), check=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(DIRECTORY / "disk")]
    subprocess.run(sandbox.daemon.as_daemon(mount), check=True)
    try:
        pool = {"name": POOL, "driver": "dir", "config": {"source": str(DIRECTORY / "disk")}}
        sandbox.daemon.request("POST", "/storage-pools", pool)
        yield replace(places[0], pool=POOL)
        sandbox.daemon.request("DELETE", f"/storage-pools/{POOL}")
    finally:
        Daemon(DIRECTORY).destroy()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_disk_full_at_each_step(scenario: Scenario, small_place: Place, tell: Tell) -> None:
    steps: list[Step] = small_place.record(scenario)
    cells = [(scenario, DISK_FULL, step) for step in steps if DISK_FULL.at(step)]
    outcomes = run([small_place], cells)
    tell(outcomes)
    failed = [str(outcome) for outcome in outcomes if outcome.problems]
    assert not failed, "\n" + "\n".join(failed)
