"""Applies Pulumi's resource option `replace_on_changes`.

A dynamic provider's answer to a diff cannot name the properties that changed
(`pulumi.dynamic.DiffResult`), so that the engine cannot apply the option. The resource hands its
paths on, and the diff applies them.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from ..validation.property_tree import (
    Path,
    get_path,
    parse_path,
    paths_overlap,
)

REPLACE_ON: Final = "replace_on_changes"


def replaced_by_option(
    inputs: Mapping[str, Any],
    before: dict[str, Any],
    after: dict[str, Any],
    unknown: Iterable[Path],
    known: Iterable[str],
) -> list[str]:
    """Return the properties for whose change the user wants a replacement.

    Args:
        inputs: the new inputs, with the option's paths. ``*`` stands for all properties.
        before: what the old inputs come to.
        after: what the new inputs come to.
        unknown: the paths that are not known yet; what is at them counts as changed.
        known: the properties that are replaced for already.
    """
    given = inputs.get(REPLACE_ON)
    paths = [parse_path(text) for text in given or () if isinstance(text, str)]
    if any(path[:1] == ("*",) for path in paths):
        paths = [(name,) for name in sorted(before.keys() | after.keys()) if name not in _OWN]
    found = []
    for path in paths:
        # An index that is `*` means any: what is around it is compared.
        place = path[: path.index("*")] if "*" in path else path
        changed = get_path(before, place) != get_path(after, place) or any(
            paths_overlap(place, other) for other in unknown
        )
        name = ".".join(str(step) for step in place)
        if changed and name not in known:
            found.append(name)
    return found


_OWN: Final = frozenset({"owner", "backend"})
"""Moves with the program and the stack, and is no change of the thing."""
