"""List cluster members and groups, and find out which member does not reply."""

from dataclasses import dataclass
from typing import Any, Final

from .catalog import image_fingerprint
from .client import IncusClient, url
from .errors import IncusError, MemberOffline, ServerFailure

_SHARED: Final = frozenset({"ceph", "cephfs", "cephobject", "linstor", "lvmcluster", "truenas"})
"""Drivers of storage that all members share.

Source: Incus internal/server/storage/drivers, `Remote`.
"""


@dataclass(frozen=True, slots=True)
class Member:
    """Describe a cluster member, as the other members see it."""

    name: str
    status: str
    message: str
    groups: frozenset[str]
    architecture: str
    scheduling: str
    """``all``, ``manual`` (only if it is named) or ``group`` (only through one of its groups)."""

    @property
    def online(self) -> bool:
        """Return whether it takes new instances: it is neither offline nor evacuated."""
        return self.status == "Online"

    def takes(self, group: str) -> bool:
        """Return whether Incus would put a new instance there by itself.

        Args:
            group: the requested cluster group; empty for any.
        """
        if not self.online or (group and group not in self.groups):
            return False
        return self.scheduling == "all" or (bool(group) and self.scheduling == "group")


def list_members(client: IncusClient) -> list[Member]:
    """Return the members, as the member that replies lists them; the others need not be online."""
    return [
        _member(data)
        for data in client.get_list("/1.0/cluster/members", recursion="1")
        if isinstance(data, dict)
    ]


def list_groups(client: IncusClient) -> list[str]:
    """Return the names of the cluster groups."""
    return [str(path).rpartition("/")[2] for path in client.get_list("/1.0/cluster/groups")]


def is_shared(client: IncusClient, pool: str) -> bool:
    """Return whether a pool's volumes belong to no particular member."""
    return str(client.get(url("storage-pools", pool)).data.get("driver", "")) in _SHARED


def image_architecture(client: IncusClient, alias: str) -> str:
    """Return the architecture of an image; see `image_fingerprint` for its name."""
    target = image_fingerprint(client, alias)
    return str(client.get(url("images", target)).data.get("architecture", ""))


def member_trouble(client: IncusClient, name: str, error: ServerFailure) -> IncusError:
    """Return the error behind a failed request for an instance: its cluster member may be offline.

    A member that cannot reach the instance's member answers with a 500 and one of many texts. Lists
    come from the cluster's database, whichever members are offline.

    Args:
        client: the client.
        name: the instance.
        error: the error of the request.
    """
    try:
        if not client.server().clustered:
            return error
        found = client.get_list("/1.0/instances", recursion="1", filter=f"name eq {name}")
        data = next((it for it in found if isinstance(it, dict) and it.get("name") == name), {})
        where = str(data.get("location", ""))
        member = next((it for it in list_members(client) if it.name == where), None)
    except IncusError:
        return error
    # For some seconds after a member has gone offline, it still counts as online.
    if member is None or (member.online and data.get("status") != "Error"):
        return error
    return MemberOffline(
        f"{name} (project {client.project}) is on the cluster member {where}, which does not "
        f"reply ({member.status}: {member.message}; {error.reason}), so that its state is "
        f"unknown. Start {where} again. If that takes long and the storage of {name} is shared, "
        f"move it: `incus move --project {client.project} {name} --target MEMBER`",
        member=where,
    )


def _member(data: dict[str, Any]) -> Member:
    config = data.get("config") or {}
    return Member(
        name=str(data.get("server_name", "")),
        status=str(data.get("status", "")),
        message=str(data.get("message", "")),
        groups=frozenset(str(group) for group in data.get("groups") or ()),
        architecture=str(data.get("architecture", "")),
        scheduling=str(config.get("scheduler.instance") or "all"),
    )
