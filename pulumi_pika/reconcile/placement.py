"""Finds out what only the server knows: pool, root device, and which sources are there."""

import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

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
from .errors import ForeignVolume, PlacementError, SourceMissing, Unsupported
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
    known_root_pool: str | None = None,
    known_owner: str = "",
) -> Placement:
    """Looks at the server, changes nothing.

    Args:
        client: a client in the plan's project.
        plan: the plan.
        options: the options.
        known_pool: the pool that an existing instance's volumes are in.
        known_root: the name of an existing instance's root device.
        known_root_pool: the pool that an existing instance's root disk is in.
        known_owner: the URN that the resource had before, where it had another.

    Raises:
        ForeignVolume: a volume holds the data of another runtime.
        PlacementError: a profile is missing, or no pool can be told.
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
    pool, root = known_pool or options.storage_pool or known_root_pool, known_root
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
    survey = _survey(client, plan, options, pool, known_owner)
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


@dataclass(slots=True)
class _Survey:
    missing_volumes: list[str] = field(default_factory=list)
    claimed_volumes: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def _survey(
    client: IncusClient,
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    pool: str | None,
    known_owner: str,
) -> _Survey:
    survey, problems, foreign = _Survey(), [], []
    own, earlier = [options.owner], [options.owner, known_owner]
    present: dict[str, dict[str, str] | None] = {}
    for mount in plan.mounts:
        source = mount.source
        if is_host_path(source):
            what = f"the host path {source}"
            there = not client.is_local or _host_path_exists(source)
        else:
            name = volume_name(source)
            what = f"the custom volume {name} in pool {pool}"
            if name not in present:
                volume = get_volume(client, pool or "", name)
                present[name] = (volume.data.get("config") or {}) if volume else None
            config = present[name]
            there = config is not None
            runtime_id = plan.identity.runtime_id
            if config is not None and (owner := foreign_owner(config, mount, runtime_id, own)):
                if options.adopt or not foreign_owner(config, mount, runtime_id, earlier):
                    survey.claimed_volumes.append(name)
                else:
                    foreign.append(f"{_where(mount)}: {what} holds the data of {owner}")
        if there:
            continue
        where = _where(mount)
        if mount.kind == "persistent_volume" and not is_host_path(source):
            if volume_name(source) not in survey.missing_volumes:
                survey.missing_volumes.append(volume_name(source))
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
    if problems:
        raise SourceMissing(
            "nothing was made: "
            + "; ".join(problems)
            + "; make the source first (or, but for a snapshot, set required to false)"
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


def root_moved(project: str, name: str, pool: str, wanted: str) -> str:
    """A sentence on a root disk that is in another pool than the program wants it in."""
    move = f"incus move --project {project} {name} --storage {wanted}"
    return (
        f"the root disk of {name} is in pool {pool}, and the program wants it in {wanted}; Incus "
        f"changes that by a move only. Set `storage_pool` to {pool}, or stop {name} and move it: "
        f"`{move}`"
    )


def profile_root_pool(client: IncusClient, profiles: Sequence[str]) -> str | None:
    """The pool of the root disk that profiles give; None if they give none.

    Raises:
        PlacementError: one of them does not exist.
    """
    return _profile_root(client, profiles)[1]
