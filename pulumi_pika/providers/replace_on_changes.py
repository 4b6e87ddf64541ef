"""Apply Pulumi's resource option `replace_on_changes`.

The diff result of a dynamic provider cannot name the changed properties
(`pulumi.dynamic.DiffResult`), so that the engine cannot apply the option. The resource passes the
paths of the option to the provider, and the diff applies them.
"""

from collections.abc import Callable, Collection, Iterable
from typing import Any, Final

from pydantic import BaseModel

from ..validation.option_inputs import ValidatedOptions
from ..validation.property_tree import Path, paths_overlap
from .properties import HiddenOptions, Values


def replaced_by_changed_options(
    hidden: HiddenOptions,
    old: BaseModel,
    new: ValidatedOptions[Any],
    known: Iterable[str],
    *,
    without: Collection[str] = (),
) -> list[str]:
    """Return the changed properties for which the user wants a replacement, of a resource whose
    options are all of its arguments.

    Args:
        hidden: The new hidden options, with the paths of the option.
        old: The old options.
        new: The new options.
        known: The properties that already cause a replacement.
        without: The names of the fields that are not arguments.
    """
    return replaced_by_option(
        hidden.replace_on,
        lambda: Values(old.model_dump(exclude=set(without))),
        lambda: Values(new.options.model_dump(exclude=set(without))),
        new.unknown,
        known,
    )


def replaced_by_option(
    paths: Iterable[Path],
    before: Callable[[], Values],
    after: Callable[[], Values],
    unknown: Iterable[Path],
    known: Iterable[str],
) -> list[str]:
    """Return the changed properties for which the user wants a replacement.

    Args:
        paths: The paths of the option. ``*`` stands for all properties.
        before: Returns the planned old values; called only if there are paths.
        after: Returns the planned new values.
        unknown: The paths of unknown values, which count as changed.
        known: The properties that already cause a replacement.
    """
    paths = list(paths)
    if not paths:
        return []
    old, new = before(), after()
    if any(path[:1] == ("*",) for path in paths):
        paths = [(name,) for name in sorted(old.names() | new.names()) if name not in _OWN]
    found = []
    for path in paths:
        # An index `*` means any index: the whole list is compared.
        place = path[: path.index("*")] if "*" in path else path
        changed = old.differs(place, new) or any(paths_overlap(place, other) for other in unknown)
        name = ".".join(str(step) for step in place)
        if changed and name not in known:
            found.append(name)
    return found


_OWN: Final = frozenset({"owner", "backend"})
"""Inputs that change with the program and the stack, and that are not a change of the object."""
