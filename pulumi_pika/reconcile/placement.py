"""Finds out what only the server knows: pool, root device, and which sources are there."""

import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..incus.catalog import profile_devices
from ..incus.client import IncusClient
from ..incus.errors import BadRequest, NotFound, Unauthorised
from ..incus.storage import get_volume, list_volumes
from ..planner.names import DEVICE_NAME_PREFIX
from ..planner.plan import IncusMountPlan, IncusRuntimePlan
from .data_volumes import VolumeRef, foreign_owner
from .desired import (
    AUTORESTART_EXTENSION,
    OWNER_KEY,
    RUNTIME_ID_KEY,
    DesiredInstance,
    Devices,
    assemble,
    desired_profiles,
    is_host_path,
    mount_pools,
    volume_name,
)
from .errors import ForeignVolume, PlacementError, SourceMissing, Unsupported, VolumeElsewhere
from .options import ROOT_DEVICE, RuntimeOptions


@dataclass(frozen=True, slots=True)
class Placement:
    """An instance whose every detail is known, and the volumes that it lacks."""

    desired: DesiredInstance
    missing_volumes: tuple[VolumeRef, ...] = ()
    claimed_volumes: tuple[VolumeRef, ...] = ()
    """Volumes that are taken over from another runtime, or from an earlier name of this one."""
    warnings: tuple[str, ...] = ()


