"""Read the arguments and outputs of each resource class from its code, as tables of a page.

The name and the type come from the annotations, the texts from the docstrings, which end with
`Default: ...` and `Change: ...`. A class needs no entry here: every `pulumi.Resource` that
`pulumi_pika` exports has tables, and a page for them.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import NoneType, UnionType
from typing import Any, Literal, Union, Unpack, get_args, get_origin, get_type_hints, is_typeddict

import pulumi
from pydantic import BaseModel

from dev.field_docs import field_docs, section
from dev.paths import ROOT

FOLDER = ROOT / "docs" / "reference"
_NAMES = {str: "string", int: "integer", float: "number", bool: "boolean", Any: "any value"}
_COLLECTIONS: dict[Any, tuple[str, str]] = {
    Sequence: ("list", "[]"),
    list: ("list", "[]"),
    Mapping: ("mapping", ".*"),
    dict: ("mapping", ".*"),
}
"""The word for a collection, and the path to what it contains."""
_OF_PULUMI = {
    "resource_name": ("required", "Pulumi sees another resource, unless an alias has the old name"),
    "opts": ("none", "as Pulumi documents each option"),
}
"""The default and the effect of a change of what Pulumi itself defines."""
_TEXT = re.compile(r"(.*?)(?: ?\bDefault: (.*?))?(?: ?\bChange: (.*))?", re.DOTALL)
_SEE_CLASS = re.compile(r"; see `\w+Args`(?: for the defaults)?(?=\.)")
_OF_JOB = re.compile(r"(?:;| and)? (?:a|A) job is run again\b(?: if [^.]*\.)?")


@dataclass(frozen=True)
class Row:
    """One argument or output: the cells of its row."""

    name: str
    type: str
    text: str
    path: str
    """The whole name, such as `mounts[].guest_path`."""
    anchor: str = ""
    """The id for links; empty if the heading of a part has it."""
    default: str = ""
    change: str = ""


@dataclass(frozen=True)
class Part:
    """The fields of one argument that is a mapping, or a list of mappings."""

    path: str
    """The argument, such as `policies.output_collection`, `mounts[]` or `rules.*`."""
    intro: str
    rows: tuple[Row, ...]


def resources() -> dict[str, type[pulumi.Resource]]:
    """Return every public resource class by name."""
    import pulumi_pika

    public = {name: getattr(pulumi_pika, name) for name in pulumi_pika.__all__}
    return {
        name: value
        for name, value in public.items()
        if isinstance(value, type) and issubclass(value, pulumi.Resource)
    }


def page_name(name: str) -> str:
    """Return the file name of a resource's page: `incus-runtime.md` for `IncusRuntime`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "-", name).lower() + ".md"


def arguments(resource: type[pulumi.Resource]) -> tuple[Row, ...]:
    """Return the arguments of a resource, in the order of its constructor."""
    return tuple(_suited(resource, _row(*found)) for found in _arguments(resource))


def parts(resource: type[pulumi.Resource]) -> tuple[Part, ...]:
    """Return the fields of every argument that has fields, each after the part that contains it."""
    found: list[Part] = []
    for name, hint, _, _ in _arguments(resource):
        found += _parts(name, hint)
    return tuple(
        replace(part, rows=tuple(_suited(resource, it) for it in part.rows)) for part in found
    )


def outputs(resource: type[pulumi.Resource]) -> tuple[Row, ...]:
    """Return the outputs of a resource, in the order of its class."""
    hints = get_type_hints(resource, localns=_namespace())
    return tuple(
        Row(
            name,
            _type(get_args(hints[name])[0], name),
            text,
            name,
            f"pulumi_pika.{resource.__name__}.{name}",
        )
        for name, text in field_docs(resource).items()
        if get_origin(hints[name]) is pulumi.Output
    )


