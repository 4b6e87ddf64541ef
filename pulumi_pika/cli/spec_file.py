"""Reads a spec from a file, and finds all that is wrong with it."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any, Final

from ..planner.spec import RuntimeSpec
from ..providers.examine import SPEC_FIELDS, examine
from ..providers.shape import Failure, fit
from ..providers.values import Path as PropertyPath
from ..providers.values import path_text
from .text_file import STANDARD_INPUT, Unreadable, read_text, shown_name

_YAML: Final = (".yaml", ".yml")
_LARGEST: Final = 4 * 1024 * 1024
_DEEPEST: Final = 100
_MOST: Final = 100_000
"""Values; more of them come only from YAML's aliases, which can make billions of a few lines."""


class SpecRefused(Exception):
    """The spec cannot be read. The message is for the user, and names the file."""


def read_spec(file: str) -> dict[str, Any]:
    """The tree that a file holds; whether it is a spec is not looked at.

    Args:
        file: its path; `-` for standard input.

    Raises:
        SpecRefused: it is not there, not JSON or YAML, or holds no object.
    """
    return parse_spec(file, spec_text(file))


def is_yaml(file: str) -> bool:
    """Whether a file is read as YAML."""
    return Path(file).suffix.lower() in _YAML


def spec_text(file: str) -> str:
    """What a file says, whatever it is.

    Raises:
        SpecRefused: it cannot be read, or is no text.
    """
    try:
        return read_text(file, "spec", _LARGEST)
    except Unreadable as error:
        raise SpecRefused(str(error)) from None


def parse_spec(file: str, text: str) -> dict[str, Any]:
    """The tree of a file's text; see `read_spec`."""
    name = shown_name(file)
    tree = _yaml(text, name) if is_yaml(file) else _json(text, name)
    if not isinstance(tree, dict):
        raise SpecRefused(f"{name}: is no spec: it holds {_kind(tree)}, and not an object")
    _Walk(name).through(tree, ())
    return tree


def find_spec_problems(spec: dict[str, Any], options: dict[str, Any]) -> list[Failure]:
    """All that is wrong with a spec and the options of its instance; asks no server.

    Args:
        spec: what `read_spec` returned.
        options: the fields of `RuntimeOptions` that are given.
    """
    # `examine` knows the fields of a resource; a file may have others, or another provider.
    whole = fit(RuntimeSpec, with_provider(deepcopy(spec)), ())
    known = {name: spec[name] for name in SPEC_FIELDS if name in spec}
    found = [*whole.failures, *examine({**known, **options, "running": True}).failures]
    return list(dict.fromkeys(found))


def with_provider(spec: dict[str, Any]) -> dict[str, Any]:
    """The spec with the only provider that there is, where it names none."""
    return {"provider": "incus", **spec}


def _json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise SpecRefused(
            f"{name}: is no JSON: line {error.lineno}, column {error.colno}: "
            f"{error.msg[:1].lower()}{error.msg[1:]}"
            + ("" if name == shown_name(STANDARD_INPUT) else _hint(name, text))
        ) from None
    except RecursionError:
        raise SpecRefused(f"{name}: is nested too deeply") from None
    except ValueError as error:
        # A number with more digits than Python takes.
        raise SpecRefused(f"{name}: is no JSON: {error}") from None


def _hint(name: str, text: str) -> str:
    looks_so = Path(name).suffix.lower() != ".json" and text.lstrip()[:1] not in ("{", "")
    return " (YAML is read from a file named .yaml or .yml)" if looks_so else ""


def _yaml(text: str, name: str) -> Any:
    import yaml  # only where a file is YAML

    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        said = error.problem or error.context
        raise SpecRefused(f"{name}: is no YAML: {where}{said}") from None
    except RecursionError:
        raise SpecRefused(f"{name}: is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        # A control character, or a date that no calendar has.
        raise SpecRefused(f"{name}: is no YAML: {' '.join(str(error).split())}") from None


def _kind(tree: Any) -> str:
    if tree is None:
        return "nothing"
    return {list: "a list", str: "a text", bool: "true or false"}.get(type(tree), "a number")


class _Walk:
    """Looks for what YAML can say and JSON cannot: keys that are no texts, and aliases."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._count = 0

    def through(self, tree: Any, path: PropertyPath) -> None:
        """Looks at a value and all below it."""
        self._count += 1
        if self._count > _MOST:
            raise SpecRefused(f"{self._name}: has more than {_MOST:,} values")
        if len(path) > _DEEPEST:
            raise SpecRefused(f"{self._name}: is nested too deeply")
        if isinstance(tree, list):
            for index, item in enumerate(tree):
                self.through(item, (*path, index))
        elif isinstance(tree, dict):
            for key, item in tree.items():
                if not isinstance(key, str):
                    where = f" in {path_text(path)}" if path else ""
                    raise SpecRefused(
                        f"{self._name}: the key {key!r}{where} is no text; write it in quotes"
                    )
                self.through(item, (*path, key))
