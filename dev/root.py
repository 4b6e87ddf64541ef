"""Become root for the few commands that need it, without ever waiting for a password."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence

from dev.console import Failure


def is_root() -> bool:
    """Return whether this process runs as root."""
    return os.geteuid() == 0


def as_root(argv: Sequence[str], environment: Sequence[str] = ()) -> list[str]:
    """Return the command that runs `argv` as root; `environment` has `NAME=value` settings.

    Raises a `Failure` with the command if sudo would ask for a password.
    """
    command = ["env", *environment, *argv] if environment else list(argv)
    if is_root():
        return command
    if shutil.which("sudo"):
        allowed = subprocess.run(
            ["sudo", "-n", "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        if allowed.returncode == 0:
            return ["sudo", "-n", *command]
    raise Failure(
        "this needs root, and sudo is not there or asks for a password.\n"
        f"Run as root: {shlex.join(command)}\n"
        "or run `sudo -v` first, and then the same command again."
    )
