"""Guests that mean no good, or have no luck, and others who get in the way."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.errors import NotFound, OperationFailed
from pulumi_pika.jobs.api import run_job
from pulumi_pika.jobs.job_run import JobOutcome
from pulumi_pika.jobs.observer import LineObserver
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.reconcile.shared.errors import ReconcileError

from ...conftest import IMAGE, Sandbox
from ...support.proxy import Proxy, call
from ...support.reconcile import Recorder, eventually
from .test_run import (
    Watching,
    policies,
    spec,
)

PATHS = "/run/pika-cloud"


def job(client: IncusClient, name: str, command: str, **more: Any) -> JobOutcome:
    given = {"instance_type": "container", "timeout_secs": 60, **more}
    return run_job(spec(name, policies=policies()), command, client=client, **given)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (f"mkfifo {PATHS}/result.json", ""),
        (f"ln -s /etc/passwd {PATHS}/result.json", ""),
        (f"mkdir {PATHS}/result.json", ""),
        (f"truncate -s 10G {PATHS}/result.json", "10,737,418,240 bytes"),
        (f"head -c 200000 /dev/zero | tr '\\0' '[' > {PATHS}/result.json", "is not JSON"),
    ],
    ids=["fifo", "symlink", "directory", "10 GiB", "nested"],
)
def test_result_file_that_is_none(
    client: IncusClient, name: str, tmp_path: Path, make: str, said: str
) -> None:
    begun = time.monotonic()
    outcome = job(client, name, make, output_dir=str(tmp_path))

    # The command's own exit code is what counts, and nothing hung.
    assert (outcome.status, outcome.exit_code) == ("completed", 0)
    assert said in outcome.message
    assert time.monotonic() - begun < 40
    assert fetch_instance(client, name) is None


def test_way_to_result_and_events_is_not_followed(
    client: IncusClient, name: str, tmp_path: Path
) -> None:
    """A user who is not root may put symlinks in place of the directories that it owns."""
    watching = Watching()
    secret = '{"schema_version":1,"status":"failed","finished_at":"x","message":"of root"}'
    command = (
        f"mkdir /root/there; echo '{secret}' > /root/there/result.json; "
        f'echo \'{{"kind":"k","message":"of root"}}\' > /root/there/events.jsonl; '
        f"rmdir {PATHS}/out; ln -s /root/there {PATHS}/out; sleep 2"
    )
    places = {"result_path": f"{PATHS}/out/result.json", "events_path": f"{PATHS}/out/events.jsonl"}
    outcome = run_job(
        spec(name, policies=policies(), paths=places),
        command,
        client=client,
        instance_type="container",
        watcher=watching,
    )

    assert (outcome.status, outcome.exit_code) == ("completed", 0)
    assert "of root" not in outcome.message
    assert f"{PATHS}/out is a symlink, which is not followed" in outcome.message
    assert watching.events == []


@pytest.mark.parametrize(
    "make",
    [
        f"mkfifo {PATHS}/events.jsonl",
        f"ln -s /dev/zero {PATHS}/events.jsonl",
        f"head -c 30000000 /dev/zero | tr '\\0' 'x' > {PATHS}/events.jsonl",
        f"printf 'no\\n{{}}\\n[1]\\n{{\"kind\": 1}}\\n\\377\\n\\n' > {PATHS}/events.jsonl",
        f'printf \'{{"kind": "\\\\u001b[2J", "seq": {{}}}}\\n\' > {PATHS}/events.jsonl',
    ],
    ids=["fifo", "symlink", "one long line", "garbage", "escapes"],
)
def test_events_that_are_none_disturb_nothing(client: IncusClient, name: str, make: str) -> None:
    watching = Watching()

    outcome = job(client, name, f"{make}; sleep 2; echo end", watcher=watching)

    assert outcome.completed
    assert outcome.log_tail == "end"
    assert len(watching.events) == (1 if "u001b" in make else 0)


def test_events_of_a_file_written_anew_come_once(client: IncusClient, name: str) -> None:
    watching = Watching()
    event = '{"schema_version": 1, "seq": %d, "timestamp": "t", "kind": "k", "message": "%s"}'
    first = event % (1, "a" * 50)
    again = f"{event % (1, 'b')}\n{event % (2, 'c')}"

    job(
        client,
        name,
        f"echo '{first}' > {PATHS}/events.jsonl; sleep 2.5; printf '%s\\n' '{again}' > e; "
        f"cat e > {PATHS}/events.jsonl; sleep 2.5; "
        f"echo '{event % (3, 'd')}' >> {PATHS}/events.jsonl",
        watcher=watching,
    )

    assert [it.seq for it in watching.events if it.seq is not None][-1] == 3
    assert len({it.seq for it in watching.events}) == len(watching.events)


def test_output_that_commands_a_terminal(client: IncusClient, name: str, tmp_path: Path) -> None:
    recorder = Recorder()
    raw = "\\033]0;title\\007\\033[2J\\377\\376 no end"

    outcome = job(
        client,
        name,
        f"printf '{raw}'",
        output_dir=str(tmp_path),
        watcher=LineObserver(recorder, name),
    )

    assert outcome.completed
    expected = b"\033]0;title\007\033[2J\377\376 no end"
    assert (tmp_path / "output.log").read_bytes() == expected


def test_what_goes_on_in_the_background_is_not_waited_for(client: IncusClient, name: str) -> None:
    begun = time.monotonic()

    outcome = job(client, name, "(while :; do echo more; done) & sleep 0.5; echo end; exit 4")

    assert (outcome.status, outcome.exit_code) == ("failed", 4)
    assert time.monotonic() - begun < 40
    assert fetch_instance(client, name) is None


def stop(client: IncusClient, name: str) -> None:
    client.run("PUT", f"/1.0/instances/{name}/state", {"action": "stop", "force": True}, timeout=30)


def remove(client: IncusClient, name: str) -> None:
    stop(client, name)
    # The job may see that it was stopped, and remove it at the same moment.
    with suppress(NotFound, OperationFailed):
        client.run("DELETE", f"/1.0/instances/{name}", timeout=30)


@pytest.mark.parametrize("meddle", [stop, remove], ids=["stopped", "removed"])
def test_somebody_else_ends_the_instance(
    client: IncusClient, name: str, meddle: Callable[[IncusClient, str], None]
) -> None:
    watching = Watching()
    outcomes: list[JobOutcome] = []
    thread = threading.Thread(
        target=lambda: outcomes.append(job(client, name, "echo on; sleep 50", watcher=watching))
    )
    thread.start()
    try:
        eventually(lambda: watching.seen or outcomes)
        meddle(client, name)
    finally:
        thread.join(90)

    (outcome,) = outcomes
    assert not outcome.completed
    assert outcome.status == "lost"
    assert outcome.exit_code is None
    assert fetch_instance(client, name) is None


def test_name_that_is_taken_meanwhile_is_left_to_its_owner(
    client: IncusClient, sandbox: Sandbox, name: str, tmp_path: Path
) -> None:
    def take(_request: object) -> None:
        body = {"name": name, "type": "container", "source": {"type": "none"}}
        client.run("POST", "/1.0/instances", body, timeout=30)

    with Proxy(sandbox.socket, tmp_path / "proxy") as proxy:
        proxy.on("POST", "/1.0/instances", call(take))
        with pytest.raises(ReconcileError, match="exists in project default"):
            job(IncusClient(proxy.socket), name, "true")

    live = fetch_instance(client, name)
    assert live is not None
    assert IMAGE not in str(live.config)
