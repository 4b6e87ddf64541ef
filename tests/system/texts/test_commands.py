"""Hostile texts and secrets of a job: by `run`, by `run_job`, and by the engine."""

import json
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.jobs.api import run_job
from pulumi_pika.jobs.job_errors import JobFailed

from ...conftest import Sandbox
from ...integration.jobs.test_run import spec
from ...support.command_line import (
    DEFAULTS,
    call,
    environment,
    spec_of,
)
from ...support.hostile import (
    ALL,
    WHOLE,
    encoded,
    wrong_in,
)
from ...support.stack import Stack
from ...unit.test_redaction import PIECES, SECRET
from .test_engine import (
    common,
    declare,
    job_script,
)

POLICIES = {
    **DEFAULTS,
    "output_collection": {"mode": "always", "artifact_globs": ["**"]},
}
PATHS = "/run/pika-cloud"


@pytest.mark.parametrize("as_json", [False, True])
def test_run(sandbox: Sandbox, name: str, tmp_path: Path, as_json: bool) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(spec_of(name, policies=POLICIES)))
    done = call(
        "run",
        "--type=container",
        f"--socket={sandbox.socket}",
        "--output-dir=home",
        *(["--json"] if as_json else []),
        "spec.json",
        "--",
        encoded(job_script(ALL)),
        directory=tmp_path,
        env=environment(),
    )
    assert done.returncode == 3, done.stderr
    said = done.stderr.decode()
    assert "failed after" in said
    # The command's output is as it is, on standard output; with --json, as text among the lines.
    assert [found for found in wrong_in(said) if not as_json or "forged" not in found] == []
    if as_json:
        outcome = json.loads(done.stdout)
        assert wrong_in(json.dumps(outcome, ensure_ascii=False)) == []
        assert "\n" not in outcome["message"]
    assert not [path for path in (tmp_path / "home").rglob("*") if wrong_in(path.name)]


def test_flood_of_events(sandbox: Sandbox, name: str, tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(spec_of(name)))
    flood = f"""yes '{{"kind":"k"}}' | head -n 20000 > {PATHS}/events.jsonl; sleep 3"""
    done = call(
        *("run", "--type=container", f"--socket={sandbox.socket}", "spec.json", "--", flood),
        directory=tmp_path,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    said = done.stderr.decode()
    assert 40 <= said.count("] k\n") < 400
    assert "more events are not shown here" in said


@pytest.mark.parametrize("text", WHOLE, ids=range(len(WHOLE)))
def test_run_job(client: IncusClient, name: str, text: str) -> None:
    outcome = run_job(
        spec(name, policies=POLICIES),
        encoded(job_script(text)),
        instance_type="container",
        client=client,
    )
    with pytest.raises(JobFailed) as caught:
        outcome.check(name)
    for said in (str(caught.value), outcome.message, outcome.log_tail.replace("\nerror: f", "")):
        assert wrong_in(said) == []
    assert "\n" not in outcome.message


def test_secrets_that_are_cut(stack: Stack, name: str) -> None:
    script = f"""
printf '%01985d' 0; echo "$TOKEN"
printf '%s' "tok=${{TOKEN%%Horse*}}"; sleep 7; echo "Horse${{TOKEN#*Horse}}"
printf '{{"kind":"k","message":"%0490d%s"}}\\n' 0 "$TOKEN" >> {PATHS}/events.jsonl
mkdir -p "{PATHS}/artifacts/a$(printf '%0200d' 0)/b$(printf '%080d' 0)$TOKEN"
ln -s x "{PATHS}/artifacts/a$(printf '%0200d' 0)/b$(printf '%080d' 0)$TOKEN/link"
printf '{{"schema_version":1,"status":"completed","finished_at":"x","message":"%01985d%s"}}' \\
  0 "$TOKEN" > {PATHS}/result.json
"""
    job: dict[str, Any] = {
        **common(name),
        "command": script,
        "output_dir": "home",
        "policies": POLICIES,
    }
    declare(stack, "IncusJob", job=job)
    program = (stack.directory / "__main__.py").read_text()
    secret = f'\n        arguments["environment"] = {{"TOKEN": pulumi.Output.secret("{SECRET}")}}\n'
    stack.program(program.replace("        made = ", f"{secret}        made = ", 1))
    said = stack.up()
    assert "tok=[secret]" in said
    state = json.dumps(stack.export())
    outputs = json.dumps(stack.outputs())
    for piece in PIECES:
        assert piece not in said
        assert piece not in state
        assert piece not in outputs
    assert "[secret]" in outputs
