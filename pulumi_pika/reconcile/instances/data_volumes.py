"""Create, identify and delete the custom volumes that a runtime creates for its own mounts."""

from collections.abc import Iterable
from typing import Any

from ...incus.client import IncusClient
from ...incus.errors import (
    AlreadyExists,
    IncusError,
    IncusUnreachable,
    NotFound,
    PlaceMissing,
    UnexpectedResponse,
)
from ...incus.storage import (
    create_volume,
    delete_volume,
    get_volume,
    patch_volume,
)
from ...message_templates import could_not
from ...planner.plan import IncusMountPlan, IncusRuntimePlan
from ..shared.errors import ForeignVolume, RuntimeFailed
from ..shared.ownership import (
    BACKEND_KEY,
    GENERATION_KEY,
    OWNER_KEY,
    RUNTIME_ID_KEY,
    new_generation,
)
from ..shared.polling import poll_until
from ..shared.reporter import Reporter
from ..shared.undo import Undo
from ..shared.volume_lock import volume_lock
from .desired import (
    DesiredInstance,
    is_host_path,
    mount_storage_pools,
    volume_name,
)
from .runtime_options import RuntimeOptions

VolumeRef = tuple[str, str]
"""The pool and the name of a custom volume."""


def own_volumes(plan: IncusRuntimePlan) -> list[str]:
    """Return the names of the volumes with a plan's own data: those of its persistent mounts."""
    names = [volume_name(mount.source) for mount in plan.mounts if _is_own(mount)]
    return list(dict.fromkeys(names))


def _own_volumes_by_pool(
    plan: IncusRuntimePlan, options: RuntimeOptions, pool: str | None
) -> list[VolumeRef]:
    pools = mount_storage_pools(plan, options, pool)
    refs = [
        (pools[mount.device_name] or "", volume_name(mount.source))
        for mount in plan.mounts
        if _is_own(mount)
    ]
    return [ref for ref in dict.fromkeys(refs) if ref[0]]


def _is_own(mount: IncusMountPlan) -> bool:
    return mount.kind == "persistent_volume" and not is_host_path(mount.source)


def foreign_owner(
    config: dict[str, str],
    mount: IncusMountPlan,
    runtime_id: str,
    owners: Iterable[str],
    backends: Iterable[str],
) -> str | None:
    """Return the other runtime whose data a mount would write into, or None.

    Volumes without an ownership label, and those of a `PersistentVolume`, may be mounted by any
    runtime.

    Args:
        config: the volume's config.
        mount: the mount that uses the volume.
        runtime_id: the runtime's id.
        owners: the current and the earlier URNs of the runtime.
        backends: the digests of the current and the earlier backends of the runtime's stack.
    """
    theirs = config.get(RUNTIME_ID_KEY)
    if theirs is None or not _is_own(mount) or mount.read_only:
        return None
    owner = config.get(OWNER_KEY, "")
    known = [name for name in owners if name]
    if theirs == runtime_id and (not owner or not known or owner in known):
        if not _in_other_backend(config, backends):
            return None
        return f"runtime {theirs} of {owner} in another Pulumi backend (or on another machine)"
    return f"runtime {theirs}" + (f" of {owner}" if owner else "")


def _in_other_backend(config: dict[str, str], backends: Iterable[str]) -> bool:
    known = [backend for backend in backends if backend]
    marked = config.get(BACKEND_KEY, "")
    return bool(marked) and bool(known) and marked not in known


def create_volumes(
    client: IncusClient,
    desired: DesiredInstance,
    missing: Iterable[VolumeRef],
    undo: Undo,
    reporter: Reporter,
) -> None:
    """Create the volumes that are missing, each with an ownership label.

    Args:
        client: a client in the instance's project.
        desired: the desired instance.
        missing: the volumes to create.
        undo: receives the steps that delete what was created.
        reporter: receives progress and warnings.

    Raises:
        ForeignVolume: another runtime created one of them in the meantime.
    """
    attempt = new_generation()
    label = {
        RUNTIME_ID_KEY: desired.plan.identity.runtime_id,
        GENERATION_KEY: attempt,
        **({OWNER_KEY: desired.options.owner} if desired.options.owner else {}),
        **({BACKEND_KEY: desired.options.backend} if desired.options.backend else {}),
    }
    for pool, name in missing:

        def take_back(pool: str = pool, name: str = name) -> bool:
            volume = get_volume(client, pool, name)
            if volume is None or volume.data.get("config", {}).get(GENERATION_KEY) != attempt:
                return False
            if volume.data.get("used_by"):
                # An instance that was changed already uses the volume, so its creation was not in
                # vain.
                return False
            delete_volume(client, pool, name)
            return True

        undo.push(f"volume {name} in pool {pool}", take_back)
        try:
            create_volume(client, pool, name, description=f"data of {desired.name}", config=label)
        except AlreadyExists:
            # Another client created the volume after the check. The undo step does not delete it.
            _refuse_foreign(client, desired, pool, name)
            continue
        except (IncusUnreachable, UnexpectedResponse) as error:
            # The reply is lost, but the volume may exist.
            if isinstance(error, IncusUnreachable) and not error.sent:
                undo.drop()
                raise
            if not _appears(client, pool, name, attempt):
                raise
        reporter.info(f"created volume {name} in pool {pool} (project {client.project})")


