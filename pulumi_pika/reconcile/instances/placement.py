"""Resolve what only the server knows: the pool, the root device, and which sources exist."""

import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ...incus.catalog import profile_devices
from ...incus.client import IncusClient
from ...incus.errors import (
    BadRequest,
    NotFound,
    Unauthorised,
)
from ...incus.storage import get_volume, list_volumes
from ...planner.device_names import DEVICE_NAME_PREFIX
from ...planner.plan import IncusMountPlan, IncusRuntimePlan
from ..shared.errors import (
    ForeignVolume,
    PlacementError,
    ReconcileError,
    SourceMissing,
    Unsupported,
    VolumeElsewhere,
)
from ..shared.ownership import OWNER_KEY, RUNTIME_ID_KEY
from .data_volumes import VolumeRef, foreign_owner
from .desired import (
    AUTORESTART_EXTENSION,
    DesiredInstance,
    Devices,
    assemble,
    desired_profiles,
    is_host_path,
    mount_storage_pools,
    volume_name,
)
from .runtime_options import ROOT_DEVICE, RuntimeOptions


@dataclass(frozen=True, slots=True)
class Placement:
    """Hold an instance with every detail known, and the volumes that are missing."""

    desired: DesiredInstance
    missing_volumes: tuple[VolumeRef, ...] = ()
    claimed_volumes: tuple[VolumeRef, ...] = ()
    """Volumes whose label names another runtime or an earlier name of this one, to be relabeled."""
    warnings: tuple[str, ...] = ()


def resolve_placement(
    client: IncusClient,
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    *,
    known_pool: str | None = None,
    known_root: str | None = None,
    known_root_pool: str | None = None,
    known_owner: str = "",
    known_backend: str = "",
    known_devices: Devices | None = None,
) -> Placement:
    """Resolve the details of an instance with the server, without changing anything.

    Args:
        client: a client in the plan's project.
        plan: the plan.
        options: the options.
        known_pool: the pool of an existing instance's volumes.
        known_root: the name of an existing instance's root device.
        known_root_pool: the pool of an existing instance's root disk.
        known_owner: the URN that the resource had before, if it had another one.
        known_backend: the backend in an existing instance's ownership label.
        known_devices: the devices of an existing instance.

    Raises:
        ForeignVolume: a volume holds the data of another runtime.
        PlacementError: a profile is missing, no pool can be determined, a container names a block
            volume, or an existing instance has another device at a mount's path.
        VolumeElsewhere: a volume that a mount would create exists in another pool, or was renamed
            outside Pulumi.
        SourceMissing: the source of a snapshot or of a required mount is missing.
        Unsupported: the server does not support what the plan needs.
        IncusError: the server could not be asked.
    """
    autorestart = client.server().has(AUTORESTART_EXTENSION)
    policy = plan.policies.restart_policy
    if policy != "never" and not autorestart:
        raise Unsupported(
            f"policies.restart_policy is {policy}, which Incus keeps with `boot.autorestart`; "
            f"the server at {client.host} ({client.server().version}) does not know it "
            f"(API extension {AUTORESTART_EXTENSION}): upgrade Incus, or use `never`"
        )
    pool, root = resolve_pool(
        client, plan, options, known_pool, known_root, known_root_pool=known_root_pool
    )
    _refuse_taken_paths(client, plan, options, known_devices or {})
    survey = survey_mounts(
        client, plan, options, pool, known_owner, known_backend, known_devices or {}
    )
    survey.refuse()
    return Placement(
        desired=assemble(
            plan,
            options,
            pool=pool,
            root_pool=known_root_pool,
            root_name=root or ROOT_DEVICE,
            left_out=survey.left_out,
            autorestart=autorestart,
        ),
        missing_volumes=tuple(survey.missing_volumes),
        claimed_volumes=tuple(survey.claimed_volumes),
        warnings=tuple(survey.warnings),
    )


