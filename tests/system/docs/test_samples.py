"""Every page but the tutorials, which take longest and have a file of their own."""

import ast
from pathlib import Path

import pytest

from dev.paths import ROOT

from ...support.docs.page import read_page
from ...support.docs.samples import (
    MOST_NOT_RUN,
    PAGES,
    continued,
    run_page,
)

ALONE = {"docs/tutorial.md"}
CONTINUED = {other for name in PAGES for other in continued(name)}


@pytest.mark.parametrize("name", [name for name in PAGES if name not in ALONE | CONTINUED])
def test_page(name: str, tmp_path: Path) -> None:
    run_page(name, tmp_path)


def test_docstrings_have_no_samples() -> None:
    """The reference is made of them, and nobody would run those."""
    for path in (ROOT / "pulumi_pika").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = ast.get_docstring(node) or ""
                assert "```" not in text, path
                assert ">>>" not in text, path


def test_little_is_not_run() -> None:
    left = [f"{name}, {why}" for name in PAGES for why in read_page(ROOT / name).not_run]
    assert len(left) <= MOST_NOT_RUN, left
