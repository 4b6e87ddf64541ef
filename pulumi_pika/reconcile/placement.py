"""Finds out what only the server knows: pool, root device, and which sources are there."""

import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ..incus.catalog import profile_devices
from ..incus.client import IncusClient
from ..incus.errors import NotFound
from ..incus.storage import get_volume
from ..planner.plan import IncusMountPlan, IncusRuntimePlan
from .data_volumes import foreign_owner
from .desired import (
    AUTORESTART_EXTENSION,
    OWNER_KEY,
    RUNTIME_ID_KEY,
    DesiredInstance,
    assemble,
    desired_profiles,
    is_host_path,
    volume_name,
)
from .errors import (
    ForeignVolume,
    PlacementError,
    ReconcileError,
    SourceMissing,
    Unsupported,
)
from .options import ROOT_DEVICE, RuntimeOptions


@dataclass(frozen=True, slots=True)
class Placement:
    """An instance whose every detail is known, and the volumes that it lacks."""

    desired: DesiredInstance
    missing_volumes: tuple[str, ...] = ()
    claimed_volumes: tuple[str, ...] = ()
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
) -> Placement:
    """Looks at the server, changes nothing.

    Args:
        client: a client in the plan's project.
        plan: the plan.
        options: the options.
        known_pool: the pool that an existing instance's volumes are in.
        known_root: the name of an existing instance's root device.
        known_owner: the URN that the resource had before, where it had another.

    Raises:
        ForeignVolume: a volume holds the data of another runtime.
        PlacementError: a profile is missing, no pool can be told, or a container names a block
            volume.
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
    pool, root = resolve_pool(client, plan, options, known_pool, known_root)
    survey = survey_mounts(client, plan, options, pool, known_owner)
    survey.refuse()
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


def resolve_pool(
    client: IncusClient,
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    known_pool: str | None = None,
    known_root: str | None = None,
) -> tuple[str | None, str | None]:
    """Return the pool of a runtime's volumes and the name of its root disk, if it needs them.

    Raises:
        PlacementError: a profile is missing, or nothing names a pool.
        IncusError: the server could not be asked.
    """
    pool, root = options.storage_pool or known_pool, known_root
    wants_root = plan.resources.root_disk_gib is not None
    if (wants_root and (pool is None or root is None)) or (pool is None and _has_volumes(plan)):
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
    """What a server has of the sources of a plan's mounts."""

    missing_volumes: list[str] = field(default_factory=list)
    claimed_volumes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    foreign: dict[str, str] = field(default_factory=dict)
    """By device name: whose volume a mount names, and what to do."""
    unusable: dict[str, str] = field(default_factory=dict)
    """By device name: why a volume that is there cannot be mounted, and what to do."""
    without_directory: dict[str, str] = field(default_factory=dict)
    """By device name: which directory a volume cannot have that is still to be created."""
    missing: dict[str, str] = field(default_factory=dict)
    """By device name: which source is missing."""

    def refuse(self) -> None:
        """Do nothing if all mounts can be made.

        Raises:
            ForeignVolume: a volume holds the data of another runtime.
            PlacementError: a volume cannot be mounted, or lacks a directory.
            SourceMissing: a source is missing.
        """
        kinds: tuple[tuple[type[ReconcileError], dict[str, str], str], ...] = (
            (ForeignVolume, self.foreign, FOREIGN_ADVICE),
            (PlacementError, self.unusable, ""),
            (PlacementError, self.without_directory, ""),
            (SourceMissing, self.missing, MISSING_ADVICE),
        )
        for error, found, advice in kinds:
            if found:
                raise error(f"nothing was made: {'; '.join(found.values())}{advice}")


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
) -> Survey:
    """Look for the sources of all mounts, each volume once.

    Raises:
        IncusError: the server could not be asked.
    """
    survey = Survey()
    own, earlier = [options.owner], [options.owner, known_owner]
    volumes: dict[str, dict[str, Any] | None] = {}
    for mount in plan.mounts:
        source = mount.source
        if is_host_path(source):
            what = f"the host path {source}"
            there = not client.is_local or _host_path_exists(source)
        else:
            name = volume_name(source)
            what = f"the custom volume {name} in pool {pool}"
            if name not in volumes:
                found = get_volume(client, pool or "", name)
                volumes[name] = found.data if found else None
            volume = volumes[name]
            there = volume is not None
            if volume is not None:
                config, runtime_id = volume.get("config") or {}, plan.identity.runtime_id
                if owner := foreign_owner(config, mount, runtime_id, own):
                    if options.adopt or not foreign_owner(config, mount, runtime_id, earlier):
                        survey.claimed_volumes.append(name)
                    else:
                        survey.foreign[mount.device_name] = (
                            f"{_where(mount)}: {what} holds the data of {owner}"
                        )
                if volume.get("content_type") == "block" and options.instance_type == "container":
                    survey.unusable[mount.device_name] = (
                        f"{_where(mount)}: {what} has content_type block, and a container can only "
                        "mount a volume with content_type filesystem; name another volume, or use "
                        "a virtual machine"
                    )
        if there:
            continue
        where = _where(mount)
        if mount.kind == "persistent_volume" and not is_host_path(source):
            directory = source.partition("/")[2].strip("/")
            if directory and options.running:
                survey.without_directory[mount.device_name] = (
                    f"{where}: {what} does not exist, and a new volume is empty: it has no "
                    f"directory {directory}, without which {plan.identity.instance_name} cannot "
                    f"start. Name the whole volume ({volume_name(source)}) as the source, or "
                    "create the volume and the directory first"
                )
            elif volume_name(source) not in survey.missing_volumes:
                survey.missing_volumes.append(volume_name(source))
        elif mount.kind == "read_only_snapshot" or mount.required:
            survey.missing[mount.device_name] = f"{where}: {what} does not exist"
        else:
            survey.left_out.append(mount.device_name)
            survey.warnings.append(
                f"{where} is left out: {what} does not exist, and the mount is not required"
            )
    return survey


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


def _has_volumes(plan: IncusRuntimePlan) -> bool:
    return any(not is_host_path(mount.source) for mount in plan.mounts)


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
