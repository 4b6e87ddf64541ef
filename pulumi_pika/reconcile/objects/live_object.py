"""Hold a config object as the server shows it, and name its users."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from ...incus.client import Entity
from ..shared.ownership import GENERATION_KEY, MARK_PREFIX, OWNER_KEY

ADOPTED_KEY: Final = MARK_PREFIX + "adopted"
"""The key that says that the object existed before it was managed, so that no delete deletes it."""
_MOST_USERS: Final = 10
"""How many users a message lists."""


@dataclass(frozen=True, slots=True)
class LiveObject:
    """Hold a profile, project, network or storage pool as the server shows it."""

    name: str
    description: str
    config: dict[str, str]
    devices: dict[str, dict[str, str]]
    used_by: tuple[str, ...]
    """The URLs of its users, such as ``/1.0/instances/x?project=p``."""
    etag: str
    data: dict[str, Any]
    """The whole reply."""

    @classmethod
    def of(cls, entity: Entity) -> "LiveObject":
        """Return the object of a reply."""
        data = entity.data
        return cls(
            name=str(data.get("name") or ""),
            description=str(data.get("description") or ""),
            config={str(key): str(value) for key, value in (data.get("config") or {}).items()},
            devices={
                str(name): {str(key): str(value) for key, value in device.items()}
                for name, device in (data.get("devices") or {}).items()
            },
            used_by=tuple(str(user) for user in data.get("used_by") or ()),
            etag=entity.etag,
            data=data,
        )

    @property
    def in_cluster(self) -> bool:
        """Return whether members of a cluster have it, each with keys of its own."""
        return self.data.get("locations") not in (None, [], ["none"])

    @property
    def owner(self) -> str:
        """Return the URN in its ownership label."""
        return self.config.get(OWNER_KEY, "")

    @property
    def generation(self) -> str:
        """Return the generation in its ownership label; empty if it has none."""
        return self.config.get(GENERATION_KEY, "")

    @property
    def adopted(self) -> bool:
        """Return whether it existed before it was managed."""
        return self.config.get(ADOPTED_KEY) == "true"


def users_text(used_by: Iterable[str]) -> str:
    """Return users as a text: ``instance x (project p), volume v in pool q (project p)``."""
    named = [_user_text(user) for user in used_by]
    more = len(named) - _MOST_USERS
    return ", ".join(named[:_MOST_USERS]) + (f" and {more} more" if more > 0 else "")


def _user_text(user: str) -> str:
    parts = urlsplit(user)
    # /1.0/KIND/NAME, or /1.0/storage-pools/POOL/KIND/TYPE/NAME
    steps = [unquote(step) for step in parts.path.split("/") if step][1:]
    project = parse_qs(parts.query).get("project", ["default"])[0]
    if len(steps) < 2:
        return user
    kind, name = steps[0].removesuffix("s").replace("-", " "), steps[1]
    if steps[0] == "storage-pools" and len(steps) > 3:
        kind, name = steps[2].removesuffix("s"), f"{steps[-1]} in pool {steps[1]}"
    elif steps[0] == "images":
        name = name[:12]
    return f"{kind} {name} (project {project})"
