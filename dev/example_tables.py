"""Read the configuration keys and the outputs of an example, as tables of the page of examples.

The keys are those of its `Pulumi.yaml`; a test compares them with the keys that the program reads.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from dev.paths import ROOT
from dev.resource_tables import table

FOLDER = ROOT / "examples"
_READERS = {"get", "require"}


def section(name: str) -> str:
    """Return the table of the configuration keys, and the names of the outputs.

    Args:
        name: The folder of the example.
    """
    rows = []
    for key, entry in configuration(name).items():
        shown = f"`{_value(entry['default'])}`" if "default" in entry else "required"
        rows.append((f"`{key}`<br>{entry['type']}", entry["description"], shown))
    names = ", ".join(f"`{output}`" for output in outputs(name))
    return f"{table(('key, type', 'description', 'default'), rows)}\n\nOutputs: {names}."


def configuration(name: str) -> dict[str, dict[str, Any]]:
    """Return the configuration keys of an example, with type, default and description."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(
        (FOLDER / name / "Pulumi.yaml").read_text()
    ).get("config", {})
    return found


def keys(name: str) -> set[str]:
    """Return the configuration keys that the program of an example reads."""
    return set(_first_arguments(name, "config", _READERS))


def outputs(name: str) -> list[str]:
    """Return the outputs of the stack of an example, in the order of the program."""
    return list(_first_arguments(name, "pulumi", {"export"}))


def _first_arguments(name: str, owner: str, methods: set[str]) -> Iterator[str]:
    """Yield the first argument of each call of a method of a name, as `config.require_int`."""
    program = ast.parse(Path(FOLDER, name, "__main__.py").read_text())
    for node in ast.walk(program):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        target, first = node.func.value, node.args[:1]
        if isinstance(target, ast.Name) and target.id == owner and first:
            named = node.func.attr.split("_")[0] in methods
            if named and isinstance(first[0], ast.Constant):
                yield str(first[0].value)


def _value(value: Any) -> str:
    return value if isinstance(value, str) and value else json.dumps(value)
