"""Create, move, adopt and delete the aliases of an image."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from shlex import quote

from ...incus.client import IncusClient
from ...incus.errors import AlreadyExists, IncusUnreachable, NotFound, UnexpectedResponse
from ...incus.images import ImageAlias, change_alias, create_alias, delete_alias, get_alias
from ...message_templates import exists, other_owner
from ..objects.config_object import Owner
from ..shared.errors import ForeignObject, ObjectExists
from ..shared.ownership import renamed_hint
from ..shared.undo import Undo
from .image_label import AliasLabel, owner_id
from .image_options import ImageOptions


@dataclass(frozen=True, slots=True)
class AliasPlan:
    """Hold an alias that an image is to have.

    Attributes:
        name: the alias.
        found: the alias as last fetched; None if it does not exist.
        adopted: whether it existed before it was adopted.
    """

    name: str
    found: ImageAlias | None = None
    adopted: bool = False


def plan_aliases(
    client: IncusClient,
    options: ImageOptions,
    fingerprint: str,
    owner: Owner,
    former: str = "",
) -> list[AliasPlan]:
    """Return the aliases that an image is to have, after a look at those of the same names.

    Args:
        client: a client in the image's project.
        options: the arguments.
        fingerprint: the fingerprint of the image; empty if it is not known yet.
        owner: the resource.
        former: the short name of the owner in the state; empty without one.

    Raises:
        ObjectExists: an alias exists and has no owner, and cannot be adopted.
        ForeignObject: another resource owns an alias.
    """
    return [_plan(client, options, name, fingerprint, owner, former) for name in options.aliases]


def _plan(
    client: IncusClient,
    options: ImageOptions,
    name: str,
    fingerprint: str,
    owner: Owner,
    former: str,
) -> AliasPlan:
    found = get_alias(client, name)
    if found is None:
        return AliasPlan(name)
    label = AliasLabel.of(found.description)
    alias = f"image alias {name}"
    place = f"in project {options.project} at {client.host}"
    if label is not None:
        if label.owner_id in (owner_id(owner.urn, owner.backend), former):
            return AliasPlan(name, found, label.adopted)
        hint = renamed_hint(owner.urn, label.urn)
        advice = "it was not changed. Choose another alias" + (f". {hint}" if hint else "")
        raise ForeignObject(other_owner(f"{alias} {place}", label.urn, advice))
    way = f"`incus image alias delete --project {quote(options.project)} {quote(name)}`"
    if found.target != fingerprint:
        advice = (
            f"it has no owner, is of another image ({found.target[:12]}), and was not changed. "
            f"Choose another alias, or delete it first (the image stays): {way}"
        )
        raise ObjectExists(exists(alias, place, advice))
    if not options.adopt:
        advice = (
            "it has no owner, and was not changed. Set adopt=True to manage it, choose another "
            f"alias, or delete it first (the image stays): {way}"
        )
        raise ObjectExists(exists(alias, place, advice))
    return AliasPlan(name, found, adopted=True)


def apply_aliases(
    client: IncusClient,
    plans: Collection[AliasPlan],
    fingerprint: str,
    owner: Owner,
    undo: Undo,
) -> None:
    """Create or move the aliases of an image, with the ownership label in their descriptions.

    Args:
        client: a client in the image's project.
        plans: the result of `plan_aliases`.
        fingerprint: the fingerprint of the image.
        owner: the resource.
        undo: receives the steps that bring the aliases back to what they were.

    Raises:
        ObjectExists: another client created an alias in the meantime.
        PreconditionFailed: another client changed an alias in the meantime.
        IncusError: the server refuses an alias.
    """
    for plan in plans:
        text = AliasLabel(owner_id(owner.urn, owner.backend), owner.urn, plan.adopted).text()
        found = plan.found
        if found is None:
            undo.push(f"the alias {plan.name}", partial(_undo_new, client, plan.name, text))
            _create(client, plan.name, fingerprint, text)
        elif (found.target, found.description) != (fingerprint, text):
            undo.push(f"the alias {plan.name}", partial(_undo_change, client, found, text))
            try:
                change_alias(client, found, fingerprint, text)
            except (IncusUnreachable, UnexpectedResponse):
                now = get_alias(client, plan.name)
                if now is None or (now.target, now.description) != (fingerprint, text):
                    raise


def _create(client: IncusClient, name: str, fingerprint: str, text: str) -> None:
    try:
        create_alias(client, name, fingerprint, text)
    except (AlreadyExists, IncusUnreachable, UnexpectedResponse) as error:
        now = get_alias(client, name)
        if now is not None and (now.target, now.description) == (fingerprint, text):
            return
        if isinstance(error, AlreadyExists):
            raise ObjectExists(
                f"another client created the image alias {name} at the same time"
            ) from None
        raise


def _undo_new(client: IncusClient, name: str, text: str) -> bool:
    now = get_alias(client, name)
    if now is None or now.description != text:
        return False
    delete_alias(client, name)
    return True


def _undo_change(client: IncusClient, before: ImageAlias, text: str) -> bool:
    now = get_alias(client, before.name)
    if now is None or now.description != text:
        return False
    change_alias(client, now, before.target, before.description)
    return True


def drop_aliases(client: IncusClient, names: Collection[str], owners: Collection[str]) -> None:
    """Delete those of the aliases that owners have; release those that they adopted.

    Args:
        client: a client in the image's project.
        names: the names of the aliases.
        owners: the short names of the owners.
    """
    for name in names:
        found = get_alias(client, name)
        label = AliasLabel.of(found.description) if found else None
        if found is None or label is None or label.owner_id not in owners:
            continue
        if label.adopted:
            change_alias(client, found, found.target, "")
            continue
        with suppress(NotFound):
            delete_alias(client, name)


def foreign_aliases(client: IncusClient, names: Collection[str], owner: str) -> list[str]:
    """Return those of the aliases that an owner does not have.

    Args:
        client: a client in the image's project.
        names: the names of the aliases.
        owner: the short name of the owner.
    """
    found = []
    for name in names:
        alias = get_alias(client, name)
        label = AliasLabel.of(alias.description) if alias else None
        if alias is not None and (label is None or label.owner_id != owner):
            found.append(name)
    return found
