"""Apply Pulumi's resource option `replace_on_changes`.

The diff result of a dynamic provider cannot name the changed properties
(`pulumi.dynamic.DiffResult`), so that the engine cannot apply the option. The resource passes the
paths of the option to the provider, and the diff applies them.
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
    """Return the changed properties for which the user wants a replacement.

    Args:
        inputs: The new inputs, with the option's paths. ``*`` stands for all properties.
        before: The planned old inputs.
        after: The planned new inputs.
        unknown: The paths of unknown values, which count as changed.
        known: The properties that already cause a replacement.
    """
    given = inputs.get(REPLACE_ON)
    paths = [parse_path(text) for text in given or () if isinstance(text, str)]
    if any(path[:1] == ("*",) for path in paths):
        paths = [(name,) for name in sorted(before.keys() | after.keys()) if name not in _OWN]
    found = []
    for path in paths:
        # An index `*` means any index: the whole list is compared.
        place = path[: path.index("*")] if "*" in path else path
        changed = get_path(before, place) != get_path(after, place) or any(
            paths_overlap(place, other) for other in unknown
        )
        name = ".".join(str(step) for step in place)
        if changed and name not in known:
            found.append(name)
    return found


_OWN: Final = frozenset({"owner", "backend"})
"""Inputs that change with the program and the stack, and that are not a change of the object."""
