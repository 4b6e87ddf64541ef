"""A layer imports only the layers below it, and only those that may load Pulumi load it."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.paths import ROOT

PACKAGE = ROOT / "pulumi_pika"
BASE = {"choices", "errors", "message_templates", "redaction", "text_safety"}
_SHARED = {*BASE, "incus"}
_INSTANCES = {*_SHARED, "planner", "reconcile/shared"}
_VOLUMES = {*_INSTANCES, "reconcile/instances"}
_OBJECTS = {*_VOLUMES, "reconcile/volumes"}
_IMAGES = {*_OBJECTS, "reconcile/objects"}
_RECONCILE = {*_IMAGES, "reconcile/images", "reconcile"}
BELOW: dict[str, set[str]] = {
    "choices": set(),
    "errors": {"message_templates"},
    "message_templates": set(),
    "text_safety": set(),
    "redaction": {"text_safety"},
    "planner": BASE,
    "incus": BASE,
    "reconcile/shared": _SHARED,
    "reconcile/instances": _INSTANCES,
    "reconcile/volumes": _VOLUMES,
    "reconcile/objects": _OBJECTS,
    "reconcile/images": _IMAGES,
    "reconcile": _RECONCILE,
    "validation": _RECONCILE,
    "imports": _RECONCILE,
    "report": {*BASE, "planner", "validation"},
    "doctor": _RECONCILE,
    "jobs": _RECONCILE,
    "providers": {*_RECONCILE, "validation", "jobs"},
    "resources": {*_RECONCILE, "validation", "providers"},
    "cli": {*_RECONCILE, "validation", "jobs", "imports", "report", "doctor", "schema"},
}
"""The layers that each layer may import. The picture in docs/architecture.md shows the same."""
ANYWHERE = {"", "_version"}
WITH_PULUMI = {"providers", "resources"}
"""The layers that may import Pulumi."""


def layer_of(module: tuple[str, ...]) -> str:
    """Return the layer of a module, given as the parts of its name below the package."""
    if module[:1] == ("reconcile",) and len(module) > 2:
        return "/".join(module[:2])
    return module[0] if module else ""


def imports_of(path: Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Yield the line and the absolute name of each module that a module imports."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, tuple(alias.name.split("."))) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            name = (*base, *(node.module or "").split(".")) if node.module else base
            for alias in node.names:
                yield node.lineno, (*name, alias.name)


MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_layer_imports_only_what_is_below(path: Path) -> None:
    here = layer_of(path.relative_to(PACKAGE).with_suffix("").parts)
    wrong = []
    for line, name in imports_of(path):
        if name[0] == "pulumi" and here not in WITH_PULUMI:
            wrong.append(f"line {line}: {here} imports Pulumi")
        if name[0] != "pulumi_pika":
            continue
        there = layer_of(_module_of(name)[1:])
        if there != here and there not in ANYWHERE and there not in BELOW[here]:
            wrong.append(f"line {line}: {here} imports {'.'.join(name)}")
    assert not wrong


def _module_of(name: tuple[str, ...]) -> tuple[str, ...]:
    """Return the module that a dotted name is in, or is."""
    while name and not (
        (ROOT / Path(*name)).is_dir() or (ROOT / Path(*name)).with_suffix(".py").is_file()
    ):
        name = name[:-1]
    return name


def test_every_layer_is_listed() -> None:
    listed = {layer_of(path.relative_to(PACKAGE).with_suffix("").parts) for path in MODULES}
    assert listed - {"schema"} <= set(BELOW)


def test_plan_command_loads_no_pulumi() -> None:
    program = (
        "import sys, runpy\n"
        "sys.argv = ['pulumi_pika', 'plan', '--help']\n"
        "import pulumi_pika.cli.plan_command, pulumi_pika.validation.plan_inputs\n"
        "import pulumi_pika.validation.option_inputs, pulumi_pika.cli.spec_file\n"
        "sys.exit(any(name.split('.')[0] == 'pulumi' for name in sys.modules))\n"
    )
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_unknown_is_pulumis() -> None:
    from pulumi.runtime import rpc

    from pulumi_pika.validation.property_tree import UNKNOWN

    assert UNKNOWN == rpc.UNKNOWN
