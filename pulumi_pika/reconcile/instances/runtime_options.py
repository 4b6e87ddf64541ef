"""Define the options of a runtime beyond its plan, and check them without a server."""

import re
from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import Field, JsonValue, field_validator

from ...choices import InstanceType, WaitFor
from ...message_templates import (
    CONFLICT,
    REQUIRED,
    Message,
    conflict,
    invalid_value,
    must,
    reserved,
)
from ...planner.device_names import DEVICE_NAME_PREFIX
from ...planner.plan import IncusRuntimePlan
from ...planner.spec_models import Part
from ...text_safety import one_line
from ..shared.ownership import MARK_PREFIX
from .cloud_config import USER_DATA_KEY as USER_DATA_KEY
from .cloud_config import CloudInit, find_cloud_init_problems
from .key_options import find_key_problems
from .mount_options import MountOptions, find_mount_option_problems
from .profile_list import find_profile_problems, profile_paths
from .setup_files import SetupFile, find_file_problems

Seconds = Annotated[float, Field(gt=0, le=7 * 24 * 3600, strict=False)]

JOB_KEY: Final = MARK_PREFIX + "job"
"""On a job's instance: the process that supervises the job, or `JOB_KEPT` after its end."""
JOB_KEPT: Final = "kept"

ROOT_DEVICE: Final = "root"
DEPENDENT_KEY: Final = "dependent"
"""The key of a disk device whose volume Incus deletes together with the instance."""

