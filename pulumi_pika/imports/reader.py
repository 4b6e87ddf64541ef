"""Read an existing instance into the arguments of the `IncusRuntime` that adopts it.

An adoption leaves everything alone that the program does not name, with two exceptions. It removes
devices with the plan's prefix, and settings of a mount's device that a mount cannot express. An
instance with such a device is not read, so that an adoption never removes anything.
"""

import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ..message_templates import other_owner
from ..planner.device_names import DEVICE_NAME_PREFIX, device_name
from ..planner.flat_arguments import DEFAULT_PROFILE, FLAT_ARGUMENTS
from ..planner.plan import IncusRuntimePlan
from ..planner.spec import RuntimeSpec
from ..planner.spec_errors import RuntimeSpecError
from ..planner.spec_models import (
    DEFAULT_LIFECYCLE_ROOT,
    DEFAULT_POLICIES,
    LifecyclePaths,
    RuntimeResources,
)
from ..reconcile.instances.changes import (
    Changes,
    LastApplied,
    find_changes,
)
from ..reconcile.instances.desired import (
    LABEL_PREFIX,
    LIFECYCLE_ROOT_KEY,
    Device,
    Devices,
    assemble,
    is_host_path,
)
from ..reconcile.instances.key_options import is_cpu_set
from ..reconcile.instances.live_instance import (
    LiveInstance,
    mebibytes,
    root_device_name,
)
from ..reconcile.instances.placement import is_root
from ..reconcile.instances.profile_list import NO_PROFILE
from ..reconcile.instances.runtime_options import (
    JOB_KEY,
    ROOT_DEVICE,
    USER_DATA_KEY,
    RuntimeOptions,
    find_option_problems,
)
from ..reconcile.shared.ownership import (
    GENERATION_KEY,
    MARK_PREFIX,
    OWNER_KEY,
    RUNTIME_ID_KEY,
)
from .device_kinds import kind_of
from .secret_detection import (
    Secret,
    looks_secret,
    text_looks_secret,
)

_NO_PROFILES: Final[tuple[str, list[str]]] = ("profiles", [])
"""The argument of an instance without profiles. An empty list is a value there."""
_TRUE: Final = ("true", "1", "yes", "on")
_OWN_KEYS: Final = ("limits.cpu", "limits.memory", "boot.autorestart", USER_DATA_KEY)
"""The keys that other arguments than `config` cover."""
_INCUS_KEYS: Final = ("volatile.", MARK_PREFIX)
_IMAGE_KEYS: Final = "image."
_TELLING: Final = 6
"""The minimum length, in characters, of a secret that is searched for in other values.

Shorter ones occur by chance.
"""
_UNMANAGED: Final = "the program does not manage it, and `pulumi up` does not change it"


_DEFAULTS: Final = {
    "profile": DEFAULT_PROFILE,
    "instance_type": RuntimeOptions.model_fields["instance_type"].default,
    "running": RuntimeOptions.model_fields["running"].default,
}
"""Arguments that are not written if they have the default."""


@dataclass(frozen=True, slots=True)
class HostView:
    """Hold what else of a host is needed to read its instances.

    Attributes:
        aliases: the image aliases: the fingerprint for each instance type.
        images: the fingerprints of the existing images.
        image_properties: the properties of each image, by its fingerprint.
        profile_devices: the devices of each profile.
        missing_paths: those host paths of devices that are known not to exist.
        autorestart: whether the server knows `boot.autorestart`.
    """

    aliases: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    images: frozenset[str] = frozenset()
    image_properties: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    profile_devices: Mapping[str, Devices] = field(default_factory=dict)
    missing_paths: frozenset[str] = frozenset()
    autorestart: bool = True


@dataclass(slots=True)
class Imported:
    """Hold an instance as arguments, or why it cannot be declared.

    Attributes:
        name: the name of the instance.
        arguments: the arguments, in the order of `IncusRuntime`'s; `Secret` stands for values that
            are to come from the stack's secret configuration.
        notes: what the program does not declare, or what an adoption changes.
        skip_reasons: why the instance is skipped; empty if it is not.
        owned_by_pulumi: whether it is skipped because another resource owns it.
    """

    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    skip_reasons: list[str] = field(default_factory=list)
    owned_by_pulumi: bool = False