def resolve_pool(
    client: IncusClient,
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    known_pool: str | None = None,
    known_root: str | None = None,
    *,
    known_root_pool: str | None = None,
) -> tuple[str | None, str | None]:
    """Return the pool of a runtime's volumes and the name of its root disk, if it needs them.

    Args:
        client: a client in the instance's project.
        plan: the plan.
        options: the options.
        known_pool: the pool of an existing instance's volumes.
        known_root: the name of an existing instance's root device.
        known_root_pool: the pool of an existing instance's root disk.

    Raises:
        PlacementError: a profile is missing, or nothing names a pool.
        IncusError: the server could not be asked.
    """
    pool, root = known_pool or options.storage_pool or known_root_pool, known_root
    wants_root = plan.resources.root_disk_gib is not None
    if (wants_root and (pool is None or root is None)) or (
        pool is None and _needs_pool(plan, options)
    ):
        root_of_profile, pool_of_profile = _profile_root(client, desired_profiles(plan, options))
        root, pool = root or root_of_profile, pool or pool_of_profile
        if pool is None:
            raise PlacementError(
                f"no storage pool for {plan.identity.instance_name}: `storage_pool` is not set, "
                f"and none of the profiles {', '.join(desired_profiles(plan, options))} "
                f"(project {client.project}) has a root disk; set `storage_pool`"
            )
    return pool, root


@dataclass(slots=True)
class Survey:
    """Hold what a server has of the sources of a plan's mounts."""

    missing_volumes: list[VolumeRef] = field(default_factory=list)
    claimed_volumes: list[VolumeRef] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    foreign: dict[str, str] = field(default_factory=dict)
    """By device name: the owner of the volume that a mount names, and what to do."""
    unusable: dict[str, str] = field(default_factory=dict)
    """By device name: why an existing volume cannot be mounted, and what to do."""
    without_directory: dict[str, str] = field(default_factory=dict)
    """By device name: the directory that a volume cannot have because it is still to be created."""
    shadowed: dict[str, str] = field(default_factory=dict)
    """By device name: where the volume is in place of which an empty one would be created."""
    missing: dict[str, str] = field(default_factory=dict)
    """By device name: the source that is missing."""

    def refuse(self) -> None:
        """Raise an error if a mount cannot be created.

        Raises:
            ForeignVolume: a volume holds the data of another runtime.
            PlacementError: a volume cannot be mounted, or does not have a directory.
            VolumeElsewhere: a volume is in another pool, or has another name.
            SourceMissing: a source is missing.
        """
        kinds: tuple[tuple[type[ReconcileError], dict[str, str], str], ...] = (
            (ForeignVolume, self.foreign, FOREIGN_ADVICE),
            (VolumeElsewhere, self.shadowed, ""),
            (PlacementError, self.unusable, ""),
            (PlacementError, self.without_directory, ""),
            (SourceMissing, self.missing, MISSING_ADVICE),
        )
        for error, found, advice in kinds:
            if found:
                raise error(f"nothing was made: {'; '.join(found.values())}{advice}")


def creates_directories(client: IncusClient) -> bool:
    """Return whether the server creates a missing directory of a volume when it mounts it.

    Incus 7.0 does (`createVolumeSubPath` in internal/server/device/disk.go). That has no API
    extension of its own; this one was added in the same release.
    """
    return client.server().has(_DIRECTORY_EXTENSION)


_DIRECTORY_EXTENSION: Final = "instances_placement_scriptlet_rebalance"

FOREIGN_ADVICE: Final = (
    "; name another source, or take the data over by setting adopt to true, or by removing the "
    f"marks {RUNTIME_ID_KEY} and {OWNER_KEY} from the volume (`incus storage volume unset`)"
)
MISSING_ADVICE: Final = "; make the source first (or, but for a snapshot, set required to false)"


