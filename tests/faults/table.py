"""The table fault x step -> outcome at the end of a run."""

from collections.abc import Iterable, Iterator
from typing import Any

PROPERTY = "fault"
"""The property of a test's report that has a cell: scenario, fault, step, word."""


def lines(reports: Iterable[Any]) -> list[str]:
    """The table of what the tests' reports say; empty without any."""
    cells = {
        (scenario, step, fault): word
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == PROPERTY
        for scenario, fault, step, word in [value]
    }
    return list(_lines(cells)) if cells else []


def _lines(all_cells: dict[tuple[str, str, str], str]) -> Iterator[str]:
    yield "ok: succeeded all the same    undone: an error, nothing left, the next up succeeds"
    yield "again, resumed: an error, and the next up (or delete) finishes what was left"
    for scenario in dict.fromkeys(scenario for scenario, _, _ in all_cells):
        cells = {
            (step, fault): w for (name, step, fault), w in all_cells.items() if name == scenario
        }
        faults = list(dict.fromkeys(fault for _, fault in cells))
        width = max(len(step) for step, _ in cells)
        yield ""
        yield scenario
        yield "  ".join([" " * width, *faults])
        for step in dict.fromkeys(step for step, _ in cells):
            words = (cells.get((step, fault), "-").ljust(len(fault)) for fault in faults)
            yield "  ".join([step.ljust(width), *words]).rstrip()
