"""Jobs as calls, in real containers: what they do, and what comes of them."""

import hashlib
import json
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pulumi_pika import RuntimeSpecError
from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.storage import get_volume
from pulumi_pika.jobs.api import run_job
from pulumi_pika.jobs.guest_events import Event
from pulumi_pika.jobs.job_errors import (
    JobFailed,
    JobInstanceTaken,
    JobOutputRefused,
    JobRefused,
)
from pulumi_pika.jobs.job_run import JobOutcome
from pulumi_pika.jobs.observer import (
    LINES_AT_ONCE,
    JobProgress,
    LineObserver,
)
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.reconcile.instances.runtime_options import JOB_KEY
from pulumi_pika.reconcile.shared.errors import PlacementError

from ...conftest import IMAGE, Sandbox
from ...support.job_guest import GO, let_go
from ...support.reconcile import (
    Recorder,
    eventually,
    mount,
)

PATHS = "/run/pika-cloud"


@dataclass
class Watching(Recorder):
    """A watcher that keeps everything."""

    seen: bytearray = field(default_factory=bytearray)
    events: list[Event] = field(default_factory=list)
    standings: list[JobProgress] = field(default_factory=list)

    def output(self, data: bytes) -> None:
        self.seen += data

    def event(self, event: Event) -> None:
        self.events.append(event)

    def alive(self, standing: JobProgress) -> None:
        self.standings.append(standing)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file of this process can become larger than 1 MiB."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def spec(name: str, **more: Any) -> dict[str, Any]:
    return {
        "identity": {"runtime_id": f"id-{name}", "instance_name": name},
        "provider": "incus",
        "incus": {"project": "default", "profile": "default", "image_alias": IMAGE},
        **more,
    }


def policies(**more: Any) -> dict[str, Any]:
    return {
        "restart_policy": "never",
        "retention_policy": "destroy_on_completion",
        "output_collection": {"mode": "always", "artifact_globs": ["**"]},
        **more,
    }


def job(client: IncusClient, name: str, command: str | list[str], **more: Any) -> JobOutcome:
    fields = more.pop("spec", {})
    given = {"instance_type": "container", "timeout_secs": 60, **more}
    return run_job(spec(name, **fields), command, client=client, **given)


def result_of(status: str = "completed", **more: Any) -> str:
    found = {"schema_version": 1, "status": status, "finished_at": "2026-01-01T00:00:00Z"}
    return json.dumps({**found, "message": "said so", **more})


def writes_result(text: str) -> str:
    return f"cat > {PATHS}/result.json <<'END'\n{text}\nEND\n"


def test_success(client: IncusClient, name: str, sandbox: Sandbox) -> None:
    watching = Watching()

    outcome = job(client, name, "echo out; echo err >&2; pwd; id -u", watcher=watching)

    assert outcome.completed
    assert (outcome.status, outcome.exit_code, outcome.attempts) == ("completed", 0, 1)
    assert outcome.image_fingerprint == sandbox.image
    assert outcome.log_tail.splitlines() == ["out", "err", "/root", "0"]
    assert bytes(watching.seen) == b"out\nerr\n/root\n0\n"
    assert 0 < outcome.duration_secs < 30
    assert outcome.collected_files == ()
    assert fetch_instance(client, name) is None
    outcome.check(name)


def test_failure_passes_the_exit_code_on(client: IncusClient, name: str) -> None:
    outcome = job(client, name, "echo why; exit 42")

    assert (outcome.status, outcome.exit_code) == ("failed", 42)
    assert fetch_instance(client, name) is None
    with pytest.raises(JobFailed, match=r"failed: the command ended with exit code 42(.|\n)*why"):
        outcome.check(name)


def test_time_limit(client: IncusClient, name: str) -> None:
    outcome = job(client, name, "echo begun; sleep 600 & sleep 600", timeout_secs=3)

    assert outcome.status == "timed_out"
    assert "its time limit of 3 s was reached" in outcome.message
    assert outcome.log_tail == "begun"
    assert outcome.duration_secs < 60
    assert fetch_instance(client, name) is None