# Incus 6.0 allows `[/.:_a-zA-Z0-9-]{1,63}`; 7.3 forbids the slash and requires alphanumeric ends.
_DEVICE_NAME: Final = re.compile(r"[a-zA-Z0-9]([.:_a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?")
_CONFIG_KEY: Final = re.compile(r"[a-zA-Z0-9_]+([.\-/:][a-zA-Z0-9_.\-/:]+)+")
_TRUE: Final = frozenset({"true", "1", "yes", "on"})
"""The spellings that Incus accepts (shared/util, IsTrue), in lower case."""
_PLAN_KEYS: Final = {
    "limits.cpu": "resources.vcpu_count",
    "limits.memory": "resources.memory_mib",
    "boot.autorestart": "policies.restart_policy",
}
_OTHER_FORMS: Final = {
    "limits.cpu": " (a number of CPUs; for a set of CPUs such as `0-3`, set the key in a profile, "
    "and add the profile to `extra_profiles`)",
    "limits.memory": " (MiB; for a share of the host such as `50%`, set the key in a profile, and "
    "add the profile to `extra_profiles`)",
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
    mount_options: list[MountOptions] = Field(default_factory=list)
    """The options of the mounts that are not part of the plan, in the order of the mounts."""
    running: bool | None = True
    config: dict[str, str] = Field(default_factory=dict)
    devices: dict[str, dict[str, str]] = Field(default_factory=dict)
    extra_profiles: list[str] = Field(default_factory=list)
    profiles: list[str] | None = None
    """All profiles, in order. None: `extra_profiles` and the profile of the plan."""
    cloud_init_user_data: str | None = None
    cloud_init: CloudInit | None = None
    """The user-data and the network-config, in place of `cloud_init_user_data`."""
    target: str | None = None
    """The cluster member, or `@GROUP`, on which the instance is created. None: that of the host."""
    cpu_pinning: str | None = None
    """The CPUs of the host that the instance uses, as `0-3`, in place of a number of CPUs."""
    cpu_allowance: str | None = None
    """The share of CPU time of a container, as `50%` or `25ms/100ms`."""
    memory_percent: Annotated[int, Field(ge=1, le=100)] | None = None
    """The share of the host's memory, in place of a number of MiB."""
    snapshots_schedule: str | None = None
    """When Incus takes a snapshot of the instance."""
    snapshots_expiry: str | None = None
    """After which time Incus deletes these snapshots."""
    snapshots_pattern: str | None = None
    """The names of these snapshots."""
    ephemeral: bool | None = None
    """Whether Incus deletes the instance when it stops. None: not managed."""
    files: list[SetupFile] = Field(default_factory=list)
    """The files that a container gets before its first start."""
    replace_on_user_data: bool = False
    """Whether a change of the user-data or the network-config replaces the instance."""
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

    @field_validator("mount_options", mode="after")
    @classmethod
    def _without_default_end(cls, given: list[MountOptions]) -> list[MountOptions]:
        while given and given[-1] == MountOptions():
            given = given[:-1]
        return given

    def mount_options_of(self, index: int) -> MountOptions:
        """Return the options of the mount of an index."""
        return self.mount_options[index] if index < len(self.mount_options) else MountOptions()

    def pool_of(self, index: int) -> str:
        """Return the pool that the mount of an index names, or an empty string."""
        return self.mount_storage_pools[index] if index < len(self.mount_storage_pools) else ""


OptionProblem = tuple[tuple[str | int, ...], str]
"""A property path, such as ``("config", "limits.cpu")``, and why its value is refused.

The reason is a `Message`, if it has a code.
"""


def find_option_problems(plan: IncusRuntimePlan, options: RuntimeOptions) -> list[OptionProblem]:
    """Return all values that Incus or the plan would refuse, without asking a server."""
    return [
        *_name_problems(plan, options),
        *_limit_problems(plan),
        *_label_problems(plan),
        *_config_problems(plan, options),
        *_device_problems(plan, options),
        *_trigger_problems(options),
        *find_profile_problems(plan, options),
        *find_cloud_init_problems(options),
        *find_file_problems(plan, options),
        *find_key_problems(plan, options),
        *find_mount_option_problems(plan, options),
    ]


def _name_problems(plan: IncusRuntimePlan, options: RuntimeOptions) -> Iterator[OptionProblem]:
    name = plan.identity.instance_name
    # Incus's own rule: shared/validate IsHostname.
    if name.strip() and (
        not re.fullmatch(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?", name) or name.isdigit()
    ):
        yield (
            ("identity", "instance_name"),
            invalid_value(
                name,
                "instance name",
                "use 1-63 letters, digits or hyphens; no leading or trailing hyphen; not digits "
                "only",
            ),
        )
    names: list[tuple[tuple[str | int, ...], str | None]] = [
        (("incus", "project"), plan.incus.project),
        (("storage_pool",), options.storage_pool),
        (("target",), None if options.target is None else options.target.removeprefix("@")),
        *profile_paths(plan, options),
    ]
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
                yield where, must("be non-empty")
        elif value in (".", "..") or "/" in value or not value.isprintable():
            yield where, invalid_value(value, "name", "use no slash and no control character")
    seen = [*options.extra_profiles, plan.incus.profile]
    for i, profile in enumerate(options.extra_profiles):
        if profile in seen[i + 1 :]:
            yield (
                ("extra_profiles", i),
                conflict(
                    f"another entry or `incus.profile`, which is `{profile}` too",
                    "name each profile once; `incus.profile` is applied after `extra_profiles`",
                ),
            )
    for where, text in (
        (("identity", "runtime_id"), plan.identity.runtime_id),
        (("incus", "image_alias"), plan.incus.image_alias),
    ):
        if not text.isprintable():
            yield where, must("not contain control characters")
    if plan.incus.image_alias in (".", ".."):
        yield (
            ("incus", "image_alias"),
            invalid_value(plan.incus.image_alias, "image alias", "use another name"),
        )
    for index, mount in enumerate(plan.mounts):
        if not mount.source.isprintable():
            yield ("mounts", index, "source"), must("not contain control characters")
        elif not mount.source.startswith("/") and any(
            part in ("", ".", "..") for part in mount.source.split("/")
        ):
            yield (
                ("mounts", index, "source"),
                invalid_value(
                    mount.source,
                    "mount source",
                    "use an absolute host path, `VOLUME` or `VOLUME/DIRECTORY`, without `.`, `..` "
                    "and empty components",
                ),
            )
        if not mount.guest_path.isprintable():
            yield ("mounts", index, "guest_path"), must("not contain control characters")
        if mount.guest_path == "/":
            yield (
                ("mounts", index, "guest_path"),
                invalid_value(
                    "/", "guest path", "the root disk is mounted there; use a directory below it"
                ),
            )


def _trigger_problems(options: RuntimeOptions) -> Iterator[OptionProblem]:
    if options.ephemeral and options.running is False:
        yield ("ephemeral",), conflict("`running=False`, since Incus deletes it when it stops")
    if options.restart_triggers is not None and options.running is False:
        yield (
            ("restart_triggers",),
            conflict("`running=False`"),
        )


def _limit_problems(plan: IncusRuntimePlan) -> Iterator[OptionProblem]:
    for field, value in plan.resources:
        if value == 0:
            yield ("resources", field), must("be at least 1; remove it for no limit")


def _label_problems(plan: IncusRuntimePlan) -> Iterator[OptionProblem]:
    for key in plan.labels:
        if not key or not key.isprintable() or key != key.strip():
            yield (
                ("labels", key),
                invalid_value(
                    one_line(key), "label key", "use no control character and no space at an end"
                ),
            )


def _config_problems(plan: IncusRuntimePlan, options: RuntimeOptions) -> Iterator[OptionProblem]:
    for key, value in options.config.items():
        where = ("config", key)
        if field := _PLAN_KEYS.get(key):
            hint = _OTHER_FORMS.get(key, "")
            yield where, reserved("pulumi_pika", f"set `{field}` instead{hint}")
        elif key.startswith(MARK_PREFIX):
            yield (
                where,
                reserved(
                    "pulumi_pika",
                    f"keys below `{MARK_PREFIX}` store the ownership label; use another key",
                ),
            )
        elif key == "boot.autostart" and plan.policies.restart_policy == "always":
            yield where, reserved("pulumi_pika", "`policies.restart_policy` is `always`; remove it")
        elif key == USER_DATA_KEY and options.cloud_init_user_data is not None:
            yield where, conflict("`cloud_init_user_data`, which sets the same key")
        elif re.fullmatch(r"volatile\..+\.hwaddr", key):
            nic = key.removeprefix("volatile.").removesuffix(".hwaddr")
            yield (
                where,
                reserved("Incus", f"to set the hardware address, set `hwaddr` of device `{nic}`"),
            )
        elif key.startswith("volatile."):
            yield where, reserved("Incus", "remove it")
        elif key == "user." or not (_CONFIG_KEY.fullmatch(key) or key.startswith("user.")):
            yield (
                where,
                invalid_value(
                    one_line(key), "config key", "use a key that Incus has, or `user.NAME`"
                ),
            )
        elif not key.isprintable():
            yield where, must("not contain control characters")
        elif value == "":
            yield where, must("be non-empty: for Incus, an empty value is unset; remove the key")


def is_device_name(name: str) -> bool:
    """Return whether a name is valid for a device in all versions of Incus."""
    return _DEVICE_NAME.fullmatch(name) is not None


def _device_problems(plan: IncusRuntimePlan, options: RuntimeOptions) -> Iterator[OptionProblem]:
    taken = {mount.guest_path: f"the mount `{mount.device_name}`" for mount in plan.mounts}
    for name, device in options.devices.items():
        where = ("devices", name)
        if name.startswith(DEVICE_NAME_PREFIX):
            yield (
                where,
                reserved(
                    "pulumi_pika",
                    f"names that begin with `{DEVICE_NAME_PREFIX}` are devices of mounts; choose "
                    "another name",
                ),
            )
        elif name == ROOT_DEVICE and plan.resources.root_disk_gib is not None:
            yield (
                where,
                reserved("pulumi_pika", "`resources.root_disk_gib` is set; remove one of them"),
            )
        elif not is_device_name(name):
            yield (
                where,
                invalid_value(
                    one_line(name),
                    "device name",
                    "use 1-63 letters, digits, `.`, `:`, `_` or `-`, with a letter or digit at "
                    "both ends",
                ),
            )
        if not device.get("type"):
            yield where, Message("has no `type`; set it to nic, disk, proxy, gpu, ...", REQUIRED)
        if device.get("type") == "disk" and device.get(DEPENDENT_KEY, "").lower() in _TRUE:
            yield (
                (*where, DEPENDENT_KEY),
                Message(
                    "makes Incus delete the volume together with the instance, which pulumi_pika "
                    "does only for `mounts` with `delete_data=True`; remove the key, or declare "
                    "the volume as a mount",
                    CONFLICT,
                ),
            )
        path = device.get("path", "")
        if device.get("type") == "disk" and path:
            if other := taken.get(path):
                yield (*where, "path"), conflict(f"{other}, which is mounted at `{path}` too")
            taken.setdefault(path, f"the device `{name}`")
