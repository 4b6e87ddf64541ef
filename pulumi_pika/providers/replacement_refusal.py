"""Refuses a replacement that one of the resource's own Pulumi options makes impossible."""

from collections.abc import Iterable, Mapping
from typing import Any

from ..reconcile.shared.errors import ReplacementFailed
from ..validation.hidden_property import CREATE_FIRST, RETAINED

_checked: set[str] = set()
"""The owners whose inputs were checked in this process: a diff without a check before it is that of
a refresh, which replaces nothing and must not fail."""


def note_check(owner: str) -> None:
    """Note that a resource's inputs are checked.

    Args:
        owner: the URN of the resource.
    """
    _checked.add(owner)


def was_checked(owner: str) -> bool:
    """Tell whether a resource's inputs were checked in this process, so that a diff may lead to a
    replacement.

    Args:
        owner: the URN of the resource.
    """
    return owner in _checked


def retention_changed(olds: Mapping[str, Any], news: Mapping[str, Any]) -> bool:
    """Tell whether `retain_on_delete` was added or removed.

    Pulumi deletes, or keeps, what it replaces by the option in the state, so that the option's
    change has to get into the state: an update of its own.

    Args:
        olds: the outputs in the state, with what is hidden of them.
        news: the new inputs, with what is hidden of them.
    """
    return bool(olds.get(RETAINED)) != bool(news.get(RETAINED))


def refuse_same_name(
    olds: Mapping[str, Any],
    news: Mapping[str, Any],
    replaces: Iterable[str],
    *,
    name: str,
    kind: str,
    argument: str,
    otherwise: str,
) -> None:
    """Refuse a replacement under the same name, if an option keeps the old thing until the new one
    is created, or for good.

    The create would find the old thing under the name that the new one is to have.

    Args:
        olds: the outputs in the state, with what is hidden of them.
        news: the new inputs, with what is hidden of them.
        replaces: the properties for which the thing is replaced.
        name: the thing.
        kind: what it is, as ``instance``.
        argument: the argument that names it.
        otherwise: what happens without the option, as a clause.

    Raises:
        ReplacementFailed: the options make it impossible; nothing was touched.
    """
    if not was_checked(str(news.get("owner") or "")):
        return
    if olds.get(RETAINED) or news.get(RETAINED):
        option = "retain_on_delete"
        why = f"keeps the old {kind}, and the new one cannot have its name"
        way = f"remove {option} from the options and run `pulumi up` before this change"
    elif news.get(CREATE_FIRST):
        option = "delete_before_replace=False"
        why = f"creates the new {kind} while the old one still has the name"
        way = f"remove {option} from the options"
    else:
        return
    raise ReplacementFailed(
        f"{name} cannot be replaced (because of {', '.join(replaces)}), and nothing was deleted: "
        f"{option} {why}. Give the new one another {argument}; or {way}: then {otherwise}"
    )
