"""Validate a property tree against a pydantic model, and continue after invalid values.

Unknown and invalid values get a placeholder of the right type, so that everything else can still be
checked. So one run finds all problems, and a preview plans the values that it knows.
"""

import types
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Annotated, Any, Final, Generic, Literal, TypeVar, Union, get_args, get_origin

from annotated_types import Ge
from pydantic import BaseModel, JsonValue, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from ..message_templates import INVALID_VALUE, Message, required, unknown_field, wrong_type
from .property_tree import (
    Path,
    get_path,
    set_path,
)

Model = TypeVar("Model", bound=BaseModel)

_ROUNDS: Final = 8
_REASONS: Final = {
    "missing": required(),
    "bool_type": wrong_type("true or false"),
    "string_type": wrong_type("a string"),
    "int_type": wrong_type("an integer"),
    "int_from_float": wrong_type("an integer"),
    "float_type": wrong_type("a number"),
    "float_parsing": wrong_type("a number"),
    "finite_number": wrong_type("a finite number"),
    "list_type": wrong_type("a list"),
    "dict_type": wrong_type("a mapping"),
    "model_type": wrong_type("a mapping"),
    "model_attributes_type": wrong_type("a mapping"),
    "string_unicode": wrong_type("a valid Unicode string"),
    "recursion_loop": Message("must not contain itself", INVALID_VALUE),
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Describe what is wrong with one property, for the user."""

    path: Path
    reason: str

    @property
    def code(self) -> str:
        """The kind of the problem, one of `message_templates.CODES`."""
        return self.reason.code if isinstance(self.reason, Message) else INVALID_VALUE


@dataclass(frozen=True, slots=True)
class LenientResult(Generic[Model]):
    """Hold a model, and the paths of its placeholders."""

    model: Model
    failures: list[Failure] = field(default_factory=list)
    unresolved: frozenset[Path] = frozenset()
    """Unknown or invalid paths: everything that depends on them is undecided."""


def validate_leniently(
    model: type[Model], tree: dict[str, Any], unknown: Iterable[Path]
) -> LenientResult[Model]:
    """Return the model of `tree`, with placeholders at the `unknown` and the invalid paths.

    Args:
        model: the pydantic model.
        tree: a plain tree, which is changed.
        unknown: the paths of its unknown values.
    """
    unresolved: set[Path] = set(unknown)
    failures: list[Failure] = []
    for path in unresolved:
        _set_placeholder(model, tree, path)
    for _ in range(_ROUNDS):
        try:
            return LenientResult(model.model_validate(tree), failures, frozenset(unresolved))
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_input=False):
                _record_error(model, tree, detail, failures, unresolved)
    # Each round replaces what the previous one found; no known input needs more rounds.
    failures.append(Failure((), "cannot be read"))
    return LenientResult(
        model.model_validate(_placeholder_for(model, "0")), failures, frozenset({()})
    )


def _record_error(
    model: type[BaseModel],
    tree: dict[str, Any],
    detail: ErrorDetails,
    failures: list[Failure],
    unresolved: set[Path],
) -> None:
    # pydantic adds steps of its own to a location (`[key]`, a union's arm), which are removed here.
    path: Path = detail["loc"]
    if detail["type"] != "missing":
        while path and get_path(tree, path) is None and not _has_key(tree, path):
            path = path[:-1]
    if not path:
        # It was in a mapping that an earlier problem removed (a key that is not valid Unicode).
        return
    reason = _reason(model, path, detail)
    if detail["type"] == "string_type" and isinstance(get_path(tree, path), bool):
        reason = wrong_type('a string: write "true" or "false", in quotes')
    failures.append(Failure(path, reason))
    unresolved.add(path)
    parent = get_path(tree, path[:-1])
    if detail["type"] == "extra_forbidden" or detail["loc"][-1:] == ("[key]",):
        if isinstance(parent, dict):
            parent.pop(path[-1], None)
        return
    _set_placeholder(model, tree, path)


def _has_key(tree: Any, path: Path) -> bool:
    parent = get_path(tree, path[:-1])
    return isinstance(parent, dict) and path[-1] in parent


def _reason(model: type[BaseModel], path: Path, detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx") or {}
    if kind == "extra_forbidden":
        known = list(_fields_at(model, path[:-1]))
        close = get_close_matches(str(path[-1]), known, n=1)
        hint = f"did you mean `{close[0]}`?" if close else f"known here: {', '.join(known)}"
        return unknown_field(_name(path[:-1]), hint)
    if kind == "literal_error":
        expected = str(context.get("expected", "")).replace(" or ", ", ")
        return Message(f"must be one of {expected}", INVALID_VALUE)
    if kind == "greater_than_equal":
        return f"must be at least {context.get('ge')}"
    if kind == "greater_than":
        return f"must be greater than {context.get('gt')}"
    if kind == "less_than_equal":
        return f"must be at most {context.get('le')}"
    return _REASONS.get(kind) or detail["msg"][:1].lower() + detail["msg"][1:]


def _name(path: Path) -> str:
    return ".".join(str(step) for step in path)


def _fields_at(model: type[BaseModel], path: Path) -> Iterable[str]:
    found = _unwrap_optional(_annotation_at(model, path))
    return found.model_fields if isinstance(found, type) and issubclass(found, BaseModel) else ()


def _set_placeholder(model: type[BaseModel], tree: dict[str, Any], path: Path) -> None:
    set_path(
        tree,
        path,
        _placeholder_for(_annotation_at(model, path), "-".join(str(step) for step in path)),
    )


def _annotation_at(annotation: Any, path: Path) -> Any:
    """Return the type that a model has at a path; Any if it has none."""
    for step in path:
        annotation = _unwrap_optional(annotation)
        origin, arguments = get_origin(annotation), get_args(annotation)
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found = annotation.model_fields.get(str(step))
            annotation = _annotation_of(found) if found else Any
        elif origin is list:
            annotation = arguments[0]
        elif origin is dict:
            annotation = arguments[1]
        else:
            return Any
    return annotation


def _annotation_of(field: FieldInfo) -> Any:
    """Return the type of a field with its bounds."""
    return Annotated[(field.annotation, *field.metadata)] if field.metadata else field.annotation


def _unwrap_optional(annotation: Any) -> Any:
    """Return a type without Annotated and without `| None`."""
    while True:
        origin = get_origin(annotation)
        if origin is Annotated:
            annotation = get_args(annotation)[0]
        elif origin in (Union, types.UnionType) and type(None) in get_args(annotation):
            rest = [arm for arm in get_args(annotation) if arm is not type(None)]
            if len(rest) != 1:
                return annotation
            annotation = rest[0]
        else:
            return annotation


def _placeholder_for(annotation: Any, salt: str) -> Any:
    """Return the smallest value of a type, and at least 1 for a number.

    Strings differ by `salt`, so that no two placeholders collide.
    """
    bounds = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    least = max([1, *(int(str(bound.ge)) for bound in bounds if isinstance(bound, Ge))])
    annotation = _unwrap_optional(annotation)
    origin = get_origin(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return {
            name: _placeholder_for(_annotation_of(info), f"{salt}-{name}")
            for name, info in annotation.model_fields.items()
            if info.is_required()
        }
    if origin is list:
        return []
    if origin is dict:
        return {}
    if origin is Literal:
        return get_args(annotation)[0]
    if annotation is JsonValue:
        return None
    placeholders = {str: f"placeholder-{salt}", int: least, float: float(least), bool: False}
    return placeholders.get(annotation)
