"""Faults that are more than a request without its answer: the host that is away for a while, an
operation that is forgotten, somebody else in the way, a guest that lies about its end."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.incus import client as incus_client
from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.errors import IncusError
from pulumi_pika.jobs import (
    command_start,
    job_instance,
    retry_transport,
    supervisor,
)
from pulumi_pika.jobs.api import run_job
from pulumi_pika.jobs.guest_events import EventReader
from pulumi_pika.jobs.job_run import JobOutcome
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.reconcile.shared.errors import ReconcileError

from ...conftest import OTHER_IMAGE, Sandbox
from ...support.faults.steps import Step
from ...support.faults.table import PROPERTY
from ...support.job_guest import GO, let_go
from ...support.proxy import (
    Action,
    Answer,
    Forward,
    Proxy,
    Request,
    Reset,
    Rule,
    call,
    edit,
    error,
    reply,
    reset_before,
)
from ...support.reconcile import eventually
from .test_run import (
    Watching,
    policies,
    spec,
)
from .test_stages import (
    Place,
    Record,
    at_each,
)

EXEC = r"/1\.0/instances/[^/]+/exec"
WAIT = r"/1\.0/operations/[^/]+/wait"


def job(client: IncusClient, name: str, command: str, **more: Any) -> JobOutcome:
    given = {"instance_type": "container", "timeout_secs": 60, **more}
    return run_job(spec(name, policies=policies()), command, client=client, **given)


def ran_once(place: Place, outcome: JobOutcome) -> None:
    assert outcome.completed, outcome
    assert outcome.skipped_outputs == ()
    place.check(outcome)
    assert place.runs == 1
    assert fetch_instance(place.client, place.name) is None


def away(proxy: Proxy, seconds: float) -> Rule:
    """From now on nothing arrives, for a while."""
    until = time.monotonic() + seconds

    def act(request: Request, forward: Forward) -> Answer:
        if time.monotonic() < until:
            raise Reset
        return forward(request)

    return proxy.on("*", ".*", act, times=None)


# The start of the command, which must not happen twice


def test_start_whose_answer_is_lost_with_the_host(place: Place) -> None:
    def act(request: Request, forward: Forward) -> Answer:
        forward(request)
        away(place.proxy, 1.5)
        raise Reset

    rule = place.proxy.on("POST", EXEC, act)

    outcome = place.run(place.proxied)

    assert rule.applied == 1
    assert len(place.proxy.sent("POST", EXEC)) == 1
    ran_once(place, outcome)


@pytest.mark.parametrize("status", [500, 502])
def test_start_that_was_carried_out_though_it_is_said_to_have_failed(
    place: Place, status: int
) -> None:
    """As where a cluster's member loses the one that it passed the request on to."""

    def act(request: Request, forward: Forward) -> Answer:
        forward(request)
        # It may be over by the time that it is looked for.
        eventually(lambda: place.runs)
        return reply(status, error("EOF", status))(request, forward)

    place.proxy.on("POST", EXEC, act)

    ran_once(place, place.run(place.proxied))


def test_start_that_never_came_to_pass_is_said(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_start, "_APPEARS_WITHIN", 0.5)
    place.proxy.on("POST", EXEC, reset_before())

    with pytest.raises(ReconcileError, match="the reply to the request was lost"):
        place.run(place.proxied)

    assert place.runs == 0
    assert fetch_instance(place.client, place.name) is None


@pytest.mark.parametrize("nth", [1, 2], ids=["preparing", "starting"])
@pytest.mark.parametrize("fault", ["reply lost", "500"])
def test_start_as_another_user(
    client: IncusClient, name: str, sandbox: Sandbox, tmp_path: Path, nth: int, fault: str
) -> None:
    def act(request: Request, forward: Forward) -> Answer:
        if fault == "500":
            return reply(500, error("injected", 500))(request, forward)
        forward(request)
        raise Reset

    watching = Watching()
    with Proxy(sandbox.socket, tmp_path / "proxy") as proxy:
        rule = proxy.on("POST", EXEC, act, nth=nth)
        outcome = job(IncusClient(proxy.socket), name, "id -u", run_as_root=False, watcher=watching)
        assert rule.applied == 1

    assert outcome.completed, outcome
    assert bytes(watching.seen) == b"1000\n"
    assert fetch_instance(client, name) is None


