"""Compute the changes that turn a live instance into the desired one; nothing is sent."""

from dataclasses import dataclass, field, replace
from typing import Any

from ...planner.device_names import DEVICE_NAME_PREFIX
from ..shared.ownership import IDENTITY_KEYS, MARK_PREFIX
from .desired import DesiredInstance, Devices
from .live_instance import LiveInstance


@dataclass(frozen=True, slots=True)
class LastApplied:
    """Hold what the resource set before: the only values that it may remove."""

    config: dict[str, str] = field(default_factory=dict)
    devices: Devices = field(default_factory=dict)
    profiles: list[str] = field(default_factory=list)
    description: str | None = None
    owner: str = ""
    generation: str = ""
    restart_triggers: Any = None
    running: bool | None = None


@dataclass(slots=True)
class Changes:
    """Hold the difference between a live and a desired instance, in Incus's terms."""

    config: dict[str, str] = field(default_factory=dict)
    """The config keys to set; an empty value unsets the key."""
    devices: Devices = field(default_factory=dict)
    """The devices to add or to replace."""
    removed_devices: list[str] = field(default_factory=list)
    profiles: list[str] | None = None
    description: str | None = None
    foreign_values: list[str] = field(default_factory=list)
    """Values that the program no longer sets and that another client changed; they stay."""

    def __bool__(self) -> bool:
        return bool(
            self.config
            or self.devices
            or self.removed_devices
            or self.profiles is not None
            or self.description is not None
        )

    @property
    def settings(self) -> bool:
        """Return whether anything other than the devices changes."""
        return bool(self.config or self.profiles is not None or self.description is not None)

    def patch(self, live: LiveInstance, *, devices: bool) -> dict[str, Any]:
        """Return the body of a PATCH, with or without the devices; a PATCH cannot remove a device.

        A PATCH without a description clears it (Incus 6.0.4), so the body always has one.
        """
        body: dict[str, Any] = {
            "description": live.description if self.description is None else self.description
        }
        if self.config:
            body["config"] = self.config
        if self.profiles is not None:
            body["profiles"] = self.profiles
        if devices and self.devices:
            body["devices"] = self.devices
        return body

    def whole(self, live: LiveInstance) -> dict[str, Any]:
        """Return the body of a PUT: the whole live instance with the changes.

        It includes the values that other clients set.
        """
        config = {**live.config, **self.config}
        devices = {**live.devices, **self.devices}
        for name in self.removed_devices:
            devices.pop(name, None)
        return {
            "architecture": live.raw.get("architecture", ""),
            "ephemeral": bool(live.raw.get("ephemeral")),
            "stateful": bool(live.raw.get("stateful")),
            "description": live.description if self.description is None else self.description,
            "profiles": live.profiles if self.profiles is None else self.profiles,
            "config": {key: value for key, value in config.items() if value != ""},
            "devices": devices,
        }

    def brief(self) -> str:
        """Return the same as `summary`, with the keys of the ownership label as one item."""
        others = {k: v for k, v in self.config.items() if not k.startswith(MARK_PREFIX)}
        label = "its ownership label (user.pika.*)" if len(others) < len(self.config) else ""
        listed = replace(self, config=others).summary()
        return ", ".join(text for text in (listed, label) if text)

    def summary(self) -> str:
        """Return a list of what changes, without values, because values may be secret."""
        parts = [f"{'unset' if value == '' else 'set'} {key}" for key, value in self.config.items()]
        parts += [f"set device {name}" for name in self.devices]
        parts += [f"remove device {name}" for name in self.removed_devices]
        if self.profiles is not None:
            parts.append("set profiles")
        if self.description is not None:
            parts.append("set description")
        return ", ".join(parts)


def find_changes(live: LiveInstance, desired: DesiredInstance, previous: LastApplied) -> Changes:
    """Return the smallest set of changes that turns `live` into the desired instance.

    Keys and devices that neither the current nor the previous plan names are left alone.

    Args:
        live: the instance as last fetched.
        desired: the desired instance.
        previous: what the resource set before.
    """
    changes = Changes()
    for key, value in desired.config.items():
        # The keys of the ownership label are written last, on their own; see
        # `update.write_identity`.
        if key not in IDENTITY_KEYS and live.config.get(key, "") != value:
            changes.config[key] = value
    for key in live.config:
        if key in desired.config or key in IDENTITY_KEYS:
            continue
        if key.startswith(MARK_PREFIX) or (key in _PLAN_KEYS and key in previous.config):
            changes.config[key] = ""
        elif key.startswith("image."):
            # Incus also sets these keys from the image. A key that the program drops keeps its
            # value.
            continue
        elif key in previous.config:
            # A key that the program dropped from `config` is unset, unless another client changed
            # it.
            if previous.config[key] == live.config[key]:
                changes.config[key] = ""
            else:
                changes.foreign_values.append(f"config {key}")

    for name, device in desired.devices.items():
        if live.devices.get(name) != device:
            changes.devices[name] = device
    for name, device in live.devices.items():
        if name in desired.devices:
            continue
        if name.startswith(DEVICE_NAME_PREFIX):
            changes.removed_devices.append(name)
        elif name in previous.devices:
            if previous.devices[name] == device:
                changes.removed_devices.append(name)
            else:
                changes.foreign_values.append(f"device {name}")

    others = [
        profile
        for profile in live.profiles
        if profile not in desired.profiles and profile not in previous.profiles
    ]
    # Profiles that other clients added stay, before the program's: the plan's own takes precedence.
    if live.profiles != [*others, *desired.profiles]:
        changes.profiles = [*others, *desired.profiles]
    changes.description = description_to_set(
        live.description, desired.options.description, previous.description, changes.foreign_values
    )
    return changes


def description_to_set(
    live: str, given: str | None, before: str | None, kept: list[str]
) -> str | None:
    """Return the description that an instance or a volume is to get; None if it stays as it is.

    Args:
        live: the current description.
        given: the description in the program; None if the program does not manage it.
        before: the description in the program before. If the program drops it, it is cleared,
            unless another client changed it.
        kept: receives an entry if another client changed it.
    """
    if given is not None:
        return given if live != given else None
    if not before:
        return None
    if live == before:
        return ""
    kept.append("description")
    return None


_PLAN_KEYS = frozenset({"limits.cpu", "limits.memory", "boot.autorestart", "boot.autostart"})
"""The keys that a plan sets by itself; they are unset if the plan no longer has them."""
