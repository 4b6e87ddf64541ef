"""Recorded previews, and the command as a user runs it."""

import copy
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from pulumi_pika.report.gate import CONDITIONS
from pulumi_pika.report.report_builder import report_of
from pulumi_pika.report.report_model import (
    Change,
    Condition,
    Report,
)

ROOT = Path(__file__).resolve().parents[2]
PREVIEWS = ROOT / "tests/unit/report/previews"
NAMES = sorted(file.stem for file in PREVIEWS.glob("*.json"))


def recorded(name: str) -> str:
    return (PREVIEWS / f"{name}.json").read_text()


def tree_of(name: str) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(recorded(name))
    return copy.deepcopy(tree)


def report(name: str, fail_on: tuple[Condition, ...] = CONDITIONS) -> Report:
    return report_of(recorded(name), fail_on)


def of_tree(tree: dict[str, Any], fail_on: tuple[Condition, ...] = CONDITIONS) -> Report:
    return report_of(json.dumps(tree), fail_on)


def change(made: Report, name: str) -> Change:
    return next(change for change in made.changes if change.name == name)


def step(tree: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(s for s in tree["steps"] if s["urn"].endswith(f"::{name}"))
    return found


def held(made: Report) -> dict[str, list[str]]:
    return {held.condition: held.resources for held in made.held}


def environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "TERM")}
    return {**kept, "PYTHONPATH": str(ROOT), **more}


def call(
    *arguments: str, stdin: str | bytes = "", **env: str
) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        [sys.executable, "-m", "pulumi_pika", "report", *arguments],
        env=environment(**env),
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        timeout=60,
    )
