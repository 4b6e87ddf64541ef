"""A run that is ended from outside, and a daemon that is killed, at stages that tests/jobs's other
files do not reach: what is left is found, by this run or the next."""

import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dev.sandbox import Daemon
from pulumi_pika.incus.errors import IncusError
from pulumi_pika.jobs import job_instance, supervisor
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.reconcile.shared.errors import ReconcileError

from ...conftest import sweep
from ...support.faults.faults import bring_back
from ...support.faults.steps import Step
from ...support.faults.table import PROPERTY
from ...support.own_daemon import own_daemon
from ...support.proxy import (
    Answer,
    Forward,
    Request,
    Reset,
)
from ...support.reconcile import eventually
from .test_stages import (
    Place,
    Record,
    at_each,
    place_at,
)

INTERRUPTED = 130
"""What a shell calls a process that SIGINT ended; Python ends itself by the signal."""


def changes_or_waits(step: Step) -> bool:
    return step.waits or step.method not in ("GET", "HEAD")


@pytest.mark.parametrize("after", [False, True], ids=["before the answer", "with the answer"])
def test_interrupted_at_each_step(
    places: list[Place], after: bool, record_property: Record
) -> None:
    """Ctrl-C: when the process has ended, its instance is gone."""

    def one(place: Place, step: Step) -> str:
        processes: list[subprocess.Popen[bytes]] = []

        def interrupt(request: Request, forward: Forward) -> Answer:
            if after:
                answer = forward(request)
                processes[0].send_signal(signal.SIGINT)
                return answer
            # It stops to wait for an answer while the daemon is at work.
            processes[0].send_signal(signal.SIGINT)
            return forward(request)

        rule = place.proxy.on(step.method, step.pattern(place.name), interrupt, nth=step.nth)
        code = place.start(processes).wait(180)
        assert rule.applied
        # At the last step, it may be over before the signal counts.
        assert code in (-signal.SIGINT, INTERRUPTED, 0), f"{code} at {step}"
        assert fetch_instance(place.client, place.name) is None, f"interrupted at {step}"
        assert place.runs <= 1
        assert not list(place.home.glob(".pika-*"))
        return "gone"

    fault = "Ctrl-C, answered" if after else "Ctrl-C"
    for step, word in at_each(places, changes_or_waits, one):
        record_property(PROPERTY, ["job", fault, str(step), word])


def test_instance_that_a_killed_run_had_begun_appears_late(place: Place) -> None:
    """The next run sees none at first, and then that the name is taken."""

    def killed(request: Request, forward: Forward) -> Answer:
        # Ours is asked for first; before it gets there, that of the killed run does.
        body = {**request.json, "config": {**request.json["config"]}}
        body["config"]["user.pika.job"] = "elsewhere 1 1"
        body["config"]["user.pika.generation"] = "another"
        place.client.run("POST", "/1.0/instances", body, timeout=60)
        return forward(request)

    rule = place.proxy.on("POST", "/1.0/instances", killed)

    outcome = place.run(place.proxied)

    assert rule.applied == 1
    assert outcome.completed
    place.check(outcome)
    assert fetch_instance(place.client, place.name) is None


def test_process_that_ended_runs_no_job_though_its_parent_has_not_asked_yet() -> None:
    process = subprocess.Popen(["sleep", "60"])
    runner = f"{socket.gethostname()} {process.pid} {job_instance._started(process.pid)}"
    assert job_instance._runs_still(runner)

    process.kill()

    eventually(lambda: not job_instance._runs_still(runner))
    process.wait()


# A daemon that is killed at a stage


@pytest.fixture(scope="module")
def mortal(sandbox: object) -> Iterator[Daemon]:
    """A daemon of these tests' own."""
    with own_daemon("jk") as daemon:
        yield daemon


@pytest.fixture
def mortal_place(mortal: Daemon, name: str, tmp_path: Path) -> Iterator[Place]:
    with place_at(mortal.socket, name, tmp_path) as made:
        yield made
    sweep(mortal, name)


def _stage(step: Step) -> bool:
    """Whether a step is not just like another: each change and wait, and some of the looks at what
    there is in the guest."""
    looks = "/logs/" in step.path or step.path.endswith("/files")
    return changes_or_waits(step) or (looks and step.nth in (1, 2, 6))


def test_daemon_killed_at_each_step(
    mortal: Daemon,
    mortal_place: Place,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Record,
) -> None:
    # There is no systemd that would be waited for.
    monkeypatch.setattr(supervisor, "_BEGINS_WITHIN", 3.0)

    def one(place: Place, step: Step) -> str:
        back = threading.Thread(target=bring_back, args=(mortal, place.proxy))

        def act(request: Request, forward: Forward) -> Answer:
            if changes_or_waits(step):
                threading.Thread(target=_quietly, args=(forward, request)).start()
            mortal.kill()
            back.start()
            raise Reset

        rule = place.proxy.on(step.method, step.pattern(place.name), act, nth=step.nth)
        try:
            outcome = place.run(place.proxied)
        except (IncusError, ReconcileError):
            word = "error"
        else:
            word = "ok" if outcome.completed else outcome.status
            if outcome.completed:
                assert place.runs == 1, f"{place.runs} runs, killed at {step}"
                assert not outcome.skipped_outputs
                place.check(outcome)
        back.join(60)
        assert rule.applied, f"{step} was never sent"
        assert place.runs <= 1, f"{place.runs} runs, killed at {step}"
        ran = place.runs
        left = fetch_instance(place.client, place.name)
        again = place.run(place.client)
        assert again.completed, f"after a kill at {step}: {again}"
        assert place.runs in (ran + 1, 2)
        assert fetch_instance(place.client, place.name) is None
        return f"{word}, again" if left else word

    for step, word in at_each([mortal_place], _stage, one):
        record_property(PROPERTY, ["job", "daemon killed", str(step), word])


def _quietly(forward: Callable[[Request], Answer], request: Request) -> None:
    try:
        forward(request)
    except Reset:
        return
