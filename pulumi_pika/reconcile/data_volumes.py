"""The custom volumes that a runtime makes for its own mounts: made, told apart, removed."""

import secrets
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from ..incus.client import IncusClient, url
from ..incus.errors import AlreadyExists, IncusError, NotFound
from ..incus.storage import create_volume, delete_volume, get_volume
from ..planner.plan import IncusMountPlan, IncusRuntimePlan
from .desired import (
    ATTEMPT_KEY,
    OWNER_KEY,
    RUNTIME_ID_KEY,
    DesiredInstance,
    is_host_path,
    volume_name,
)
from .errors import RuntimeFailed
from .reporter import Reporter
from .undo import Undo


def own_volumes(plan: IncusRuntimePlan) -> list[str]:
    """The names of the volumes that hold a plan's own data: those of its persistent mounts."""
    names = [volume_name(mount.source) for mount in plan.mounts if _is_own(mount)]
    return list(dict.fromkeys(names))


def _is_own(mount: IncusMountPlan) -> bool:
    return mount.kind == "persistent_volume" and not is_host_path(mount.source)


def foreign_owner(
    config: dict[str, str], mount: IncusMountPlan, runtime_id: str, owners: Iterable[str]
) -> str | None:
    """Whose data a volume holds, where a mount would write into another runtime's; else None.

    Volumes without marks, and those of a `PersistentVolume`, are anybody's to mount.

    Args:
        config: the volume's config.
        mount: the mount that wants it.
        runtime_id: the runtime's id.
        owners: the URNs that the runtime goes, or went, by.
    """
    theirs = config.get(RUNTIME_ID_KEY)
    if theirs is None or not _is_own(mount) or mount.read_only:
        return None
    owner = config.get(OWNER_KEY, "")
    known = [name for name in owners if name]
    if theirs == runtime_id and (not owner or not known or owner in known):
        return None
    return f"runtime {theirs}" + (f" of {owner}" if owner else "")


def make_volumes(
    client: IncusClient,
    desired: DesiredInstance,
    missing: Iterable[str],
    undo: Undo,
    reporter: Reporter,
) -> None:
    """Makes the volumes that are missing, each with marks that say whose it is."""
    pool = desired.pool or ""
    attempt = secrets.token_hex(8)
    marks = {
        RUNTIME_ID_KEY: desired.plan.identity.runtime_id,
        ATTEMPT_KEY: attempt,
        **({OWNER_KEY: desired.options.owner} if desired.options.owner else {}),
    }
    for name in missing:

        def take_back(name: str = name) -> bool:
            volume = get_volume(client, pool, name)
            if volume is None or volume.data.get("config", {}).get(ATTEMPT_KEY) != attempt:
                return False
            delete_volume(client, pool, name)
            return True

        undo.push(f"volume {name} in pool {pool}", take_back)
        # Made by somebody else since it was looked for: then it is there, and theirs.
        with suppress(AlreadyExists):
            create_volume(client, pool, name, description=f"data of {desired.name}", config=marks)
            reporter.info(f"made volume {name} in pool {pool} (project {client.project})")


def claim_volumes(client: IncusClient, desired: DesiredInstance, names: Iterable[str]) -> None:
    """Marks volumes as this runtime's that were another's.

    Raises:
        PreconditionFailed: somebody else changed one meanwhile.
    """
    pool = desired.pool or ""
    for name in names:
        volume = get_volume(client, pool, name)
        if volume is None:
            continue
        marks = {
            RUNTIME_ID_KEY: desired.plan.identity.runtime_id,
            OWNER_KEY: desired.options.owner,
        }
        path = url("storage-pools", pool, "volumes", "custom", name)
        body = {"description": volume.data.get("description") or "", "config": marks}
        client.change("PATCH", path, body, etag=volume.etag)


def remove_volumes(
    client: IncusClient,
    plan: IncusRuntimePlan,
    pool: str,
    owners: Iterable[str],
    reporter: Reporter,
) -> None:
    """Removes the volumes that the runtime made for itself, with all data in them.

    A volume that is not marked as the runtime's, or that something still uses, is left.

    Raises:
        RuntimeFailed: one could not be removed.
    """
    failed = []
    for name in own_volumes(plan):
        try:
            volume = get_volume(client, pool, name)
            if volume is None:
                continue
            why = _why_left(volume.data, plan.identity.runtime_id, owners)
            if why:
                reporter.warn(f"volume {name} in pool {pool} is left: {why}")
                continue
            with suppress(NotFound):
                delete_volume(client, pool, name)
            reporter.info(f"deleted volume {name} in pool {pool} and its data (delete_volumes)")
        except IncusError as error:
            failed.append(f"volume {name} in pool {pool} could not be deleted: {error}")
    if failed:
        raise RuntimeFailed("; ".join(failed) + ". Run the same command again to go on")


def _why_left(volume: dict[str, Any], runtime_id: str, owners: Iterable[str]) -> str:
    config = volume.get("config") or {}
    if config.get(RUNTIME_ID_KEY) != runtime_id:
        return "it was not made for this runtime (its marks do not say so)"
    owner = config.get(OWNER_KEY, "")
    if owner and owner not in list(owners):
        return f"it is marked as {owner}'s"
    if users := volume.get("used_by"):
        return f"it is used by {', '.join(str(user).rpartition('/')[2] for user in users)}"
    return ""