def place(
    client: IncusClient,
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    *,
    known_pool: str | None = None,
    known_root: str | None = None,
    known_owner: str = "",
    known_devices: Devices | None = None,
) -> Placement:
    """Looks at the server, changes nothing.

    Args:
        client: a client in the plan's project.
        plan: the plan.
        options: the options.
        known_pool: the pool that an existing instance's volumes are in.
        known_root: the name of an existing instance's root device.
        known_owner: the URN that the resource had before, where it had another.
        known_devices: the devices of an existing instance.

    Raises:
        ForeignVolume: a volume holds the data of another runtime.
        PlacementError: a profile is missing, or no pool can be told; or an existing instance has
            another device where a mount is to be.
        VolumeElsewhere: a volume that a mount would create is in another pool already, or was
            renamed outside.
        SourceMissing: the source of a snapshot or of a required mount is missing.
        Unsupported: the server does not know what the plan needs.
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
    pool, root = options.storage_pool or known_pool, known_root
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
    _refuse_taken_paths(client, plan, options, known_devices or {})
    survey = _survey(client, plan, options, pool, known_owner, known_devices or {})
    return Placement(
        desired=assemble(
            plan,
            options,
            pool=pool,
            root_name=root or ROOT_DEVICE,
            left_out=survey.left_out,
            autorestart=autorestart,
        ),
        missing_volumes=tuple(survey.missing_volumes),
        claimed_volumes=tuple(survey.claimed_volumes),
        warnings=tuple(survey.warnings),
    )


@dataclass(slots=True)
class _Survey:
    missing_volumes: list[VolumeRef] = field(default_factory=list)
    claimed_volumes: list[VolumeRef] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def _survey(
    client: IncusClient,
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    pool: str | None,
    known_owner: str,
    known_devices: Devices,
) -> _Survey:
    survey = _Survey()
    problems: list[str] = []
    foreign: list[str] = []
    shadowed: list[str] = []
    own, earlier = [options.owner], [options.owner, known_owner]
    present: dict[VolumeRef, dict[str, str] | None] = {}
    pools = mount_pools(plan, options, pool)
    for index, mount in enumerate(plan.mounts):
        source = mount.source
        if is_host_path(source):
            what = f"the host path {source}"
            there = not client.is_local or _host_path_exists(source)
        else:
            ref = (pools[mount.device_name] or "", volume_name(source))
            what = f"the custom volume {ref[1]} in pool {ref[0]}"
            if ref not in present:
                volume = get_volume(client, *ref)
                present[ref] = (volume.data.get("config") or {}) if volume else None
            config = present[ref]
            there = config is not None
            runtime_id = plan.identity.runtime_id
            if config is not None and (owner := foreign_owner(config, mount, runtime_id, own)):
                if options.adopt or not foreign_owner(config, mount, runtime_id, earlier):
                    survey.claimed_volumes.append(ref)
                else:
                    foreign.append(f"{_where(mount)}: {what} holds the data of {owner}")
        if there:
            continue
        where = _where(mount)
        if mount.kind == "persistent_volume" and not is_host_path(source):
            if ref in survey.missing_volumes:
                continue
            named = bool(options.pool_of(index))
            elsewhere = [] if named else find_elsewhere(client, plan, options, mount, ref)
            mounted = known_devices.get(mount.device_name, {}).get("source", ref[1])
            if volume_name(mounted) != ref[1] and get_volume(client, ref[0], volume_name(mounted)):
                shadowed.append(f"{where}: {_renamed(client, plan, ref, volume_name(mounted))}")
            elif elsewhere:
                shadowed.append(f"{where}: {in_another_pool(ref, elsewhere)}")
            survey.missing_volumes.append(ref)
        elif mount.kind == "read_only_snapshot" or mount.required:
            problems.append(f"{where}: {what} does not exist")
        else:
            survey.left_out.append(mount.device_name)
            survey.warnings.append(
                f"{where} is left out: {what} does not exist, and the mount is not required"
            )
    if foreign:
        raise ForeignVolume(
            f"nothing was made: {'; '.join(foreign)}; name another source, or take the data over "
            f"by setting adopt to true, or by removing the marks {RUNTIME_ID_KEY} and {OWNER_KEY} "
            "from the volume (`incus storage volume unset`)"
        )
    if shadowed:
        raise VolumeElsewhere(f"nothing was made: {'; '.join(shadowed)}")
    if problems:
        raise SourceMissing(
            "nothing was made: "
            + "; ".join(problems)
            + "; make the source first (or, but for a snapshot, set required to false)"
        )
    return survey


def _refuse_taken_paths(
    client: IncusClient, plan: IncusRuntimePlan, options: RuntimeOptions, devices: Devices
) -> None:
    """Refuse a mount where the instance has a disk that was added by hand; Incus would, by its own
    name for it."""
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
        f"{_where(mount)}: the instance {name} has the device {found[0]} (source "
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
    """Return the other pools that have a volume which a mount with no pool of its own may mean.

    A volume that holds the data of another runtime is not meant: that runtime has a pool of its
    own. Empty if this client may not list volumes.

    Args:
        client: a client in the plan's project.
        plan: the plan.
        options: the options.
        mount: the mount.
        ref: the pool that the mount comes to, in which there is no such volume, and its name.
        volumes: all custom volumes of the project; listed if they are not given.
    """
    pools = []
    try:
        listed = list_volumes(client) if volumes is None else volumes
        for pool in sorted({pool for pool, name in listed if name == ref[1]}):
            if pool == ref[0] or (volume := get_volume(client, pool, ref[1])) is None:
                continue
            config = volume.data.get("config") or {}
            if not foreign_owner(config, mount, plan.identity.runtime_id, [options.owner]):
                pools.append(pool)
    except (Unauthorised, BadRequest):
        return []
    return pools


def in_another_pool(ref: VolumeRef, elsewhere: Sequence[str]) -> str:
    """Say what is wrong with a mount whose volume is in another pool, and what to do."""
    listed = ", ".join(elsewhere)
    return (
        f"there is no custom volume {ref[1]} in pool {ref[0]}, and there is one in pool {listed}; "
        "a second, empty one would be created and mounted in its place. Add "
        f'`"pool": "{elsewhere[0]}"` to the mount to use the one that is there (or set its '
        f'`source` to the PersistentVolume itself), or `"pool": "{ref[0]}"` to create another, '
        f"empty one in pool {ref[0]}"
    )


def _renamed(client: IncusClient, plan: IncusRuntimePlan, ref: VolumeRef, name: str) -> str:
    return (
        f"there is no custom volume {ref[1]} in pool {ref[0]}, and the instance has the volume "
        f"{name} in its place, as Incus has it after a rename; a second, empty one would be "
        f"created. If it is the one, stop {plan.identity.instance_name} and rename it back: `incus "
        f"storage volume rename --project {client.project} {ref[0]} {name} {ref[1]}`. If it is "
        "not, remove that device from the instance"
    )


def _where(mount: IncusMountPlan) -> str:
    return f"mount {mount.device_name} ({mount.kind}, {mount.guest_path})"


def _host_path_exists(path: str) -> bool:
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError:
        return False
    except OSError:
        # What we may not look at, the daemon may.
        return True
    return stat.S_ISDIR(mode) or stat.S_ISREG(mode) or stat.S_ISBLK(mode)


def _needs_pool(plan: IncusRuntimePlan, options: RuntimeOptions) -> bool:
    """Whether a mount of a custom volume names no pool of its own."""
    return any(
        not is_host_path(mount.source) and not options.pool_of(index)
        for index, mount in enumerate(plan.mounts)
    )


def _profile_root(client: IncusClient, profiles: Sequence[str]) -> tuple[str, str | None]:
    """Name and pool of the root disk that the profiles give; the last one that has it counts."""
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
    """Whether a device is a root disk (Incus doc/reference/devices_disk.md)."""
    return device.get("type") == "disk" and device.get("path") == "/" and not device.get("source")
