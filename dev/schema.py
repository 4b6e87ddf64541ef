"""Writes pulumi_pika/schema/runtime-spec.schema.json, asked of the models themselves.

Run as `python -m dev.schema`. `tests/cli/test_plan.py` tells when that was forgotten.
"""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

from dev.paths import ROOT

TARGET = ROOT / "pulumi_pika" / "schema" / "runtime-spec.schema.json"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def text() -> str:
    """The schema as the file is to have it."""
    from pulumi_pika.planner.spec import RuntimeSpec
    from pulumi_pika.resources.runtime import IncusRuntime

    schema = {"$schema": _DIALECT, **RuntimeSpec.model_json_schema()}
    _tidy(schema)
    # What a field is for is said where users meet it first.
    said = _arguments(IncusRuntime.__init__.__doc__ or "")
    for name, field in schema["properties"].items():
        if name in said:
            field["description"] = said[name]
    schema["properties"]["provider"]["description"] = "The only one that there is."
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _tidy(schema: Any) -> None:
    """Keeps of a model's docstring what is about the data: its first paragraphs, not its calls."""
    if isinstance(schema, list):
        for item in schema:
            _tidy(item)
    if not isinstance(schema, dict):
        return
    if isinstance(said := schema.get("description"), str):
        paragraphs = inspect.cleandoc(said).split("\n\n")
        kept = [" ".join(p.split()) for p in paragraphs if "model_validate" not in p]
        schema["description"] = "\n\n".join(kept)
    for item in schema.values():
        _tidy(item)


def _arguments(docstring: str) -> dict[str, str]:
    """What the `Args:` of a docstring say of each argument."""
    _, _, rest = inspect.cleandoc(docstring).partition("Args:\n")
    listed, _, _ = rest.partition("\n\n")
    found = re.findall(r"^    (\w+): ((?:.|\n {8})*)", listed, re.MULTILINE)
    return {name: _sentence(said) for name, said in found}


def _sentence(said: str) -> str:
    said = " ".join(said.split())
    return said[:1].upper() + said[1:]


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