# Operations


def _failed(request: Request, forward: Forward) -> Answer:
    def fail(content: dict[str, Any]) -> None:
        state = {"status": "Failure", "status_code": 400, "err": "made to fail"}
        content["metadata"] = {**content["metadata"], **state}

    return edit(fail)(request, forward)


def _vanished(request: Request, forward: Forward) -> Answer:
    """It ends, and is forgotten before anybody asks for it."""
    forward(request)
    return reply(404, error("Operation not found", 404))(request, forward)


def _halved(request: Request, forward: Forward) -> Answer:
    """The answer ends in the midst, and claims to be whole."""
    answer = forward(request)
    return replace(answer, body=answer.body[: len(answer.body) // 2])


def _all(step: Step) -> bool:
    return step.method != "HEAD"


def _changes(step: Step) -> bool:
    return step.method not in ("GET", "HEAD")


def _waits(step: Step) -> bool:
    return step.waits


FAULTS: dict[str, tuple[Action, Callable[[Step], bool]]] = {
    "op fails": (_failed, _waits),
    "op vanishes": (_vanished, _waits),
    "half of it": (_halved, _all),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_at_each_step(places: list[Place], fault: str, record_property: Record) -> None:
    action, at = FAULTS[fault]

    def one(place: Place, step: Step) -> str:
        rule = place.proxy.on(step.method, step.pattern(place.name), action, nth=step.nth)
        try:
            outcome = place.run(place.proxied)
        except (IncusError, ReconcileError):
            assert place.runs <= 1
            word = "error"
        else:
            assert outcome.completed, f"{fault} at {step}: {outcome}"
            assert place.runs == 1
            word = "part" if outcome.skipped_outputs else "ok"
            if not outcome.skipped_outputs:
                place.check(outcome)
        assert rule.applied, f"{step} was never sent"
        assert fetch_instance(place.client, place.name) is None, (
            f"{fault} at {step} left the instance"
        )
        return word

    for step, word in at_each(places, at, one):
        record_property(PROPERTY, ["job", fault, str(step), word])


def test_host_that_is_away_from_a_step_on(
    places: list[Place], monkeypatch: pytest.MonkeyPatch, record_property: Record
) -> None:
    for module, constant, value in (
        (incus_client, "_RECONNECT_FOR", 0.5),
        (job_instance, "_PAUSES", (0.1,)),
        (retry_transport, "AWAY_FOR", 0.5),
        (command_start, "AWAY_FOR", 0.5),
        (supervisor, "_AWAY_FOR", 1.0),
    ):
        monkeypatch.setattr(module, constant, value)

    def one(place: Place, step: Step) -> str:
        gone = place.proxy.on("*", ".*", reset_before(), nth=10**9, times=None)

        def act(request: Request, forward: Forward) -> Answer:
            gone.nth = 0
            raise Reset

        rule = place.proxy.on(step.method, step.pattern(place.name), act, nth=step.nth)
        try:
            outcome = place.run(place.proxied, timeouts={"wait": 1})
        except (IncusError, ReconcileError):
            word = "error"
        else:
            word = "ok" if outcome.completed else outcome.status
            if outcome.completed:
                assert place.runs == 1
                assert not outcome.skipped_outputs
                place.check(outcome)
        assert rule.applied
        assert place.runs <= 1
        ran = place.runs
        left = fetch_instance(place.client, place.name)
        # What the daemon was just doing it goes on to do.
        assert place.run(place.client).completed, f"after the host was away at {step}"
        assert place.runs in (ran + 1, 2)
        assert fetch_instance(place.client, place.name) is None
        return f"{word}, again" if left else word

    for step, word in at_each(places, lambda step: step.waits or _changes(step), one):
        record_property(PROPERTY, ["job", "host away", str(step), word])


# Others in the way


@contextmanager
def running(client: IncusClient, name: str, command: str, **more: Any) -> Iterator[list[Any]]:
    """A job that is begun; the list holds what came of it once the block has ended."""
    watching = Watching()
    came: list[Any] = []

    def run() -> None:
        try:
            came.append(job(client, name, command, watcher=watching, **more))
        except (IncusError, ReconcileError) as problem:
            came.append(problem)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        eventually(lambda: watching.seen or came)
        yield came
    finally:
        thread.join(120)


def state(client: IncusClient, name: str, action: str, **more: Any) -> None:
    body = {"action": action, **more}
    client.run("PUT", f"/1.0/instances/{name}/state", body, timeout=60)


def push(client: IncusClient, name: str, path: str, data: bytes | None = None) -> None:
    kind = "directory" if data is None else "file"
    where = f"/1.0/instances/{name}/files"
    headers = {"X-Incus-type": kind}
    client.send_change("POST", where, params={"path": path}, headers=headers, data=data)


@pytest.mark.parametrize("forgotten", [False, True], ids=["the operation ends", "it is forgotten"])
def test_another_instance_of_the_name_proves_nothing_and_is_left_alone(
    client: IncusClient, sandbox: Sandbox, name: str, tmp_path: Path, forgotten: bool
) -> None:
    """Somebody removes ours, and what has its name then says that all went well."""
    other = f"{name}-other"
    source = {"type": "image", "alias": OTHER_IMAGE}
    body = {"name": other, "type": "container", "start": True, "source": source}
    client.run("POST", "/1.0/instances", body, timeout=60)
    push(client, other, "/.pika-job")
    push(client, other, "/.pika-job/exit", b"0\n")
    state(client, other, "stop", force=True)

    def swap(request: Request, forward: Forward) -> Answer:
        state(client, name, "stop", force=True)
        client.run("DELETE", f"/1.0/instances/{name}", timeout=30)
        client.run("POST", f"/1.0/instances/{other}", {"name": name}, timeout=30)
        state(client, name, "start")
        return _vanished(request, forward) if forgotten else forward(request)

    with Proxy(sandbox.socket, tmp_path / "proxy") as proxy:

        def follows(request: Request, forward: Forward) -> Answer:
            answer = forward(request)
            # From the start of the command on, the next wait is for it.
            proxy.on("GET", WAIT, swap)
            return answer

        proxy.on("POST", EXEC, follows)
        outcome = job(
            IncusClient(proxy.socket), name, "sleep 60", output_dir=str(tmp_path / "home")
        )

    assert outcome.status == "lost", outcome
    assert not (tmp_path / "home" / "artifacts").exists()
    live = fetch_instance(client, name)
    assert live is not None
    assert live.running, "what is another's was stopped"


def test_frozen_for_a_while(client: IncusClient, name: str) -> None:
    with running(client, name, f"echo on; {GO}; echo end; exit 6") as came:
        state(client, name, "freeze")
        time.sleep(1.5)
        assert not came, "it was given up though it could go on"
        state(client, name, "unfreeze")
        let_go(client, name)

    (outcome,) = came
    assert (outcome.status, outcome.exit_code) == ("failed", 6)
    assert outcome.log_tail == "on\nend"


def test_instance_that_is_seen_to_stop_only_after_a_while(
    client: IncusClient, sandbox: Sandbox, name: str, tmp_path: Path
) -> None:
    """As on a host that is busy. What ended with its instance has not failed by itself."""
    stopped_at: list[float] = []

    def late(content: dict[str, Any]) -> None:
        found = content["metadata"]
        if found and found.get("status") == "Stopped":
            stopped_at.append(time.monotonic())
            if time.monotonic() - stopped_at[0] < 4:
                found |= {"status": "Running", "status_code": 103}

    with Proxy(sandbox.socket, tmp_path / "proxy") as proxy:
        proxy.on("GET", f"/1.0/instances/{name}", edit(late), times=None)
        outcome = job(IncusClient(proxy.socket), name, "echo on; kill -PWR 1; sleep 50")

    assert stopped_at
    assert outcome.status == "lost", outcome
    assert fetch_instance(client, name) is None


def test_time_limit_holds_for_what_is_frozen(
    client: IncusClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_OVERDUE", 1.0)
    # It has to be frozen before the guest's own watch ends it.
    with running(client, name, "echo on; sleep 60", timeout_secs=8) as came:
        state(client, name, "freeze")

    (outcome,) = came
    assert outcome.status == "timed_out", outcome
    assert fetch_instance(client, name) is None


def test_image_that_is_deleted_meanwhile(
    client: IncusClient, sandbox: Sandbox, name: str, tmp_path: Path
) -> None:
    image = sandbox.daemon.directory / "two.tar"

    def delete(request: Request) -> None:
        sandbox.daemon.request("DELETE", f"/images/{sandbox.other_image}")

    given = spec(name, policies=policies())
    given["incus"] = {**given["incus"], "image_alias": OTHER_IMAGE}
    with Proxy(sandbox.socket, tmp_path / "proxy") as proxy:
        proxy.on("POST", r"/1\.0/instances", call(delete))
        try:
            with pytest.raises(ReconcileError, match="could not create instance"):
                run_job(given, "true", instance_type="container", client=IncusClient(proxy.socket))
        finally:
            sandbox.daemon.import_image(image, OTHER_IMAGE)

    assert fetch_instance(client, name) is None


# Guests that lie about their end


@pytest.mark.parametrize(
    ("command", "statuses"),
    [
        # The script that would tell is ended, and its word forged.
        ("mkdir -p /.pika-job; echo 0 > /.pika-job/exit; kill -9 $PPID", {"failed"}),
        ("mkdir /.pika-job/exit; exit 3", {"failed"}),
        ("mkfifo /.pika-job/exit.part; exit 3", {"failed", "timed_out"}),
        ("(sleep 0.3; rm -f /.pika-job/exit; mkfifo /.pika-job/exit) & exit 3", {"failed"}),
        ("ln -s /dev/zero /.pika-job/exit; exit 3", {"failed"}),
        ("rm -rf /.pika-job; exit 3", {"failed"}),
        ("rm -rf /.pika-job; ln -s /proc /.pika-job; exit 0", {"completed"}),
    ],
)
def test_word_of_the_end_that_is_not_the_scripts_own(
    client: IncusClient,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    command: str,
    statuses: set[str],
) -> None:
    monkeypatch.setattr(supervisor, "_OVERDUE", 1.0)
    monkeypatch.setattr(supervisor, "_STOPS_WITHIN", 1.0)

    outcome = job(client, name, command, timeout_secs=8)

    assert outcome.status in statuses, outcome
    assert fetch_instance(client, name) is None


def test_output_that_seems_to_be_endless(
    client: IncusClient, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guest holds the server's own file, and gives it a length that it does not have."""
    monkeypatch.setattr(supervisor, "_REST_WITHIN", 2.0)

    outcome = job(
        client,
        name,
        "echo begun; dd if=/dev/null bs=1M seek=1000000 2>/dev/null; echo end",
        output_dir=str(tmp_path),
        max_output_mib=4,
    )

    assert outcome.completed
    assert (tmp_path / "output.log").stat().st_size == 4 * 2**20
    assert any("could not be read within 2 s" in left.reason for left in outcome.skipped_outputs)
    assert fetch_instance(client, name) is None


def test_event_with_half_a_character() -> None:
    (event,) = EventReader().feed(b'{"kind": "a\\ud800", "message": "b\\udfff"}\n')

    assert event.describe() == "a?: b?"
