"""The oldest and the newest supported versions, and how to install them for the release tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dev.interpreters import ensure_interpreter
from dev.paths import PULUMI_OLDEST
from dev.pulumi_cli import ensure_version


@dataclass(frozen=True)
class Supported:
    """The versions at one end of the supported range."""

    name: str
    python: str
    engine: str
    """The version of the Pulumi command."""
    resolution: Literal["lowest-direct", "highest"]
    """The resolution of the dependencies, Pulumi's SDK included, as uv names it."""


OLDEST = Supported("oldest", "3.11", PULUMI_OLDEST, "lowest-direct")
# The newest engine that Go's module proxy serves (3.272.0, an SDK version, is missing there).
NEWEST = Supported("newest", "3.13", "3.274.1", "highest")


def ensure_supported() -> None:
    """Install the interpreters and the engines of both ends of the range."""
    for end in (OLDEST, NEWEST):
        ensure_interpreter(end.python)
        ensure_version(end.engine)