def test_plan_is_what_is_made(client: IncusClient, name: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "code").write_text("the code")
    source.chmod(0o755)
    tmp_path.chmod(0o755)
    given = {
        "mounts": [
            mount("read_only_snapshot", str(source), "/workspace/src"),
            mount("persistent_volume", f"{name}-cache", "/cache"),
        ],
        "labels": {"team": "one"},
        "policies": policies(retention_policy="debug_keep", restart_policy="always"),
    }
    command = "cat /workspace/src/code; touch /workspace/src/no; echo kept > /cache/file; exit 1"

    outcome = job(client, name, command, spec=given, max_attempts=1)

    assert "the code" in outcome.log_tail
    assert "Read-only file system" in outcome.log_tail
    live = fetch_instance(client, name)
    assert live is not None
    assert live.config["limits.cpu"] == "2"
    assert live.config["limits.memory"] == "4096MiB"
    assert live.config["boot.autorestart"] == "false", "the job itself runs again, not Incus"
    assert live.config["user.pika.label.team"] == "one"
    assert live.config[JOB_KEY] == "kept"
    assert get_volume(client, "default", f"{name}-cache")

    given["resources"] = {"vcpu_count": 1}
    outcome = job(client, name, "cat /cache/file", spec=given)
    assert outcome.log_tail == "kept", "the volume's data went with the instance"


def test_as_another_user_with_an_environment(client: IncusClient, name: str, home: Path) -> None:
    command = (
        'id -u; id -g; echo "$WORD"; echo mine > /run/pika-cloud/artifacts/mine; '
        "cat /.pika-job.sh | wc -c | grep -vq '^0$' && cat /run/pika-cloud/guest-request.json"
    )
    environment = {"WORD": 'it\'s "$quoted" \\ `and` ünicode\nin two lines'}

    outcome = job(
        client,
        name,
        command,
        run_as_root=False,
        uid=1234,
        gid=4321,
        environment=environment,
        output_dir=str(home),
        spec={"policies": policies()},
    )

    assert outcome.completed, outcome
    lines = outcome.log_tail.splitlines()
    assert lines[:2] == ["1234", "4321"]
    assert "\n".join(lines[2:4]) == environment["WORD"]
    request = json.loads(lines[4])
    assert request == {
        "schema_version": 2,
        "command": command,
        "timeout_secs": 60,
        "run_as_root": False,
    }
    assert (home / "artifacts" / "mine").read_text() == "mine\n"


def test_list_is_taken_word_by_word(client: IncusClient, name: str) -> None:
    assert job(client, name, ["echo", "a  b", "$HOME", "it's"]).log_tail == "a  b $HOME it's"


def test_output_is_followed_while_it_runs(client: IncusClient, name: str) -> None:
    watching = Watching()
    event = '{"schema_version": 1, "seq": %d, "timestamp": "t", "kind": "step", "message": "n%d"}'
    steps = "; ".join(
        f"echo '{event % (n, n)}' >> {PATHS}/events.jsonl; echo line {n}; sleep 1" for n in (1, 2)
    )
    outcomes: list[JobOutcome] = []
    thread = threading.Thread(
        target=lambda: outcomes.append(
            job(client, name, f"{steps}; {GO}; echo end", watcher=watching)
        )
    )

    thread.start()
    try:
        eventually(lambda: watching.seen == b"line 1\nline 2\n" or outcomes)
        eventually(lambda: len(watching.events) == 2 or outcomes)
        eventually(lambda: any(it.silent > 0.5 for it in watching.standings) or outcomes)
        assert not outcomes, "it was shown only at the end"
    finally:
        let_go(client, name)
        thread.join()

    assert [(it.kind, it.message) for it in watching.events] == [("step", "n1"), ("step", "n2")]
    assert outcomes[0].log_tail.endswith("end")
    assert all(it.limit == 60 for it in watching.standings)


def test_silent_job_shows_that_it_lives(client: IncusClient, name: str) -> None:
    recorder = Recorder()
    watcher = LineObserver(recorder, name)

    job(client, name, "sleep 4", watcher=watcher)

    assert any(f"{name}: " in line and "of 60 s" in line for line in recorder.infos)


