"""What has to be done to a live instance to make it the desired one; touches nothing."""

from dataclasses import dataclass, field, replace
from typing import Any

from ...planner.device_names import DEVICE_NAME_PREFIX
from ..shared.ownership import IDENTITY_KEYS, MARK_PREFIX
from .desired import DesiredInstance, Devices
from .live_instance import LiveInstance


@dataclass(frozen=True, slots=True)
class LastApplied:
    """What the resource had set before: the only things that it may take away."""

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
    """The difference, in the server's terms."""

    config: dict[str, str] = field(default_factory=dict)
    """Keys to set; an empty value unsets."""
    devices: Devices = field(default_factory=dict)
    """Devices to add or to replace."""
    removed_devices: list[str] = field(default_factory=list)
    profiles: list[str] | None = None
    description: str | None = None
    kept: list[str] = field(default_factory=list)
    """What is no longer ours to set and was changed by somebody else, so that it stays."""

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
        """Whether anything but the devices changes."""
        return bool(self.config or self.profiles is not None or self.description is not None)

    def patch(self, live: LiveInstance, *, devices: bool) -> dict[str, Any]:
        """The body of a PATCH, with or without the devices; it cannot remove any.

        A PATCH that has no description clears it (Incus 6.0.4), so that it is always there.
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
        """The body of a PUT: the live instance, everything that others set included, changed."""
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
        """The same as `summary`, with the marks of the resource as one item."""
        others = {k: v for k, v in self.config.items() if not k.startswith(MARK_PREFIX)}
        marks = "its marks (user.pika.*)" if len(others) < len(self.config) else ""
        listed = replace(self, config=others).summary()
        return ", ".join(text for text in (listed, marks) if text)

    def summary(self) -> str:
        """A list of what changes, without values, which may be secret."""
        said = [f"{'unset' if value == '' else 'set'} {key}" for key, value in self.config.items()]
        said += [f"device {name}" for name in self.devices]
        said += [f"remove device {name}" for name in self.removed_devices]
        if self.profiles is not None:
            said.append("profiles")
        if self.description is not None:
            said.append("description")
        return ", ".join(said)


def find_changes(live: LiveInstance, desired: DesiredInstance, previous: LastApplied) -> Changes:
    """The smallest set of changes that makes `live` what is desired.

    Keys and devices that neither the plan names now nor named before are left alone.
    """
    changes = Changes()
    for key, value in desired.config.items():
        # Who owns it is written last, by itself; see `update.write_identity`.
        if key not in IDENTITY_KEYS and live.config.get(key, "") != value:
            changes.config[key] = value
    for key in live.config:
        if key in desired.config or key in IDENTITY_KEYS:
            continue
        if key.startswith(MARK_PREFIX) or (key in _PLAN_KEYS and key in previous.config):
            changes.config[key] = ""
        elif key.startswith("image."):
            # Incus sets these too, from the image: one that the program drops stays as it is.
            continue
        elif key in previous.config:
            # A key of `config` that was dropped there: ours to unset, unless somebody changed it.
            if previous.config[key] == live.config[key]:
                changes.config[key] = ""
            else:
                changes.kept.append(f"config {key}")

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
                changes.kept.append(f"device {name}")

    others = [
        profile
        for profile in live.profiles
        if profile not in desired.profiles and profile not in previous.profiles
    ]
    # Profiles that others added stay, before ours: the plan's own has the last word.
    if live.profiles != [*others, *desired.profiles]:
        changes.profiles = [*others, *desired.profiles]
    changes.description = description_to_set(
        live.description, desired.options.description, previous.description, changes.kept
    )
    return changes


def description_to_set(
    live: str, given: str | None, before: str | None, kept: list[str]
) -> str | None:
    """The description that an instance or a volume is to get; None where it stays as it is.

    Args:
        live: the one that it has.
        given: what the program gives; None leaves it to others.
        before: what it gave before. Dropped, that is ours to clear, unless somebody changed it.
        kept: gets a word where somebody did.
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
"""What a plan sets without the user's naming it: unset when the plan no longer has it."""
