"""Create a network or a storage pool in a cluster: first prepared on each member, then created."""

from collections.abc import Mapping
from typing import Any

from ...incus.client import IncusClient
from ...incus.cluster import list_members
from ...incus.config_objects import create_object, get_object
from ...incus.errors import IncusError
from .object_errors import refused
from .object_kind import ObjectKind
from .object_plan import ObjectPlan


def create_on_members(
    kind: ObjectKind[Any], client: IncusClient, plan: ObjectPlan, config: Mapping[str, str]
) -> None:
    """Prepare the object on every member with the keys of its own, and create it on all.

    If that fails, what was prepared is deleted again. Source: Incus
    doc/howto/cluster_config_networks.md and cluster_config_storage.md.

    Args:
        kind: the kind of the object.
        client: a client in its project.
        plan: the plan, whose `members` have the keys of each member.
        config: the config of the plan, with the ownership label.

    Raises:
        ObjectRefused: the plan names a member that the cluster does not have.
        AlreadyExists: another client creates an object of that name.
        IncusError: it could not be created.
    """
    members = [member.name for member in list_members(client)]
    unknown = sorted(plan.members.keys() - set(members))
    if unknown:
        reason = (
            f"member_config names {', '.join(unknown)}, and the members are {', '.join(members)}"
        )
        raise refused("create", kind, client, plan, reason, "Nothing was created")
    shared = {key: value for key, value in config.items() if not kind.is_of_member(key)}
    own = {key: value for key, value in config.items() if kind.is_of_member(key)}
    prepared = False
    try:
        for member in members:
            body = {
                "name": plan.name,
                **plan.fixed,
                "config": {**own, **plan.members.get(member, {})},
            }
            create_object(client, kind.collection, body, target=member)
            prepared = True
        create_object(client, kind.collection, kind.body(plan, shared))
    except (IncusError, KeyboardInterrupt):
        if prepared:
            _delete_prepared(kind, client, plan, shared)
        raise


def _delete_prepared(
    kind: ObjectKind[Any], client: IncusClient, plan: ObjectPlan, config: Mapping[str, str]
) -> None:
    live = get_object(client, kind.collection, plan.name)
    if live is None:
        return
    # The last request gives the object its ownership label. Without it, members are only prepared.
    labelled = {**config, **(live.data.get("config") or {})} == (live.data.get("config") or {})
    if not labelled:
        kind.delete(client, plan.name)
