"""The release built, and environments that have it and nothing of the checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path

import pytest

from dev.interpreters import interpreter
from dev.pulumi_cli import folder_of
from dev.supported import Supported

from ...support.stack import Stack, make_stack

_TIMEOUT = 300.0
_TODO = "run `python3 dev tools`, or all at once `python3 dev test`"


@dataclass(frozen=True)
class Built:
    """The sdist, and the wheel that was built from it."""

    sdist: Path
    wheel: Path

    @property
    def info(self) -> str:
        """The folder of the wheel's metadata."""
        return "-".join(self.wheel.name.split("-")[:2]) + ".dist-info"

    @property
    def metadata(self) -> Message:
        """The wheel's metadata."""
        with zipfile.ZipFile(self.wheel) as wheel:
            return message_from_bytes(wheel.read(f"{self.info}/METADATA"))

    @property
    def dependencies(self) -> list[str]:
        """What the wheel needs, as it says it."""
        needed = map(str, self.metadata.get_all("Requires-Dist", []))
        return [text for text in needed if "extra ==" not in text]


@dataclass(frozen=True)
class Environment:
    """A virtual environment away from the checkout."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def install(self, *what: str | Path) -> None:
        """Installs packages as uv is told to."""
        run_command([uv(), "pip", "install", "--python", self.python, *what], self.folder)

    def run(self, *arguments: str | Path, cwd: Path, text: str = "") -> str:
        """Runs its Python; what that prints."""
        return run_command([self.python, *arguments], cwd, text)

    def make_stack(self, directory: Path, socket: Path, engine: Path | None = None) -> Stack:
        """A new stack whose program runs in this environment, on an engine in this folder."""
        folders = [self.folder / "bin", *([engine] if engine else [])]
        path = os.pathsep.join([*map(str, folders), os.environ["PATH"]])
        return make_stack(directory, socket, PATH=path, PYTHONPATH=None)


def build(source: Path, target: Path, *options: str) -> Path:
    """Builds as a release is built; the wheel."""
    command = [sys.executable, "-m", "build", "--installer", "uv", *options]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    run_command([*command, "--outdir", target, source], target, variables={"PATH": path})
    return next(target.glob("*.whl"))


def make_environment(folder: Path, python: str | Path) -> Environment:
    """A new environment with nothing but pip in it, which the engine asks what is installed."""
    options = ["--quiet", "--no-project", "--seed"]
    run_command([uv(), "venv", *options, "--python", python, folder], folder.parent)
    return Environment(folder)


def needed_python(end: Supported) -> Path:
    """The interpreter of this end; the test fails where `python3 dev tools` has not got it."""
    found = interpreter(end.python)
    if found is None:
        pytest.fail(f"Python {end.python} is not there, and no other stands in for it: {_TODO}")
    return found


def needed_engine(end: Supported) -> Path:
    """The folder of the engine of this end; the test fails where it is not there."""
    found = folder_of(end.engine)
    if found is None:
        pytest.fail(f"Pulumi {end.engine} is not there, and no other stands in for it: {_TODO}")
    return found


def uv() -> str:
    found = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if found is None:
        pytest.fail(f"uv is not there: {_TODO}")
    return found


def run_command(
    argv: list[str | Path],
    cwd: Path,
    text: str = "",
    variables: Mapping[str, str] | None = None,
) -> str:
    """Runs a command away from the checkout, and fails the test with what it said."""
    # Neither the checkout nor the environment of the tests is to be found from there.
    dropped = ("PYTHONPATH", "VIRTUAL_ENV", "PYTEST_CURRENT_TEST")
    environment = {name: value for name, value in os.environ.items() if name not in dropped}
    environment |= variables or {}
    done = subprocess.run(
        argv,
        cwd=cwd,
        env=environment,
        input=text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    if done.returncode != 0:
        pytest.fail(f"{' '.join(map(str, argv))}: {done.returncode}\n{done.stdout}")
    return done.stdout
