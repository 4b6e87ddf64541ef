"""A Pulumi stack of a test: a real program, a real engine, a file backend in the test's folder."""

import functools
import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from dev.pulumi_cli import ASKS_NOBODY
from dev.python_env import PROGRAMS

TIMEOUT = 240.0
PROJECT = "pika-test"
_SECRET = "4dabf18193072939515e22adb298388d"
"""A key of every secret in a state, and of no plain value (Pulumi's resource.SigKey)."""

RUNTIMES = """
import json
import pathlib
import pulumi
from pulumi_pika import IncusRuntime

for name, arguments in json.loads(pathlib.Path("runtimes.json").read_text()).items():
    options = pulumi.ResourceOptions(**arguments.pop("opts", {}))
    runtime = IncusRuntime(name, **arguments, opts=options)
    for output in ("instance_name", "status", "devices", "plan", "skipped_mounts",
                   "image_fingerprint"):
        pulumi.export(f"{name}.{output}", getattr(runtime, output))
"""
"""Declares what `runtimes.json` beside it says."""

_NEW = "test"
_PROJECT_FILE = f"name: {PROJECT}\nruntime: python\n"


class PulumiFailed(AssertionError):
    """A command that was to succeed did not; its output is the message."""


@dataclass
class Stack:
    """One stack. Commands run as a user runs them, from the command line."""

    directory: Path
    environment: dict[str, str]
    name: str = _NEW
    last: str = field(default="", repr=False)
    timeout: float = TIMEOUT
    """Seconds that a command may take."""

    def program(self, text: str) -> None:
        (self.directory / "__main__.py").write_text(text)

    def declare(self, **runtimes: dict[str, Any]) -> None:
        """Makes the program declare these runtimes and no others."""
        self.program(RUNTIMES)
        (self.directory / "runtimes.json").write_text(json.dumps(runtimes))

    def run(
        self,
        *arguments: str,
        fails: bool = False,
        env: dict[str, str] | None = None,
        colour: str = "never",
    ) -> str:
        """Runs a command; its whole output.

        Raises:
            PulumiFailed: it ended otherwise than it should.
        """
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive", "--color", colour, "--stack", self.name],
            cwd=self.directory,
            env={**self.environment, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=self.timeout,
            check=False,
        )
        self.last = done.stdout.decode(errors="backslashreplace")
        if (done.returncode != 0) != fails:
            raise PulumiFailed(f"pulumi {' '.join(arguments)}: {done.returncode}\n{self.last}")
        return self.last

    def preview(self, *more: str, fails: bool = False) -> str:
        return self.run("preview", "--diff", *more, fails=fails)

    def up(self, *more: str, fails: bool = False) -> str:
        return self.run("up", "--yes", "--skip-preview", *more, fails=fails)

    def refresh(self, *more: str, fails: bool = False) -> str:
        return self.run("refresh", "--yes", "--skip-preview", "--diff", *more, fails=fails)

    def settled(self) -> str:
        """Fails unless all is as the state says it, and the state as the program wants it."""
        return self.up("--refresh", "--expect-no-changes")

    def destroy(self, *more: str, fails: bool = False) -> str:
        return self.run("destroy", "--yes", "--skip-preview", *more, fails=fails)

    def config(self, key: str, value: str) -> None:
        self.run("config", "set", key, value)

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, as `pulumi stack output` shows them."""
        for resource in self.export()["deployment"].get("resources", ()):
            if resource["type"] == "pulumi:pulumi:Stack":
                outputs: dict[str, Any] = _veiled(resource.get("outputs", {}))
                return outputs
        return {}

    def export(self) -> dict[str, Any]:
        """The state, secrets as ciphertext: what `pulumi stack export` shows, from its file."""
        state = json.loads(self._state_file().read_text())
        return {"version": state["version"], "deployment": state["checkpoint"]["latest"]}

    def init(self) -> None:
        """Makes this stack of the project that is in the folder now, as `pulumi stack init` does.

        The engine is asked once in a test process, which takes it half a second.
        """
        new = _new_stack(
            tuple((name, self.environment[name]) for name in ("PATH", "PULUMI_CONFIG_PASSPHRASE"))
        )
        file = self._state_file()
        file.parent.mkdir(parents=True, exist_ok=True)
        own = f"{file.parent.name}/{self.name}"
        file.write_text(new.state.replace(f"{PROJECT}/{_NEW}", own))
        (file.parents[2] / "meta.yaml").write_text(new.meta)
        (self.directory / f"Pulumi.{self.name}.yaml").write_text(new.settings)

    def _state_file(self) -> Path:
        project: str = yaml.safe_load((self.directory / "Pulumi.yaml").read_text())["name"]
        backend = Path(self.environment["PULUMI_BACKEND_URL"].removeprefix("file://"))
        return backend / ".pulumi" / "stacks" / project / f"{self.name}.json"

    def resources(self) -> list[dict[str, Any]]:
        """The resources in the state, but for the stack and the provider."""
        return [
            resource
            for resource in self.export()["deployment"].get("resources", ())
            if resource["type"].startswith("pulumi-python:")
        ]


def make_stack(directory: Path, socket: Path, **changes: str | None) -> Stack:
    """A new stack below `directory` whose runtimes go to the daemon at `socket`.

    Args:
        directory: where all of it is.
        socket: the daemon's.
        changes: variables that its environment has otherwise; None takes one away.
    """
    if shutil.which("pulumi") is None:
        pytest.exit(
            "The pulumi command is not on PATH, and nothing stands in for it: "
            "run `python3 dev tools`, or all at once `python3 dev test`",
            returncode=3,
        )
    for name in ("backend", "home", "project"):
        (directory / name).mkdir(parents=True)
    (directory / "project" / "Pulumi.yaml").write_text(_PROJECT_FILE)
    environment = {
        **os.environ,
        "PATH": f"{PROGRAMS / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(Path(__file__).parents[2]),
        # A deprecation is a failure of ours, and shows in the output.
        "PYTHONWARNINGS": "default",
        "PULUMI_BACKEND_URL": f"file://{directory / 'backend'}",
        "PULUMI_HOME": str(directory / "home"),
        "XDG_STATE_HOME": str(directory / "home" / "state"),
        "PULUMI_CONFIG_PASSPHRASE": "test",
        **ASKS_NOBODY,
        "INCUS_SOCKET": str(socket),
    }
    environment.pop("INCUS_DIR", None)
    for variable, value in changes.items():
        environment.pop(variable, None)
        environment |= {} if value is None else {variable: value}
    stack = Stack(directory / "project", environment)
    stack.init()
    return stack


@dataclass(frozen=True)
class _New:
    """The files that the engine writes for a new stack."""

    settings: str
    state: str
    meta: str


@functools.cache
def _new_stack(environment: tuple[tuple[str, str], ...]) -> _New:
    with tempfile.TemporaryDirectory(prefix="pika-stack-") as folder:
        place = Path(folder)
        (place / "Pulumi.yaml").write_text(_PROJECT_FILE)
        places = {"PULUMI_BACKEND_URL": f"file://{folder}", "PULUMI_HOME": f"{folder}/home"}
        subprocess.run(
            ["pulumi", "stack", "init", _NEW, "--non-interactive"],
            cwd=folder,
            env={**os.environ, **ASKS_NOBODY, **dict(environment), **places},
            check=True,
            capture_output=True,
            timeout=TIMEOUT,
        )
        backend = place / ".pulumi"
        return _New(
            settings=(place / f"Pulumi.{_NEW}.yaml").read_text(),
            state=(backend / "stacks" / PROJECT / f"{_NEW}.json").read_text(),
            meta=(backend / "meta.yaml").read_text(),
        )


def _veiled(tree: Any) -> Any:
    if isinstance(tree, dict):
        if _SECRET in tree:
            return "[secret]"
        return {key: _veiled(value) for key, value in tree.items()}
    return [_veiled(value) for value in tree] if isinstance(tree, list) else tree
