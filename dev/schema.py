"""Write pulumi_pika/schema/runtime-spec.schema.json from the models.

Run as `python -m dev.schema`. `tests/unit/cli/test_plan.py` fails if the file is not up to date.
"""

from __future__ import annotations

import inspect
import json
from typing import Any

from dev.field_docs import field_docs
from dev.paths import ROOT

TARGET = ROOT / "pulumi_pika" / "schema" / "runtime-spec.schema.json"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def text() -> str:
    """Return the content of the schema file."""
    from pulumi_pika.planner import spec_models
    from pulumi_pika.planner.spec import RuntimeMount, RuntimeSpec

    schema = {"$schema": _DIALECT, **RuntimeSpec.model_json_schema()}
    _tidy(schema)
    _describe(schema, RuntimeSpec)
    for name, definition in schema["$defs"].items():
        if "properties" in definition:
            _describe(
                definition, RuntimeMount if name == "RuntimeMount" else getattr(spec_models, name)
            )
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _describe(schema: dict[str, Any], model: Any) -> None:
    """Give each property the docstring of its field, which editors show."""
    for name, said in field_docs(model).items():
        if name in schema["properties"]:
            schema["properties"][name]["description"] = said


def _tidy(schema: Any) -> None:
    """Keep the part of a model's docstring about the data: its first paragraphs, without the
    sections on calls."""
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


if __name__ == "__main__":
    TARGET.write_text(text(), encoding="utf-8")
