"""Run the checks of format, style and types, and the tests."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from dev import lanes, tools
from dev.console import elapsed, follow, say
from dev.paths import ROOT
from dev.python_env import python

_FOLDERS = ("pulumi_pika", "dev", "tests", "benchmarks")
_NO_TESTS = 5
# These tests must pass before a commit, and take at most 12 minutes on two cores. Of the tests with
# the engine, they are those of the lives of the resources. All others run with `--all`.
_BEFORE_COMMIT = [
    "tests/unit",
    "tests/integration",
    "tests/system/engine/test_up.py",
    "tests/system/engine/test_options.py",
    "tests/system/engine/test_short_programs.py",
]
# Each worker has daemons of its own and mostly waits for Incus, so that more workers than cores are
# useful.
_WHOLE = ["-n", "7", "--dist", "loadfile", "--no-loadscope-reorder", "--durations", "10"]
# Pulumi and Incus are Go programs, which by default collect garbage from 4 MiB on. A process that
# lives for a tenth of a second spends 40 % of its time on that.
_OF_TESTS = {"GOGC": "400"}


def lint() -> int:
    """Check format, style and types; continue after a failed check."""
    tools.ensure(only_python=True)
    folders = [name for name in _FOLDERS if any((ROOT / name).rglob("*.py"))]
    # Most examples are named __main__, and mypy can check only one such module at a time.
    programs = sorted({path.parent for path in (ROOT / "examples").glob("*/*.py")})
    checks = {
        "format": ["ruff", "format", "--check", "."],
        "style": ["ruff", "check", "."],
        "types": ["mypy", *folders],
    }
    for program in programs:
        name = str(program.relative_to(ROOT))
        checks[f"types of {name}"] = ["mypy", name]
    failed = []
    for name, argv in checks.items():
        say(f"==> {name}: {' '.join(argv)}")
        if follow([str(python()), "-m", *argv], cwd=ROOT) != 0:
            failed.append(name)
    say(f"==> lint: {'FAILED: ' + ', '.join(failed) if failed else 'all passed'}")
    return 1 if failed else 0


def docs() -> None:
    """Write the pages that are generated from code."""
    tools.ensure(only_python=True)
    follow([str(python()), "-m", "dev.changes"], cwd=ROOT)
    follow([str(python()), "-m", "dev.schema"], cwd=ROOT)
    follow([str(python()), "-m", "dev.page_sections"], cwd=ROOT)


def picture() -> None:
    """Draw the picture of a preview."""
    tools.ensure()
    environment = {**os.environ, "PATH": tools.path()}
    follow([str(python()), "-m", "dev.picture"], cwd=ROOT, env=environment)


def site(*, serve: bool = False) -> int:
    """Build the documentation site; return the exit code, which is not 0 if there is a warning."""
    tools.ensure(only_python=True)
    # An announcement of the authors of mkdocs is not a problem of a page.
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    command = ["serve"] if serve else ["build", "--strict", "--clean"]
    return follow(
        [str(python()), "-m", "mkdocs", *command], cwd=ROOT, env=environment, interactive=serve
    )


def test(arguments: list[str], *, everything: bool, matrix: bool) -> int:
    """Run tests with the tools first on PATH; return pytest's exit code.

    Args:
        arguments: Pytest's arguments; empty for the tests that must pass before a commit.
        everything: Whether every test runs, in the lanes of `lanes`; `arguments` are then added.
        matrix: Whether the lanes pair each server with each storage driver.
    """
    everything = everything or matrix
    # Other tests must not wait for builds that only the release tests need.
    supported = everything or any(_has_release_tests(text) for text in arguments)
    tools.ensure(servers=True, supported=supported)
    if not any((ROOT / "tests").rglob("test_*.py")):
        say("==> tests: there are none yet")
        return 0
    if not everything:
        return _pytest(arguments or [*_WHOLE, *_BEFORE_COMMIT])
    codes, found = [], []
    for lane in lanes.lanes(every=matrix):
        say(f"==> tests with {lane.title}")
        with tempfile.TemporaryDirectory(prefix="pika-outcomes-") as scratch:
            file = Path(scratch, "outcomes.json")
            codes.append(_pytest([*_WHOLE, *lane.arguments, "--outcomes", str(file), *arguments]))
            found += lanes.read(file)
    say("\n".join(["==> what came out:", *lanes.table(found)]))
    if matrix:
        lanes.write_page(found)
    return max(codes)


def _pytest(arguments: list[str]) -> int:
    # The tests must not use the user's own Incus or Pulumi.
    environment = _OF_TESTS | tools.neutral_environment() | {"PATH": tools.path()}
    say(f"==> tests: pytest {' '.join(arguments)}")
    begun = time.monotonic()
    # Interactive, so that --pdb works.
    code = follow([str(python()), "-m", "pytest", *arguments], env=environment, interactive=True)
    taken = elapsed(time.monotonic() - begun)
    outcome = {0: "all passed", _NO_TESTS: "none were found"}.get(
        code, f"FAILED (exit code {code})"
    )
    say(f"==> tests: {outcome}, in {taken}")
    return code


def _has_release_tests(path: str) -> bool:
    place, release = (ROOT / path.split("::")[0]).resolve(), ROOT / "tests/system/release"
    return place.is_relative_to(release) or release.is_relative_to(place)
