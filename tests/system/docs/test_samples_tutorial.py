from pathlib import Path

from ...support.docs.samples import run_page


def test_tutorial(tmp_path: Path) -> None:
    run_page("docs/tutorial.md", tmp_path)
