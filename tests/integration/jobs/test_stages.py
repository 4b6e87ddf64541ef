"""What goes wrong at each stage of a job, between us and a real daemon, and what comes of it.

In every case: never `completed` without the command having run through, never run twice within one
attempt, no instance left, and the next run of the job completes.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.errors import IncusError
from pulumi_pika.jobs.api import run_job
from pulumi_pika.jobs.job_run import JobOutcome
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.reconcile.shared.errors import ReconcileError

from ...conftest import IMAGE, Sandbox
from ...support.faults.steps import Step, steps_of
from ...support.faults.table import PROPERTY
from ...support.proxy import (
    Action,
    Answer,
    Forward,
    Proxy,
    Request,
    delay,
    error,
    reply,
    reset_after,
    reset_before,
    truncate,
)
from ...support.reconcile import eventually, mount

COMMAND = "echo ran >> /runs/count; echo hello; echo made > /run/pika-cloud/artifacts/made"
OUTPUT = b"hello\n"
AT_ONCE = 2
Record = Callable[[str, object], None]

_SCRIPT = """
import json, sys
from pulumi_pika.incus.client import IncusClient
from pulumi_pika.jobs.api import run_job

socket, spec, command, home = sys.argv[1:]
run_job(json.loads(spec), command, instance_type="container", output_dir=home,
        client=IncusClient(socket))
"""


@dataclass
class Place:
    """A job whose runs are counted on the host."""

    client: IncusClient
    proxy: Proxy
    name: str
    folder: Path

    @property
    def spec(self) -> dict[str, Any]:
        return {
            "identity": {"runtime_id": f"id-{self.name}", "instance_name": self.name},
            "provider": "incus",
            "incus": {"project": "default", "profile": "default", "image_alias": IMAGE},
            "mounts": [mount("artifact_output", str(self.folder / "runs"), "/runs")],
            "policies": {
                "restart_policy": "never",
                "retention_policy": "destroy_on_completion",
                "output_collection": {"mode": "always", "artifact_globs": ["*"]},
            },
        }

    @property
    def proxied(self) -> IncusClient:
        """A client that knows nothing of the server yet."""
        return IncusClient(self.proxy.socket)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def counted(self) -> Path:
        return self.folder / "runs" / "count"

    @property
    def runs(self) -> int:
        return self.counted.read_text().count("ran") if self.counted.exists() else 0

    def run(self, client: IncusClient, **more: Any) -> JobOutcome:
        return run_job(
            self.spec,
            COMMAND,
            instance_type="container",
            output_dir=str(self.home),
            client=client,
            timeout_secs=30,
            **more,
        )

    def start(self, processes: list[subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        """A run through the proxy in a process of its own, which is put into the list as well."""
        arguments = [str(self.proxy.socket), json.dumps(self.spec), COMMAND, str(self.home)]
        process = subprocess.Popen(
            [sys.executable, "-c", _SCRIPT, *arguments], stderr=subprocess.DEVNULL
        )
        processes.append(process)
        return process

    def check(self, outcome: JobOutcome) -> None:
        """What was brought home is whole, where the outcome says so."""
        assert (self.home / "output.log").read_bytes() == OUTPUT
        assert (self.home / "artifacts" / "made").read_text() == "made\n"
        assert outcome.log_tail == "hello"

    def steps(self) -> list[Step]:
        """The requests of a run in which nothing goes wrong."""
        self.proxy.clear()
        assert self.run(self.proxied).completed
        self.counted.unlink()
        return steps_of(self.proxy.requests, self.name)


@contextmanager
def place_at(socket: Path, name: str, folder: Path) -> Iterator[Place]:
    """A place before the daemon of a socket."""
    (folder / "runs").mkdir(mode=0o777, parents=True)
    (folder / "runs").chmod(0o777)
    for above in (folder, *folder.parents[:4]):
        above.chmod(above.stat().st_mode | 0o055)
    with Proxy(socket, folder / "proxy") as proxy:
        yield Place(IncusClient(socket), proxy, name, folder)


@pytest.fixture
def place(sandbox: Sandbox, name: str, tmp_path: Path) -> Iterator[Place]:
    with place_at(sandbox.socket, name, tmp_path) as made:
        yield made


@pytest.fixture
def places(sandbox: Sandbox, name: str, tmp_path: Path) -> Iterator[list[Place]]:
    """Places for as many jobs at once."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(place_at(sandbox.socket, f"{name}-{n}", tmp_path / str(n)))
            for n in range(AT_ONCE)
        ]


def at_each(
    places: list[Place],
    differs: Callable[[Step], bool],
    work: Callable[[Place, Step], str],
) -> list[tuple[Step, str]]:
    """What comes of a job at each of its steps, one at a time in each place, in their order."""
    steps = [step for step in places[0].steps() if differs(step)]
    free: SimpleQueue[Place] = SimpleQueue()
    for place in places:
        free.put(place)

    def one(step: Step) -> tuple[Step, str]:
        place = free.get()
        try:
            place.counted.unlink(missing_ok=True)
            place.proxy.clear()
            return step, work(place, step)
        finally:
            free.put(place)

    with ThreadPoolExecutor(len(places)) as pool:
        return list(pool.map(one, steps))