def test_flood_is_shown_in_part_and_said_so() -> None:
    recorder = Recorder()
    watcher = LineObserver(recorder, "job")

    watcher.output(b"".join(b"line %d\n" % n for n in range(1000)))
    watcher.alive(JobProgress(elapsed=1, limit=10, silent=0, output=9000))
    watcher.output("ü".encode()[:1])
    watcher.output("ü".encode()[1:] + b"10%\r20%\r30%\nend")
    watcher.finish()

    assert recorder.infos[:LINES_AT_ONCE][-1] == f"[0 s] line {LINES_AT_ONCE - 1}"
    assert recorder.infos[LINES_AT_ONCE] == "job: 960 more lines of output are not shown here"
    assert recorder.infos[-2:] == ["[1 s] 30%", "[1 s] end"]


def test_200_mib_go_through_in_bounded_memory(client: IncusClient, name: str, home: Path) -> None:
    block = bytes(range(256)) * 4096
    size = 200 * 2**20
    make = (
        'i=0; while [ $i -lt 256 ]; do printf "\\\\$(printf %03o $i)"; i=$((i+1)); done > one; '
        "i=0; while [ $i -lt 64 ]; do cat one; i=$((i+1)); done > many; "
        "i=0; while [ $i -lt 64 ]; do cat many; i=$((i+1)); done > block; "
    )
    show = f"i=0; while [ $i -lt {size // len(block)} ]; do cat block; i=$((i+1)); done"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    outcome = job(client, name, make + show, output_dir=str(home), spec={"policies": policies()})

    assert outcome.completed, outcome
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    assert grown < 60, f"{grown:.0f} MiB for 200 MiB of output"
    (log,) = outcome.collected_files
    assert (log.path, log.size) == ("output.log", size)
    expected = hashlib.sha256()
    for _ in range(size // len(block)):
        expected.update(block)
    assert log.sha256 == expected.hexdigest(), "binary output came through changed"
    assert (home / "output.log").stat().st_size == size


def test_output_beyond_the_bound_is_left_out_and_said_so(
    client: IncusClient, name: str, home: Path
) -> None:
    watching = Watching()

    outcome = job(
        client,
        name,
        "head -c 3000000 /dev/zero; echo small > /run/pika-cloud/artifacts/small",
        output_dir=str(home),
        max_output_mib=1,
        spec={"policies": policies()},
        watcher=watching,
    )

    assert outcome.completed
    assert (home / "output.log").stat().st_size == 2**20
    assert outcome.skipped_outputs[0].path == "output.log"
    assert any("output skipped" in line for line in watching.warnings)
    assert len(watching.seen) == 3000000


@pytest.mark.parametrize(
    ("mode", "code", "expected"),
    [
        ("always", 0, True),
        ("always", 1, True),
        ("failure_only", 0, False),
        ("failure_only", 1, True),
        ("none", 1, False),
    ],
)
def test_what_is_brought_home_when(
    client: IncusClient, name: str, home: Path, mode: str, code: int, expected: bool
) -> None:
    collection = {"mode": mode, "artifact_globs": ["*.txt"]}
    command = (
        f"cd {PATHS}/artifacts; echo a > a.txt; echo b > b.bin; echo log > {PATHS}/logs/guest.log; "
        f"{writes_result(result_of('failed' if code else 'completed'))} exit {code}"
    )

    outcome = job(
        client,
        name,
        command,
        output_dir=str(home),
        spec={"policies": policies(output_collection=collection)},
    )

    found = sorted(str(p.relative_to(home)) for p in home.rglob("*") if p.is_file())
    if not expected:
        assert found == []
        assert outcome.collected_files == ()
        return
    assert found == ["artifacts/a.txt", "guest.log", "manifest.json", "output.log", "result.json"]
    for collected in outcome.collected_files:
        content = (home / collected.path).read_bytes()
        assert collected.size == len(content)
        assert collected.sha256 == hashlib.sha256(content).hexdigest()


def test_last_runs_outputs_do_not_mix_with_this_ones(
    client: IncusClient, name: str, home: Path
) -> None:
    given = {"output_dir": str(home), "spec": {"policies": policies()}}
    job(client, name, f"echo 1 > {PATHS}/artifacts/old; echo 1 > {PATHS}/artifacts/both", **given)
    (home / "artifacts" / "mine").write_text("somebody else's")

    job(client, name, f"echo 2 > {PATHS}/artifacts/both", **given)

    assert not (home / "artifacts" / "old").exists()
    assert (home / "artifacts" / "both").read_text() == "2\n"
    assert (home / "artifacts" / "mine").exists()


@pytest.mark.parametrize(
    ("result", "code", "status", "exit_code", "said"),
    [
        (None, 0, "completed", 0, ""),
        (result_of(exit_code=0), 0, "completed", 0, "reports completed: said so"),
        (result_of(), 0, "completed", 0, "reports completed"),
        (result_of("failed", exit_code=3), 3, "failed", 3, "reports failed"),
        (result_of("failed", exit_code=3), 0, "failed", 3, "contradicts"),
        (result_of("failed"), 0, "failed", None, "contradicts"),
        (result_of(), 5, "failed", 5, "contradicts"),
        (result_of(exit_code=9), 0, "failed", 9, "contradicts"),
        ("{", 0, "completed", 0, "is not JSON"),
        ("[]", 4, "failed", 4, "not a JSON object"),
        (result_of(schema_version=9), 0, "completed", 0, "unknown schema_version 9"),
        (result_of("odd"), 0, "completed", 0, "unknown status 'odd'"),
    ],
)
def test_result_file_and_exit_code(
    client: IncusClient,
    name: str,
    result: str | None,
    code: int,
    status: str,
    exit_code: int | None,
    said: str,
) -> None:
    write = writes_result(result) if result is not None else ""

    outcome = job(client, name, f"{write}exit {code}")

    assert (outcome.status, outcome.exit_code) == (status, exit_code)
    assert said in outcome.message


@pytest.mark.parametrize(
    ("entry", "status", "exit_code", "said"),
    [
        ("sh -c \"$(sed 's/.*\\\"command\\\": \\\"\\([^\\\"]*\\)\\\".*/\\1/' "
         f"{PATHS}/guest-request.json)\"; {{}}", "completed", 0, "reports completed"),
        ("true", "failed", None, "does not prove that the command succeeded"),
        ("exit 3", "failed", 3, "exit code 3"),
        ("exit 3; {}", "failed", 3, "exit code 3"),
        ("{}; exit 3", "failed", 3, "contradicts"),
    ],
)  # fmt: skip
def test_entry_command(
    client: IncusClient, name: str, entry: str, status: str, exit_code: int | None, said: str
) -> None:
    write = f"echo '{result_of(exit_code=0)}' > {PATHS}/result.json"
    entry = entry.replace("{}", write)

    outcome = job(
        client, name, "echo from the request", spec={"bootstrap": {"entry_command": entry}}
    )

    assert (outcome.status, outcome.exit_code) == (status, exit_code), outcome
    assert said in outcome.message
    assert ("from the request" in outcome.log_tail) == entry.startswith("sh ")


@pytest.mark.parametrize(
    ("policy", "attempts", "status"),
    [("never", 1, "failed"), ("on_failure", 3, "completed"), ("always", 3, "completed")],
)
def test_runs_again_in_a_new_instance(
    client: IncusClient, name: str, policy: str, attempts: int, status: str
) -> None:
    watching = Watching()
    given = {
        "mounts": [mount("persistent_volume", f"{name}-count", "/count")],
        "policies": policies(restart_policy=policy),
    }
    command = "test ! -e /root/mark && touch /root/mark || exit 9; echo x >> /count/n; "
    command += "test $(wc -l < /count/n) -ge 3"

    outcome = job(client, name, command, spec=given, max_attempts=5, watcher=watching)

    assert (outcome.status, outcome.attempts) == (status, attempts)
    assert len(watching.warnings) == attempts - 1
    assert fetch_instance(client, name) is None


def test_gives_up_after_the_last_attempt(client: IncusClient, name: str) -> None:
    given = {"policies": policies(restart_policy="on_failure")}

    outcome = job(client, name, "exit 1", spec=given, max_attempts=2)

    assert (outcome.status, outcome.attempts) == ("failed", 2)
    with pytest.raises(JobFailed, match="after 2 attempts"):
        outcome.check(name)


@pytest.mark.parametrize(
    ("policy", "command", "kept"),
    [
        ("destroy_on_completion", "exit 1", False),
        ("keep_until_stopped", "true", True),
        ("keep_until_stopped", "exit 1", True),
        ("keep_until_stopped", "kill -PWR 1; sleep 20", False),
        ("debug_keep", "true", False),
        ("debug_keep", "exit 1", True),
    ],
)
def test_retention(client: IncusClient, name: str, policy: str, command: str, kept: bool) -> None:
    given = {"policies": policies(retention_policy=policy)}

    outcome = job(client, name, command, spec=given)

    live = fetch_instance(client, name)
    assert (live is not None) == kept
    assert outcome.retained_instance == (name if kept else "")
    if live is None:
        return
    assert outcome.retained_uuid == live.uuid
    assert f"incus delete --force --project default {name}" in outcome.retained_hint
    client.run("PUT", f"/1.0/instances/{name}/state", {"action": "stop", "force": True}, timeout=30)
    if policy == "keep_until_stopped":
        eventually(lambda: fetch_instance(client, name) is None)
    # Whatever is left, the next run removes.
    assert job(client, name, "true").completed
    assert fetch_instance(client, name) is None


def test_another_run_of_the_same_job_is_not_disturbed(client: IncusClient, name: str) -> None:
    watching = Watching()
    outcomes: list[JobOutcome] = []
    thread = threading.Thread(
        target=lambda: outcomes.append(
            job(client, name, f"echo on; {GO}; echo done", watcher=watching)
        )
    )
    thread.start()
    try:
        eventually(lambda: watching.seen or outcomes)
        with pytest.raises(JobInstanceTaken, match="already running"):
            job(client, name, "true")
    finally:
        let_go(client, name)
        thread.join()
    assert outcomes[0].log_tail == "on\ndone"


def test_interrupted_run_leaves_nothing(client: IncusClient, name: str) -> None:
    class Interrupting(Watching):
        def output(self, data: bytes) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job(client, name, "echo on; sleep 100", watcher=Interrupting())

    assert fetch_instance(client, name) is None


def test_what_is_missing_is_said_and_nothing_made(client: IncusClient, name: str) -> None:
    target = {"project": "default", "profile": "default", "image_alias": "no/such"}
    with pytest.raises(PlacementError, match=r"incus\.image_alias: .*no/such"):
        job(client, name, "true", spec={"incus": target})
    assert fetch_instance(client, name) is None


def test_output_dir_that_cannot_be_is_said(client: IncusClient, name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(JobOutputRefused, match=f"output_dir: .*{tmp_path}/file"):
        job(client, name, "true", output_dir=str(tmp_path / "file"), spec={"policies": policies()})
    assert fetch_instance(client, name) is None


def test_problems_are_said_before_any_request(name: str) -> None:
    nowhere = None
    with pytest.raises(JobRefused, match=r"command: must be non-empty; environment\.1X"):
        run_job(spec(name), " ", environment={"1X": ""}, client=nowhere)
    bad = {"kind": "cache", "source": "s", "guest_path": "relative", "mode": "read_write"}
    with pytest.raises(RuntimeSpecError, match="guest_path"):
        run_job(spec(name, mounts=[bad]), "true", client=nowhere)
    with pytest.raises(ValidationError):
        run_job({"identity": 1}, "true", client=nowhere)
    with pytest.raises(ValidationError):
        run_job(spec(name), "true", timeout_secs=0, client=nowhere)


def test_an_image_is_enough(client: IncusClient, home: Path) -> None:
    watching = Watching()
    outcome = run_job(
        command="nproc; echo made > /run/pika-cloud/artifacts/x; hostname",
        image=IMAGE,
        instance_type="container",
        vcpu_count=1,
        memory_mib=64,
        output_dir=str(home),
        client=client,
        watcher=watching,
    )
    assert outcome.completed, outcome
    count, name = outcome.log_tail.split()
    assert (count, name.startswith("job-")) == ("1", True)
    assert fetch_instance(client, name) is None


def test_library_call_needs_no_pulumi(sandbox: Sandbox) -> None:
    code = "import sys, pulumi_pika; pulumi_pika.run_job; assert 'pulumi' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_full_disk_at_home_costs_the_file_and_not_the_job(
    client: IncusClient, name: str, home: Path, small_files: None
) -> None:
    outcome = job(
        client,
        name,
        "head -c 4000000 /dev/zero; echo end",
        output_dir=str(home),
        spec={"policies": policies()},
    )

    assert outcome.completed
    assert outcome.log_tail.endswith("end")
    assert outcome.collected_files == ()
    assert outcome.skipped_outputs[0].path == "output.log"
    assert "File too large" in outcome.skipped_outputs[0].reason
    assert not list(home.glob(".pika-*"))
