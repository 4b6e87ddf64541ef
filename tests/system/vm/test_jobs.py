"""Jobs in virtual machines: each makes a machine, runs a command there, and removes it."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.jobs.api import run_job
from pulumi_pika.jobs.job_run import JobOutcome
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance

from ...support.reconcile import Recorder
from .machine import BOOT, VmHost

SIZE = 50


class Watching(Recorder):
    """A watcher that keeps what the command writes."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = b""

    def output(self, data: bytes) -> None:
        self.seen += data

    def event(self, event: Any) -> None: ...

    def alive(self, standing: Any) -> None: ...


@pytest.fixture
def watching() -> Iterator[Watching]:
    found = Watching()
    yield found
    print("\n".join(found.infos + found.warnings))


def job(host: VmHost, name: str, command: str, watching: Watching, **more: Any) -> JobOutcome:
    policies = {
        "restart_policy": "never",
        "retention_policy": "destroy_on_completion",
        "output_collection": {"mode": "always", "artifact_globs": ["**"]},
    }
    spec = {
        "identity": {"runtime_id": f"id-{name}", "instance_name": name},
        "provider": "incus",
        "incus": {"project": "default", "profile": "default", "image_alias": host.image},
        "resources": {"memory_mib": 768, "vcpu_count": 1},
        "policies": policies,
    }
    timeouts = {"create": BOOT, "wait": BOOT}
    given = {"timeout_secs": 900, "timeouts": timeouts, "watcher": watching, **more}
    return run_job(spec, command, client=host.client, **given)


def test_success_with_large_artifacts(
    host: VmHost, name: str, watching: Watching, tmp_path: Path
) -> None:
    """job: success, 50 MiB of artifacts, the daemon restarted meanwhile"""
    command = (
        "cd /run/pika-cloud/artifacts && echo begun && sleep 45 && "
        f"dd if=/dev/urandom of=large bs=1M count={SIZE} && sha256sum large && echo end"
    )
    restarted: list[float] = []

    def restart() -> None:
        assert host.restart is not None
        while b"begun" not in watching.seen and not end.is_set():
            time.sleep(0.5)
        if not end.is_set():
            host.restart()
            restarted.append(time.monotonic())

    end = threading.Event()
    thread = threading.Thread(target=restart)
    if host.restart is not None:
        thread.start()
    try:
        outcome = job(host, name, command, watching, output_dir=str(tmp_path))
    finally:
        end.set()
        if host.restart is not None:
            thread.join()

    assert outcome.completed, outcome
    assert outcome.exit_code == 0
    assert bool(restarted) == (host.restart is not None)
    large = next(tmp_path.rglob("large"))
    assert large.stat().st_size == SIZE * 2**20
    assert hashlib.sha256(large.read_bytes()).hexdigest() in watching.seen.decode()
    assert fetch_instance(host.client, name) is None


def test_failure(host: VmHost, name: str, watching: Watching) -> None:
    """job: failure, the exit code passed on"""
    outcome = job(host, name, "echo why >&2; exit 42", watching)

    assert (outcome.status, outcome.exit_code) == ("failed", 42)
    assert "why" in outcome.log_tail
    assert fetch_instance(host.client, name) is None


def test_time_limit(host: VmHost, name: str, watching: Watching) -> None:
    """job: time-out, the command ended"""
    outcome = job(host, name, "echo begun; sleep 3000", watching, timeout_secs=20)

    assert outcome.status == "timed_out"
    assert "its time limit of 20 s was reached" in outcome.message
    assert outcome.log_tail == "begun"
    assert fetch_instance(host.client, name) is None