FAULTS: dict[str, Callable[[], Action]] = {
    "reset before": reset_before,
    "reply lost": reset_after,
    "500": lambda: reply(500, error("injected", 500)),
    "cut off": lambda: truncate(20),
    "late reply": lambda: delay(1.2),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_at_each_step(places: list[Place], fault: str, record_property: Record) -> None:
    def one(place: Place, step: Step) -> str:
        rule = place.proxy.on(step.method, step.pattern(place.name), FAULTS[fault](), nth=step.nth)
        word = _outcome(place)
        assert rule.applied, f"{step} was never sent"
        assert fetch_instance(place.client, place.name) is None, (
            f"{fault} at {step} left the instance"
        )
        return word

    for step, word in at_each(places, lambda step: _differs(step, fault), one):
        record_property(PROPERTY, ["job", fault, str(step), word])


def _differs(step: Step, fault: str) -> bool:
    """Whether a fault at a step is another than one that is tried anyway."""
    if step.method not in ("GET", "HEAD") or step.waits:
        return True
    # Where nothing changes, an answer that is lost, or late, is one that did not come; and one look
    # at a file of the guest is like another.
    return fault not in ("reply lost", "late reply") and step.nth <= 2


def _outcome(place: Place) -> str:
    """The word for what came of a run with a fault in it, which is looked at closely."""
    try:
        outcome = place.run(place.proxied)
    except (IncusError, ReconcileError) as problem:
        assert place.runs <= 1, f"the command ran {place.runs} times"
        return "error" if str(problem) else "silent"
    assert place.runs == 1, f"the command ran {place.runs} times"
    if not outcome.completed:
        assert outcome.status == "lost", outcome
        return "lost"
    if outcome.skipped_outputs:
        return "part"
    place.check(outcome)
    return "ok"


def test_killed_at_each_step(places: list[Place], record_property: Record) -> None:
    def one(place: Place, step: Step) -> str:
        processes: list[subprocess.Popen[bytes]] = []

        def kill(request: Request, forward: Forward) -> Answer:
            # It is dead before the answer gets there.
            answer = forward(request)
            processes[0].kill()
            return answer

        rule = place.proxy.on(step.method, step.pattern(place.name), kill, nth=step.nth)
        process = place.start(processes)
        try:
            assert process.wait(120) == -9, f"it was not killed at {step}"
            assert rule.applied
            slow = False
        except subprocess.TimeoutExpired:
            # Seen once in twenty runs, and not understood; it is killed then, wherever it is, and
            # shows in the table.
            process.kill()
            process.wait()
            slow = True
        left = fetch_instance(place.client, place.name)
        # What the daemon was just doing it goes on to do.
        ran = place.runs

        outcome = place.run(place.client)

        assert outcome.completed, f"after a kill at {step}: {outcome}"
        place.check(outcome)
        assert place.runs in (ran + 1, 2), f"{place.runs} runs after a kill at {step}"
        assert fetch_instance(place.client, place.name) is None
        assert not list(place.home.glob(".pika-*")), "a part of a killed run's file was left"
        return "slow" if slow else "again" if left else "ok"

    for step, word in at_each(places, lambda step: _differs(step, "killed"), one):
        record_property(PROPERTY, ["job", "killed", str(step), word])


@dataclass(frozen=True)
class Kind:
    """One of the jobs that run at once."""

    command: str
    status: str
    exit_code: int | None
    tail: str
    limit: int = 60


KINDS = {
    "success": Kind("echo fine", "completed", 0, "fine"),
    "failure": Kind("echo bad; exit 9", "failed", 9, "bad"),
    "time-out": Kind("echo slow; sleep 100", "timed_out", 143, "slow", limit=10),
    "binary": Kind("head -c 1000000 /dev/urandom; echo; echo end", "completed", 0, "end"),
    "stopped": Kind("echo going; kill -PWR 1; sleep 50", "lost", None, "going"),
}


def test_20_at_once(
    sandbox: Sandbox, client: IncusClient, name: str, tmp_path: Path, record_property: Record
) -> None:
    begun = threading.Barrier(20)

    def one(number: int) -> tuple[str, JobOutcome]:
        kind = list(KINDS)[number % len(KINDS)]
        own = f"{name}-{number}"
        spec = {
            "identity": {"runtime_id": own, "instance_name": own},
            "provider": "incus",
            "incus": {"project": "default", "profile": "default", "image_alias": IMAGE},
        }
        begun.wait()
        return kind, run_job(
            spec,
            KINDS[kind].command,
            instance_type="container",
            timeout_secs=KINDS[kind].limit,
            output_dir=str(tmp_path / own),
            client=client,
        )

    with ThreadPoolExecutor(20) as pool:
        outcomes = list(pool.map(one, range(20)))

    for number, (kind, outcome) in enumerate(outcomes):
        wanted = KINDS[kind]
        # What ends a command with its instance may let the shell tell of it first.
        if kind != "stopped" or outcome.status == "lost":
            assert (outcome.status, outcome.exit_code) == (wanted.status, wanted.exit_code), outcome
        assert not (kind == "stopped" and outcome.completed)
        assert outcome.log_tail.splitlines()[-1] == wanted.tail
        assert (tmp_path / f"{name}-{number}" / "output.log").exists()
    for kind in KINDS:
        those = [outcome for found, outcome in outcomes if found == kind]
        statuses = ", ".join(sorted({outcome.status for outcome in those}))
        row = f"{kind} ({len(those)})"
        record_property(PROPERTY, ["20 jobs at once", "outcome  ", row, statuses])
        slowest = max(outcome.duration_secs for outcome in those)
        record_property(PROPERTY, ["20 jobs at once", "seconds", row, f"{slowest:.1f}"])
    eventually(
        lambda: not [path for path in client.get_list("/1.0/instances") if f"/{name}-" in str(path)]
    )
