"""The daemon, or the guest, fails in the midst of a job: its outcome is found, or it is lost."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dev.sandbox import Daemon
from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.errors import IncusError
from pulumi_pika.jobs import supervisor
from pulumi_pika.jobs.api import run_job
from pulumi_pika.jobs.job_run import JobOutcome
from pulumi_pika.jobs.observer import LineObserver
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.reconcile.shared.errors import ReconcileError

from ...conftest import IMAGE
from ...support.own_daemon import own_daemon
from ...support.reconcile import Recorder, eventually

NAME = "restarted"


@pytest.fixture(scope="module")
def daemon(sandbox: object) -> Iterator[Daemon]:
    """A daemon of these tests' own, since it goes away for a while."""
    with own_daemon("jobs") as made:
        yield made


class Seen(LineObserver):
    """Keeps the output, and says when it begins."""

    def __init__(self) -> None:
        self.recorder = Recorder()
        self.data = bytearray()
        super().__init__(self.recorder, NAME)

    def output(self, data: bytes) -> None:
        self.data += data
        super().output(data)


class Running:
    """A job that runs in a thread."""

    def __init__(self, daemon: Daemon, command: str, home: Path, **more: Any) -> None:
        self.seen = Seen()
        self.outcome: JobOutcome | None = None
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, args=(daemon, command, home, more))
        self._thread.start()

    def _run(self, daemon: Daemon, command: str, home: Path, more: dict[str, Any]) -> None:
        try:
            self.outcome = job(daemon, command, home, watcher=self.seen, **more)
        except (IncusError, ReconcileError) as error:
            self.error = error

    def begun(self) -> None:
        eventually(lambda: self.seen.data or not self._thread.is_alive())
        assert self.seen.data, f"it ended before: {self.outcome or self.error}"

    def end(self) -> JobOutcome:
        self._thread.join(120)
        assert not self._thread.is_alive(), "it never ended"
        assert self.error is None, self.error
        assert self.outcome is not None
        return self.outcome


def job(daemon: Daemon, command: str, home: Path, **more: Any) -> JobOutcome:
    spec = {
        "identity": {"runtime_id": NAME, "instance_name": NAME},
        "provider": "incus",
        "incus": {"project": "default", "profile": "default", "image_alias": IMAGE},
        "policies": {
            "restart_policy": "never",
            "retention_policy": "destroy_on_completion",
            "output_collection": {"mode": "always", "artifact_globs": ["*"]},
        },
    }
    given = {"instance_type": "container", "timeout_secs": 60, "output_dir": str(home), **more}
    return run_job(spec, command, client=IncusClient(daemon.socket), **given)


def away_and_back(daemon: Daemon, seconds: float) -> None:
    daemon.kill()
    time.sleep(seconds)
    daemon.start()


@pytest.mark.parametrize(
    "restart",
    [
        lambda daemon: away_and_back(daemon, 4),
        lambda daemon: away_and_back(daemon, 0),
        lambda daemon: daemon.restart(),
    ],
    ids=["killed, the command ends meanwhile", "killed, and at once again", "restarted"],
)
@pytest.mark.parametrize("code", [0, 7])
def test_outcome_is_found(
    daemon: Daemon, tmp_path: Path, restart: Callable[[Daemon], None], code: int
) -> None:
    lines = "for i in 1 2 3; do echo line $i; sleep 1; done"
    running = Running(
        daemon, f"{lines}; echo made > /run/pika-cloud/artifacts/a; exit {code}", tmp_path
    )
    running.begun()

    restart(daemon)
    outcome = running.end()

    assert (outcome.status, outcome.exit_code) == ("failed" if code else "completed", code)
    assert (tmp_path / "output.log").read_bytes() == b"line 1\nline 2\nline 3\n"
    assert (tmp_path / "artifacts" / "a").read_text() == "made\n"
    assert fetch_instance(IncusClient(daemon.socket), NAME) is None


def test_killed_while_the_instance_is_made(daemon: Daemon, tmp_path: Path) -> None:
    client = IncusClient(daemon.socket)
    running = Running(daemon, "echo on; sleep 1; echo end", tmp_path)
    eventually(lambda: fetch_instance(client, NAME))

    away_and_back(daemon, 1)
    running._thread.join(120)

    assert running.outcome is None or running.outcome.completed or running.outcome.status == "lost"
    assert job(daemon, "echo again", tmp_path).log_tail == "again"
    assert fetch_instance(client, NAME) is None


def test_host_that_stays_away_is_a_lost_job(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_AWAY_FOR", 2.0)
    # It must not have ended before the daemon does.
    running = Running(daemon, "echo on; sleep 60", tmp_path)
    running.begun()
    daemon.kill()
    try:
        outcome = running.end()
    finally:
        daemon.start()

    assert outcome.status == "lost"
    assert outcome.exit_code is None
    assert "has not replied" in outcome.message
    # What could not be removed is removed by the next run.
    assert any("could not delete instance" in line for line in running.seen.recorder.warnings)
    assert job(daemon, "echo again", tmp_path).log_tail == "again"
    assert fetch_instance(IncusClient(daemon.socket), NAME) is None


@pytest.mark.parametrize(
    "hang",
    [
        # The time limit's own process is gone.
        "for p in /proc/[0-9]*; do grep -q '^sleep' $p/comm && kill -9 ${p#/proc/}; done; ",
        # The script that would tell of the end is stopped.
        "kill -STOP $PPID; ",
    ],
    ids=["no watchdog", "script stopped"],
)
def test_time_limit_holds_though_the_guest_hangs(
    daemon: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hang: str
) -> None:
    monkeypatch.setattr(supervisor, "_OVERDUE", 2.0)
    command = f"trap '' TERM; echo on; {hang}while :; do sleep 100 || sleep 1; done"

    # Without the limit it would never end.
    outcome = job(daemon, command, tmp_path, timeout_secs=3)

    assert outcome.status == "timed_out"
    assert outcome.duration_secs < 30
    assert "the instance was stopped" in outcome.message
    assert fetch_instance(IncusClient(daemon.socket), NAME) is None
