"""Find what an instance needs and a host or an image does not offer, from facts fetched before.

No function here sends a request. Each yields the property and the reason.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from ...planner.plan import IncusRuntimePlan
from .desired import Devices
from .key_options import KEY_OF_OPTION, key_config
from .runtime_options import RuntimeOptions

Path = tuple[str | int, ...]
Problem = tuple[Path, str]

_TRUE: Final = frozenset({"true", "1", "yes", "on"})
_FALSE: Final = frozenset({"false", "0", "no", "off"})
"""The spellings that Incus accepts (shared/util, IsTrue and IsFalse), in lower case."""
_INOPERATIVE: Final = "Instance type not operational"
_NO_VIRTIOFSD: Final = "Missing virtiofsd"
_NO_CONTROLLER: Final = "Couldn't find the CGroup "
"""Types of Incus's warnings (internal/server/db/warningtype)."""
_LIMITS: Final[dict[str, tuple[Path | None, tuple[str, ...]]]] = {
    "memory controller": (("resources", "memory_mib"), ("limits.memory",)),
    "CPU controller": (("resources", "vcpu_count"), ("limits.cpu",)),
    "CPUset controller": (("resources", "vcpu_count"), ("limits.cpu",)),
    "pids controller": (None, ("limits.processes",)),
    "hugetlb controller": (None, ("limits.hugepages.",)),
    "blkio": (None, ("limits.disk.priority",)),
}
"""The limits of a container that a missing controller ignores: the field of the plan, and the
prefixes of config keys."""
_NETWORK_DEVICES: Final = frozenset({"nic", "infiniband", "pci", "usb"})
"""The types of devices by which a guest can get an address."""


def has_limits(plan: IncusRuntimePlan, options: RuntimeOptions) -> bool:
    """Return whether an instance has a limit that control groups enforce."""
    return options.instance_type == "container" and (
        plan.resources.memory_mib is not None
        or plan.resources.vcpu_count is not None
        or any(key.startswith("limits.") for key in (*options.config, *key_config(options)))
    )


def find_ignored_limits(
    warnings: list[dict[str, Any]], plan: IncusRuntimePlan, options: RuntimeOptions
) -> Iterator[Problem]:
    """Yield the limits of a container that the server accepts and does not enforce.

    Incus 7 uses control groups of version 2 only. If a controller is missing there, it ignores the
    limits and records a warning. The limits of a virtual machine do not need control groups.

    Args:
        warnings: the server's warnings. An acknowledged warning is known to the administrator, and
            is not repeated here.
        plan: the plan.
        options: the options.
    """
    if options.instance_type != "container":
        return
    found: dict[Path, str] = {}
    for warning in warnings:
        kind = str(warning.get("type"))
        known = _LIMITS.get(kind.removeprefix(_NO_CONTROLLER))
        if known is None or warning.get("status") != "new":
            continue
        path, prefixes = known
        said = (
            f"the server accepts this limit and does not enforce it: {kind} "
            f"({warning.get('last_message')}). `incus warning acknowledge {warning.get('uuid')}` "
            "ends this message"
        )
        if path and getattr(plan.resources, str(path[1])) is not None:
            found.setdefault(path, said)
        for key in options.config:
            if key.startswith(prefixes):
                found.setdefault(("config", key), said)
        for name, key in KEY_OF_OPTION.items():
            if getattr(options, name) is not None and key.startswith(prefixes):
                found.setdefault((name,), said)
    yield from found.items()


def find_missing_virtiofsd(
    warnings: list[dict[str, Any]], plan: IncusRuntimePlan, options: RuntimeOptions
) -> Iterator[Problem]:
    """Yield the mounts that need virtiofs, if the server had no virtiofsd at the last use of it.

    Incus records the warning when a virtual machine starts with a share, and removes it when
    another one starts with virtiofsd. So it may be outdated.
    """
    if options.instance_type != "virtual-machine":
        return
    if any(it.get("type") == _NO_VIRTIOFSD and it.get("status") == "new" for it in warnings):
        for index, mount in enumerate(plan.mounts):
            if mount.io_bus == "virtiofs":
                yield (
                    ("mounts", index, "mode"),
                    "a read-only mount in a virtual machine needs the program virtiofsd on the "
                    "server, and it was missing there when a virtual machine was started last: "
                    "install it, or the start fails",
                )


def why_inoperative(warnings: list[dict[str, Any]], instance_type: str) -> str:
    """Return why a server cannot run instances of a type, in Incus's words; empty if unknown."""
    for warning in warnings:
        # The warnings of both types share one entry, so that it may be about the other type.
        said = str(warning.get("last_message") or "")
        of_machines = any(word in said for word in ("KVM", "QEMU", "vhost", "qemu"))
        if (
            warning.get("type") == _INOPERATIVE
            and warning.get("status") != "resolved"
            and of_machines == (instance_type == "virtual-machine")
        ):
            return said
    return ""


def find_image_problems(
    properties: Mapping[str, str],
    config: Mapping[str, str],
    devices: Devices,
    instance_type: str,
    *,
    checks_cloud_init: bool,
) -> Iterator[str]:
    """Yield the requirements of an image that an instance does not meet: its start would fail.

    Source: Incus doc/reference/image_properties.md, `requirements.*`, and the checks of its
    instance drivers at a start (`validateStartup`).

    Args:
        properties: the properties of the image.
        config: the config keys of the instance, with those of its profiles.
        devices: the devices of the instance, with those of its profiles.
        instance_type: the type of the instance.
        checks_cloud_init: whether the server checks `requirements.cdrom_cloud_init`.
    """

    def requires(name: str, values: frozenset[str] = _TRUE) -> bool:
        wanted = config.get(f"image.requirements.{name}", properties.get(f"requirements.{name}"))
        return (wanted or "").lower() in values

    def has_disk(source: str) -> bool:
        return any(
            device.get("type") == "disk" and device.get("source") == source
            for device in devices.values()
        )

    def disk_advice(name: str, source: str) -> str:
        return (
            f"needs the disk {source}: add `{name}={{'type': 'disk', 'source': '{source}'}}` "
            "to `devices`"
        )

    if instance_type == "virtual-machine":
        secure = config.get("security.secureboot", "").lower()
        if requires("secureboot", _FALSE) and secure not in _FALSE:
            yield (
                "does not boot with secure boot: set "
                '`config={"security.secureboot": "false"}`, or use another image'
            )
        if requires("cdrom_agent") and not has_disk("agent:config"):
            yield disk_advice("agent", "agent:config")
        if checks_cloud_init and requires("cdrom_cloud_init") and not has_disk("cloud-init:config"):
            yield disk_advice("cloud-init", "cloud-init:config")


def lacks_network(devices: Devices) -> bool:
    """Return whether no device of an instance can give its guest an address."""
    return not any(device.get("type") in _NETWORK_DEVICES for device in devices.values())
