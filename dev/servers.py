"""List the Incus servers for sandboxes: the machine's own, and the one in the tree."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dev.console import Failure
from dev.incus_tree import tree, tree_version
from dev.sandbox import incusd


@dataclass(frozen=True)
class Release:
    """One server that can be started on this machine."""

    version: str
    tree: Path | None = None
    """The folder of its programs; None for the machine's own."""

    @property
    def series(self) -> str:
        """Return the series by which the server is selected: `7.0` for 7.0.2."""
        return ".".join(self.version.split(".")[:2])


@cache
def releases() -> tuple[Release, ...]:
    """Return the servers that can be started on this machine, the oldest first, one of each
    series."""
    found = {}
    if (beside := tree()) is not None:
        release = Release(tree_version(), beside)
        found[release.series] = release
    if (own := incusd()) is not None:
        shown = subprocess.run([own, "--version"], capture_output=True, text=True, check=False)
        release = Release(shown.stdout.split()[-1] if shown.stdout.split() else "?")
        found[release.series] = release
    return tuple(sorted(found.values(), key=_numbers))


def release_named(name: str) -> Release:
    """Return the server of a series (`6.0`), or the `newest` or `oldest` one."""
    known = releases()
    if not known:
        raise Failure("there is no Incus here; `python3 dev tools` gets it")
    if name in ("newest", "oldest"):
        return known[-1 if name == "newest" else 0]
    for release in known:
        if release.series == name:
            return release
    there = ", ".join(release.series for release in known)
    raise Failure(f"there is no Incus {name} here, only {there}; `python3 dev tools` gets it")


def _numbers(release: Release) -> tuple[int, ...]:
    return tuple(int(part) for part in release.version.split(".") if part.isdigit())
