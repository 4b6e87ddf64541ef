"""The example `automation`: a script, run as one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dev.pulumi_cli import ASKS_NOBODY

from ...conftest import IMAGE, Sandbox
from .helpers import (
    EXAMPLES,
    there,
    uuids,
)

SCRIPT = EXAMPLES / "automation" / "deploy.py"


class Script:
    """The script, with a state of its own."""

    def __init__(self, directory: Path, sandbox: Sandbox, prefix: str) -> None:
        (directory / "other").mkdir()
        self.state = directory / "state"
        self.directory = directory
        self.common = ["--prefix", f"{prefix}-", "--image", IMAGE, "--instance-type", "container"]
        pulumi = shutil.which("pulumi")
        assert pulumi is not None
        self.environment = {
            **os.environ,
            # The virtual environment is not on it: a script is run by the path of its Python too.
            "PATH": f"{Path(pulumi).parent}:/usr/bin:/bin",
            "PYTHONPATH": str(EXAMPLES.parent),
            "PULUMI_HOME": str(directory / "home"),
            # The user's own, which is not where this is to go.
            "PULUMI_BACKEND_URL": f"file://{directory / 'other'}",
            "PULUMI_CONFIG_PASSPHRASE": "test",
            **ASKS_NOBODY,
            "INCUS_SOCKET": str(sandbox.socket),
        }
        self.environment.pop("INCUS_DIR", None)

    def __call__(
        self, *arguments: str, code: int = 0, answer: str = "", **environment: str | None
    ) -> str:
        """Runs it, and returns all that it says."""
        wanted = {**self.environment, **environment}
        done = subprocess.run(
            [sys.executable, str(SCRIPT), "--state", str(self.state), *self.common, *arguments],
            cwd=self.directory,
            env={name: value for name, value in wanted.items() if value is not None},
            input=answer,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=240,
            check=False,
        )
        assert done.returncode == code, done.stdout
        assert "Traceback" not in done.stdout
        return done.stdout


@pytest.fixture
def script(tmp_path: Path, sandbox: Sandbox, name: str) -> Script:
    return Script(tmp_path, sandbox, name)


def test_from_the_first_agent_to_the_last(script: Script, sandbox: Sandbox, name: str) -> None:
    daemon = sandbox.daemon
    # Shown, and not done: nobody answers, or somebody says no.
    for answer in ("", "n\n"):
        said = script("ada", "ben", code=1, answer=answer)
        assert "create runtime ada" in said
        assert "nothing was changed" in said
        assert there(daemon, name) == {}

    said = script("ada", "ben", answer="yes\n")
    assert "Do it? [y/N]" in said
    assert 'status: {"ada": "Running", "ben": "Running"}' in said
    assert said.count("status:") == 1
    assert list(script.state.glob(".pulumi/stacks/**/dev.json*"))
    assert not (script.directory / "other" / ".pulumi").exists()
    first = uuids(daemon, name)
    assert set(first) == {f"{name}-ada", f"{name}-ben"}

    # As it is: nobody is asked.
    said = script("ada", "ben")
    assert "Do it?" not in said
    assert uuids(daemon, name) == first

    said = script("--yes", "ben", "cleo")
    assert "delete runtime ada" in said
    assert "create runtime cleo" in said
    now = uuids(daemon, name)
    assert set(now) == {f"{name}-ben", f"{name}-cleo"}
    assert now[f"{name}-ben"] == first[f"{name}-ben"]

    said = script("--destroy", code=1, answer="n\n")
    assert "delete runtime ben" in said
    assert uuids(daemon, name) == now
    script("--destroy", "--yes")
    # Once more: there is nothing left, and nothing wrong.
    script("--destroy", "--yes")
    assert there(daemon, name) == {}


def test_errors_are_for_people(script: Script, sandbox: Sandbox, name: str, tmp_path: Path) -> None:
    said = script("ada", code=2, PULUMI_CONFIG_PASSPHRASE=None)
    assert "PULUMI_CONFIG_PASSPHRASE is not set" in said
    assert "name the agents, or give --destroy" in script(code=2)
    assert "there is no pulumi command" in script("ada", code=2, PATH="/nowhere")
    assert f"{script.state} has no state" in script("--destroy", code=1)
    assert not script.state.exists(), "a mistake left something behind"

    # A preview that fails says why, in the report.
    said = script("--yes", "--image", "pika/tyni", "ada", code=1)
    assert "did you mean pika/tiny?" in said
    assert "nothing was changed" in said
    assert there(sandbox.daemon, name) == {}

    said = script("--yes", "ada", code=1, PULUMI_CONFIG_PASSPHRASE="another")
    assert "incorrect passphrase" in said
    (tmp_path / "file").write_text("")
    script.state = tmp_path / "file"
    assert "error: " in script("--yes", "ada", code=1)
