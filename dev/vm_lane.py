"""The table of the tests on virtual machines, and the file that keeps their outcomes and times.

`python3 dev test tests/system/vm --vm-host HOST --vm-record` adds the outcomes of its run. The
benchmarks read the times.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from dev.paths import ROOT

OUTCOMES = ROOT / "tests" / "system" / "vm" / "outcomes.json"
_PAGE = ROOT / "docs" / "support.md"
_BEGIN, _END = "<!-- written by the tests of virtual machines -->", "<!-- end of them -->"


@dataclass(frozen=True)
class Step:
    """The outcome of one test on a virtual machine."""

    what: str
    """What the test does: the first line of its docstring."""
    server: str
    """The version of Incus."""
    pool: str
    """The driver of the storage pool."""
    host: str
    """`emulated` or `KVM`."""
    outcome: str
    """`passed`, `failed` or `skipped`."""
    seconds: int | None
    """How long the test took, with its own preparations; None if that was not kept."""
    boot: int | None
    """How long the machine took from its start to what was waited for, in seconds."""
    date: str

    @property
    def column(self) -> tuple[str, str, str]:
        """Return server, pool and host, which make a column of the table."""
        return self.server, self.pool, self.host


def read(file: Path = OUTCOMES) -> list[Step]:
    """Return the kept outcomes; an empty list if there are none."""
    try:
        return [Step(**tree) for tree in json.loads(file.read_text())]
    except FileNotFoundError:
        return []


def record(steps: Iterable[Step], file: Path = OUTCOMES) -> list[Step]:
    """Add outcomes to the kept ones; return all.

    An outcome replaces an earlier one of the same test, server, pool and host. A skipped test does
    not replace one that was run.
    """
    kept = {(step.what, *step.column): step for step in read(file)}
    for step in steps:
        if step.outcome != "skipped" or (step.what, *step.column) not in kept:
            kept[step.what, *step.column] = step
    found = list(kept.values())
    file.write_text(json.dumps([asdict(step) for step in found], indent=1) + "\n")
    return found


def table(steps: Iterable[Step], *, seconds: bool = False) -> list[str]:
    """Return the table in Markdown: a row for each test, a column for each server and pool.

    Args:
        steps: the outcomes.
        seconds: whether the cells have the times too.
    """
    steps = list(steps)
    columns = sorted({step.column for step in steps})
    cells = {(step.what, step.column): step for step in steps}
    titles = [f"{server}, {pool}, {host}" for server, pool, host in columns]
    lines = ["| virtual machine | " + " | ".join(titles) + " |", "|---|" + "---|" * len(columns)]
    for what in dict.fromkeys(step.what for step in steps):
        words = []
        for column in columns:
            step = cells.get((what, column))
            word = step.outcome if step else "not run"
            words.append(
                f"{word}, {step.seconds} s"
                if step and seconds and step.seconds is not None
                else word
            )
        lines.append(f"| {what} | " + " | ".join(words) + " |")
    return lines


def write_page(steps: list[Step]) -> None:
    """Write the table to the page of tested versions."""
    before, _, rest = _PAGE.read_text().partition(_BEGIN)
    after = rest.partition(_END)[2]
    dates = sorted({step.date for step in steps})
    when = " to ".join(dict.fromkeys((dates[0], dates[-1])))
    text = "\n".join([_BEGIN, "", f"Run on {when}:", "", *table(steps), "", _END])
    _PAGE.write_text(before + text + after)
