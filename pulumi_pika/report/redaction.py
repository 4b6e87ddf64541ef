"""Remove secrets from a preview a second time.

The engine replaces secrets by placeholders. But a value that becomes secret now is in the old state
in plain text, and usually it is the same value.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final

from ..planner.spec import RuntimeSpec
from .preview import (
    HOST,
    MARKS,
    SECRET,
    UNKNOWN,
    Preview,
    State,
    Step,
    Tree,
)

Path = tuple[str | int, ...]

_STEP: Final = re.compile(r"\.?(?:([^\[\].\"]+)|\[(\d+)\]|\[\"((?:[^\"\\]|\\.)*)\"\])")
_SHORTEST: Final = 3
"""A shorter secret is removed only at its own property, not from other texts."""
_MODELS: Final = (
    *(set(RuntimeSpec.model_fields) - {"labels", "metadata"}), "plan", "timeouts",
)  # fmt: skip
"""Properties whose keys are public field names. The keys of other secret properties are secret
too."""
_ALWAYS: Final = ("pika:key", "pika:trust_token")


def without_secrets(preview: Preview) -> Preview:
    """Return the preview without everything that one of its states, or the engine, marks as
    secret."""
    clear: set[str] = set()
    steps = [_hidden(step, clear) for step in preview.steps]
    if not clear:
        return preview.model_copy(update={"steps": steps})
    # Longer secrets first, since one may contain another.
    pattern = re.compile("|".join(map(re.escape, sorted(clear, key=len, reverse=True))))
    return preview.model_copy(
        update={
            "steps": [_redacted_step(step, pattern) for step in steps],
            "diagnostics": [
                said.model_copy(update={"message": pattern.sub(SECRET, said.message)})
                for said in preview.diagnostics
            ],
        }
    )


def seen(tree: Any, path: Path) -> Any:
    """Return the value at a path, or a placeholder if it, or a value around it, is secret or
    unknown.

    Args:
        tree: The properties.
        path: The path.

    Returns:
        The value, a placeholder of `MARKS`, or None if there is no value.
    """
    for step in path:
        if tree in MARKS:
            return tree
        if isinstance(tree, list):
            tree = tree[step] if isinstance(step, int) and step < len(tree) else None
        else:
            tree = tree.get(step) if isinstance(tree, dict) else None
    return tree


def _hidden(step: Step, clear: set[str]) -> Step:
    states = [state for state in (step.old, step.new) if state]
    if any(_hides_what_is_secret(t) for s in states for t in (s.inputs, s.outputs)):
        all_of_it: list[Path] = [
            (name,) for s in states for t in (s.inputs, s.outputs) for name in t
        ]
        return _with_hidden(step, all_of_it, clear)
    paths: list[Path] = [(name,) for name in _ALWAYS]
    paths += [
        path
        for state in states
        for tree in (state.inputs, state.outputs)
        for path in _secret_paths(tree)
    ]
    if len(paths) == len(_ALWAYS) and step.urn.kind != HOST:
        return step
    return _with_hidden(step, paths, clear)


def _hides_what_is_secret(tree: Tree) -> bool:
    """Return whether the list of secret paths is itself hidden, completely or in part."""
    given = tree.get("secret_inputs")
    if not isinstance(given, list):
        return given is not None
    return any(not isinstance(path, str) or any(mark in path for mark in MARKS) for path in given)


def _with_hidden(step: Step, paths: list[Path], clear: set[str]) -> Step:
    return step.model_copy(
        update={
            "old": step.old and _hidden_state(step.old, paths, clear),
            "new": step.new and _hidden_state(step.new, paths, clear),
        }
    )


def _hidden_state(state: State, paths: list[Path], clear: set[str]) -> State:
    trees = {"inputs": state.inputs, "outputs": state.outputs}
    for name, tree in trees.items():
        for path in dict.fromkeys(paths):
            keys = path[0] not in _MODELS
            tree = _without(tree, path, clear, keys=keys)
            tree = _without(tree, ("plan", *path), clear, keys=keys)
            if path[0] == "mounts" and len(path) > 1:
                # A reader who knows the other parts could find the source of a device name by
                # trying.
                tree = _without(tree, ("plan", *path[:2], "device_name"), clear, keys=keys)
        trees[name] = tree
    return state.model_copy(update=trees)


def _secret_paths(tree: Tree) -> Iterator[Path]:
    given = tree.get("secret_inputs")
    for text in given if isinstance(given, list) else ():
        path: list[str | int] = []
        for key, index, quoted in _STEP.findall(str(text)):
            path.append(int(index) if index else key or re.sub(r"\\(.)", r"\1", quoted))
        if path:
            yield tuple(path)


def _without(tree: Any, path: Path, clear: set[str], *, keys: bool) -> Any:
    """Return a copy of the tree with a placeholder at the path, if there is a value."""
    if not path:
        clear.update(text for text in _texts(tree, keys=keys) if len(text) >= _SHORTEST)
        # An unknown value is not secret yet, and that it is unknown is useful information.
        return tree if tree == UNKNOWN else SECRET
    step = path[0]
    if isinstance(tree, dict) and step in tree:
        return {**tree, step: _without(tree[step], path[1:], clear, keys=keys)}
    if isinstance(tree, list) and isinstance(step, int) and step < len(tree):
        return [
            _without(item, path[1:], clear, keys=keys) if at == step else item
            for at, item in enumerate(tree)
        ]
    return tree


def _texts(value: Any, *, keys: bool) -> Iterable[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            if keys:
                yield key
            yield from _texts(item, keys=keys)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item, keys=keys)
    elif isinstance(value, str) and value not in MARKS:
        yield value


def _redacted_step(step: Step, pattern: re.Pattern[str]) -> Step:
    return step.model_copy(
        update={
            name: state.model_copy(
                update={
                    "inputs": _redacted(state.inputs, pattern),
                    "outputs": _redacted(state.outputs, pattern),
                }
            )
            for name, state in (("old", step.old), ("new", step.new))
            if state
        }
    )


def _redacted(value: Any, pattern: re.Pattern[str]) -> Any:
    if isinstance(value, dict):
        return {key: _redacted(item, pattern) for key, item in value.items()}
    if isinstance(value, list):
        return [_redacted(item, pattern) for item in value]
    return pattern.sub(SECRET, value) if isinstance(value, str) else value
