"""Which pages have samples, and how they are run."""

from pathlib import Path
from typing import Final

from dev.paths import ROOT

from .page import read_page
from .session import Session, session

PAGES: Final = (
    "README.md",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")),
)
MOST_NOT_RUN: Final = 6
"""Blocks that all pages together may have that cannot be run here."""


def run_page(name: str, directory: Path) -> None:
    """Does all that a page says.

    Raises:
        AssertionError: something is not as it says; with its line.
    """
    page = read_page(ROOT / name)
    if not page.runs:
        return
    with session(page, directory) as doing:
        _do(name, doing)


def continued(name: str) -> set[str]:
    """The pages that continue a page: they are run with it, and not alone."""
    return {step.text for step in read_page(ROOT / name).steps if step.kind == "page"}


def _do(name: str, doing: Session) -> None:
    for step in read_page(ROOT / name).steps:
        if step.kind == "page":
            _do(step.text, doing)
            continue
        try:
            doing.do(step)
        except Exception as error:
            error.add_note(f"{name}:{step.line}")
            raise
