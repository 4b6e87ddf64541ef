"""Keeps what a user marked secret out of state, previews, logs and errors.

The engine hands secrets to dynamic providers in plain text and marks only outputs of the same name
secret again. So the resource sends the paths of its secret inputs along (`secret_inputs`), and
everything here that is derived from one of them is marked secret too.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import quote

from pulumi.runtime.rpc import wrap_rpc_secret

from .examine import SECRET_INPUTS, SPEC_FIELDS, names_devices, planned_paths
from .values import Path, find, parse_path, put

HIDDEN: Final = "[secret]"
_SHORTEST: Final = 3
"""Shorter texts occur everywhere; hiding them would say more than it hides."""


def secret_paths(inputs: dict[str, Any]) -> list[Path]:
    """The paths of the inputs that are secret."""
    given = inputs.get(SECRET_INPUTS)
    if not isinstance(given, list):
        return []
    return [path for text in given if isinstance(text, str) and (path := parse_path(text))]


def seal(tree: dict[str, Any], secret: Iterable[Path]) -> dict[str, Any]:
    """Marks everything in a property tree secret that is, or is derived from, a secret input.

    Args:
        tree: inputs or outputs, which are changed.
        secret: the paths of the secret inputs.
    """
    for path in secret:
        if path[0] in SPEC_FIELDS:
            for planned in planned_paths(path):
                _wrap(tree, ("plan", *planned))
            # A low-entropy value could be found by trying.
            _wrap(tree, ("plan_digest",))
            if names_devices(path) or path[0] in ("mounts", "resources"):
                _wrap(tree, ("devices",))
                _wrap(tree, ("left_out",))
                _wrap(tree, ("on_delete",))
            if path in (("identity",), ("identity", "instance_name")):
                _wrap(tree, ("instance_name",))
            if path in (("incus",), ("incus", "image_alias")):
                _wrap(tree, ("image_fingerprint",))
        _wrap(tree, path[:1] if path[0] in ("devices", "config") else path)
    return tree


def _wrap(tree: dict[str, Any], path: Path) -> None:
    # A secret around this one says it already; a path that is gone (a mount fewer) hides nothing.
    while path:
        value = find(tree, path)
        if value is not None:
            put(tree, path, wrap_rpc_secret(value))
            return
        if path[0] != "plan" or path[1:2] not in (("mounts",), ("labels",), ("metadata",)):
            return
        path = path[:-1]


class Redactor:
    """Replaces the secret values of a resource in any text."""

    def __init__(self, *trees: dict[str, Any]) -> None:
        values: set[str] = set()
        for tree in trees:
            for path in secret_paths(tree):
                for text in _texts(find(tree, path)):
                    values.update(_spellings(text))
                if path[0] == "mounts":
                    values.update(_derived_names(tree, path))
        # The longest first, so that no part of one is left over.
        self._values = sorted((v for v in values if len(v) >= _SHORTEST), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text without the secrets."""
        for value in self._values:
            text = text.replace(value, HIDDEN)
        return text


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield str(value)


def _spellings(text: str) -> Iterator[str]:
    """How a text shows in messages: as it is, by line, in a URL, in JSON, as repr."""
    for part in (text, *(line for line in text.splitlines() if len(line.strip()) >= 8)):
        yield part
        yield part.strip()
        yield quote(part, safe="")
        yield quote(part)
        yield json.dumps(part)[1:-1]
        yield repr(part)[1:-1]


def _derived_names(tree: dict[str, Any], path: Path) -> Iterator[str]:
    mounts = find(tree, ("plan", "mounts"))
    if isinstance(mounts, list) and names_devices(path):
        for index, mount in enumerate(mounts):
            if len(path) < 2 or path[1] == index:
                name = mount.get("device_name") if isinstance(mount, dict) else None
                if isinstance(name, str):
                    yield name
