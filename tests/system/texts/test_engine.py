"""Hostile texts through the commands of a user, with the real engine, in colours and without."""

import base64
import json
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient, url
from pulumi_pika.incus.instances import exec_status
from pulumi_pika.reconcile.instances.guest_status import GuestStatus
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance

from ...conftest import IMAGE
from ...support.hostile import (
    ALL,
    ASSET,
    DIRECTIVE,
    FORGED,
    SIGNATURE,
    WHOLE,
    encoded,
    written,
    wrong_in,
)
from ...support.stack import Stack

PATHS = "/run/pika-cloud"
PROGRAM = """
import json
import pathlib
import pulumi
from pulumi_pika import IncusJob, IncusRuntime

declared = json.loads(pathlib.Path("declared.json").read_text())
for kind, outputs in (
    (IncusJob, ("status", "message", "log_tail", "collected_files", "skipped_outputs",
                "retained_status")),
    (IncusRuntime, ("guest_status", "description", "labels", "config", "devices", "plan")),
):
    for name, arguments in declared.get(kind.__name__, {}).items():
        made = kind(name, **arguments)
        for output in outputs:
            pulumi.export(f"{name}.{output}", getattr(made, output))
"""


def declare(stack: Stack, kind: str, **resources: dict[str, Any]) -> None:
    stack.program(PROGRAM)
    (stack.directory / "declared.json").write_text(json.dumps({kind: resources}))


def common(name: str) -> dict[str, Any]:
    return {
        "identity": {"runtime_id": f"id-{name}", "instance_name": name},
        "incus": {"project": "default", "profile": "default", "image_alias": IMAGE},
        "instance_type": "container",
    }


def checked(stack: Stack, *arguments: str, colour: str, fails: bool = False) -> str:
    """Runs a command; nothing in what it shows has power over who reads it."""
    said = stack.run(*arguments, fails=fails, colour=colour)
    assert wrong_in(said) == [], said
    if colour == "never":
        assert "\x1b" not in said
    return said


def safe(tree: Any) -> None:
    """Fails where a state has what an engine or a terminal takes for a command."""
    text = json.dumps(tree, ensure_ascii=False)
    assert "<{%" not in text
    for character in ("\\u001b", "\u202e", "\u200b", "\x9b"):
        assert character not in text


def job_script(text: str) -> str:
    event = json.dumps({"schema_version": 1, "seq": None, "kind": text, "message": text})
    result = json.dumps(
        {"schema_version": 1, "status": "failed", "message": text, "finished_at": text}
    )
    status = json.dumps({"schema_version": 1, "state": text, "message": text})
    names = ("bidi\u202egpj.exe", "directive<{%bogus%}>", "esc\x1b[2J", "new\nline", "plain.txt")
    return "\n".join(
        [
            written(f"{PATHS}/events.jsonl", event),
            written(f"{PATHS}/status.json", status),
            written(f"{PATHS}/result.json", result),
            *(written(f"{PATHS}/artifacts/'{name}'", "x") for name in names),
            written("/dev/stdout", text),
            "sleep 2.5",
            written("/dev/stderr", text),
            "exit 3",
        ]
    )


def named(name: str) -> dict[str, str]:
    """The texts, by the names of resources; each is the whole of every value there."""
    return {f"{name}-{index}": text for index, text in enumerate(WHOLE)}


@pytest.mark.parametrize("colour", ["never", "always"])
def test_jobs(stack: Stack, name: str, colour: str) -> None:
    policies = {
        "restart_policy": "never",
        "retention_policy": "destroy_on_completion",
        "output_collection": {"mode": "always", "artifact_globs": ["**"]},
    }
    jobs = {
        job: {
            **common(job),
            "command": encoded(job_script(text)),
            "output_dir": job,
            "policies": policies,
        }
        for job, text in named(name).items()
    }

    def declare_jobs(**more: Any) -> None:
        declare(stack, "IncusJob", **{job: {**given, **more} for job, given in jobs.items()})

    declare_jobs()
    up = ("up", "--yes", "--skip-preview")
    said = checked(stack, *up, "--continue-on-error", colour=colour, fails=True)
    for job in jobs:
        assert f"job {job} failed: the command ended with exit code 3" in said

    declare_jobs(allow_failure=True)
    checked(stack, *up, "--diff", colour=colour)
    safe(stack.export())
    outputs = stack.outputs()
    for job in jobs:
        assert outputs[f"{job}.status"] == "failed"
        brought = [output["path"] for output in outputs[f"{job}.collected_files"]]
        assert "artifacts/plain.txt" in brought
        assert len(brought) == 6, brought
        assert len(outputs[f"{job}.skipped_outputs"]) == 3, outputs[f"{job}.skipped_outputs"]

    checked(stack, "refresh", "--yes", "--skip-preview", "--diff", colour=colour)
    checked(stack, "preview", "--refresh", "--diff", "--expect-no-changes", colour=colour)
    declare_jobs(allow_failure=True, triggers=["again"])
    checked(stack, "up", "--yes", "--diff", colour=colour)
    checked(stack, "destroy", "--yes", "--diff", colour=colour)
    assert stack.resources() == []


