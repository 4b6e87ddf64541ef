"""The JSON Schema of a spec, for editors. `python -m dev.schema` writes it."""

from importlib.resources import files
from typing import Final

FILE: Final = "runtime-spec.schema.json"


def schema_text() -> str:
    """The JSON Schema of a `RuntimeSpec`, as it is shipped."""
    return files(__package__).joinpath(FILE).read_text(encoding="utf-8")
