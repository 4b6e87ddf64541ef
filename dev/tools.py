"""Install all tools that are missing."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from dev.console import say
from dev.incus_tree import ensure_tree
from dev.packages import ensure_btrfs, ensure_busybox, ensure_incus
from dev.paths import VENV, cache
from dev.pulumi_cli import ASKS_NOBODY, ensure_pulumi, folder
from dev.python_env import ensure_programs, ensure_venv
from dev.supported import ensure_supported


def ensure(*, only_python: bool = False, servers: bool = False, supported: bool = False) -> None:
    """Install the tools, or only the Python packages.

    `servers` also installs the newer Incus and the storage driver for tests. `supported` also
    installs the interpreters and engines for release tests, which takes long if they must be built.
    """
    with _alone():
        ensure_venv()
        if only_python:
            return
        ensure_programs()
        ensure_incus()
        ensure_busybox()
        if servers:
            ensure_btrfs()
            ensure_tree()
        ensure_pulumi()
        if supported:
            ensure_supported()


def folders() -> list[str]:
    """Return the folders of the tools, which must come first on PATH."""
    pulumi = folder()
    return [str(VENV / "bin"), *([str(pulumi)] if pulumi else [])]


def path() -> str:
    """Return a PATH on which the tools come first."""
    first = folders()
    others = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([*first, *(part for part in others if part not in first)])


def neutral_environment() -> dict[str, str]:
    """Return the environment without the user's settings for Incus and Pulumi; see `ASKS_NOBODY`.

    A setting that keeps Python from writing compiled files is removed too. Otherwise each of a
    hundred processes would compile the whole project, which takes 80 ms.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("INCUS_", "PULUMI_")) and name != "PYTHONDONTWRITEBYTECODE"
    }
    return kept | ASKS_NOBODY


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Keep two runs of the same user from installing the same tools at the same time."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("==> waiting for another run of this command to finish getting the tools")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
