"""Define profiles: what instances have in common."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Final

from pydantic import Field

from ...message_templates import REQUIRED, Message, conflict, invalid_value, required
from ...text_safety import one_line
from ..instances.runtime_options import (
    ROOT_DEVICE,
    USER_DATA_KEY,
    OptionProblem,
    is_device_name,
)
from .object_kind import Need, ObjectKind, place_problems
from .object_plan import ObjectOptions, ObjectPlan, Path

NIC_DEVICE: Final = "eth0"
"""The name of the nic that the argument `network` adds, as in Incus's own default profile."""


class ProfileOptions(ObjectOptions):
    """Hold the arguments of an `IncusProfile`."""

    project: str = "default"
    vcpu_count: int | None = Field(default=None, ge=1)
    memory_mib: int | None = Field(default=None, ge=1)
    storage_pool: str | None = None
    root_disk_gib: int | None = Field(default=None, ge=1)
    network: str | None = None
    cloud_init_user_data: str | None = None
    devices: dict[str, dict[str, str]] = Field(default_factory=dict)


class ProfileKind(ObjectKind[ProfileOptions]):
    """Describe profiles."""

    noun = "profile"
    collection = "profiles"
    command = "incus profile"
    in_project = True
    has_devices = True
    can_be_copied = True
    permanent = frozenset({"default"})
    model = ProfileOptions
    arguments: ClassVar[Mapping[str, Path]] = {
        "vcpu_count": ("config", "limits.cpu"),
        "memory_mib": ("config", "limits.memory"),
        "cloud_init_user_data": ("config", USER_DATA_KEY),
        "storage_pool": ("devices", ROOT_DEVICE, "pool"),
        "root_disk_gib": ("devices", ROOT_DEVICE, "size"),
        "network": ("devices", NIC_DEVICE, "network"),
    }

    def plan(self, options: ProfileOptions) -> ObjectPlan:
        """Return the plan of the arguments."""
        config = self.config_of(options)
        if options.memory_mib is not None:
            config["limits.memory"] = f"{options.memory_mib}MiB"
        devices = dict(options.devices)
        if options.storage_pool is not None:
            root = {"type": "disk", "path": "/", "pool": options.storage_pool}
            if options.root_disk_gib is not None:
                root["size"] = f"{options.root_disk_gib}GiB"
            devices[ROOT_DEVICE] = root
        if options.network is not None:
            devices[NIC_DEVICE] = {"type": "nic", "name": NIC_DEVICE, "network": options.network}
        return ObjectPlan(
            name=options.name,
            project=options.project,
            description=options.description,
            config=config,
            devices=devices,
        )

    def find_problems(self, options: ProfileOptions) -> Iterator[OptionProblem]:
        """Find values that Incus would refuse. No server is asked."""
        yield from super().find_problems(options)
        yield from place_problems(
            [
                ("project", options.project),
                ("storage_pool", options.storage_pool),
                ("network", options.network),
            ]
        )
        if options.root_disk_gib is not None and options.storage_pool is None:
            yield (
                ("root_disk_gib",),
                Message(
                    "needs `storage_pool`, since a root disk of a profile names its pool", REQUIRED
                ),
            )
        by_argument = {ROOT_DEVICE: "storage_pool", NIC_DEVICE: "network"}
        for name, device in options.devices.items():
            where = ("devices", name)
            argument = by_argument.get(name)
            if argument and getattr(options, argument) is not None:
                yield where, conflict(f"the argument `{argument}`")
            if not is_device_name(name):
                rule = (
                    "use 1-63 letters, digits, `.`, `:`, `_` or `-`, with a letter or digit at "
                    "both ends"
                )
                yield where, invalid_value(one_line(name, 100), "device name", rule)
            if not device.get("type"):
                yield (*where, "type"), required()
            for key, value in device.items():
                if not key or not key.isprintable() or "\0" in value:
                    rule = "remove control characters"
                    yield (*where, key), invalid_value(one_line(key, 100), "device key", rule)

    def needs(self, options: ProfileOptions) -> Iterator[Need]:
        """Return the other objects that must exist on the host before this one is created."""
        yield Need(("project",), "project", "projects", options.project)
        if options.storage_pool is not None:
            pool = options.storage_pool
            yield Need(("storage_pool",), "storage pool", "storage-pools", pool)
        if options.network is not None:
            yield Need(("network",), "network", "networks", options.network)
        for name, device in options.devices.items():
            if device.get("type") == "disk" and device.get("pool"):
                path = ("devices", name, "pool")
                yield Need(path, "storage pool", "storage-pools", device["pool"])
            if device.get("type") == "nic" and device.get("network"):
                yield Need(("devices", name, "network"), "network", "networks", device["network"])


PROFILE: Final = ProfileKind()
"""The kind of an `IncusProfile`."""