def boot_id(client: IncusClient, name: str) -> str:
    path = url("instances", name, "files")
    return (
        client.get_raw(path, path="/proc/sys/kernel/random/boot_id", max_bytes=1000)
        .body.decode()
        .strip()
    )


def put_file(client: IncusClient, name: str, path: str, content: str) -> None:
    exec_status(client, name, ["mkdir", "-p", PATHS], timeout=30)
    text = base64.b64encode(content.encode()).decode()
    command = f"echo {text} | base64 -d > {path}"
    assert exec_status(client, name, ["sh", "-c", command], timeout=30) == 0


@pytest.mark.parametrize("colour", ["never", "always"])
def test_runtimes(stack: Stack, client: IncusClient, name: str, colour: str) -> None:
    texts = named(name)
    given = {"description": "ours", "labels": {"team": "ours"}, "config": {"user.note": "ours"}}
    declare(stack, "IncusRuntime", **{box: {**common(box), **given} for box in texts})
    checked(stack, "up", "--yes", "--skip-preview", colour=colour)

    # The guest's own words, as outputs of the stack too.
    for box, text in texts.items():
        status = {
            "schema_version": 1,
            "state": "ready",
            "boot_id": boot_id(client, box),
            "message": text,
            "updated_at": text,
            "details": {text: [text, {"deep": text}], "asset": ASSET},
        }
        put_file(client, box, f"{PATHS}/status.json", json.dumps(status))
    checked(stack, "preview", "--refresh", "--diff", colour=colour)
    checked(stack, "up", "--yes", "--refresh", "--diff", colour=colour)
    safe(stack.export())
    for box in texts:
        said = stack.outputs()[f"{box}.guest_status"]
        assert said["state"] == "ready"
        assert SIGNATURE not in json.dumps(said)

    # Another client's, in what the program gives: drift that shows, and is put right.
    for box, text in texts.items():
        labels = {"user.pika.label.team": text, "user.pika.label.<{%bogus%}>": "y"}
        body = {"description": text, "config": {"user.note": text, **labels}}
        client.send_change("PATCH", f"/1.0/instances/{box}", body)
    checked(stack, "preview", "--refresh", "--diff", colour=colour)
    refresh = ("refresh", "--yes", "--skip-preview", "--diff")
    checked(stack, *refresh, colour=colour)
    safe(stack.export())
    seen = stack.resources()
    checked(stack, *refresh, colour=colour)
    for before, after in zip(seen, stack.resources(), strict=True):
        assert after["inputs"] == before["inputs"]
        assert after["outputs"] == before["outputs"]
        for changed in ("description", "labels", "config"):
            assert after["inputs"][changed] != given[changed]
    checked(stack, "up", "--yes", "--diff", "--show-secrets", colour=colour)
    for box in texts:
        live = fetch_instance(client, box)
        assert live is not None
        assert live.description == "ours"
        assert live.config["user.note"] == live.config["user.pika.label.team"] == "ours"
        assert not [key for key in live.config if "bogus" in key]
    checked(stack, "up", "--yes", "--diff", "--refresh", "--expect-no-changes", colour=colour)


@pytest.mark.parametrize("colour", ["never", "always"])
def test_status_of_the_guest_in_an_error(
    stack: Stack, client: IncusClient, name: str, colour: str
) -> None:
    status = {"schema_version": 1, "state": "failed", "boot_id": "BOOT", "message": ALL}
    text = base64.b64encode(json.dumps(status).encode()).decode()
    script = (
        f"mkdir -p {PATHS}; boot=$(cat /proc/sys/kernel/random/boot_id); "
        f"echo {text} | base64 -d | sed s/BOOT/$boot/ > {PATHS}/status.json"
    )
    declare(
        stack,
        "IncusRuntime",
        box={
            **common(name),
            "wait_for": "guest_status",
            "timeouts": {"wait": 30},
            "cloud_init_user_data": f"#!/bin/sh\n{script}\n",
        },
    )
    said = checked(stack, "up", "--yes", "--skip-preview", colour=colour, fails=True)
    assert "guest state 'failed'" in said, said
    assert fetch_instance(client, name) is None


def test_messages_are_one_line() -> None:
    assert GuestStatus("failed", message=f"{DIRECTIVE}{FORGED}").describe().count("\n") == 0
