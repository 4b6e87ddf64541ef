"""Delete a config object, or release it."""

from typing import Final

from ...incus.client import IncusClient
from ...incus.errors import (
    IncusApiError,
    IncusUnreachable,
    NotFound,
    OperationError,
    UnexpectedResponse,
)
from ..shared.ownership import BACKEND_KEY, GENERATION_KEY, OWNER_KEY, Claim
from ..shared.reporter import Reporter
from .config_object import fetch_object, find_owned_object
from .live_object import ADOPTED_KEY, LiveObject
from .object_errors import UNCHANGED, describe_alike, refused, used, why_not_owned
from .object_kind import AnyKind
from .object_plan import ObjectPlan
from .object_update import apply_changes

_LABEL_KEYS: Final = (OWNER_KEY, BACKEND_KEY, GENERATION_KEY, ADOPTED_KEY)


def remove_object(
    kind: AnyKind,
    client: IncusClient,
    plan: ObjectPlan,
    reporter: Reporter,
    *,
    claim: Claim,
    adopted: bool,
) -> None:
    """Delete the object, or release it if it existed before it was managed.

    Args:
        kind: the kind of the object.
        client: a client in its project.
        plan: the plan in the state.
        reporter: receives progress and warnings.
        claim: what the state knows of it.
        adopted: whether the state says that it existed before it was managed.

    Raises:
        ObjectInUse: it is in use; it was not changed.
        IncusError: it could not be deleted.
    """
    found = find_owned_object(kind, client, plan, claim)
    if found.other is not None:
        reporter.warn(f"{kind.where(plan)} {why_not_owned(found.other, claim)}; it was not changed")
    if found.alike:
        reporter.warn(f"{describe_alike(kind, plan, found.alike)}. It was not deleted")
    live = found.live
    if live is None:
        return
    if adopted or live.adopted or live.name in kind.permanent:
        _release(kind, client, live, plan, reporter)
        return
    if kind.users(live):
        raise used(kind, client, live, plan)
    try:
        kind.delete(client, live.name)
    except NotFound:
        return
    except (IncusApiError, OperationError) as error:
        now = fetch_object(kind, client, live.name)
        if now is None:
            return
        if kind.users(now):
            raise used(kind, client, now, plan) from error
        raise refused("delete", kind, client, plan, error.reason, UNCHANGED) from error
    except (IncusUnreachable, UnexpectedResponse):
        now = fetch_object(kind, client, live.name)
        if now is not None and claim.holds(now.config, ""):
            raise


def _release(
    kind: AnyKind, client: IncusClient, live: LiveObject, plan: ObjectPlan, reporter: Reporter
) -> None:
    """Remove the ownership label, and leave everything else as it is."""
    reporter.info(f"released {kind.where(plan)}: it existed before, and stays as it is")
    empty = ObjectPlan(live.name, plan.project)
    apply_changes(kind, client, live, empty, None, dict.fromkeys(_LABEL_KEYS), reporter)
