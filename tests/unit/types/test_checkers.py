"""What mypy and pyright say of right and of wrong programs."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dev.paths import ROOT

FOLDER = Path(__file__).parent
WRONG = (FOLDER / "wrong.py").read_text().splitlines()
_MARK = re.compile(r"# wrong: (.*)")
EXPECTED = {
    number: found[1] for number, line in enumerate(WRONG, 1) if (found := _MARK.search(line))
}


def mypy(name: str) -> dict[int, str]:
    """The errors of mypy, by line."""
    command = ["mypy", "--strict", "--show-error-end", "--no-pretty", "--hide-error-context"]
    done = run(*command, "--cache-dir", str(ROOT / ".mypy_cache" / "types"), str(FOLDER / name))
    found: dict[int, str] = {}
    for line in done.splitlines():
        if match := re.match(r".*\.py:(\d+):\d+:\d+:\d+: (?:error|note): (.*)", line):
            number = int(match[1])
            found[number] = f"{found.get(number, '')} {match[2]}".strip()
    return found


def pyright(name: str) -> dict[int, str]:
    """The errors of pyright, by line."""
    tree = json.loads(
        run("pyright", "--outputjson", "--pythonpath", sys.executable, str(FOLDER / name))
    )
    found: dict[int, str] = {}
    for error in tree["generalDiagnostics"]:
        if error["severity"] == "error":
            found[error["range"]["start"]["line"] + 1] = error["message"]
    assert tree["summary"]["filesAnalyzed"] == 1
    return found


def run(module: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("check", [mypy, pyright])
def test_right_programs_are_right(check: Callable[[str], dict[int, str]]) -> None:
    assert check("right.py") == {}


def test_mypy_finds_every_mistake() -> None:
    found = mypy("wrong.py")
    assert found.keys() == EXPECTED.keys()
    for number, wanted in EXPECTED.items():
        assert wanted in found[number], (WRONG[number - 1], found[number])


def test_pyright_finds_every_mistake() -> None:
    assert pyright("wrong.py").keys() == EXPECTED.keys()
