"""Define the options of a runtime beyond its plan, and check them without a server."""

import re
from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import Field, JsonValue, field_validator

from ...choices import InstanceType, WaitFor
from ...planner.device_names import DEVICE_NAME_PREFIX
from ...planner.plan import IncusRuntimePlan
from ...planner.spec_models import Part
from ..shared.ownership import MARK_PREFIX

Seconds = Annotated[float, Field(gt=0, le=7 * 24 * 3600, strict=False)]

JOB_KEY: Final = MARK_PREFIX + "job"
"""On a job's instance: the process that supervises the job, or `JOB_KEPT` after its end."""
JOB_KEPT: Final = "kept"

ROOT_DEVICE: Final = "root"
USER_DATA_KEY: Final = "cloud-init.user-data"

# Incus 6.0 allows `[/.:_a-zA-Z0-9-]{1,63}`; 7.3 forbids the slash and requires alphanumeric ends.
_DEVICE_NAME: Final = re.compile(r"[a-zA-Z0-9]([.:_a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?")
_CONFIG_KEY: Final = re.compile(r"[a-zA-Z0-9_]+([.\-/:][a-zA-Z0-9_.\-/:]+)+")
_PLAN_KEYS: Final = {
    "limits.cpu": "resources.vcpu_count",
    "limits.memory": "resources.memory_mib",
    "boot.autorestart": "policies.restart_policy",
}
_OTHER_FORMS: Final = {
    "limits.cpu": ' (a number of CPUs; for a set of CPUs, as "0-3", put the key into a profile and '
    "name that in `extra_profiles`)",
    "limits.memory": ' (MiB; for a share of the host, as "50%", put the key into a profile and '
    "name that in `extra_profiles`)",
}
"""The advice for values that a field of the plan cannot express."""


class Timeouts(Part):
    """Set the time limits, in seconds.

    `create`, `update` and `delete` limit one operation of Incus. `wait` limits the wait for
    `wait_for`. `stop` limits the shutdown of a guest before it is killed.
    """

    create: Seconds = 600.0
    """How long Incus may take to create the instance, in seconds. Default: 600."""
    update: Seconds = 600.0
    """How long Incus may take for one change, in seconds. Default: 600."""
    delete: Seconds = 300.0
    """How long Incus may take to delete the instance, in seconds. Default: 300."""
    wait: Seconds = 300.0
    """How long to wait for the state that `wait_for` names, in seconds. Default: 300."""
    stop: Seconds = 30.0
    """How long the guest may take to shut down, in seconds. Default: 30."""


class RuntimeOptions(Part):
    """Hold the arguments of an `IncusRuntime` that are not part of its `RuntimeSpec`."""

    instance_type: InstanceType = "virtual-machine"
    storage_pool: str | None = None
    mount_storage_pools: list[str] = Field(default_factory=list)
    """The storage pools of the mounts' custom volumes, in the order of the mounts.

    If an entry is empty or missing, the pool is `storage_pool`, or the pool of the profile's root
    disk.
    """
    running: bool | None = True
    config: dict[str, str] = Field(default_factory=dict)
    devices: dict[str, dict[str, str]] = Field(default_factory=dict)
    extra_profiles: list[str] = Field(default_factory=list)
    cloud_init_user_data: str | None = None
    description: str | None = None
    wait_for: WaitFor = "running"
    timeouts: Timeouts = Timeouts()
    allow_restart: bool = True
    adopt: bool = False
    delete_data: bool = False
    restart_triggers: JsonValue = None
    access_interface: str | None = None
    owner: str = ""
    """The URN of the resource."""
    backend: str = ""
    """The digest of the Pulumi backend of the resource's stack."""

    @field_validator("mount_storage_pools", mode="after")
    @classmethod
    def _without_empty_end(cls, pools: list[str]) -> list[str]:
        # Trailing empty entries have no effect, so lists with and without them are equal.
        while pools and not pools[-1]:
            pools = pools[:-1]
        return pools

    def pool_of(self, index: int) -> str:
        """Return the pool that the mount of an index names, or an empty string."""
        return self.mount_storage_pools[index] if index < len(self.mount_storage_pools) else ""


OptionProblem = tuple[tuple[str | int, ...], str]
"""A property path, such as ``("config", "limits.cpu")``, and why its value is refused."""


def find_option_problems(plan: IncusRuntimePlan, options: RuntimeOptions) -> list[OptionProblem]:
    """Return all values that Incus or the plan would refuse, without asking a server."""
    return [
        *_name_problems(plan, options),
        *_limit_problems(plan),
        *_label_problems(plan),
        *_config_problems(plan, options),
        *_device_problems(plan, options),
        *_recover_problems(options),
    ]


