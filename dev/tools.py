"""Everything that is needed, got if it is not there."""

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
    """Get the tools, or only those that are Python packages.

    `servers` gets, besides, the newer Incus and the storage driver that tests run with. `supported`
    gets the interpreters and engines that a release is tested with, which
    takes long where they have to be built.
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
    """The folders of the tools, as PATH has to begin."""
    pulumi = folder()
    return [str(VENV / "bin"), *([str(pulumi)] if pulumi else [])]


def path() -> str:
    """A PATH on which the tools come first."""
    first = folders()
    others = os.environ.get("PATH", os.defpath).split(os.pathsep)
    return os.pathsep.join([*first, *(part for part in others if part not in first)])


def neutral_environment() -> dict[str, str]:
    """The environment, less whatever Incus or Pulumi the user works with; see `ASKS_NOBODY`.

    Less what keeps Python from writing down what it compiled, too: each of a hundred processes
    would compile all of the project, which takes them 80 ms.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("INCUS_", "PULUMI_")) and name != "PYTHONDONTWRITEBYTECODE"
    }
    return kept | ASKS_NOBODY


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Keep two runs of the same user from getting the same things at the same time."""
    cache().mkdir(parents=True, exist_ok=True)
    with (cache() / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("==> waiting for another run of this command to finish getting the tools")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