def argument_section(resource: type[pulumi.Resource]) -> str:
    """Return the tables of arguments as Markdown, one heading for each part."""
    blocks = [_argument_table(arguments(resource))]
    for part in parts(resource):
        heading = f"### `{part.path}` {{ #{_anchor(part.path)} }}"
        blocks += [heading, part.intro, _argument_table(part.rows)]
    return "\n\n".join(blocks)


def output_section(resource: type[pulumi.Resource]) -> str:
    """Return the table of outputs as Markdown."""
    rows = outputs(resource)
    if not rows:
        return f"`{resource.__name__}` has no outputs."
    cells = [(_name_cell(row), _cell(row.text)) for row in rows]
    return table(("output, type", "description"), cells, "outputs")


def _is_job(resource: type[pulumi.Resource]) -> bool:
    return resource.__name__ == "IncusJob"


def _arguments(resource: type[pulumi.Resource]) -> Iterator[tuple[str, Any, str, bool]]:
    """Yield the name, type, docstring and whether it is required, of each argument."""
    constructor = resource.__init__
    hints = get_type_hints(constructor, localns=_namespace(), include_extras=True)
    docs = section(constructor.__doc__ or "", "Args")
    named, keywords = [], []
    for name, parameter in inspect.signature(constructor).parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            keywords = list(_fields(_without_unpack(hints[name])))
        elif name != "self":
            required = parameter.default is inspect.Parameter.empty
            named.append((name, hints[name], docs[name], required))
    # Pulumi's own options come last in a constructor, and so they do here.
    yield from (found for found in named if found[0] != "opts")
    yield from keywords
    yield from (found for found in named if found[0] == "opts")


def _fields(mapping: Any) -> Iterator[tuple[str, Any, str, bool]]:
    """Yield the same of each field of a typed dict."""
    hints = get_type_hints(mapping, localns=_namespace())
    for name, text in field_docs(mapping).items():
        yield name, hints[name], text, name in mapping.__required_keys__


def _parts(path: str, hint: Any) -> Iterator[Part]:
    mapping, inside = _mapping_of(hint)
    if mapping is None:
        return
    path += inside
    fields = list(_fields(mapping))
    rows = tuple(_row(*field, path=path) for field in fields)
    yield Part(path, _OF_JOB.sub("", " ".join((mapping.__doc__ or "").split())), rows)
    for name, inner, _, _ in fields:
        yield from _parts(f"{path}.{name}", inner)


def _suited(resource: type[pulumi.Resource], row: Row) -> Row:
    """Return the row of an argument that a runtime and a job share, as it holds for the resource.

    The docstrings are those of a runtime. They name the default of a job if it differs. A job is
    run again if the spec or an option of its instance changes, whatever a runtime does.
    """
    of_runtime, _, of_job = row.default.removesuffix(" for a job").partition("; ")
    if not _is_job(resource):
        named = of_runtime if row.default.endswith(" for a job") else row.default
        return replace(row, default=named, change=_OF_JOB.sub("", row.change))
    from pulumi_pika.resources.argument_types import IncusJobArgs, InstanceArgs

    top = row.path.partition(".")[0].removesuffix("[]")
    kept = top in ("description", "timeouts", "resource_name", "opts", "image") or (
        top in IncusJobArgs.__annotations__ and top not in InstanceArgs.__annotations__
    )
    return replace(
        row,
        default=of_job if row.default.endswith(" for a job") else row.default,
        change=row.change if kept else "the job is run again",
    )


def _row(name: str, hint: Any, text: str, required: bool, path: str = "") -> Row:
    found = _TEXT.fullmatch(" ".join(text.split()))
    said, default, change = found.groups("") if found else ("", "", "")
    whole = f"{path}.{name}" if path else name
    has_fields = _mapping_of(hint)[0] is not None
    if name in _OF_PULUMI and not path:
        default, change = _OF_PULUMI[name]
    if not default and has_fields:
        default = "see its fields"
    return Row(
        name,
        _type(hint, whole),
        _SEE_CLASS.sub("", said).strip(),
        whole,
        "" if has_fields else _anchor(whole),
        "required" if required else default.rstrip("."),
        change.rstrip("."),
    )


