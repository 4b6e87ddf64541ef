"""Handle property trees as Pulumi passes them: unknowns, integers as floats, paths into them.

A path is a tuple of keys and indices; ``("mounts", 0, "source")`` is written ``mounts[0].source``.
"""

import re
import sys
from collections.abc import Iterator
from typing import Any, Final

UNKNOWN: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""The string that stands for an unknown value in Pulumi's wire format.

It is `pulumi.runtime.rpc.UNKNOWN`, repeated here so that `python -m pulumi_pika plan` does not load
Pulumi.
"""

Path = tuple[str | int, ...]

PROVIDER_KEY: Final = "__provider"
"""The property in which Pulumi stores the provider."""

_PLAIN_KEY: Final = re.compile(r"[^\[\].\"]+")
_STEP: Final = re.compile(r"\.?(?:([^\[\].\"]+)|\[(\d+)\]|\[\"((?:[^\"\\]|\\.)*)\"\])")


def path_text(path: Path) -> str:
    """Return the path as Pulumi writes property paths; keys with dots or brackets are quoted."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += '["' + step.replace("\\", "\\\\").replace('"', '\\"') + '"]'
    return text


def parse_path(text: str) -> Path:
    """Return the path that `path_text` wrote."""
    path: list[str | int] = []
    for key, index, quoted in _STEP.findall(text):
        if index:
            path.append(int(index))
        else:
            path.append(key or re.sub(r"\\(.)", r"\1", quoted))
    return tuple(path)


def is_unknown(value: Any) -> bool:
    """Return whether a value is known only after another resource has been created."""
    if isinstance(value, str):
        return value == UNKNOWN
    # An object of this class exists only if its module is loaded.
    module = sys.modules.get("pulumi.output")
    return module is not None and isinstance(value, module.Unknown)


DEEPEST: Final = 100
"""The maximum depth of a tree: more levels than Pulumi's wire format carries.

protobuf reads 100 levels, of which a list or a mapping takes two or three. Python's own limit would
depend on the caller.
"""


def normalize(value: Any, *, depth: int = 0) -> Any:
    """Return the tree with whole floats as integers, and with one form of unknown (`UNKNOWN`).

    Pulumi's wire format has only one kind of number.

    Raises:
        RecursionError: the tree is nested too deeply.
    """
    if depth > DEEPEST:
        raise RecursionError("nested too deeply")
    if type(value) is str:
        return value  # Most values are strings, which end below too, only later.
    if isinstance(value, dict):
        return {str(key): normalize(item, depth=depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [normalize(item, depth=depth + 1) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return UNKNOWN if is_unknown(value) else value


def unknown_paths(value: Any, at: Path = ()) -> Iterator[Path]:
    """Yield the paths at which a plain tree is unknown."""
    # Nearly all trees have no unknown, and this check needs no paths.
    if not _holds_unknown(value):
        return
    if isinstance(value, dict):
        for key, item in value.items():
            yield from unknown_paths(item, (*at, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from unknown_paths(item, (*at, index))
    else:
        yield at


def _holds_unknown(value: Any) -> bool:
    if isinstance(value, str):
        return value == UNKNOWN
    if isinstance(value, dict):
        return any(map(_holds_unknown, value.values()))
    return isinstance(value, list) and any(map(_holds_unknown, value))


def get_path(tree: Any, path: Path) -> Any:
    """Return the value at a path; None if there is none."""
    for step in path:
        if not _has_step(tree, step):
            return None
        tree = tree[step]
    return tree


def set_path(tree: Any, path: Path, value: Any) -> None:
    """Set the value at a path if its parent exists; do nothing otherwise."""
    parent: Any = get_path(tree, path[:-1])
    if isinstance(parent, dict) or _has_step(parent, path[-1]):
        parent[path[-1]] = value


def _has_step(tree: Any, step: str | int) -> bool:
    if isinstance(tree, list):
        return isinstance(step, int) and step < len(tree)
    return isinstance(tree, dict) and step in tree


def paths_overlap(one: Path, other: Path) -> bool:
    """Return whether one path is the other, within it, or around it."""
    shared = min(len(one), len(other))
    return one[:shared] == other[:shared]
