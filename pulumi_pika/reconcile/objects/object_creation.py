"""Create a config object, or adopt an existing one."""

from typing import Any

from ...incus.client import IncusClient
from ...incus.errors import (
    AlreadyExists,
    IncusApiError,
    IncusError,
    IncusUnreachable,
    OperationError,
    OperationLost,
    UnexpectedResponse,
)
from ..shared.ownership import (
    BACKEND_KEY,
    GENERATION_KEY,
    OWNER_KEY,
    new_generation,
    relation,
)
from ..shared.reporter import Reporter
from .config_object import Owner, fetch_existing_object, fetch_object
from .live_object import ADOPTED_KEY, LiveObject
from .object_errors import (
    mismatch,
    never_manageable,
    only_prepared,
    owned_by_other,
    refused,
    without_owner,
)
from .object_kind import AnyKind
from .object_plan import ObjectPlan
from .object_update import apply_changes


def create_or_adopt_object(
    kind: AnyKind, client: IncusClient, plan: ObjectPlan, owner: Owner, reporter: Reporter
) -> LiveObject:
    """Create the object, or manage an existing one.

    An existing object is managed if its ownership label names this resource: the reply to its
    creation was lost, or Pulumi retained it. One without an owner is adopted only with `adopt`;
    then only the keys and devices of the plan are changed.

    Args:
        kind: the kind of the object.
        client: a client in its project.
        plan: the desired plan.
        owner: the resource.
        reporter: receives progress.

    Raises:
        ObjectExists: an object without an owner exists, and `adopt` is off.
        ForeignObject: another resource owns the existing object.
        ObjectRefused: the server refuses it; what was created is deleted again.
        IncusError: it could not be created.
    """
    live = fetch_object(kind, client, plan.name)
    if live is None:
        attempt = new_generation()
        config = {**plan.config, OWNER_KEY: owner.urn, GENERATION_KEY: attempt}
        if owner.backend:
            config[BACKEND_KEY] = owner.backend
        try:
            kind.create(client, plan, {key: value for key, value in config.items() if value})
        except AlreadyExists:
            # Another client was faster, or an earlier request whose reply was lost.
            live = fetch_object(kind, client, plan.name)
            if live is None:
                raise
        except (IncusError, KeyboardInterrupt) as error:
            _finish_or_undo(kind, client, plan, attempt, error)
        if live is None:
            made = fetch_existing_object(kind, client, plan)
            # In a cluster, Incus 7.0 drops the description of a new storage pool.
            return apply_changes(kind, client, made, plan, None, {}, reporter)
    check_adoptable(kind, client, live, plan, owner)
    ours = relation(live.config, owner.urn, owner.backend) == "ours"
    label: dict[str, str | None] = {
        OWNER_KEY: owner.urn,
        BACKEND_KEY: owner.backend or None,
        GENERATION_KEY: new_generation(live.generation if ours else ""),
        ADOPTED_KEY: live.config.get(ADOPTED_KEY) if ours else "true",
    }
    live = apply_changes(kind, client, live, plan, None, label, reporter)
    did = "resumed managing" if ours else "adopted"
    reporter.info(f"{did} {kind.where(plan)}, which existed")
    return live


def _finish_or_undo(
    kind: AnyKind, client: IncusClient, plan: ObjectPlan, attempt: str, error: BaseException
) -> None:
    """Return if the object was created although the reply was lost; else delete what is left.

    Raises:
        ObjectRefused: the server refused it, and the message says what was undone.
        IncusError: the object may not exist.
    """
    if isinstance(error, IncusUnreachable) and not error.sent:
        raise error
    live = fetch_object(kind, client, plan.name)
    made = live is not None and live.generation == attempt
    lost = isinstance(error, IncusUnreachable | UnexpectedResponse | OperationLost)
    if made and lost and live is not None and live.data.get("status", "Created") == "Created":
        return
    undone = "Nothing was created"
    if made:
        try:
            kind.delete(client, plan.name)
            undone = "What was created of it was deleted again"
        except IncusError as left:
            undone = (
                f"What was created of it could not be deleted ({left}); delete it with "
                f"{kind.shell('delete', plan)}"
            )
    if isinstance(error, IncusApiError | OperationError):
        raise refused("create", kind, client, plan, error.reason, undone) from error
    raise error


def check_adoptable(
    kind: AnyKind, client: IncusClient, live: LiveObject, plan: ObjectPlan, owner: Owner
) -> None:
    """Raise an error if a resource may not, or cannot, manage an existing object.

    Args:
        kind: the kind of the object.
        client: a client in its project.
        live: the object as last fetched.
        plan: the desired plan.
        owner: the resource.

    Raises:
        ObjectExists: it has no owner, and `adopt` is off; or it cannot be managed at all.
        ForeignObject: another resource owns it.
        ObjectRefused: it cannot be changed to match the plan.
    """
    if reason := kind.refusal(live):
        raise never_manageable(kind, client, plan, reason)
    whose = relation(live.config, owner.urn, owner.backend)
    if live.data.get("status") == "Pending" and whose == "unmarked":
        raise only_prepared(kind, client, plan)
    if whose == "other" or (whose == "other_backend" and not owner.adopt):
        raise owned_by_other(kind, live, plan, owner.urn, other_backend=whose == "other_backend")
    if whose == "unmarked" and not owner.adopt:
        raise without_owner(kind, client, live, plan)
    if wrong := list(_differences(kind, live, plan)):
        raise mismatch(kind, client, plan, wrong)


def _differences(kind: AnyKind, live: LiveObject, plan: ObjectPlan) -> Any:
    """Yield what only a replacement could change."""
    for key, value in plan.fixed.items():
        if str(live.data.get(key)) != value:
            yield f"its {key} is {live.data.get(key)}, and the program says {value}"
    for key, value in plan.config.items():
        unseen = live.in_cluster and kind.is_of_member(key)
        if kind.is_fixed(key) and not unseen and not kind.is_same(key, value, live.config):
            yield f"its {key} differs from that in the program, and cannot be changed"
