"""The scripts of examples/ci: real previews, and a stand-in (`forge.py`) for the forge."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pulumi_pika.incus.client import IncusClient

from ...support.forge import StandIn, stand_in
from ...support.previews import ROOT, environment
from ...support.stack import TIMEOUT, Stack
from .test_up import runtime

CI = ROOT / "examples" / "ci"
TOKEN = "token-that-nobody-sees"
MARKER = "<!-- pulumi_pika report: pika-test/test -->"
BOT = {"user": {"login": "github-actions[bot]"}, "author": {"id": 7}}
OTHER = {"user": {"login": "mallory"}, "author": {"id": 8}}


def github(forge: StandIn) -> dict[str, str]:
    return {
        "GITHUB_API_URL": forge.url,
        "GITHUB_REPOSITORY": "o/r",
        "GITHUB_TOKEN": TOKEN,
        "PIKA_PULL_REQUEST": "12",
    }


def gitlab(forge: StandIn) -> dict[str, str]:
    return {
        "CI_API_V4_URL": forge.url,
        "CI_PROJECT_ID": "3",
        "CI_MERGE_REQUEST_IID": "12",
        "PIKA_GITLAB_TOKEN": TOKEN,
    }


VOLUMES = """
import pulumi
from pulumi_pika import PersistentVolume

