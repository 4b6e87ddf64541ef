"""Detached work, as virtual machines have it, tried in containers: the script is the same."""

import functools
import threading
from collections.abc import Callable

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.instances import exec_status
from pulumi_pika.jobs import job_run as running
from pulumi_pika.jobs.guest_script import script_of
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance

from ...support.reconcile import eventually
from .test_run import Watching, job

_KILL = (
    "for process in /proc/[0-9]*; do tr '\\0' ' ' <$process/cmdline 2>/dev/null | "
    "grep -q 'prepare[ ]detach' && kill -9 ${process#/proc/}; done; true"
)


@pytest.fixture(autouse=True)
def _detached(monkeypatch: pytest.MonkeyPatch) -> None:
    detached = functools.partial(script_of, is_detached=True)

    def instead(plan: object, options: object, *, is_detached: bool) -> object:
        return detached(plan, options)  # type: ignore[arg-type]

    monkeypatch.setattr(running, "script_of", instead)


def test_success(client: IncusClient, name: str) -> None:
    watching = Watching()

    outcome = job(client, name, "echo out; echo err >&2; pwd; id -u", watcher=watching)

    assert (outcome.status, outcome.exit_code) == ("completed", 0)
    assert bytes(watching.seen) == b"out\nerr\n/root\n0\n"
    assert fetch_instance(client, name) is None


def test_as_another_user(client: IncusClient, name: str) -> None:
    given = {"run_as_root": False, "uid": 1234, "gid": 4321}

    outcome = job(client, name, "id -u; exit 3", **given)

    assert (outcome.status, outcome.exit_code) == ("failed", 3)
    assert outcome.log_tail == "1234"


def test_time_limit(client: IncusClient, name: str) -> None:
    outcome = job(client, name, "echo begun; sleep 600 & sleep 600", timeout_secs=3)

    assert outcome.status == "timed_out"
    assert outcome.log_tail == "begun"


def test_work_goes_on_when_what_started_it_is_killed(client: IncusClient, name: str) -> None:
    watching = Watching()
    killing = _when_begun(
        watching, lambda: exec_status(client, name, ["sh", "-c", _KILL], timeout=30)
    )

    outcome = job(client, name, "echo begun; sleep 8; echo end; exit 7", watcher=watching)

    killing.join()
    assert (outcome.status, outcome.exit_code) == ("failed", 7)
    assert bytes(watching.seen) == b"begun\nend\n"
    assert any("no longer follows the command" in line for line in watching.infos)


def test_stopped_instance_is_not_waited_for(client: IncusClient, name: str) -> None:
    watching = Watching()
    path = f"/1.0/instances/{name}/state"
    body = {"action": "stop", "force": True, "timeout": 0}
    stopping = _when_begun(watching, lambda: client.run("PUT", path, body, timeout=60))

    outcome = job(client, name, "echo begun; sleep 600", watcher=watching)

    stopping.join()
    assert outcome.status == "lost"
    assert outcome.duration_secs < 60


def _when_begun(watching: Watching, act: Callable[[], object]) -> threading.Thread:
    def run() -> None:
        eventually(lambda: b"begun" in watching.seen)
        act()

    thread = threading.Thread(target=run)
    thread.start()
    return thread
