"""The table fault x step -> outcome at the end of a run."""

from collections.abc import Iterable, Iterator
from typing import Any

PROPERTY = "fault"
"""The property of a test's report that has a cell: scenario, fault, step, word."""


OTHERS_PROPERTY = "others"
"""The property of a report that has a cell of what others do: what, command, outcome."""

LEGEND = {
    "ok": "succeeded all the same",
    "undone": "an error, nothing left, the next up succeeds",
    "again": "something left, and the next run, up or delete finishes it",
    "resumed": "an error, and the next up finishes what was left",
    "error": "a job that raised an error, nothing left",
    "lost": "a job whose end is not known, and which is not said to have completed",
    "part": "a job that completed, and said which of its outputs it could not bring home",
    "gone": "a job that was interrupted, nothing left",
    "slow": "a job that did not come to that step in two minutes, and was killed then",
    "FAILED": "not as it has to be; the test's own message has it",
}
"""What the words of cells mean; of two in a cell each."""


_SECTION = "table: "


def section_of(title: str) -> str:
    """The property of a test's report for a line of another table: the line's words."""
    return _SECTION + title


def sections(reports: Iterable[Any]) -> dict[str, list[str]]:
    """The other tables of what the tests' reports say, by title."""
    # A report of each phase of a test has its properties.
    rows: dict[str, set[tuple[str, ...]]] = {}
    for report in reports:
        for name, value in getattr(report, "user_properties", ()):
            if name.startswith(_SECTION):
                rows.setdefault(name.removeprefix(_SECTION), set()).add(tuple(map(str, value)))
    return {title: _columns(sorted(found)) for title, found in rows.items()}


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


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


def others_lines(reports: Iterable[Any]) -> list[str]:
    """The table what others did x command -> outcome; empty without any."""
    cells: dict[str, dict[str, str]] = {}
    for report in reports:
        for name, value in getattr(report, "user_properties", ()):
            if name == OTHERS_PROPERTY:
                what, command, outcome = value
                cells.setdefault(what, {})[command] = outcome
    width = max((len(what) for what in cells), default=0)
    return [
        f"{what.ljust(width)}  " + "; ".join(f"{command}: {word}" for command, word in row.items())
        for what, row in sorted(cells.items())
    ]


def _lines(all_cells: dict[tuple[str, str, str], str]) -> Iterator[str]:
    said = {part for word in all_cells.values() for part in word.split(", ")}
    yield from (f"{word}: {meaning}" for word, meaning in LEGEND.items() if word in said)
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