def survey_mounts(
    client: IncusClient,
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    pool: str | None,
    known_owner: str = "",
    known_backend: str = "",
    known_devices: Devices | None = None,
) -> Survey:
    """Look for the sources of all mounts, each volume once.

    Args:
        client: a client in the plan's project.
        plan: the plan.
        options: the options.
        pool: the pool of the volumes whose mounts name none.
        known_owner: see `resolve_placement`, also for the following arguments.
        known_backend: see `resolve_placement`.
        known_devices: see `resolve_placement`.

    Raises:
        IncusError: the server could not be asked.
    """
    survey = Survey()
    own, earlier = [options.owner], [options.owner, known_owner]
    backends = [options.backend, known_backend]
    volumes: dict[VolumeRef, dict[str, Any] | None] = {}
    pools = mount_storage_pools(plan, options, pool)
    for index, mount in enumerate(plan.mounts):
        source = mount.source
        if is_host_path(source):
            what = f"the host path {source}"
            there = not client.is_local or _host_path_exists(source)
        else:
            ref = (pools[mount.device_name] or "", volume_name(source))
            what = f"the custom volume {ref[1]} in pool {ref[0]}"
            if ref not in volumes:
                found = get_volume(client, *ref)
                volumes[ref] = found.data if found else None
            volume = volumes[ref]
            there = volume is not None
            if volume is not None:
                config, runtime_id = volume.get("config") or {}, plan.identity.runtime_id
                # A stack that has moved to another backend keeps its volumes.
                if owner := foreign_owner(config, mount, runtime_id, own, [options.backend]):
                    if options.adopt or not foreign_owner(
                        config, mount, runtime_id, earlier, backends
                    ):
                        survey.claimed_volumes.append(ref)
                    else:
                        survey.foreign[mount.device_name] = (
                            f"{_describe_mount(mount)}: {what} holds the data of {owner}"
                        )
                if volume.get("content_type") == "block" and options.instance_type == "container":
                    survey.unusable[mount.device_name] = (
                        f"{_describe_mount(mount)}: {what} has content_type block, and a container "
                        "can only mount a volume with content_type filesystem; name another "
                        "volume, or use a virtual machine"
                    )
        if there:
            continue
        where = _describe_mount(mount)
        if mount.kind == "persistent_volume" and not is_host_path(source):
            directory = source.partition("/")[2].strip("/")
            named = bool(options.pool_of(index))
            known = (known_devices or {}).get(mount.device_name, {}).get("source", ref[1])
            mounted = volume_name(known)
            if mounted != ref[1] and get_volume(client, ref[0], mounted):
                survey.shadowed[mount.device_name] = (
                    f"{where}: {_renamed(client, plan, ref, mounted)}"
                )
            elif not named and (elsewhere := find_elsewhere(client, plan, options, mount, ref)):
                survey.shadowed[mount.device_name] = f"{where}: {in_another_pool(ref, elsewhere)}"
            elif directory and options.running and not creates_directories(client):
                survey.without_directory[mount.device_name] = (
                    f"{where}: {what} does not exist, and a new volume is empty: it has no "
                    f"directory {directory}, without which {plan.identity.instance_name} cannot "
                    f"start. Name the whole volume ({ref[1]}) as the source, or create the volume "
                    "and the directory first"
                )
            elif ref not in survey.missing_volumes:
                survey.missing_volumes.append(ref)
        elif mount.kind == "read_only_snapshot" or mount.required:
            survey.missing[mount.device_name] = f"{where}: {what} does not exist"
        else:
            survey.left_out.append(mount.device_name)
            survey.warnings.append(
                f"{where} is left out: {what} does not exist, and the mount is not required"
            )
    return survey


def _refuse_taken_paths(
    client: IncusClient, plan: IncusRuntimePlan, options: RuntimeOptions, devices: Devices
) -> None:
    """Refuse a mount at the path of a disk that was added to the instance by hand.

    Incus would refuse it too, but with its own name for the mount.
    """
    names = {mount.device_name for mount in plan.mounts} | options.devices.keys()
    by_path = {
        device.get("path"): (name, device)
        for name, device in devices.items()
        if device.get("type") == "disk"
        and name not in names
        and not name.startswith(DEVICE_NAME_PREFIX)
    }
    name = plan.identity.instance_name
    taken = [
        f"{_describe_mount(mount)}: the instance {name} has the device {found[0]} (source "
        f"{found[1].get('source', '')}) at {mount.guest_path} already. Take it off: `incus config "
        f"device remove --project {client.project} {name} {found[0]}` (the volume stays)"
        for mount in plan.mounts
        if (found := by_path.get(mount.guest_path))
    ]
    if taken:
        raise PlacementError(
            f"nothing was changed: {'; '.join(taken)}; then run `pulumi up` again. Or declare it "
            "as it is, in `devices`, in place of the mount: `python -m pulumi_pika import` writes "
            "that"
        )


