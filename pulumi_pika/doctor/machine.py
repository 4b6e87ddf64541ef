"""Check this machine: the programs, packages and space that a run of Pulumi needs."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from .finding import Finding

_OLDEST_PYTHON: Final = (3, 11)
_OLDEST_SDK: Final = (3, 216)
"""`requires-python` and the dependency on `pulumi` in pyproject.toml; a test compares them."""
_LITTLE: Final = 512 * 2**20
"""How much free space is little for state, plugins and logs, in bytes."""
_COMMAND_WITHIN: Final = 20.0


def examine_machine() -> Iterator[Finding]:
    """Yield a finding for each check of this machine."""
    yield _python()
    yield _sdk()
    yield from _command()
    yield _openssl()
    yield from _space()


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < _OLDEST_PYTHON:
        oldest = ".".join(map(str, _OLDEST_PYTHON))
        return Finding(
            "python", "machine", "error", f"Python {version} is too old",
            f"install Python {oldest} or newer, and create the virtual environment with it",
        )  # fmt: skip
    return Finding("python", "machine", "ok", f"Python {version}")


def _sdk() -> Finding:
    oldest = ".".join(map(str, _OLDEST_SDK))
    try:
        version = metadata.version("pulumi")
    except metadata.PackageNotFoundError:
        return Finding(
            "sdk", "machine", "error", "the Python package pulumi is not installed",
            f"install it: pip install 'pulumi>={oldest},<4'",
        )  # fmt: skip
    if not _OLDEST_SDK <= _numbers(version) < (4,):
        return Finding(
            "sdk", "machine", "error",
            f"the Python package pulumi has the version {version}, which is not supported",
            f"install a supported version: pip install 'pulumi>={oldest},<4'",
        )  # fmt: skip
    return Finding("sdk", "machine", "ok", f"Pulumi SDK {version}")


def _command() -> Iterator[Finding]:
    path = shutil.which("pulumi")
    if path is None:
        yield Finding(
            "pulumi", "machine", "error", "the pulumi command is not on PATH",
            "install it (https://www.pulumi.com/docs/install/), and add its folder to PATH",
        )  # fmt: skip
        return
    try:
        done = subprocess.run(
            [path, "version"], capture_output=True, text=True, timeout=_COMMAND_WITHIN, check=False
        )
        shown, failed = done.stdout.strip(), done.returncode != 0
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        shown, failed = str(error), True
    if failed or not re.match(r"v?\d+\.", shown):
        yield Finding(
            "pulumi", "machine", "error",
            f"{path} version fails: {shown or 'no output'}", "reinstall the pulumi command",
        )  # fmt: skip
        return
    yield Finding("pulumi", "machine", "ok", f"pulumi command {shown.removeprefix('v')}")
    plugin = "pulumi-language-python"
    if not shutil.which(plugin) and not Path(path).resolve().with_name(plugin).exists():
        yield Finding(
            "language_plugin", "machine", "error",
            f"{plugin} is neither beside the pulumi command nor on PATH",
            "install the whole pulumi distribution, not only the pulumi command",
        )  # fmt: skip


def _openssl() -> Finding:
    if shutil.which("openssl"):
        return Finding("openssl", "machine", "ok", "openssl command")
    return Finding(
        "openssl", "machine", "note",
        "the openssl command is missing; only a trust_token needs it",
        "install openssl, or give the host certificate and key",
    )  # fmt: skip


def _space() -> Iterator[Finding]:
    places: dict[int, Path] = {}
    for place in (Path.cwd(), Path.home()):
        try:
            places.setdefault(place.stat().st_dev, place)
        except OSError:
            continue
    for place in places.values():
        free = shutil.disk_usage(place).free
        if free < _LITTLE:
            yield Finding(
                "machine_space", "machine", "warning",
                f"the file system of {place} has {free / 2**20:.0f} MiB left",
                "free some space: Pulumi writes its state, plugins and logs there",
            )  # fmt: skip
            return
    yield Finding("machine_space", "machine", "ok", "enough free disk space")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])
