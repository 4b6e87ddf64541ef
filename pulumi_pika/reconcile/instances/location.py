"""Choose the cluster member of a new instance if its data leaves Incus no choice.

Incus may put a new instance on any member. The volumes of a local pool can be used on their own
member only. So an instance goes to the member of its existing volumes. If it has none yet, both go
to a member that this module chooses.
"""

import hashlib

from ...incus.client import IncusClient
from ...incus.cluster import (
    Member,
    image_architecture,
    is_shared,
    list_members,
)
from ...incus.storage import get_volume
from ...message_templates import CONFLICT, UNREACHABLE, Message, unsupported
from ..shared.errors import PlacementError
from .desired import is_host_path, volume_name
from .live_instance import LiveInstance
from .placement import Placement


def select_member_for_volumes(client: IncusClient, placement: Placement) -> IncusClient:
    """Return the client with the member that the instance and its volumes go to.

    A server without a cluster, and a runtime without volumes, need no request.

    Raises:
        PlacementError: the volumes are on different members, or on another member than `target`; or
            no member may take the instance.
    """
    desired = placement.desired
    if not client.server().clustered:
        if client.target:
            raise PlacementError(not_clustered(client))
        return client
    pools = desired.pools
    volumes = {
        (pools[mount.device_name] or "", volume_name(mount.source))
        for mount in desired.plan.mounts
        if not is_host_path(mount.source) and mount.device_name not in desired.left_out
    }
    shared = {pool: is_shared(client, pool) for pool, _ in volumes}
    volumes = {(pool, name) for pool, name in volumes if not shared[pool]}
    if not volumes:
        return client
    places: dict[str, list[str]] = {}
    for pool, name in sorted(volumes - set(placement.missing_volumes)):
        volume = get_volume(client, pool, name)
        location = str(volume.data.get("location") or "") if volume else ""
        if location not in ("", "none"):
            places.setdefault(location, []).append(name)
    wanted = "" if client.target.startswith("@") else client.target
    if wanted:
        places.setdefault(wanted, [])
    if len(places) > 1:
        listed = "; ".join(
            f"{', '.join(found)} on {place}" if found else f"target is {place}"
            for place, found in sorted(places.items())
        )
        raise PlacementError(
            Message(
                f"instance {desired.name} and its volumes cannot be on one cluster member: each "
                f"volume of pool {', '.join(sorted({pool for pool, _ in volumes}))} is on one "
                f"member, and these differ: {listed}. Move the volumes to one member (`incus "
                f"storage volume move --project {client.project} POOL/VOLUME POOL/VOLUME --target "
                "MEMBER`), or set target to the member of the volumes",
                CONFLICT,
            )
        )
    if places:
        return client.on_member(next(iter(places)))
    return client.on_member(choose_member(client, desired.name, desired.plan.incus.image_alias))


def select_member_for_new_volume(client: IncusClient, pool: str, name: str) -> IncusClient:
    """Return the client with the member that a new volume goes to.

    The client is returned unchanged if any member will do. By default, Incus creates a volume of a
    local pool on the member that received the request. All runtimes would then follow their volumes
    to that member.

    Args:
        client: a client in the volume's project.
        pool: the storage pool.
        name: the volume's name.

    Raises:
        PlacementError: no member takes it, or the server has none.
    """
    if not client.server().clustered:
        if client.target:
            raise PlacementError(not_clustered(client))
        return client
    if client.member or is_shared(client, pool):
        return client
    if client.target and not client.target.startswith("@"):
        return client.on_member(client.target)
    return client.on_member(choose_member(client, name))


def choose_member(client: IncusClient, name: str, image_alias: str = "") -> str:
    """Return a member for an object with local data, among those that Incus may choose itself.

    The name decides (rendezvous hashing). Many objects are spread evenly without a count. The same
    name always gives the same member. A change of the members moves as few objects as possible.

    Args:
        client: the client, whose target may be a group.
        name: the name of the object.
        image_alias: the image that it is created from; used if members differ in architecture.

    Raises:
        PlacementError: no member takes it.
    """
    group = client.target.removeprefix("@") if client.target.startswith("@") else ""
    members = list_members(client)
    able = [member for member in members if member.takes(group)]
    if image_alias and len({member.architecture for member in able}) > 1:
        architecture = image_architecture(client, image_alias)
        able = [member for member in able if member.architecture == architecture]
    if not able:
        states = ", ".join(f"{member.name} is {member.status}" for member in members)
        raise PlacementError(
            Message(
                f"no cluster member{f' of group {group}' if group else ''} at {client.host} "
                f"accepts {name}: {states}. Start one, or set target to a member",
                UNREACHABLE,
            )
        )

    def weight(member: Member) -> bytes:
        return hashlib.sha256(f"{name}\0{member.name}".encode()).digest()

    return max(able, key=weight).name


def evacuated_member(client: IncusClient, live: LiveInstance) -> str:
    """Return the evacuated member on which an instance is stopped; empty if there is none.

    A request is sent only if the instance is stopped and on a cluster.
    """
    if live.running or live.location in ("", "none"):
        return ""
    members = {member.name: member for member in list_members(client)}
    member = members.get(live.location)
    return member.name if member and member.status == "Evacuated" else ""


def not_clustered(client: IncusClient) -> Message:
    """Return the message for a target that is given to a server without a cluster."""
    return unsupported(
        f"target {client.target!r} is",
        f"at {client.host}",
        "the server is not a cluster",
        "remove target and cluster_group, or set url to a cluster",
    )