def find_elsewhere(
    client: IncusClient,
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    mount: IncusMountPlan,
    ref: VolumeRef,
    volumes: Sequence[VolumeRef] | None = None,
) -> list[str]:
    """Return the other pools with a volume that a mount without a pool of its own may mean.

    A volume that holds the data of another runtime is not meant, because that runtime has a pool of
    its own. The result is empty if this client may not list volumes.

    Args:
        client: a client in the plan's project.
        plan: the plan.
        options: the options.
        mount: the mount.
        ref: the pool that the mount resolves to, in which the volume is missing, and the volume's
            name.
        volumes: all custom volumes of the project; listed if they are not given.
    """
    pools = []
    try:
        listed = list_volumes(client) if volumes is None else volumes
        for pool in sorted({pool for pool, name in listed if name == ref[1]}):
            if pool == ref[0] or (volume := get_volume(client, pool, ref[1])) is None:
                continue
            config = volume.data.get("config") or {}
            runtime_id, owners = plan.identity.runtime_id, [options.owner]
            if not foreign_owner(config, mount, runtime_id, owners, [options.backend]):
                pools.append(pool)
    except (Unauthorised, BadRequest):
        return []
    return pools


def in_another_pool(ref: VolumeRef, elsewhere: Sequence[str]) -> str:
    """Return what is wrong with a mount whose volume is in another pool, and what to do."""
    listed = ", ".join(elsewhere)
    return (
        f"there is no custom volume {ref[1]} in pool {ref[0]}, and there is one in pool {listed}; "
        "a second, empty one would be created and mounted in its place. Add "
        f'`"storage_pool": "{elsewhere[0]}"` to the mount to use the one that is there (or set its '
        f'`source` to the PersistentVolume itself), or `"storage_pool": "{ref[0]}"` to create '
        f"another, empty one in pool {ref[0]}"
    )


def _renamed(client: IncusClient, plan: IncusRuntimePlan, ref: VolumeRef, name: str) -> str:
    return (
        f"there is no custom volume {ref[1]} in pool {ref[0]}, and the instance has the volume "
        f"{name} in its place, as Incus has it after a rename; a second, empty one would be "
        f"created. If it is the one, stop {plan.identity.instance_name} and rename it back: `incus "
        f"storage volume rename --project {client.project} {ref[0]} {name} {ref[1]}`. If it is "
        "not, remove that device from the instance"
    )


def _describe_mount(mount: IncusMountPlan) -> str:
    return f"mount {mount.device_name} ({mount.kind}, {mount.guest_path})"


def _host_path_exists(path: str) -> bool:
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError:
        return False
    except OSError:
        # The daemon may read what this user may not.
        return True
    return stat.S_ISDIR(mode) or stat.S_ISREG(mode) or stat.S_ISBLK(mode)


def _needs_pool(plan: IncusRuntimePlan, options: RuntimeOptions) -> bool:
    """Return whether a mount of a custom volume names no pool of its own."""
    return any(
        not is_host_path(mount.source) and not options.pool_of(index)
        for index, mount in enumerate(plan.mounts)
    )


def _profile_root(client: IncusClient, profiles: Sequence[str]) -> tuple[str, str | None]:
    """Return name and pool of the root disk that the profiles define.

    If several profiles define one, the last profile counts.
    """
    devices: dict[str, dict[str, str]] = {}
    for profile in profiles:
        try:
            devices.update(profile_devices(client, profile))
        except NotFound as error:
            raise PlacementError(
                f"the profile {profile} does not exist in project {client.project} at "
                f"{client.host}; make it, or name another in incus.profile or extra_profiles"
            ) from error
    for name, device in devices.items():
        if is_root(device):
            return name, device.get("pool")
    return ROOT_DEVICE, None


def is_root(device: dict[str, str]) -> bool:
    """Return whether a device is a root disk (Incus doc/reference/devices_disk.md)."""
    return device.get("type") == "disk" and device.get("path") == "/" and not device.get("source")


def root_moved(project: str, name: str, pool: str, wanted: str) -> str:
    """Return a sentence on a root disk that is in another pool than the program wants.

    Args:
        project: the instance's project.
        name: the instance's name.
        pool: the pool in which the root disk is.
        wanted: the pool that the program names.
    """
    move = f"incus move --project {project} {name} --storage {wanted}"
    return (
        f"the root disk of {name} is in pool {pool}, and the program wants it in {wanted}; Incus "
        f"changes that by a move only. Set `storage_pool` to {pool}, or stop {name} and move it: "
        f"`{move}`"
    )


def profile_root_pool(client: IncusClient, profiles: Sequence[str]) -> str | None:
    """Return the pool of the root disk of profiles; None if they have none.

    Raises:
        PlacementError: one of them does not exist.
    """
    return _profile_root(client, profiles)[1]
