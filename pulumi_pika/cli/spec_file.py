"""Read a spec from a file, and find all its problems."""

import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..message_templates import INVALID_VALUE, UNKNOWN_FIELD, invalid_value
from ..planner.spec import RuntimeSpec
from ..validation.lenient_validation import Failure, validate_leniently
from ..validation.plan_inputs import (
    OPTION_FIELDS,
    SPEC_FIELDS,
    plan_inputs,
)
from ..validation.property_tree import Path as PropertyPath
from ..validation.property_tree import path_text
from .frame import CommandRefused
from .source_map import (
    SourceLocation,
    SourceMap,
    map_source,
)
from .text_file import STANDARD_INPUT, read_text, shown_name

_OPTIONS: Final = frozenset((name,) for name in OPTION_FIELDS)
_YAML: Final = (".yaml", ".yml")
_LARGEST: Final = 4 * 1024 * 1024
_DEEPEST: Final = 100
_TOO_DEEP: Final = "it is nested too deeply"
_MOST: Final = 100_000
"""The most values in a spec; only YAML aliases create more, up to billions from a few lines."""


@dataclass(frozen=True, slots=True)
class SpecFile:
    """A spec file that was read.

    Attributes:
        name: The name of the file, for messages.
        tree: The parsed content, which is not validated yet.
        places: The locations of the properties.
    """

    name: str
    tree: dict[str, Any]
    places: SourceMap


@dataclass(frozen=True, slots=True)
class SpecProblem:
    """A problem of a spec, or of an option on the command line.

    Attributes:
        failure: The property and the reason.
        place: The location in the file; None for an option.
    """

    failure: Failure
    place: SourceLocation | None

    @property
    def code(self) -> str:
        """Return the code of the problem, one of `message_templates.CODES`."""
        return self.failure.code

    def line(self, name: str) -> str:
        """Return the problem as a human-readable line.

        Args:
            name: The name of the file, for messages.
        """
        at = f"{name}:{self.place.line}:{self.place.column}: " if self.place else ""
        where = f"{path_text(self.failure.path)}: " if self.failure.path else ""
        return f"{at}{where}{self.failure.reason}"


def read_spec(file: str) -> SpecFile:
    """Read a spec file.

    Args:
        file: The path of the file; `-` for standard input.

    Raises:
        CommandRefused: The file does not exist, is not JSON or YAML, or does not contain an object.
    """
    text = read_text(file, "spec", _LARGEST)
    name, as_yaml = shown_name(file), Path(file).suffix.lower() in _YAML
    tree = _yaml(text, name) if as_yaml else _json(text, name)
    if not isinstance(tree, dict):
        raise _refused(name, f"it contains {_kind(tree)}, not an object")
    _Walk(name).through(tree, ())
    try:
        return SpecFile(name, tree, map_source(text, as_yaml=as_yaml))
    except RecursionError:
        # The deep nesting is below a duplicate key, so that the tree does not show it.
        raise _refused(name, _TOO_DEEP) from None


def find_spec_problems(spec: SpecFile, options: dict[str, Any]) -> list[SpecProblem]:
    """Return all problems of a spec and of the options of its instance, without a request to a
    server.

    Args:
        spec: The result of `read_spec`.
        options: The fields of `RuntimeOptions` that the command line sets.

    Returns:
        The problems of the file in the order of their locations, then those of the options.
    """
    # `plan_inputs` knows only the fields of a resource. A file may have others, or another
    # provider.
    whole = validate_leniently(RuntimeSpec, with_provider(deepcopy(spec.tree)), ()).failures
    known = {name: spec.tree[name] for name in SPEC_FIELDS if name in spec.tree}
    examined = plan_inputs({**known, **options, "running": True}).failures
    of_options = [failure for failure in examined if failure.path[:1] in _OPTIONS]
    of_file = [failure for failure in examined if failure.path[:1] not in _OPTIONS]
    placed = [
        (_place_of(failure, spec.places), failure) for failure in dict.fromkeys([*whole, *of_file])
    ]
    placed += [(place, failure) for failure, place in spec.places.duplicate_keys]
    placed.sort(key=lambda pair: pair[0])
    return [
        *(SpecProblem(failure, place) for place, failure in placed),
        *(SpecProblem(failure, None) for failure in dict.fromkeys(of_options)),
    ]


def problem_list(lines: Sequence[str], name: str) -> str:
    """Return a text that lists all problems.

    Args:
        lines: One line for each problem.
        name: The name of the file, for messages.
    """
    count = f"{len(lines)} problem{'' if len(lines) == 1 else 's'}"
    return "\n".join([f"error: {name}: {count}", *(f"  {line}" for line in lines)])


def _place_of(failure: Failure, places: SourceMap) -> SourceLocation:
    # These problems are about a key, not about its value. Labels have rules for their keys only.
    about_key = failure.code == UNKNOWN_FIELD or (
        failure.path[:1] == ("labels",) and failure.code == INVALID_VALUE
    )
    return places.location_of(failure.path, key=about_key)


def with_provider(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the spec; if it has no provider, with the only one that exists."""
    return {"provider": "incus", **spec}


def _json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise CommandRefused(
            invalid_value(
                name,
                "JSON file",
                f"line {error.lineno}, column {error.colno}: "
                f"{error.msg[:1].lower()}{error.msg[1:]}"
                + ("" if name == shown_name(STANDARD_INPUT) else _hint(name, text)),
            )
        ) from None
    except RecursionError:
        raise _refused(name, _TOO_DEEP) from None
    except ValueError as error:
        # The text has a number with more digits than Python accepts.
        raise CommandRefused(invalid_value(name, "JSON file", str(error))) from None


def _hint(name: str, text: str) -> str:
    looks_so = Path(name).suffix.lower() != ".json" and text.lstrip()[:1] not in ("{", "")
    return " (the name of a YAML file must end with .yaml or .yml)" if looks_so else ""


def _yaml(text: str, name: str) -> Any:
    import yaml  # loaded only for YAML files

    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = error.problem or error.context
        raise CommandRefused(invalid_value(name, "YAML file", f"{where}{problem}")) from None
    except RecursionError:
        raise _refused(name, _TOO_DEEP) from None
    except (yaml.YAMLError, ValueError) as error:
        # The text has a control character, or a date that does not exist.
        problem = " ".join(str(error).split())
        raise CommandRefused(invalid_value(name, "YAML file", problem)) from None


def _kind(tree: Any) -> str:
    if tree is None:
        return "nothing"
    return {list: "a list", str: "a string", bool: "a boolean"}.get(type(tree), "a number")


def _refused(name: str, reason: str) -> CommandRefused:
    return CommandRefused(invalid_value(name, "spec", reason))


class _Walk:
    """Refuses what YAML can express and JSON cannot: keys that are not strings, and too many
    aliases."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._count = 0

    def through(self, tree: Any, path: PropertyPath) -> None:
        """Check a value and everything below it."""
        self._count += 1
        if self._count > _MOST:
            raise _refused(self._name, f"it has more than {_MOST:,} values")
        if len(path) > _DEEPEST:
            raise _refused(self._name, _TOO_DEEP)
        if isinstance(tree, list):
            for index, item in enumerate(tree):
                self.through(item, (*path, index))
        elif isinstance(tree, dict):
            for key, item in tree.items():
                if not isinstance(key, str):
                    where = f" in {path_text(path)}" if path else ""
                    raise _refused(
                        self._name, f"the key {key!r}{where} is not a string; write it in quotes"
                    )
                self.through(item, (*path, key))
