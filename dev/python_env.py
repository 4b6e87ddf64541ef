"""Create the virtual environment of the checkout, with the project and its development
dependencies."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

from dev import apt
from dev.apt import Archive
from dev.console import Failure, run, say, step
from dev.paths import ROOT, VENV

PROGRAMS = VENV / "programs"
"""A nested environment for Pulumi programs."""
_STAMP = "installed-by-dev"
_BY_HAND = (
    "See that pip can reach a package index (pip's own configuration counts), and run this again."
)
_DISTRIBUTIONS = Path("/usr/bin/python3")


def python() -> Path:
    """Return the interpreter of the environment."""
    return VENV / "bin" / "python"


def ensure_venv() -> None:
    """Create the environment and install the project into it, unless that is already done."""
    if _works(VENV) and _stamped(VENV):
        say("==> Python environment: .venv is there, and fits pyproject.toml")
        return
    if not _works(VENV):
        if importlib.util.find_spec("ensurepip") is None:
            _install_ensurepip()
        with step(
            "Python environment: creating .venv",
            "Install the venv module of this Python (Debian: apt-get install python3-venv), "
            "remove .venv, and run this again.",
        ):
            run([_interpreter(), "-m", "venv", "--clear", str(VENV)])
    with step(
        "Python environment: installing the project and its tools into .venv",
        _BY_HAND,
    ):
        _install(VENV, "--editable", f"{ROOT}[dev]")


def ensure_programs() -> None:
    """Create the environment of the tests' Pulumi programs, unless that is already done.

    It has the same packages as a user's environment, and none of the development tools. So a
    program that needs one of these fails. Few packages also save time, since Pulumi lists all
    packages by pip for each command.
    """
    if _works(PROGRAMS) and _stamped(PROGRAMS):
        return
    with step(
        "Python environment: making one for Pulumi programs, with what a user's has",
        _BY_HAND,
    ):
        run([str(python()), "-m", "venv", "--clear", str(PROGRAMS)])
        same = run([*_pip(VENV), "freeze", "--all", "--exclude-editable"])
        constraints = PROGRAMS / "constraints.txt"
        constraints.write_text(same)
        _install(PROGRAMS, "--constraint", str(constraints), "pip", "--editable", str(ROOT))


def _install(folder: Path, *what: str) -> None:
    stamp = folder / _STAMP
    stamp.unlink(missing_ok=True)
    run([*_pip(folder), "install", "--progress-bar", "off", *what], cwd=ROOT)
    stamp.write_text(_wanted())


def _pip(folder: Path) -> list[str]:
    return [str(folder / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]


def _stamped(folder: Path) -> bool:
    stamp = folder / _STAMP
    return stamp.exists() and stamp.read_text() == _wanted()


def _wanted() -> str:
    pyproject = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    # The folder is included, since the installation points to it.
    return f"{pyproject}\n{ROOT}\n"


def _works(folder: Path) -> bool:
    """Return whether an environment's interpreter runs; an upgrade may have deleted it, or it may
    be too old."""
    return _has(folder / "bin" / "python", "pip")


def _has(interpreter: Path, *modules: str) -> bool:
    """Return whether an interpreter runs, is recent enough, and has these modules."""
    check = f"import {', '.join(modules)}, sys; sys.exit(sys.version_info < (3, 11))"
    try:
        return subprocess.run([interpreter, "-c", check], capture_output=True).returncode == 0
    except OSError:
        return False


def _interpreter() -> str:
    """Return the Python for the environment: this one, or the distribution's if that is faster.

    A Python that was compiled with the defaults of CPython's configure, as by pyenv, takes up to
    twice as long. Python takes more than half of the time of the tests.
    """
    options = sysconfig.get_config_var("CONFIG_ARGS") or ""
    if "--enable-optimizations" in options or os.path.realpath(sys.executable).startswith("/usr/"):
        return sys.executable
    if not _has(_DISTRIBUTIONS, "ensurepip", "venv"):
        return sys.executable
    say(f"    with {_DISTRIBUTIONS}: {sys.executable} was compiled without optimisation")
    return str(_DISTRIBUTIONS)


def _install_ensurepip() -> None:
    package = f"python3.{sys.version_info.minor}-venv"
    with step(
        f"Python environment: installing {package} with apt",
        f"Install the venv module of {sys.executable}, and run this again.",
    ):
        if not apt.available() or os.path.realpath(sys.executable).startswith("/usr/local/"):
            raise Failure(f"{sys.executable} has no ensurepip module, so it can't make one")
        archive = Archive()
        if not archive.candidate(package):
            archive.update()
        archive.install(package)
