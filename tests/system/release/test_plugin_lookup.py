"""No command asks for a plugin of this package, however the package was installed.

Pulumi's language host takes an installed package whose name begins with `pulumi-` for one with a
plugin, unless it finds a `pulumi-plugin.json` in the folder that `pip list` shows. It does not find
one for an editable install, and never in a list of packages without folders, which uv prints. So
each command tried to download a plugin from an address that is not ours.
"""

import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from dev.paths import ROOT
from dev.supported import NEWEST, OLDEST, Supported

from ...conftest import Sandbox
from .environment import Built, Environment, make_environment, needed_engine, run_command, uv

_PROJECT = """
[project]
name = "a-program"
version = "0.1.0"
requires-python = ">=3.11"
dependencies = ["pika-incus"]
"""


def from_wheel(folder: Path, built: Built) -> Environment:
    environment = make_environment(folder / ".venv", sys.executable)
    environment.install(built.wheel)
    return environment


def editable_by_pip(folder: Path, built: Built) -> Environment:
    environment = make_environment(folder / ".venv", sys.executable)
    environment.run("-m", "pip", "install", "-q", "-e", ROOT, cwd=folder)
    return environment


def editable_by_uv(folder: Path, built: Built) -> Environment:
    environment = make_environment(folder / ".venv", sys.executable)
    source = f'[tool.uv.sources]\npika-incus = {{ path = "{ROOT}", editable = true }}\n'
    (folder / "pyproject.toml").write_text(_PROJECT + source)
    # --inexact: pip, which the language host asks, is not in the project.
    run_command([uv(), "sync", "-q", "--inexact"], folder)
    return environment


WAYS: list[Callable[[Path, Built], Environment]] = [
    from_wheel,
    editable_by_pip,
    editable_by_uv,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: str(way.__name__))
def test_engine_asks_for_no_plugin(
    way: Callable[[Path, Built], Environment], built: Built, tmp_path: Path, sandbox: Sandbox
) -> None:
    environment = way(tmp_path, built)
    shown = environment.run("-m", "pip", "list", cwd=tmp_path)
    assert "pika-incus" in shown or "pika_incus" in shown
    _check(environment, tmp_path / "stack", sandbox.socket, NEWEST, {})


def test_engine_asks_for_no_plugin_of_a_checkout(
    built: Built, tmp_path: Path, sandbox: Sandbox
) -> None:
    environment = make_environment(tmp_path / ".venv", sys.executable)
    environment.install(*built.dependencies)
    variables = {"PYTHONPATH": str(ROOT)}
    _check(environment, tmp_path / "stack", sandbox.socket, NEWEST, variables)


def test_oldest_engine_asks_for_no_plugin(built: Built, tmp_path: Path, sandbox: Sandbox) -> None:
    environment = editable_by_pip(tmp_path, built)
    _check(environment, tmp_path / "stack", sandbox.socket, OLDEST, {})


def test_name_is_not_the_name_of_a_package_with_a_plugin() -> None:
    name = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"]
    assert not name.replace("_", "-").lower().startswith("pulumi")


def _check(
    environment: Environment,
    folder: Path,
    socket: Path,
    end: Supported,
    variables: dict[str, str],
) -> None:
    """Run a preview, and look for a plugin of ours in the engine's log."""
    stack = environment.make_stack(folder, socket, needed_engine(end))
    stack.environment.update(variables)
    assert "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION" not in stack.environment
    stack.program("import pulumi, pulumi_pika\npulumi.export('file', pulumi_pika.__file__)")
    said = stack.preview("--logtostderr", "-v=7")
    assert "gathering plugins from language host" in said
    asked = [line for line in said.splitlines() if "pulumi-resource-pika" in line]
    asked += [line for line in said.splitlines() if "package pika" in line]
    assert not asked
