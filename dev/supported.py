"""The oldest and the newest of what a release supports, and how to get them for its tests."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dev.interpreters import ensure_interpreter
from dev.paths import PULUMI_OLDEST
from dev.pulumi_cli import ensure_version


@dataclass(frozen=True)
class Supported:
    """One end of what is supported."""

    name: str
    python: str
    engine: str
    """The version of the Pulumi command."""
    resolution: Literal["lowest-direct", "highest"]
    """Which versions of our dependencies, as uv names it: the SDK of Pulumi is one of them."""


OLDEST = Supported("oldest", "3.11", PULUMI_OLDEST, "lowest-direct")
# The newest engine that Go's module proxy serves (it lacks 3.272.0, which the SDK has).
NEWEST = Supported("newest", "3.13", "3.274.1", "highest")


def ensure_supported() -> None:
    """Get the interpreters and the engines of both ends."""
    for end in (OLDEST, NEWEST):
        ensure_interpreter(end.python)
        ensure_version(end.engine)
