"""Jobs through the commands of a user, with the real engine and the real daemon."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.reconcile.instances.runtime_options import JOB_KEY

from ...conftest import IMAGE, Sandbox
from ...support.reconcile import eventually
from ...support.stack import Stack, make_stack

JOBS = """
import json
import pathlib
import pulumi
from pulumi_pika import IncusJob

config = pulumi.Config()
for name, arguments in json.loads(pathlib.Path("jobs.json").read_text()).items():
    for key in arguments.pop("secret_environment", ()):
        environment = arguments.setdefault("environment", {})
        environment[key] = config.require_secret(key)
    job = IncusJob(name, **arguments)
    for output in ("status", "exit_code", "message", "log_tail", "collected_files",
                   "retained_instance", "retained_status", "attempts", "image_fingerprint",
                   "duration_secs", "skipped_outputs"):
        pulumi.export(f"{name}.{output}", getattr(job, output))
"""
DEFAULTS = {"restart_policy": "never", "retention_policy": "destroy_on_completion"}


@pytest.fixture
def stack(tmp_path: Path, sandbox: Sandbox, name: str) -> Stack:
    made = make_stack(tmp_path / "stack", sandbox.socket)
    made.program(JOBS)
    return made


def declare(stack: Stack, **jobs: dict[str, Any]) -> None:
    (stack.directory / "jobs.json").write_text(json.dumps(jobs))


def job(name: str, command: str | list[str], **more: Any) -> dict[str, Any]:
    return {
        "identity": {"runtime_id": f"id-{name}", "instance_name": name},
        "incus": {"project": "default", "profile": "default", "image_alias": IMAGE},
        "instance_type": "container",
        "command": command,
        **more,
    }


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and those that they did (proc(5))."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            parents[int(stat.parent.name)] = int(fields[1])
    found = [pid]
    for one in found:
        found += [child for child, parent in parents.items() if parent == one]
    return found[1:]


def test_life_of_a_job(stack: Stack, client: IncusClient, name: str, sandbox: Sandbox) -> None:
    command = "echo hello from here; echo made > /run/pika-cloud/artifacts/made.txt"
    policies = {**DEFAULTS, "output_collection": {"mode": "always", "artifact_globs": ["*.txt"]}}
    declared = job(name, command, policies=policies, output_dir="home")
    declare(stack, build=declared)

    shown = stack.preview()
    assert "vcpu_count: 2" in shown
    assert "memory_mib: 4096" in shown
    assert fetch_instance(client, name) is None, "a preview made something"
    assert not (stack.directory / "home").exists()

    said = stack.up()
    assert "hello from here" in said
    outputs = stack.outputs()
    assert outputs["build.status"] == "completed"
    assert outputs["build.exit_code"] == 0
    assert outputs["build.log_tail"] == "hello from here"
    assert outputs["build.image_fingerprint"] == sandbox.image
    assert [it["path"] for it in outputs["build.collected_files"]] == [
        "output.log",
        "artifacts/made.txt",
    ]
    assert (stack.directory / "home" / "artifacts" / "made.txt").read_text() == "made\n"
    assert fetch_instance(client, name) is None

    (stack.directory / "home" / "artifacts" / "made.txt").unlink()
    stack.settled()
    assert not (stack.directory / "home" / "artifacts" / "made.txt").exists(), "it ran again"

    # What concerns no run is taken over without one.
    declared |= {"timeout_secs": 60, "output_dir": "elsewhere", "allow_failure": True}
    declare(stack, build=declared)
    shown = stack.preview()
    assert "replace" not in shown
    stack.up()
    assert not (stack.directory / "elsewhere").exists(), "it ran again"
    assert stack.outputs()["build.log_tail"] == "hello from here"

    declared["triggers"] = ["another"]
    declare(stack, build=declared)
    assert "triggers" in stack.preview()
    stack.up()
    assert (stack.directory / "elsewhere" / "artifacts" / "made.txt").exists()
    declared["command"] = ["echo", "two words", "$HOME"]
    declare(stack, build=declared)
    stack.up()
    assert stack.outputs()["build.log_tail"] == "two words $HOME"

    stack.destroy()
    assert stack.resources() == []
    assert (stack.directory / "elsewhere" / "output.log").exists(), "what was brought home went"


def test_failed_job_fails_the_up_after_collection(
    stack: Stack, client: IncusClient, name: str
) -> None:
    declare(stack, build=job(name, "echo the reason >&2; exit 7", output_dir="home"))

    said = stack.up(fails=True)

    assert f"job {name} failed: the command ended with exit code 7" in said
    assert "the reason" in said
    assert "Traceback" not in said
    assert stack.resources() == []
    assert fetch_instance(client, name) is None
    assert (stack.directory / "home" / "output.log").read_text() == "the reason\n"

    declare(stack, build=job(name, "echo the reason >&2; exit 7", allow_failure=True))
    stack.up()
    outputs = stack.outputs()
    assert outputs["build.status"] == "failed"
    assert outputs["build.exit_code"] == 7
    stack.up("--expect-no-changes")


def test_kept_instance_goes_when_it_stopped_or_at_destroy(
    stack: Stack, client: IncusClient, name: str
) -> None:
    policies = {**DEFAULTS, "retention_policy": "keep_until_stopped"}
    declare(stack, build=job(name, "echo", policies=policies))
    stack.up()
    assert stack.outputs()["build.retained_instance"] == name
    assert fetch_instance(client, name) is not None
    stack.up("--expect-no-changes")

    # Stopped by its own shutdown it is removed by the server; so state follows, and nothing runs.
    client.run("PUT", f"/1.0/instances/{name}/state", {"action": "stop", "force": True}, timeout=30)
    eventually(lambda: fetch_instance(client, name) is None)
    stack.refresh()
    stack.up()
    outputs = stack.outputs()
    assert (outputs["build.retained_instance"], outputs["build.retained_status"]) == ("", "")
    assert fetch_instance(client, name) is None
    stack.up("--expect-no-changes")

    # One that somebody made lasting, and stopped, is removed by the next up.
    declare(stack, build=job(name, "echo again", policies=policies))
    stack.up()
    body = {"ephemeral": False, "description": ""}
    client.send_change("PATCH", f"/1.0/instances/{name}", body)
    client.run("PUT", f"/1.0/instances/{name}/state", {"action": "stop", "force": True}, timeout=30)
    stack.refresh()
    assert fetch_instance(client, name) is not None, "a refresh changed the host"
    said = stack.up()
    assert fetch_instance(client, name) is None
    assert "replaced" not in said

    declare(stack, build=job(name, "echo thrice", policies=policies))
    stack.up()
    assert fetch_instance(client, name) is not None
    stack.destroy()
    assert fetch_instance(client, name) is None


def test_debug_keep_keeps_a_failed_job_and_says_how_to_get_in(
    stack: Stack, client: IncusClient, name: str
) -> None:
    policies = {**DEFAULTS, "retention_policy": "debug_keep"}
    declare(stack, build=job(name, "exit 1", policies=policies))
    said = stack.up(fails=True)
    assert f"incus exec --project default {name} -- sh" in said
    assert f"incus delete --force --project default {name}" in said
    live = fetch_instance(client, name)
    assert live is not None

    # The next run finds and removes it.
    declare(stack, build=job(name, "echo fine", policies=policies))
    said = stack.up()
    assert "an earlier run of this job left behind" in said
    assert fetch_instance(client, name) is None


def test_killed_up_leaves_what_the_next_recognises(
    stack: Stack, client: IncusClient, name: str
) -> None:
    declare(stack, build=job(name, "echo begun; sleep 60", timeout_secs=90))
    process = subprocess.Popen(
        ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive", "--stack", stack.name],
        cwd=stack.directory,
        env=stack.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    eventually(lambda: fetch_instance(client, name))
    time.sleep(1)
    for pid in [process.pid, *descendants(process.pid)]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()
    live = fetch_instance(client, name)
    assert live is not None
    assert JOB_KEY in live.config
    stack.run("cancel", "--yes")
    declare(stack, build=job(name, "echo done", timeout_secs=90))

    said = stack.up()

    assert "an earlier run of this job left behind" in said
    assert stack.outputs()["build.log_tail"] == "done"
    assert fetch_instance(client, name) is None


def test_foreign_instance_of_that_name_is_left_alone(
    stack: Stack, client: IncusClient, name: str
) -> None:
    body = {"name": name, "type": "container", "source": {"type": "none"}}
    client.run("POST", "/1.0/instances", body, timeout=30)
    declare(stack, build=job(name, "echo"))

    said = stack.up(fails=True)

    assert "already exists in project" in said
    assert fetch_instance(client, name) is not None


def test_problems_come_all_at_once_on_their_properties(stack: Stack, name: str) -> None:
    declare(
        stack,
        build=job(
            name,
            " ",
            timeout_secs=0,
            environment={"1X": "a"},
            max_attempts=0,
            output_dir="",
            mounts=[{"kind": "cache", "source": "", "guest_path": "x", "mode": "read_write"}],
        ),
    )

    said = stack.preview(fails=True)

    for expected in ("command", "timeout_secs", "1X", "max_attempts", "output_dir", "mounts[0]"):
        assert expected in said
    assert "Traceback" not in said


def test_secrets_show_nowhere(stack: Stack, name: str) -> None:
    secret = "s3cret-value-4711"
    stack.run("config", "set", "--secret", "TOKEN", secret)
    declare(
        stack,
        build=job(name, 'echo "token $TOKEN"', secret_environment=["TOKEN"], output_dir="home"),
    )

    shown = stack.preview()
    said = stack.up()

    assert secret not in shown
    assert secret not in said
    assert secret not in json.dumps(stack.export())
    assert stack.outputs()["build.log_tail"] == "token [secret]"
    # The file at home is the user's own, and as the job wrote it.
    assert (stack.directory / "home" / "output.log").read_text() == f"token {secret}\n"
    assert re.search(r"token \[secret\]", said)
    declare(
        stack,
        build=job(name, 'echo "$TOKEN"; exit 1', secret_environment=["TOKEN"], output_dir="home"),
    )
    assert secret not in stack.up(fails=True)