name = pulumi.Config().require("name")
PersistentVolume("data", volume_name=f"{name}-data", delete_data=True)
"""
Variables = Callable[[StandIn], dict[str, str]]


def run(
    stack: Stack, *arguments: str, shell: str = "sh", **env: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [shell, str(CI / "preview.sh"), stack.name, *arguments],
        cwd=stack.directory,
        env={**stack.environment, "PYTHON": sys.executable, **env},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )


def test_preview(stack: Stack, name: str, tmp_path: Path) -> None:
    stack.declare(one=runtime(f"{name}-1"), two=runtime(f"{name}-2"))
    summary = tmp_path / "summary.md"
    with stand_in([]) as forge:
        env = {**github(forge), "GITHUB_STEP_SUMMARY": str(summary)}
        done = run(stack, **env)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        assert len(forge.comments) == 1
        body = forge.comments[0]["body"]
        assert body.startswith(f"{MARKER}\n")
        assert "#### create runtime `one`" in body
        assert "```mermaid" in body
        assert summary.read_text() == body == (stack.directory / "pika-report.md").read_text()

        stack.declare(one=runtime(f"{name}-1"))
        done = run(stack, PIKA_FAIL_ON="any-change", **env)
        assert done.returncode == 1
        assert "gate failed: any-change" in done.stderr
        assert len(forge.comments) == 1, "one comment, and no other"
        assert "`two`" not in forge.comments[0]["body"]
        assert "a resource changes (any-change)" in forge.comments[0]["body"]
        for method, path, headers in forge.requests:
            assert headers["Authorization"] == f"Bearer {TOKEN}"
            assert TOKEN not in path
            assert method in ("GET", "POST", "PATCH")
        assert TOKEN not in done.stderr


@pytest.mark.parametrize("shell", ["dash", "bash"])
def test_failed_previews(stack: Stack, tmp_path: Path, shell: str) -> None:
    stack.program("raise RuntimeError('planned')\n")
    with stand_in([]) as forge:
        # No condition holds; the code is Pulumi's own.
        done = run(stack, shell=shell, PIKA_FAIL_ON="", TMPDIR=str(tmp_path), **github(forge))
        assert done.returncode == 1, done.stderr
        assert done.stderr == "wrote the comment\n"
        assert "planned" in forge.comments[0]["body"]
        done = run(stack, "--no-such", shell=shell, TMPDIR=str(tmp_path), **github(forge))
        assert done.returncode not in (0, 2)
        assert "unknown flag: --no-such" in done.stderr
        assert "is not a valid preview: it is empty" in done.stderr
        assert len(forge.comments) == 1
    assert not list(tmp_path.glob("tmp.*")), "the preview was left behind"


def test_pending_deletes_count(stack: Stack, client: IncusClient, name: str) -> None:
    """An update failed after the create of a replacement: Pulumi deletes the old one later."""
    stack.program(VOLUMES)
    stack.config("name", name)
    stack.up()
    state = stack.export()
    resources = state["deployment"]["resources"]
    old = next(one for one in resources if one["urn"].endswith("::data"))
    resources.append({**old, "delete": True})
    (stack.directory / "state.json").write_text(json.dumps(state))
    stack.run("stack", "import", "--file", "state.json")

    done = run(stack, PIKA_COMMENT="off")

    report = (stack.directory / "pika-report.md").read_text()
    assert done.returncode == 1, done.stderr
    assert "gate failed: delete-data" in done.stderr
    assert "\n1 to delete, 2 unchanged\n" in report
    assert "- **deletes data** `data`: with all its data: volume " in report
    # Without the option of the script, Pulumi's JSON does not have the delete.
    bare = stack.run("preview", "--json", "--show-sames")
    assert '"delete-replaced"' not in bare


def test_preview_without_a_host(stack: Stack, name: str) -> None:
    """As of a fork: no host, no state, no secret, no comment."""
    stack.declare(one=runtime(name))
    stack.config("pika:preflight", "off")
    env = {
        "INCUS_SOCKET": "/nowhere/unix.socket",
        "PIKA_COMMENT": "off",
        "PIKA_FAIL_ON": "warnings",
    }
    done = run(stack, **env)
    assert done.returncode == 0, done.stderr
    report = (stack.directory / "pika-report.md").read_text()
    assert f"| instance | `{name}` |" in report
    stack.config("pika:preflight", "auto")
    assert run(stack, **env).returncode == 1
    assert "could not check the host" in (stack.directory / "pika-report.md").read_text()


def comment(tmp_path: Path, variables: dict[str, str], text: str) -> tuple[int, str]:
    (tmp_path / "report.md").write_text(text)
    done = subprocess.run(
        [sys.executable, str(CI / "comment.py"), str(tmp_path / "report.md")],
        env={**environment(), **variables},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize("variables", [github, gitlab])
def test_comment_on_a_later_page(tmp_path: Path, variables: Variables) -> None:
    there = [{"id": at, "body": "text", **BOT} for at in range(230)]
    there[210]["body"] = f"{MARKER}\r\nold"
    with stand_in(there) as forge:
        code, said = comment(tmp_path, variables(forge), f"{MARKER}\nnew\n")
        assert (code, said) == (0, "updated the comment\n")
        assert forge.comments[210]["body"] == f"{MARKER}\nnew\n"
        assert len(forge.comments) == 230


@pytest.mark.parametrize("variables", [github, gitlab])
def test_comments_of_others_are_left_alone(tmp_path: Path, variables: Variables) -> None:
    there: list[dict[str, Any]] = [
        {"id": 0, "body": f"{MARKER}\nmine", **OTHER},
        {"id": 1, "body": f"> {MARKER}\nquoted", **BOT},
        {"id": 2, "body": "<!-- pulumi_pika report: pika-test/prod -->\nother stack", **BOT},
        {"id": 3, "body": None, "user": None, "author": None},
    ]
    with stand_in([dict(one) for one in there]) as forge:
        assert comment(tmp_path, variables(forge), f"{MARKER}\nnew\n") == (0, "wrote the comment\n")
        assert forge.comments[:4] == there
        assert forge.comments[4]["body"] == f"{MARKER}\nnew\n"


@pytest.mark.parametrize("variables", [github, gitlab])
def test_forges_that_refuse(tmp_path: Path, variables: Variables) -> None:
    with stand_in([]) as forge:
        forge.status = 403
        code, said = comment(tmp_path, variables(forge), f"{MARKER}\n")
        assert code == 2
        assert "403 Forbidden" in said
        missing = variables(forge)
        del missing["GITHUB_TOKEN" if "GITHUB_TOKEN" in missing else "PIKA_GITLAB_TOKEN"]
        assert "is not set" in comment(tmp_path, missing, f"{MARKER}\n")[1]
    assert comment(tmp_path, variables(forge), f"{MARKER}\n")[0] == 2
    assert comment(tmp_path, {}, f"{MARKER}\n")[0] == 0


@pytest.mark.parametrize("variables", [github, gitlab])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_token_goes_to_no_other_host(tmp_path: Path, variables: Variables, status: int) -> None:
    with stand_in([]) as other, stand_in([]) as forge:
        forge.status, forge.elsewhere = status, other.url
        code, said = comment(tmp_path, variables(forge), f"{MARKER}\nnew\n")
        assert code == 2
        assert f": {status} " in said
        assert "redirects are not followed" in said
        assert other.requests == []
        assert len(forge.requests) == 1


def test_what_is_no_report_is_not_posted(tmp_path: Path) -> None:
    with stand_in([]) as forge:
        code, said = comment(tmp_path, github(forge), "text\n")
        assert code == 1
        assert "is no report" in said
        assert forge.requests == []


def test_workflows() -> None:
    """As far as can be told without the forge: they are YAML, and call what there is."""
    workflow = yaml.safe_load((CI / "github" / "pika-preview.yml").read_text())
    ours, fork = workflow["jobs"].values()
    assert "pull_request_target" not in workflow[True], "it would give forks our secrets"
    assert fork["permissions"] == {"contents": "read"}
    assert "secrets." not in str(fork)
    assert "github.token" not in str(fork)
    assert ours["permissions"] == {"contents": "read", "pull-requests": "write"}
    for job in (ours, fork):
        assert "sh ci/preview.sh" in job["steps"][-1]["run"]
    pipeline = yaml.safe_load((CI / "gitlab" / ".gitlab-ci.yml").read_text())
    assert pipeline["preview"]["script"] == ['sh ci/preview.sh "$STACK"']
