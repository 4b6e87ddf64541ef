"""The outcomes of the tests on virtual machines: what is kept, and the table of them."""

from dataclasses import replace
from pathlib import Path

from dev.vm_lane import Step, read, record, table

STEP = Step("create", "6.0.4", "dir", "emulated", "passed", 100, 90, "2026-11-01")


def test_later_outcome_replaces_an_earlier_one(tmp_path: Path) -> None:
    file = tmp_path / "outcomes.json"
    assert read(file) == []
    other = replace(STEP, server="7.0.2")

    record([STEP, other], file)
    record([replace(STEP, outcome="failed", date="2026-11-02")], file)
    # A test that was skipped this time was run before.
    record(
        [replace(other, outcome="skipped"), replace(STEP, what="delete", outcome="skipped")], file
    )

    assert read(file) == [
        replace(STEP, outcome="failed", date="2026-11-02"),
        other,
        replace(STEP, what="delete", outcome="skipped"),
    ]


def test_table_has_a_column_for_each_server_and_pool() -> None:
    steps = [STEP, replace(STEP, what="delete", seconds=5), replace(STEP, server="7.0.2")]

    assert table(steps) == [
        "| virtual machine | 6.0.4, dir, emulated | 7.0.2, dir, emulated |",
        "|---|---|---|",
        "| create | passed | passed |",
        "| delete | passed | not run |",
    ]
    assert table(steps, seconds=True)[2] == "| create | passed, 100 s | passed, 100 s |"
