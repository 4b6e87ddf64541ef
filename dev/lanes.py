"""Choose the servers and storage drivers of the test runs, and write the table of results.

A lane is one run of pytest: tests, a server, and the storage driver of its pool. A run of all tests
has one lane with everything, and one with the other server and the other driver, so that each is
tested. With `--matrix`, every folder that uses a daemon runs with every pair.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from dev.packages import has_btrfs
from dev.paths import ROOT
from dev.servers import releases

OF_STORAGE = {
    "integration/reconcile": "runtimes against the API: create, update, wait, delete",
    "integration/volumes": "volumes, snapshots, restore",
    "integration/providers": "drift, replacement, adoption, pools of mounts",
    "integration/imports": "import of what is there",
    "system/faults": "faults at each step, full disk, killed daemon",
}
"""The folders of tests that use storage, and their topics."""
WITH_DAEMON = {
    **OF_STORAGE,
    "integration/jobs": "jobs: output, artifacts, time-outs, restarts",
    "integration/hosts": "hosts over HTTPS, certificates, clusters",
    "system/engine": "stacks of the real engine",
}
"""The folders of tests that run against a daemon, and their topics."""
_PAGE = ROOT / "docs" / "support.md"
_BEGIN, _END = "<!-- written by `python3 dev test --matrix` -->", "<!-- end -->"


@dataclass(frozen=True)
class Lane:
    """One run of pytest."""

    server: str
    driver: str
    folders: tuple[str, ...] = ()
    """The folders of tests; empty for all tests."""

    @property
    def title(self) -> str:
        """Return the server, the storage driver and the folders as text."""
        return f"Incus {self.server}, {self.driver} pool, {', '.join(self.folders) or 'all tests'}"

    @property
    def arguments(self) -> list[str]:
        """Return the arguments for pytest."""
        options = ["--incus", self.server, "--pool", self.driver]
        return [*options, *(f"tests/{folder}" for folder in self.folders)]


@dataclass(frozen=True)
class Outcome:
    """The result of the tests of a folder in a lane."""

    what: str
    server: str
    type: str
    pool: str
    passed: int
    failed: int
    skipped: int
    date: str

    @property
    def word(self) -> str:
        """Return the result, for a cell of the table."""
        counts = {"passed": self.passed, "failed": self.failed, "skipped": self.skipped}
        return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def lanes(*, every: bool) -> list[Lane]:
    """Return the lanes of a run of all tests that are possible on this machine."""
    servers = [release.series for release in releases()] or ["newest"]
    drivers = ["dir", "btrfs"] if has_btrfs() else ["dir"]
    first = Lane(servers[-1], "dir")
    if every:
        return [
            first,
            *(
                Lane(server, driver, tuple(WITH_DAEMON if driver == "dir" else OF_STORAGE))
                for server in reversed(servers)
                for driver in drivers
                if (server, driver) != (first.server, first.driver)
            ),
        ]
    other = Lane(servers[0], drivers[-1], ("integration/reconcile", "integration/volumes"))
    same = (other.server, other.driver) == (first.server, first.driver)
    return [first] if same else [first, other]


def outcomes(
    counts: dict[str, tuple[int, int, int]], server: str, driver: str, kind: str = "container"
) -> list[Outcome]:
    """Return the outcomes of a lane from the numbers of passed, failed and skipped tests in each
    folder."""
    today = time.strftime("%Y-%m-%d")
    return [
        Outcome(folder, server, kind, driver, *counts[folder], today)
        for folder in WITH_DAEMON
        if folder in counts
    ]


def table(found: list[Outcome]) -> list[str]:
    """Return the table of outcomes in Markdown: topic, type, and a column for each server and
    pool."""
    columns = sorted({(it.server, it.pool) for it in found}, key=lambda it: (it[0], it[1] != "dir"))
    rows = list(dict.fromkeys((it.what, it.type) for it in found))
    cells = {(it.what, it.type, it.server, it.pool): it.word for it in found}
    lines = [
        "| what | type | " + " | ".join(f"{server}, {pool}" for server, pool in columns) + " |",
        "|---|---|" + "---|" * len(columns),
    ]
    for what, kind in rows:
        words = [cells.get((what, kind, *column), "not run") for column in columns]
        about = WITH_DAEMON.get(what, what)
        lines.append(f"| {about} (`{what}`) | {kind} | " + " | ".join(words) + " |")
    return lines


def read(file: Path) -> list[Outcome]:
    """Return the outcomes that a run of pytest wrote to a file; an empty list if there is no
    file."""
    try:
        return [Outcome(**tree) for tree in json.loads(file.read_text())]
    except FileNotFoundError:
        return []


def write(file: Path, found: list[Outcome]) -> None:
    """Write outcomes to a file."""
    file.write_text(json.dumps([asdict(it) for it in found]))


def write_page(found: list[Outcome]) -> None:
    """Write the table to the page of supported versions."""
    before, _, rest = _PAGE.read_text().partition(_BEGIN)
    after = rest.partition(_END)[2]
    dates = sorted({it.date for it in found})
    when = " to ".join(dict.fromkeys((dates[0], dates[-1])))
    text = "\n".join([_BEGIN, "", f"Run on {when}:", "", *table(found), "", _END])
    _PAGE.write_text(before + text + after)
