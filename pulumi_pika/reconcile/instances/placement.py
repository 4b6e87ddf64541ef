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
from ...message_templates import (
    CONFLICT,
    EXISTS,
    REQUIRED,
    Message,
    missing,
    unsupported,
)
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


@dataclass(frozen=True, slots=True)
class Existing:
    """Hold what is known of an existing instance. The defaults describe a new instance."""

    volume_pool: str | None = None
    """The pool of its volumes."""
    root_device: str | None = None
    """The name of its root device."""
    root_pool: str | None = None
    """The pool of its root disk."""
    owner: str = ""
    """The URN that the resource had before, if it had another one."""
    backend: str = ""
    """The backend in its ownership label."""
    devices: Devices = field(default_factory=dict)


NEW: Final = Existing()


def resolve_placement(
    client: IncusClient,
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    existing: Existing = NEW,
) -> Placement:
    """Resolve the details of an instance with the server, without changing anything.

    Args:
        client: a client in the plan's project.
        plan: the plan.
        options: the options.
        existing: what is known of an existing instance. Default: a new instance.

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
            unsupported(
                f"policies.restart_policy {policy} is",
                f"at {client.host} (Incus {client.server().version})",
                f"it does not have the API extension {AUTORESTART_EXTENSION}",
                "upgrade Incus, or use `never`",
            )
        )
    pool, root = resolve_pool(client, plan, options, existing)
    _refuse_taken_paths(client, plan, options, existing.devices)
    survey = survey_mounts(client, plan, options, pool, existing)
    survey.refuse()
    return Placement(
        desired=assemble(
            plan,
            options,
            pool=pool,
            root_pool=existing.root_pool,
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
    existing: Existing = NEW,
) -> tuple[str | None, str | None]:
    """Return the pool of a runtime's volumes and the name of its root disk, if it needs them.

    Args:
        client: a client in the instance's project.
        plan: the plan.
        options: the options.
        existing: what is known of an existing instance. Default: a new instance.

    Raises:
        PlacementError: a profile is missing, or nothing names a pool.
        IncusError: the server could not be asked.
    """
    pool = existing.volume_pool or options.storage_pool or existing.root_pool
    root = existing.root_device
    wants_root = plan.resources.root_disk_gib is not None
    if (wants_root and (pool is None or root is None)) or (
        pool is None and _needs_pool(plan, options)
    ):
        root_of_profile, pool_of_profile = _profile_root(client, desired_profiles(plan, options))
        root, pool = root or root_of_profile, pool or pool_of_profile
        if pool is None:
            raise PlacementError(
                Message(
                    f"no storage pool for {plan.identity.instance_name}: `storage_pool` is not "
                    f"set, and none of the profiles {', '.join(desired_profiles(plan, options))} "
                    f"(project {client.project}) has a root disk; set `storage_pool`",
                    REQUIRED,
                )
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
                raise error(f"{'; '.join(found.values())}{advice}. Nothing was created")


FOREIGN_ADVICE: Final = (
    "; set another source. If the other runtime no longer needs the data, adopt it with "
    f"adopt=True, or remove the keys {RUNTIME_ID_KEY} and {OWNER_KEY} from the volume (`incus "
    "storage volume unset`)"
)
MISSING_ADVICE: Final = (
    "; create the source first, or set required=False (except for a read_only_snapshot)"
)


def survey_mounts(
    client: IncusClient,
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    pool: str | None,
    existing: Existing = NEW,
) -> Survey:
    """Search the sources of all mounts, each volume once.

    Args:
        client: a client in the plan's project.
        plan: the plan.
        options: the options.
        pool: the pool of the volumes whose mounts name none.
        existing: what is known of an existing instance. Default: a new instance.

    Raises:
        IncusError: the server could not be asked.
    """
    survey = Survey()
    own, earlier = [options.owner], [options.owner, existing.owner]
    backends = [options.backend, existing.backend]
    volumes: dict[VolumeRef, dict[str, Any] | None] = {}
    pools = mount_storage_pools(plan, options, pool)
    for index, mount in enumerate(plan.mounts):
        source = mount.source
        if is_host_path(source):
            what = f"host path {source}"
            there = not client.is_local or _host_path_exists(source)
        else:
            ref = (pools[mount.device_name] or "", volume_name(source))
            what = f"custom volume {ref[1]} in pool {ref[0]}"
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
                            f"{_describe_mount(mount)}: {what} has the data of {owner}"
                        )
                if volume.get("content_type") == "block" and options.instance_type == "container":
                    survey.unusable[mount.device_name] = (
                        f"{_describe_mount(mount)}: {what} has content_type block, and a container "
                        "can only mount a volume with content_type filesystem; set another "
                        "volume, or use a virtual machine"
                    )
        if there:
            continue
        where = _describe_mount(mount)
        if mount.kind == "persistent_volume" and not is_host_path(source):
            directory = source.partition("/")[2].strip("/")
            named = bool(options.pool_of(index))
            known = existing.devices.get(mount.device_name, {}).get("source", ref[1])
            mounted = volume_name(known)
            if mounted != ref[1] and get_volume(client, ref[0], mounted):
                survey.shadowed[mount.device_name] = (
                    f"{where}: {_renamed(client, plan, ref, mounted)}"
                )
            elif not named and (elsewhere := find_elsewhere(client, plan, options, mount, ref)):
                survey.shadowed[mount.device_name] = f"{where}: {in_another_pool(ref, elsewhere)}"
            elif directory and options.running:
                survey.without_directory[mount.device_name] = (
                    f"{where}: {what} does not exist, and a new volume is empty: without the "
                    f"directory {directory}, {plan.identity.instance_name} could not start. Set "
                    f"the whole volume ({ref[1]}) as the source, or create the volume and the "
                    "directory first"
                )
            elif ref not in survey.missing_volumes:
                survey.missing_volumes.append(ref)
        elif mount.kind == "read_only_snapshot" or mount.required:
            survey.missing[mount.device_name] = f"{where}: {what} does not exist"
        else:
            survey.left_out.append(mount.device_name)
            survey.warnings.append(
                f"{where} is skipped: {what} does not exist, and the mount is not required"
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
        f"{_describe_mount(mount)}: instance {name} already has the device {found[0]} (source "
        f"{found[1].get('source', '')}) at {mount.guest_path}. Remove the device: `incus config "
        f"device remove --project {client.project} {name} {found[0]}` (its volume stays)"
        for mount in plan.mounts
        if (found := by_path.get(mount.guest_path))
    ]
    if taken:
        raise PlacementError(
            Message(
                f"{'; '.join(taken)}; then run `pulumi up` again. Or declare the device in "
                "`devices` instead of the mount (`python -m pulumi_pika import` writes it). "
                "Nothing was changed",
                CONFLICT,
            )
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


def in_another_pool(ref: VolumeRef, elsewhere: Sequence[str]) -> Message:
    """Return what is wrong with a mount whose volume is in another pool, and what to do."""
    listed = ", ".join(elsewhere)
    return Message(
        f"custom volume {ref[1]} does not exist in pool {ref[0]}, but it exists in pool {listed}; "
        "a second, empty volume would be created and mounted instead. To use the existing one, add "
        f'`"storage_pool": "{elsewhere[0]}"` to the mount, or set its `source` to the '
        f'PersistentVolume. To create an empty one in pool {ref[0]}, add `"storage_pool": '
        f'"{ref[0]}"`',
        EXISTS,
    )


def _renamed(client: IncusClient, plan: IncusRuntimePlan, ref: VolumeRef, name: str) -> str:
    return (
        f"custom volume {ref[1]} does not exist in pool {ref[0]}, but the instance has volume "
        f"{name} in its place, as after a rename of the volume; a second, empty volume would be "
        f"created. If {name} is the same volume, stop {plan.identity.instance_name} and rename it "
        f"back: `incus storage volume rename --project {client.project} {ref[0]} {name} {ref[1]}`. "
        "If it is another one, remove its device from the instance"
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
                missing(
                    f"profile {profile}",
                    f"in project {client.project} at {client.host}",
                    "create it, or set another one in incus.profile or extra_profiles",
                )
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
        f"the root disk of {name} is in pool {pool}, but the program sets pool {wanted}; only a "
        f"move of the instance can change that. Set `storage_pool` to {pool}, or stop {name} and "
        f"move it: `{move}`"
    )


def profile_root_pool(client: IncusClient, profiles: Sequence[str]) -> str | None:
    """Return the pool of the root disk of profiles; None if they have none.

    Raises:
        PlacementError: one of them does not exist.
    """
    return _profile_root(client, profiles)[1]