def _name_problems(plan: IncusRuntimePlan, options: RuntimeOptions) -> Iterator[OptionProblem]:
    name = plan.identity.instance_name
    # Incus's own rule: shared/validate IsHostname.
    if name.strip() and (
        not re.fullmatch(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?", name) or name.isdigit()
    ):
        yield (
            ("identity", "instance_name"),
            f"`{name}` is no instance name: Incus wants 1 to 63 letters, digits and hyphens, "
            "no hyphen at either end, and not a number",
        )
    names: list[tuple[tuple[str | int, ...], str | None]] = [
        (("incus", "project"), plan.incus.project),
        (("incus", "profile"), plan.incus.profile),
        (("storage_pool",), options.storage_pool),
    ]
    names += [(("extra_profiles", i), name) for i, name in enumerate(options.extra_profiles)]
    names += [
        (("mount_storage_pools", i), name)
        for i, name in enumerate(options.mount_storage_pools)
        if name
    ]
    for where, value in names:
        if value is None:
            continue
        if not value.strip():
            if where[0] != "incus":  # The planner has already reported it.
                yield where, "must be non-empty"
        elif value in (".", "..") or "/" in value or not value.isprintable():
            yield where, f"`{value}` is no name that Incus allows: no slash, no control character"
    seen = [*options.extra_profiles, plan.incus.profile]
    for i, profile in enumerate(options.extra_profiles):
        if profile in seen[i + 1 :]:
            yield (
                ("extra_profiles", i),
                f"names the profile {profile} twice, which Incus refuses: incus.profile is applied "
                "after the extra_profiles; leave it out here",
            )
    for where, text in (
        (("identity", "runtime_id"), plan.identity.runtime_id),
        (("incus", "image_alias"), plan.incus.image_alias),
    ):
        if not text.isprintable():
            yield where, "must not contain control characters"
    if plan.incus.image_alias in (".", ".."):
        yield ("incus", "image_alias"), "is no name of an image"
    for index, mount in enumerate(plan.mounts):
        if not mount.source.isprintable():
            yield ("mounts", index, "source"), "must not contain control characters"
        elif not mount.source.startswith("/") and any(
            part in ("", ".", "..") for part in mount.source.split("/")
        ):
            yield (
                ("mounts", index, "source"),
                f"`{mount.source}` names no directory of a volume for certain: `VOLUME` or "
                "`VOLUME/DIRECTORY`, without `.`, `..` and empty parts",
            )
        if not mount.guest_path.isprintable():
            yield ("mounts", index, "guest_path"), "must not contain control characters"
        if mount.guest_path == "/":
            yield (
                ("mounts", index, "guest_path"),
                "is the root of the guest, which is the root disk's; mount below it",
            )


def _recover_problems(options: RuntimeOptions) -> Iterator[OptionProblem]:
    if options.restart_triggers is not None and options.running is False:
        yield (
            ("restart_triggers",),
            "starts the instance, and `running` is false; drop one of the two",
        )


def _limit_problems(plan: IncusRuntimePlan) -> Iterator[OptionProblem]:
    for field, value in plan.resources:
        if value == 0:
            yield ("resources", field), "must be at least 1; leave it out for no limit"


def _label_problems(plan: IncusRuntimePlan) -> Iterator[OptionProblem]:
    for key in plan.labels:
        if not key or not key.isprintable() or key != key.strip():
            yield (
                ("labels", key),
                f"key {key!r} cannot be part of a config key: printable, no outer blanks",
            )


def _config_problems(plan: IncusRuntimePlan, options: RuntimeOptions) -> Iterator[OptionProblem]:
    for key, value in options.config.items():
        where = ("config", key)
        if field := _PLAN_KEYS.get(key):
            hint = _OTHER_FORMS.get(key, "")
            yield where, f"is the plan's: set `{field}` instead{hint}"
        elif key.startswith(MARK_PREFIX):
            yield where, f"is the plan's: keys below `{MARK_PREFIX}` mark whose an instance is"
        elif key == "boot.autostart" and plan.policies.restart_policy == "always":
            yield where, "is the plan's, since `policies.restart_policy` is always"
        elif key == USER_DATA_KEY and options.cloud_init_user_data is not None:
            yield where, "is given by `cloud_init_user_data` already"
        elif re.fullmatch(r"volatile\..+\.hwaddr", key):
            nic = key.removeprefix("volatile.").removesuffix(".hwaddr")
            yield (
                where,
                "is kept by Incus itself and not to be set; to choose the hardware address, set "
                f"`hwaddr` of the nic `{nic}` in `devices`",
            )
        elif key.startswith("volatile."):
            yield where, "is kept by Incus itself and not to be set"
        elif key == "user." or not (_CONFIG_KEY.fullmatch(key) or key.startswith("user.")):
            yield where, f"{key!r} is no config key"
        elif not key.isprintable():
            yield where, "must not contain control characters"
        elif value == "":
            yield where, "is empty, which Incus takes as unset; leave the key out"


def is_device_name(name: str) -> bool:
    """Return whether a name is valid for a device in all versions of Incus."""
    return _DEVICE_NAME.fullmatch(name) is not None


def _device_problems(plan: IncusRuntimePlan, options: RuntimeOptions) -> Iterator[OptionProblem]:
    taken = {mount.guest_path: f"the mount `{mount.device_name}`" for mount in plan.mounts}
    for name, device in options.devices.items():
        where = ("devices", name)
        if name.startswith(DEVICE_NAME_PREFIX):
            yield where, f"names that begin with `{DEVICE_NAME_PREFIX}` are the plan's"
        elif name == ROOT_DEVICE and plan.resources.root_disk_gib is not None:
            yield where, "is the plan's, since `resources.root_disk_gib` is set"
        elif not is_device_name(name):
            yield (
                where,
                f"{name!r} is no device name: 1 to 63 letters, digits, `.`, `:`, `_` and `-`, "
                "a letter or digit at both ends",
            )
        if not device.get("type"):
            yield where, "has no `type` (nic, disk, proxy, gpu, ...)"
        path = device.get("path", "")
        if device.get("type") == "disk" and path:
            if other := taken.get(path):
                yield (*where, "path"), f"`{path}` is where {other} is mounted"
            taken.setdefault(path, f"the device `{name}`")
