"""Refuse a replacement that one of the resource's Pulumi options makes impossible."""

from collections.abc import Iterable

from ..message_templates import could_not
from ..reconcile.shared.errors import ReplacementFailed
from .properties import HiddenOptions

_checked: set[str] = set()
"""The owners whose inputs were checked in this process. A diff without an earlier check belongs to
a refresh, which replaces nothing and must not fail."""


def note_check(owner: str) -> None:
    """Record that a resource's inputs were checked.

    Args:
        owner: The URN of the resource.
    """
    _checked.add(owner)


def was_checked(owner: str) -> bool:
    """Return whether a resource's inputs were checked in this process, so that a diff may lead to a
    replacement.

    Args:
        owner: The URN of the resource.
    """
    return owner in _checked


def retention_changed(olds: HiddenOptions, news: HiddenOptions) -> bool:
    """Return whether `retain_on_delete` was added or removed.

    Pulumi reads the option from the state when it replaces a resource. So a change of the option
    must be written to the state by an update of its own.

    Args:
        olds: The hidden options in the state.
        news: The new hidden options.
    """
    return olds.retained != news.retained


def refuse_same_name(
    olds: HiddenOptions,
    news: HiddenOptions,
    replaces: Iterable[str],
    *,
    name: str,
    kind: str,
    argument: str,
    otherwise: str,
) -> None:
    """Refuse a replacement under the same name, if an option keeps the old object until the new one
    is created, or permanently.

    The create would find the old object under the name of the new one.

    Args:
        olds: The hidden options in the state.
        news: The new hidden options.
        replaces: The properties that cause the replacement.
        name: The name of the object.
        kind: The kind of the object, as ``instance``.
        argument: The argument that sets the name.
        otherwise: What happens without the option, as a clause.

    Raises:
        ReplacementFailed: The options make the replacement impossible; nothing was changed.
    """
    if not was_checked(news.owner):
        return
    if olds.retained or news.retained:
        option = "retain_on_delete"
        why = f"keeps the old {kind}, and the new one cannot have the same name"
        way = f"remove {option} from the options and run `pulumi up` before this change"
    elif news.create_first:
        option = "delete_before_replace=False"
        why = f"creates the new {kind} while the old one still has the name"
        way = f"remove {option} from the options"
    else:
        return
    raise ReplacementFailed(
        could_not(
            f"replace {name} ({', '.join(replaces)} changed)",
            f"{option} {why}",
            undone="Nothing was deleted",
            advice=f"Set another {argument}, or {way}; without the option, {otherwise}",
        )
    )
