"""The virtual environment of the checkout, with the project and what its developers need."""

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

_STAMP = VENV / "installed-by-dev"
_DISTRIBUTIONS = Path("/usr/bin/python3")


def python() -> Path:
    """The environment's interpreter."""
    return VENV / "bin" / "python"


def ensure_venv() -> None:
    """Make the environment and install the project into it, unless that is done already."""
    wanted = _wanted()
    if _works() and _STAMP.exists() and _STAMP.read_text() == wanted:
        say("==> Python environment: .venv is there, and fits pyproject.toml")
        return
    if not _works():
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
        "See that pip can reach a package index (pip's own configuration counts), and run this "
        "again.",
    ):
        _STAMP.unlink(missing_ok=True)
        pip = [str(python()), "-m", "pip", "--disable-pip-version-check", "install"]
        run([*pip, "--progress-bar", "off", "--editable", f"{ROOT}[dev]"], cwd=ROOT)
        _STAMP.write_text(wanted)


def _wanted() -> str:
    pyproject = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    # The folder counts since the installation points to it.
    return f"{pyproject}\n{ROOT}\n"


def _works() -> bool:
    """Whether the environment's interpreter runs; it may have been upgraded away, or be old."""
    return _has(python(), "pip")


def _has(interpreter: Path, *modules: str) -> bool:
    """Whether an interpreter runs, is no older than we need, and has these modules."""
    check = f"import {', '.join(modules)}, sys; sys.exit(sys.version_info < (3, 11))"
    try:
        return subprocess.run([interpreter, "-c", check], capture_output=True).returncode == 0
    except OSError:
        return False


def _interpreter() -> str:
    """The Python to make the environment with: this one, or the distribution's if it is faster.

    One that was compiled as CPython's configure does by default, which pyenv leaves it at, takes up
    to twice as long for everything, and Python takes more than half of the tests' time.
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