def _refuse_foreign(client: IncusClient, desired: DesiredInstance, pool: str, name: str) -> None:
    volume = get_volume(client, pool, name)
    config = (volume.data.get("config") or {}) if volume else {}
    runtime_id, owners = desired.plan.identity.runtime_id, [desired.options.owner]
    backends = [desired.options.backend]
    for mount in desired.plan.mounts:
        if is_host_path(mount.source) or volume_name(mount.source) != name:
            continue
        if desired.pools[mount.device_name] != pool:
            continue
        if owner := foreign_owner(config, mount, runtime_id, owners, backends):
            raise ForeignVolume(
                f"mount {mount.device_name} ({mount.kind}, {mount.guest_path}): another client "
                f"created custom volume {name} in pool {pool} for {owner} at the same time; set "
                "another source"
            )


def _appears(client: IncusClient, pool: str, name: str, attempt: str) -> bool:
    """Return whether the volume of an attempt exists, which may take a moment."""
    volume = poll_until(lambda: get_volume(client, pool, name))
    return volume is not None and volume.data.get("config", {}).get(GENERATION_KEY) == attempt


def claim_volumes(
    client: IncusClient, desired: DesiredInstance, volumes: Iterable[VolumeRef]
) -> None:
    """Write this runtime's ownership label on volumes that had another one.

    Args:
        client: a client in the instance's project.
        desired: the desired instance.
        volumes: the volumes to relabel.

    Raises:
        PreconditionFailed: another client changed one of them in the meantime.
    """
    for pool, name in volumes:
        label = {
            RUNTIME_ID_KEY: desired.plan.identity.runtime_id,
            OWNER_KEY: desired.options.owner,
            **({BACKEND_KEY: desired.options.backend} if desired.options.backend else {}),
            GENERATION_KEY: new_generation(),
        }
        with volume_lock(pool, name):
            volume = get_volume(client, pool, name)
            if volume is None:
                continue
            text = volume.data.get("description") or ""
            patch_volume(client, pool, name, description=text, config=label, etag=volume.etag)


def remove_volumes(
    client: IncusClient,
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    pool: str | None,
    reporter: Reporter,
) -> None:
    """Delete the volumes that the runtime created for itself, with all data in them.

    A volume that does not have the runtime's ownership label, or that is still in use, is left.

    Args:
        client: a client in the plan's project.
        plan: the plan that was applied.
        options: the options that were applied; their owner is the runtime's URN.
        pool: the pool of the volumes whose mounts name none, as last fetched.
        reporter: receives progress and warnings.

    Raises:
        RuntimeFailed: a volume could not be deleted.
    """
    failed = []
    for where, name in _own_volumes_by_pool(plan, options, pool):
        try:
            volume = get_volume(client, where, name)
            if volume is None:
                continue
            why = _why_left(volume.data, plan.identity.runtime_id, [options.owner], options.backend)
            if why:
                reporter.warn(f"volume {name} in pool {where} is not deleted: {why}")
                continue
            _delete(client, where, name)
            reporter.info(f"deleted volume {name} in pool {where} and its data (delete_data)")
        except PlaceMissing as error:
            reporter.warn(f"volume {name} in pool {where} is deleted already: {error}")
        except IncusError as error:
            failed.append(f"volume {name} in pool {where}: {error}")
    if failed:
        raise RuntimeFailed(
            could_not(
                "delete volumes of the runtime",
                "; ".join(failed),
                advice="Run the same command again to continue",
            )
        )


def _why_left(volume: dict[str, Any], runtime_id: str, owners: Iterable[str], backend: str) -> str:
    config = volume.get("config") or {}
    if config.get(RUNTIME_ID_KEY) != runtime_id:
        return "it was not created for this runtime (it does not have its ownership label)"
    owner = config.get(OWNER_KEY, "")
    if owner and owner not in list(owners):
        return f"it belongs to {owner}"
    if _in_other_backend(config, [backend]):
        return "it belongs to a stack with the same name in another Pulumi backend"
    if users := _users(volume):
        return f"it is used by {users}"
    return ""


def _users(volume: dict[str, Any]) -> str:
    return ", ".join(str(user).rpartition("/")[2] for user in volume.get("used_by") or ())


def _delete(client: IncusClient, pool: str, name: str) -> None:
    """Delete a volume.

    A volume that is already missing, or whose deletion got no reply, counts as deleted.
    """
    try:
        delete_volume(client, pool, name)
    except NotFound:
        return
    except (IncusUnreachable, UnexpectedResponse):
        if get_volume(client, pool, name) is not None:
            raise
