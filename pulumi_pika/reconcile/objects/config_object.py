"""Fetch config objects, and find the one that a resource owns."""

from dataclasses import dataclass
from typing import Any

from ...incus.client import IncusClient
from ...incus.config_objects import get_object, list_objects
from ..shared.ownership import GENERATION_KEY, Claim
from .live_object import LiveObject
from .object_errors import gone
from .object_kind import AnyKind
from .object_plan import ObjectPlan


@dataclass(frozen=True, slots=True)
class Owner:
    """Describe the resource that manages an object.

    Attributes:
        urn: the URN of the resource.
        backend: the digest of the Pulumi backend of its stack.
        adopt: whether it may adopt an object without an owner.
    """

    urn: str
    backend: str = ""
    adopt: bool = False


@dataclass(frozen=True, slots=True)
class FoundObject:
    """Hold the result of a search for a resource's own object.

    Attributes:
        live: the resource's own object, whatever its name is now.
        other: the object that has the name but is not the resource's own.
        alike: the name of an object that has the resource's ownership label, and is either its own
            one with another name, or a copy; empty for none.
    """

    live: LiveObject | None
    other: LiveObject | None = None
    alike: str = ""


def fetch_object(kind: AnyKind, client: IncusClient, name: str) -> LiveObject | None:
    """Return the object of a name as it is now, or None.

    Raises:
        PlaceMissing: its project does not exist.
    """
    entity = get_object(client, kind.collection, name)
    return LiveObject.of(entity) if entity else None


def fetch_existing_object(kind: AnyKind, client: IncusClient, plan: ObjectPlan) -> LiveObject:
    """Return the object as it is now.

    Raises:
        ObjectGone: another client has deleted it.
    """
    live = fetch_object(kind, client, plan.name)
    if live is None:
        raise gone(kind, client, plan)
    return live


def find_owned_object(
    kind: AnyKind, client: IncusClient, plan: ObjectPlan, claim: Claim
) -> FoundObject:
    """Find the object that a state manages: by its name, else by the ownership labels.

    If objects of this kind can be copied, their labels do not prove that an object with another
    name is the same one. Then it does not count as the resource's own.

    Args:
        kind: the kind of the object.
        client: a client in its project.
        plan: the plan in the state, which has its name.
        claim: what the state knows of it.
    """
    named = fetch_object(kind, client, plan.name)
    if named is not None and claim.holds(named.config, ""):
        return FoundObject(named)
    for data in list_objects(client, kind.collection):
        name = str(data.get("name") or "")
        if name == plan.name or not _is_marked(data, claim):
            continue
        if kind.can_be_copied:
            return FoundObject(None, named, alike=name)
        return FoundObject(fetch_object(kind, client, name), named)
    return FoundObject(None, named)


def _is_marked(data: dict[str, Any], claim: Claim) -> bool:
    config = data.get("config") or {}
    generation = str(config.get(GENERATION_KEY) or "")
    # An edited label does not count here: only the generation identifies a renamed object.
    return bool(generation and claim.generation) and claim.holds(config, "")
