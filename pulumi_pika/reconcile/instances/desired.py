"""Define the desired instance, in Incus's terms: the one payload of plan and options."""

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from ...planner.plan import IncusMountPlan, IncusRuntimePlan
from ..shared.ownership import (
    BACKEND_KEY,
    GENERATION_KEY,
    MARK_PREFIX,
    OWNER_KEY,
    RUNTIME_ID_KEY,
)
from .cloud_config import cloud_init_config
from .key_options import key_config
from .mount_options import MountOptions
from .profile_list import profile_paths
from .runtime_options import (
    ROOT_DEVICE,
    RuntimeOptions,
)

LABEL_PREFIX: Final = MARK_PREFIX + "label."
LIFECYCLE_ROOT_KEY: Final = MARK_PREFIX + "lifecycle_root"
DIGEST_KEY: Final = MARK_PREFIX + "plan_digest"

WAITING_KEY: Final = MARK_PREFIX + "waiting_for"
"""The state that the last update waited for without success; the next update waits for it again."""

AUTORESTART_EXTENSION: Final = "instance_auto_restart"

Device = dict[str, str]
Devices = dict[str, Device]


def is_host_path(source: str) -> bool:
    """Return whether a mount's source is a host path rather than the name of a custom volume."""
    return source.startswith("/")


def volume_name(source: str) -> str:
    """Return the custom volume of a source, without the directory after a slash.

    Source: Incus doc/reference/devices_disk.md.
    """
    return source.partition("/")[0]


def mount_storage_pools(
    plan: IncusRuntimePlan, options: RuntimeOptions, pool: str | None
) -> dict[str, str | None]:
    """Return the storage pool of each mount's custom volume, by the name of the mount's device.

    Args:
        plan: the plan.
        options: the options; `mount_storage_pools` names the pools of single mounts.
        pool: the pool of all other mounts; default: `storage_pool`. None if no server has been
            asked yet.
    """
    return {
        mount.device_name: options.pool_of(index) or pool or options.storage_pool
        for index, mount in enumerate(plan.mounts)
    }


def mount_device(
    mount: IncusMountPlan, instance_type: str, pool: str | None, options: MountOptions | None = None
) -> Device:
    """Return the disk device of a mount. Containers refuse `io.bus`, so their devices have none."""
    device = {"type": "disk", "source": mount.source, "path": mount.guest_path}
    if not is_host_path(mount.source) and pool:
        device["pool"] = pool
    if mount.read_only:
        device["readonly"] = "true"
    if mount.io_bus and instance_type == "virtual-machine":
        device["io.bus"] = mount.io_bus
    return {**device, **options.device_properties()} if options else device


def declared_devices(
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    pool: str | None = None,
    root_pool: str | None = None,
) -> Devices:
    """Return all devices that the plan and the options name, by name.

    Args:
        plan: the plan.
        options: the options.
        pool: the storage pool of the custom volumes; default: `storage_pool`. If it is None,
            because no server has been asked yet, the devices have no pool.
        root_pool: the storage pool of the root disk if `storage_pool` names none; default: the pool
            of the volumes.
    """
    pools = mount_storage_pools(plan, options, pool)
    root_pool = options.storage_pool or root_pool or pool
    devices = {
        mount.device_name: mount_device(
            mount,
            options.instance_type,
            pools[mount.device_name],
            options.mount_options_of(index),
        )
        for index, mount in enumerate(plan.mounts)
    }
    if plan.resources.root_disk_gib is not None:
        root = {"type": "disk", "path": "/", "size": f"{plan.resources.root_disk_gib}GiB"}
        if root_pool:
            root["pool"] = root_pool
        devices[ROOT_DEVICE] = root
    devices.update(options.devices)
    return devices