def _anchor(path: str) -> str:
    return path.replace("[]", "").replace(".*", "").replace(".", "-")


def _type(hint: Any, path: str) -> str:
    """Return a type in words; a part links to its table."""
    found = dict.fromkeys(_type_of(choice, path) for choice in _choices(hint))
    return " or ".join(found)


def _type_of(hint: Any, path: str) -> str:
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Literal:
        return "one of " + ", ".join(f"`{value}`" for value in inner)
    if is_typeddict(hint):
        return f"[mapping](#{_anchor(path)})"
    if origin in _COLLECTIONS:
        collection = _COLLECTIONS[origin][0]
        if _mapping_of(hint)[0] is not None:
            return f"[{collection} of mappings](#{_anchor(path)})"
        return _of(collection, inner[-1], path)
    if hint in _NAMES:
        return _NAMES[hint]
    if hint is pulumi.ResourceOptions:
        return "`ResourceOptions`"
    if isinstance(hint, type):
        return f"[`{hint.__name__}`][pulumi_pika.{hint.__name__}]"
    raise TypeError(f"{path}: no words for the type {hint!r}")


def _of(collection: str, inner: Any, path: str) -> str:
    words = _type(inner, path)
    if words == "any value":
        return collection
    first, _, rest = words.partition(" ")
    return f"{collection} of {first}s {rest}".rstrip()


def _choices(hint: Any) -> list[Any]:
    """Return the types of which a value may be one, without those that every argument accepts.

    These are `None` and an `Output` or awaitable of a value. A model of the planner is left out
    beside the typed dict in whose place it is accepted.
    """
    if get_origin(hint) not in (Union, UnionType):
        return [hint]
    found = [
        choice
        for part in get_args(hint)
        for choice in _choices(part)
        if choice is not NoneType and get_origin(choice) not in (Awaitable, pulumi.Output)
    ]
    if any(is_typeddict(choice) for choice in found):
        found = [it for it in found if not (isinstance(it, type) and issubclass(it, BaseModel))]
    return found


def _mapping_of(hint: Any) -> tuple[Any, str]:
    """Return the typed dict that an argument is or contains, and the path to it: `[]` or `.*`."""
    for choice in _choices(hint):
        if is_typeddict(choice):
            return choice, ""
        if get_origin(choice) in _COLLECTIONS:
            inner, further = _mapping_of(get_args(choice)[-1])
            if inner is not None:
                return inner, _COLLECTIONS[get_origin(choice)][1] + further
    return None, ""


def _without_unpack(hint: Any) -> Any:
    return get_args(hint)[0] if get_origin(hint) is Unpack else hint


def _namespace() -> dict[str, Any]:
    """Return the names that annotations use and that are imported for type checkers only."""
    import pulumi_pika
    from pulumi_pika.planner import spec_models

    public = {name: getattr(pulumi_pika, name) for name in pulumi_pika.__all__}
    return {**vars(typing), **vars(pulumi), **public, "spec_models": spec_models}


def _argument_table(rows: Sequence[Row]) -> str:
    cells = [
        (_name_cell(row), _cell(row.text), _cell(row.default), _cell(row.change)) for row in rows
    ]
    return table(("argument, type", "description", "default", "effect of a change"), cells)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "") -> str:
    """Return a table of the class `fields`, whose rows become blocks on a narrow screen.

    Args:
        header: The names of the columns. The third is the default, the fourth the effect.
        rows: The cells of each row.
        kind: A further class.
    """
    classes = f"fields {kind}".strip()
    lines = [f'<div class="{classes}" markdown>', "", _line(header), "|" + "---|" * len(header)]
    return "\n".join([*lines, *(_line(row) for row in rows), "", "</div>"])


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _name_cell(row: Row) -> str:
    anchor = f'<a id="{row.anchor}"></a>' if row.anchor else ""
    return f"{anchor}`{row.name}`<br>{row.type}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
