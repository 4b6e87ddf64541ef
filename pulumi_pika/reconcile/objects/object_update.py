"""Change a config object in place."""

from typing import Final

from ...incus.client import IncusClient
from ...incus.config_objects import rename_object, replace_object
from ...incus.errors import (
    IncusApiError,
    IncusUnreachable,
    OperationError,
    PreconditionFailed,
    UnexpectedResponse,
)
from ..shared.errors import ForeignObject
from ..shared.ownership import BACKEND_KEY, GENERATION_KEY, OWNER_KEY, Claim
from ..shared.reporter import Reporter
from .config_object import Owner, fetch_existing_object, fetch_object, find_owned_object
from .live_object import ADOPTED_KEY, LiveObject
from .object_changes import find_object_changes
from .object_errors import (
    each_members_own,
    gone,
    not_renamed,
    refused,
    why_not_owned,
)
from .object_kind import AnyKind
from .object_plan import ObjectPlan

_ATTEMPTS: Final = 4
"""How often a change is sent if other clients change the object in between."""


def change_object(
    kind: AnyKind,
    client: IncusClient,
    plan: ObjectPlan,
    previous: ObjectPlan,
    owner: Owner,
    reporter: Reporter,
    *,
    claim: Claim,
    adopted: bool,
) -> LiveObject:
    """Change the object in place, also its name.

    Args:
        kind: the kind of the object.
        client: a client in its project.
        plan: the desired plan.
        previous: the plan that was applied, or observed, before.
        owner: the resource.
        reporter: receives progress and warnings.
        claim: what the state knows of it.
        adopted: whether the state says that it existed before it was managed.

    Raises:
        ObjectGone: the object no longer exists.
        ForeignObject: another resource owns it now.
        ObjectInUse: it cannot be renamed while it is used.
        ObjectRefused: the server refuses the change.
    """
    found = find_owned_object(kind, client, previous, claim)
    if found.live is None and plan.name != previous.name:
        # An earlier update may have been interrupted after it renamed the object.
        found = find_owned_object(kind, client, plan, claim)
    if found.live is None and found.other is not None:
        raise ForeignObject(
            f"{kind.where(previous)} {why_not_owned(found.other, claim)}; it was not changed. Run "
            "`pulumi refresh`, and then `pulumi up`"
        )
    if found.live is None:
        raise gone(kind, client, previous)
    live = found.live
    if live.in_cluster:
        _refuse_member_keys(kind, client, plan, previous)
    if live.name != plan.name:
        live = _rename(kind, client, live, plan, claim, reporter)
    label: dict[str, str | None] = {
        OWNER_KEY: owner.urn or None,
        BACKEND_KEY: owner.backend or None,
        # A label that another client removed is written again.
        GENERATION_KEY: live.generation or claim.generation or None,
        ADOPTED_KEY: "true" if adopted or live.adopted else None,
    }
    return apply_changes(kind, client, live, plan, previous, label, reporter)


def _refuse_member_keys(
    kind: AnyKind, client: IncusClient, plan: ObjectPlan, previous: ObjectPlan
) -> None:
    """Refuse a change of keys that each member of a cluster has for itself.

    Raises:
        ObjectRefused: one of them changes.
    """
    keys = [
        key
        for key in sorted(plan.config.keys() | previous.config.keys())
        if kind.is_of_member(key) and plan.config.get(key) != previous.config.get(key)
    ]
    keys += ["member_config"] if plan.members != previous.members else []
    if keys:
        raise each_members_own(kind, client, plan, keys)


def _rename(
    kind: AnyKind,
    client: IncusClient,
    live: LiveObject,
    plan: ObjectPlan,
    claim: Claim,
    reporter: Reporter,
) -> LiveObject:
    reporter.info(f"renaming {kind.noun} {live.name} to {plan.name}")
    try:
        rename_object(client, kind.collection, live.name, plan.name)
    except (IncusApiError, OperationError) as error:
        raise not_renamed(kind, client, live, plan, error.reason) from error
    except (IncusUnreachable, UnexpectedResponse):
        renamed = fetch_object(kind, client, plan.name)
        if renamed is None or not claim.holds(renamed.config, ""):
            raise
    return fetch_existing_object(kind, client, plan)


def apply_changes(
    kind: AnyKind,
    client: IncusClient,
    live: LiveObject,
    plan: ObjectPlan,
    previous: ObjectPlan | None,
    label: dict[str, str | None],
    reporter: Reporter,
) -> LiveObject:
    """Send all changes and the ownership label in one request; return the object afterwards.

    If another client changed the object in the meantime, its changes are kept, and the request is
    sent again.

    Args:
        kind: the kind of the object.
        client: a client in its project.
        live: the object as last fetched.
        plan: the desired plan.
        previous: the plan that was applied or observed last; None if there is no state.
        label: the keys of the ownership label; None unsets a key.
        reporter: receives warnings.

    Raises:
        PreconditionFailed: other clients changed the object again and again.
        ObjectRefused: the server refuses the change.
    """
    announced = False
    for attempt in range(_ATTEMPTS):
        changes = find_object_changes(kind, live, plan, previous)
        if changes.kept and not announced:
            announced = True
            reporter.warn(
                f"{kind.where(plan)}: left as it is, since another client changed it: "
                f"{', '.join(changes.kept)}"
            )
        changes.config.update(
            {key: value for key, value in label.items() if live.config.get(key) != value}
        )
        if not changes:
            return live
        body = changes.apply_to(live, devices=kind.has_devices)
        try:
            replace_object(client, kind.collection, live.name, body, etag=live.etag)
        except PreconditionFailed:
            if attempt == _ATTEMPTS - 1:
                raise
        except (IncusUnreachable, UnexpectedResponse) as error:
            if isinstance(error, IncusUnreachable) and not error.sent:
                raise
            seen = fetch_existing_object(kind, client, plan)
            if find_object_changes(kind, seen, plan, previous) or any(
                seen.config.get(key) != value for key, value in label.items()
            ):
                raise
        except (IncusApiError, OperationError) as error:
            raise refused("change", kind, client, plan, error.reason) from error
        else:
            return fetch_existing_object(kind, client, plan)
        live = fetch_existing_object(kind, client, plan)
    return live
