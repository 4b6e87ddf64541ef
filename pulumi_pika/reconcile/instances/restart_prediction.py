"""Predict which changes a running instance accepts, without trying them.

This is for previews; the server decides. Sources: the key tables of Incus
doc/reference/instance_options.md, devices_disk.md, and its instance drivers.
"""

from typing import Final

from .desired import Devices
from .live_instance import mebibytes
from .runtime_options import RuntimeOptions

_LIVE_PREFIXES: Final = (
    "boot.",
    "cloud-init.",
    "environment.",
    "image.",
    "snapshots.",
    "user.",
    "volatile.",
)
_LIVE_KEYS: Final = frozenset(
    {
        "cluster.evacuate",
        "limits.cpu",
        "limits.memory",
        "limits.memory.oom_priority",
        "security.agent.metrics",
        "security.csm",
        "security.guestapi",
        "security.protection.delete",
        "security.secureboot",
    }
)
"""The keys that a running virtual machine takes, of 6.0.4 and 7.0.1 (`liveUpdateKeys` of
driver_qemu.go). Some have an effect at the next start only."""
_CONTAINER_COLD: Final = (
    "security.idmap.",
    "security.nesting",
    "security.privileged",
    "security.protection.shift",
    "security.syscalls.",
    "security.guestapi",
    "raw.",
    "nvidia.",
    "linux.sysctl.",
    "migration.",
)


def restart_reasons(
    old: RuntimeOptions,
    new: RuntimeOptions,
    old_config: dict[str, str],
    new_config: dict[str, str],
    old_devices: Devices,
    new_devices: Devices,
    profiles_change: bool,
) -> list[str]:
    """Return, in human-readable form, the changes that may need a restart of a running instance.

    Args:
        old: the options before.
        new: the new options.
        old_config: the config keys before.
        new_config: the new config keys.
        old_devices: the devices before.
        new_devices: the new devices.
        profiles_change: whether the profiles change.
    """
    if new.running is False or old.running is False:
        return []
    virtual = new.instance_type == "virtual-machine"
    changed = sorted(
        key
        for key in old_config.keys() | new_config.keys()
        if old_config.get(key) != new_config.get(key)
    )
    reasons = [f"`{key}`" for key in changed if _needs_restart(key, virtual)]
    if virtual:
        if "limits.cpu" in changed and not _fewer(old_config, new_config):
            reasons.append("`limits.cpu` (a running virtual machine may not accept more CPUs)")
        if "limits.memory" in changed:
            reasons.append("`limits.memory` (a running virtual machine may not accept it)")
        reasons += [
            f"device `{name}` (a share that existed at boot cannot always be detached)"
            for name, device in old_devices.items()
            if (
                name in new_devices
                and _without_limits(new_devices[name]) != _without_limits(device)
            )
            or name not in new_devices
        ]
        if profiles_change:
            reasons.append("the profiles")
    elif _shrinks(old_config.get("limits.memory"), new_config.get("limits.memory")):
        reasons.append("`limits.memory` (a running container that uses more cannot accept it)")
    return reasons


def _fewer(old: dict[str, str], new: dict[str, str]) -> bool:
    """Return whether a number of CPUs gets smaller, which a running virtual machine accepts.

    Incus cannot add more CPUs to a running virtual machine than its host had when it booted (6.0.4,
    `setCPUs`). It cannot add or remove the limit either.
    """
    before, after = old.get("limits.cpu", ""), new.get("limits.cpu", "")
    return before.isdecimal() and after.isdecimal() and int(after) < int(before)


def _shrinks(old: str | None, new: str | None) -> bool:
    """Return whether a memory limit gets lower.

    Limits that cannot be compared count as not getting lower.
    """
    if new is None:
        return False
    before, after = mebibytes(old) if old else None, mebibytes(new)
    return before is None or (isinstance(before, int) and isinstance(after, int) and after < before)


def _needs_restart(key: str, virtual: bool) -> bool:
    if virtual:
        return key not in _LIVE_KEYS and not key.startswith(_LIVE_PREFIXES)
    return key.startswith(_CONTAINER_COLD)


def _without_limits(device: dict[str, str]) -> dict[str, str]:
    """Return a disk device without size and limits, which change in place (devices_disk.md)."""
    return {
        key: value
        for key, value in device.items()
        if not (key.startswith("limits.") or key in ("size", "pool"))
    }