def plan_digest(plan: IncusRuntimePlan) -> str:
    """Return a digest of the whole plan, including the parts that no config key shows."""
    text = json.dumps(plan.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def desired_config(
    plan: IncusRuntimePlan, options: RuntimeOptions, *, autorestart: bool
) -> dict[str, str]:
    """Return all config keys that the plan and the options set.

    Args:
        plan: the plan.
        options: the options.
        autorestart: whether the server knows ``boot.autorestart``.
    """
    config = dict(options.config)
    if plan.resources.vcpu_count is not None:
        config["limits.cpu"] = str(plan.resources.vcpu_count)
    if plan.resources.memory_mib is not None:
        config["limits.memory"] = f"{plan.resources.memory_mib}MiB"
    policy = plan.policies.restart_policy
    if autorestart:
        # Set for `never` too: a profile may set another value, and the plan takes precedence.
        config["boot.autorestart"] = "false" if policy == "never" else "true"
    if policy == "always":
        config["boot.autostart"] = "true"
    config.update(cloud_init_config(options))
    config.update(key_config(options))
    config[RUNTIME_ID_KEY] = plan.identity.runtime_id
    config[LIFECYCLE_ROOT_KEY] = plan.lifecycle_root
    config[DIGEST_KEY] = plan_digest(plan)
    if options.owner:
        config[OWNER_KEY] = options.owner
    if options.backend:
        config[BACKEND_KEY] = options.backend
    for key, value in plan.labels.items():
        config[LABEL_PREFIX + key] = value
    return config


def desired_profiles(plan: IncusRuntimePlan, options: RuntimeOptions) -> list[str]:
    """Return the profiles in the order in which Incus applies them. The last takes precedence."""
    return [name for _, name in profile_paths(plan, options)]


@dataclass(frozen=True, slots=True)
class DesiredInstance:
    """Describe one instance, ready to be compared with a live one or to be created."""

    plan: IncusRuntimePlan
    options: RuntimeOptions
    config: dict[str, str]
    devices: Devices
    profiles: list[str]
    left_out: tuple[str, ...] = ()
    """The devices of optional mounts whose source is missing."""
    pool: str | None = None
    """The pool of the root disk, and of the custom volumes of mounts that name no pool."""
    image: str = ""
    """The fingerprint of the image to create the instance from.

    Default: empty, the image that the plan's alias points at.
    """

    @property
    def pools(self) -> dict[str, str | None]:
        """Return the pool of each mount's custom volume, by the name of the mount's device."""
        return mount_storage_pools(self.plan, self.options, self.pool)

    @property
    def name(self) -> str:
        """Return the instance's name."""
        return self.plan.identity.instance_name

    @property
    def image_config(self) -> dict[str, str]:
        """Return the keys that Incus overwrites with the image's properties at the creation.

        They are set after the creation, before the first start.
        """
        return {key: value for key, value in self.config.items() if key.startswith("image.")}

    @property
    def starts_at_once(self) -> bool:
        """Return whether Incus creates and starts the instance in one operation.

        It does not if something has to be done between the creation and the first start.
        """
        return bool(self.options.running) and not (self.image_config or self.options.files)

    def creation(self, generation: str) -> dict[str, Any]:
        """Return the body of POST /1.0/instances."""
        alias = {"alias": self.plan.incus.image_alias}
        return {
            "name": self.name,
            "type": self.options.instance_type,
            "description": self.options.description or "",
            "profiles": self.profiles,
            "config": {**_without_empty(self.config), GENERATION_KEY: generation},
            "devices": self.devices,
            "start": self.starts_at_once,
            **({"ephemeral": True} if self.options.ephemeral else {}),
            "source": {"type": "image", **({"fingerprint": self.image} if self.image else alias)},
        }


def assemble(
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    *,
    pool: str | None,
    root_pool: str | None = None,
    root_name: str,
    left_out: Collection[str],
    autorestart: bool,
) -> DesiredInstance:
    """Return the desired instance of plan, options and the values that only a server knows.

    Args:
        plan: the plan.
        options: the options.
        pool: the storage pool of the custom volumes of mounts that name none.
        root_pool: the storage pool of the root disk; default: `pool`.
        root_name: the name of the root device.
        left_out: the devices of optional mounts whose source is missing.
        autorestart: whether the server knows ``boot.autorestart``.
    """
    devices = declared_devices(plan, options, pool, root_pool)
    for name in left_out:
        devices.pop(name, None)
    if ROOT_DEVICE in devices and root_name != ROOT_DEVICE:
        devices[root_name] = devices.pop(ROOT_DEVICE)
    return DesiredInstance(
        plan=plan,
        options=options,
        config=desired_config(plan, options, autorestart=autorestart),
        devices=devices,
        profiles=desired_profiles(plan, options),
        left_out=tuple(left_out),
        pool=pool or options.storage_pool,
    )


def _without_empty(config: dict[str, str]) -> dict[str, str]:
    """Remove empty values.

    Incus treats an empty value as unset, so an empty label does not exist there.
    """
    return {key: value for key, value in config.items() if value != ""}