def read_instance(live: LiveInstance, host: HostView) -> Imported:
    """Return the arguments of an instance.

    Args:
        live: the instance.
        host: what else of its host is needed.
    """
    found = Imported(live.name)
    if reason := _owned_reason(live):
        found.skip_reasons, found.owned_by_pulumi = [reason], True
        return found
    if live.status == "Error":
        found.skip_reasons.append(
            "Incus reports the status Error: the server of the instance does not reply"
        )
        return found
    reading = _Reading(live, host, found)
    reading.read()
    if found.skip_reasons:
        found.arguments = {}
    return found


def _owned_reason(live: LiveInstance) -> str:
    """Return why the owner of an instance prevents its adoption; empty if it has none."""
    if owner := live.config.get(OWNER_KEY):
        command = shlex.join(
            ["incus", "config", "unset", "--project", live.project, live.name, OWNER_KEY]
        )
        return other_owner(
            "the instance",
            f"the Pulumi resource {owner}",
            f"if no stack has that resource any more, release the instance: `{command}`",
        )
    if live.config.get(JOB_KEY):
        return "the instance belongs to a job"
    return ""


class _Reading:
    """Read one instance."""

    def __init__(self, live: LiveInstance, host: HostView, found: Imported) -> None:
        self._live = live
        self._host = host
        self._found = found
        self._pool = ""
        """The pool of the volumes, and of a root disk with a size of its own."""
        self._root: str | None = root_device_name(live.devices)
        self._beside: dict[str, Any] = {}
        """The options beside the plan that stand for a limit."""

    def read(self) -> None:
        """Read everything."""
        live = self._live
        profiles = live.profiles
        mounts = self._mounts()
        resources = self._resources()
        arguments: dict[str, Any] = {
            "identity": {
                "runtime_id": live.config.get(RUNTIME_ID_KEY) or live.name,
                "instance_name": live.name,
            },
            "incus": {
                "project": live.project,
                **({"profile": profiles[-1]} if profiles else {}),
                "image_alias": self._alias(),
            },
            "resources": resources,
            "mounts": mounts,
            **self._lifecycle(),
            "policies": self._policies(),
            "labels": {
                key.removeprefix(LABEL_PREFIX): value
                for key, value in sorted(live.config.items())
                if key.startswith(LABEL_PREFIX)
            },
            "instance_type": live.instance_type,
            "storage_pool": self._storage_pool(),
            "running": self._running(),
            "config": self._config(),
            "devices": self._devices("root_disk_gib" in resources),
            "extra_profiles": profiles[:-1],
            "profiles": None if profiles else [],
            "cloud_init_user_data": live.config.get(USER_DATA_KEY),
            "description": live.description,
            **self._beside,
            "ephemeral": (live.ephemeral and live.alive) or None,
        }
        given = {
            name: value
            for name, value in arguments.items()
            if value not in (None, "", {}, []) or name == "running" or (name, value) == _NO_PROFILES
        }
        if not self._found.skip_reasons:
            self._examine(given)
        self._found.arguments = _short_form({**self._without_secrets(given), "adopt": True})

    def _note(self, text: str) -> None:
        self._found.notes.append(text)

    def _skip(self, text: str) -> None:
        self._found.skip_reasons.append(text)

    def _command(self, *words: str) -> str:
        return shlex.join(["incus", *words, "--project", self._live.project])

    def _alias(self) -> str:
        """Return an alias of the image that the instance was created from, or its fingerprint."""
        fingerprint, kind = self._live.fingerprint, self._live.instance_type
        if not fingerprint:
            self._skip(
                "the instance was created without an image, or its image is unknown; a runtime "
                "needs one"
            )
            return ""
        names = sorted(
            name for name, of in self._host.aliases.items() if of.get(kind) == fingerprint
        )
        if names:
            return names[0]
        if fingerprint in self._host.images:
            return fingerprint
        self._skip(
            f"its image {fingerprint[:12]} does not exist on the host any more; an adoption "
            "needs the image"
        )
        return ""

    def _mounts(self) -> list[dict[str, Any]]:
        """Return the mounts of the devices with the plan's prefix, by guest path."""
        mounts, pools = [], set()
        for name, device in sorted(self._live.devices.items()):
            if not name.startswith(DEVICE_NAME_PREFIX):
                continue
            mount, reason = _mount_of(name, device)
            source = device.get("source", "")
            if not reason and source in self._host.missing_paths:
                self._skip(
                    f"{source}, the source of device {name}, does not exist on the host, so that "
                    "an adoption would skip the mount; create it first"
                )
            if reason:
                self._skip(
                    f"device {name} is not a valid mount: {reason}. pulumi_pika manages all names "
                    f"that begin with `{DEVICE_NAME_PREFIX}`, and an adoption would remove the "
                    "device. Give it another name first "
                    f"(`{self._command('config', 'edit', self._live.name)}`)"
                )
                continue
            mounts.append(mount)
            if not is_host_path(source):
                pools.add(device.get("pool", ""))
        if len(pools) > 1:
            self._skip(
                f"the volumes of its mounts are in several pools ({', '.join(sorted(pools))}); the "
                "program that this command writes can have one pool only"
            )
        self._pool = min(pools, default="")
        return sorted(mounts, key=lambda mount: (mount["guest_path"], mount["kind"]))

    def _resources(self) -> dict[str, int]:
        config = self._live.config
        resources: dict[str, int] = {}
        cpu, memory = config.get("limits.cpu", ""), config.get("limits.memory", "")
        whole = int(cpu) if cpu.isascii() and cpu.isdigit() and len(cpu) < 4 else 0
        for name, key, value, unit in (
            ("vcpu_count", "limits.cpu", whole, "CPUs"),
            ("memory_mib", "limits.memory", mebibytes(memory), "MiB"),
        ):
            if key not in config:
                continue
            if _fits(name, value):
                resources[name] = int(value)
            elif key == "limits.cpu" and is_cpu_set(cpu):
                self._beside["cpu_pinning"] = cpu
            elif key == "limits.memory" and re.fullmatch(r"[1-9]\d?%|100%", memory, re.ASCII):
                self._beside["memory_percent"] = int(memory[:-1])
            else:
                self._note(f"{key} is {config[key]}, which is not a number of {unit}: {_UNMANAGED}")
        if (size := self._root_size()) is not None:
            resources["root_disk_gib"] = size
        return resources

    def _root_size(self) -> int | None:
        """Return the size of its own root disk in GiB, if the plan can express all of that disk."""
        if self._root is None:
            return None
        device = self._live.devices[self._root]
        pool, size = device.get("pool", ""), mebibytes(device.get("size", ""))
        if set(device) != {"type", "path", "pool", "size"} or self._pool not in ("", pool):
            return None
        if not isinstance(size, int) or size % 1024 or not _fits("root_disk_gib", size // 1024):
            return None
        self._pool = pool
        return size // 1024

    def _storage_pool(self) -> str | None:
        """Return the pool, if the profiles do not already give the same."""
        devices: Devices = {}
        for profile in self._live.profiles:
            devices.update(self._host.profile_devices.get(profile, {}))
        root = root_device_name(devices)
        by_profiles = devices[root].get("pool", "") if root else ""
        return self._pool if self._pool not in ("", by_profiles) else None

    def _lifecycle(self) -> dict[str, Any]:
        """Return the lifecycle root and the paths below it.

        They are needed only if the instance's config has another root than the default.
        """
        root = self._live.config.get(LIFECYCLE_ROOT_KEY, DEFAULT_LIFECYCLE_ROOT)
        if root == DEFAULT_LIFECYCLE_ROOT:
            return {}
        paths = {
            name: root + path.removeprefix(DEFAULT_LIFECYCLE_ROOT)
            for name, path in LifecyclePaths().model_dump().items()
        }
        return {"lifecycle_root": root, "paths": paths}

    def _policies(self) -> dict[str, str]:
        # A profile's restart settings must be repeated, because the plan's policy is written to the
        # instance.
        expanded = {**(self._live.raw.get("expanded_config") or {}), **self._live.config}
        if not self._host.autorestart or expanded.get("boot.autorestart") not in _TRUE:
            return {}
        return {
            "restart_policy": "always" if self._at_boot else "on_failure",
            "retention_policy": DEFAULT_POLICIES.retention_policy,
        }

    @property
    def _at_boot(self) -> bool:
        return self._live.config.get("boot.autostart") in _TRUE

    def _running(self) -> bool | None:
        if self._live.status == "Frozen":
            self._note("the instance is frozen; the program does not manage whether it runs")
            return None
        return self._live.running

    def _config(self) -> dict[str, str]:
        always = self._policies().get("restart_policy") == "always"
        return {
            key: value
            for key, value in sorted(self._live.config.items())
            if key not in _OWN_KEYS
            and not key.startswith(_INCUS_KEYS)
            and not self._is_of_image(key, value)
            and not (always and key == "boot.autostart")
        }

    def _is_of_image(self, key: str, value: str) -> bool:
        """Return whether the image sets a key's value, or a deleted image may have set it."""
        if not key.startswith(_IMAGE_KEYS):
            return False
        properties = self._host.image_properties.get(self._live.fingerprint)
        return properties is None or properties.get(key.removeprefix(_IMAGE_KEYS)) == value

    def _devices(self, own_root: bool) -> Devices:
        return {
            name: dict(sorted(device.items()))
            for name, device in sorted(self._live.devices.items())
            if not name.startswith(DEVICE_NAME_PREFIX) and not (own_root and name == self._root)
        }

    def _examine(self, given: dict[str, Any]) -> None:
        """Validate the arguments as `pulumi up` does.

        Config keys, devices and labels that the program cannot express are dropped.
        """
        spec_fields = {k: v for k, v in given.items() if k in RuntimeSpec.model_fields}
        spec_fields["incus"] = {"profile": NO_PROFILE, **given["incus"]}
        try:
            plan = RuntimeSpec.model_validate(
                {"provider": "incus", **spec_fields}
            ).build_incus_plan()
        except RuntimeSpecError as error:
            for problem in error.problems:
                self._skip(f"{problem.location}: {problem}")
            return
        options = {k: v for k, v in given.items() if k in RuntimeOptions.model_fields}
        for path, reason in find_option_problems(plan, RuntimeOptions.model_validate(options)):
            self._put_aside(given, path, reason)
        if self._found.skip_reasons:
            return
        labels = given.get("labels", {})
        plan = plan.model_copy(update={"labels": labels})
        options = {k: v for k, v in given.items() if k in RuntimeOptions.model_fields}
        self._foresee(plan, RuntimeOptions.model_validate(options))

    def _put_aside(self, given: dict[str, Any], path: tuple[str | int, ...], reason: str) -> None:
        where, name = str(path[0]), path[1] if len(path) > 1 else ""
        if where in ("config", "devices") and name in given.get(where, {}):
            del given[where][name]
            self._note(f"{where[:6]} {name} cannot be declared ({reason}): {_UNMANAGED}")
        elif where == "labels" and name in given.get(where, {}):
            del given[where][name]
            self._note(f"the label {name!r} cannot be declared ({reason}): `pulumi up` removes it")
        elif where not in ("config", "devices", "labels"):
            self._skip(f"{'.'.join(map(str, path))}: {reason}")
        if where in given and not given[where]:
            del given[where]

    def _foresee(self, plan: IncusRuntimePlan, options: RuntimeOptions) -> None:
        """Note what an adoption changes, apart from the ownership label and spellings."""
        desired = assemble(
            plan,
            options,
            pool=self._pool or None,
            root_name=self._root or ROOT_DEVICE,
            left_out=(),
            autorestart=self._host.autorestart,
        )
        changes = find_changes(self._live, desired, LastApplied())
        for name, device in sorted(changes.devices.items()):
            before = self._live.devices.get(name, {})
            if is_root(device):
                continue
            lost = {
                key: value
                for key, value in _one_spelling(before).items()
                if device.get(key) != value
            }
            gained = {
                key: value for key, value in _one_spelling(device).items() if key not in before
            }
            if lost:
                self._skip(
                    f"device {name} has settings that a mount cannot have ({_pairs(lost)}), and an "
                    "adoption would remove them. First give the device a name that does not begin "
                    f"with `{DEVICE_NAME_PREFIX}` "
                    f"(`{self._command('config', 'edit', self._live.name)}`)"
                )
            elif gained:
                self._note(f"`pulumi up` sets {_pairs(gained)} in the device {name}")
        for key in _dropped_labels(changes):
            self._note(f"`pulumi up` removes the key {key}")

    def _without_secrets(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments with `Secret` in place of secrets.

        A value counts as secret if it looks like one, or contains a value that does.
        """
        name, config = self._live.name, given.get("config", {})
        data = given.get("cloud_init_user_data", "")
        values = [value for key, value in config.items() if looks_secret(key, value)]
        values = [value for value in values if len(value) >= _TELLING]

        def repeats(value: str) -> bool:
            return any(secret in value for secret in values)

        def hidden(key: str, value: str) -> bool:
            return looks_secret(key, value) or repeats(value)

        clean = dict(given)
        if config:
            clean["config"] = {
                key: Secret(name, key) if hidden(key, value) else value
                for key, value in config.items()
            }
        if data and hidden(USER_DATA_KEY, data):
            clean["cloud_init_user_data"] = Secret(name, USER_DATA_KEY)
        if "labels" in given:
            clean["labels"] = {
                key: Secret(name, LABEL_PREFIX + key) if hidden(f"user.{key}", value) else value
                for key, value in given["labels"].items()
            }
        if "devices" in given:
            clean["devices"] = {
                device: {
                    key: Secret(name, key, device) if hidden(key, value) else value
                    for key, value in properties.items()
                }
                for device, properties in given["devices"].items()
            }
        description = given.get("description", "")
        if text_looks_secret(description) or repeats(description):
            clean["description"] = Secret(name, "description")
        return clean


def _short_form(given: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments with flat arguments in place of parts, and without defaults.

    The resource gets the name of the instance, so that the instance's name, and a runtime id that
    is the same, are defaults. The project is always given: its default depends on the host.
    """
    name = given["identity"]["instance_name"]
    flat: dict[str, Any] = {}
    for argument, (part, key) in FLAT_ARGUMENTS.items():
        value = given.get(part, {}).get(key)
        if value is not None and not (part == "identity" and value == name):
            flat[argument] = value
    parts = {part for part, _ in FLAT_ARGUMENTS.values()}
    short = {**flat, **{key: value for key, value in given.items() if key not in parts}}
    return {
        key: value
        for key, value in short.items()
        if key not in _DEFAULTS or _DEFAULTS[key] != value
    }


def _mount_of(name: str, device: Device) -> tuple[dict[str, Any], str]:
    """Return the mount of a device, or why the device is not a mount."""
    kind = kind_of(name)
    source, path = device.get("source", ""), device.get("path", "")
    if kind is None:
        return {}, "the label in its name is not that of any kind of mount"
    if device.get("type") != "disk" or not source or not path:
        return {}, "it is not a disk with a source and a path"
    if is_host_path(source) == ("pool" in device):
        return {}, f"its source {source} is neither a host path nor a volume of a pool"
    planned = device_name(kind, source, path)
    if planned != name:
        return {}, f"the device of its mount ({kind}, {source}, {path}) would be named {planned}"
    mode = "read_only" if device.get("readonly") in _TRUE else "read_write"
    return {"kind": kind, "source": source, "guest_path": path, "mode": mode}, ""


def _one_spelling(device: Device) -> Device:
    """Return a mount's device in one spelling, so that equal devices compare as equal."""
    spelled = dict(device)
    if spelled.pop("readonly", "") in _TRUE:
        spelled["readonly"] = "true"
    if spelled.get("required") in _TRUE:
        del spelled["required"]  # It is the default.
    return spelled


def _fits(name: str, value: int | str) -> bool:
    bounds = {"vcpu_count": 2**8, "memory_mib": 2**32, "root_disk_gib": 2**32}
    assert bounds.keys() == RuntimeResources.model_fields.keys()
    return isinstance(value, int) and 0 < value < bounds[name]


def _dropped_labels(changes: Changes) -> Iterator[str]:
    for key, value in sorted(changes.config.items()):
        if value == "" and key != GENERATION_KEY and not key.startswith(LABEL_PREFIX):
            yield key


def _pairs(device: Device) -> str:
    return ", ".join(
        f"{key}={'[secret]' if looks_secret(key, value) else value}"
        for key, value in sorted(device.items())
    )
