"""The arguments of the resources as typed dicts: any value may be an `Output`.

The pydantic models of `pulumi_pika.planner` are accepted in their place if all values are known.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import pulumi

from ..choices import (
    FileEncoding,
    InstanceType,
    MountKind,
    MountMode,
    OutputMode,
    Propagation,
    RestartPolicy,
    RetentionPolicy,
    WaitFor,
)
from .cloud_init_types import CloudInitArgs

if TYPE_CHECKING:
    from ..planner import spec_models
    from ..planner.spec import RuntimeMount
    from ..reconcile.instances.runtime_options import Timeouts
    from .volume import PersistentVolume

Tree = Any
"""Any JSON value, with `Output`s anywhere in it."""


class IdentityArgs(TypedDict, total=False):
    """The identity of a runtime. A job is run again if one of these changes."""

    runtime_id: pulumi.Input[str]
    """An id of your choice that says which runtime data belongs to: volumes that are created for
    the runtime are labelled with it, and the next runtime with the same id finds them again. It is
    not the name of the instance, which may change. Default: the name of the Pulumi resource.
    Change: in place."""
    instance_name: pulumi.Input[str]
    """The name of the instance in Incus: 1 to 63 letters, digits and hyphens, no hyphen at either
    end, not digits only. Default: the name of the Pulumi resource, without any suffix; if that is
    not a valid instance name, this argument is required. Change: replaces the instance."""


class IncusTargetArgs(TypedDict):
    """What an instance is created from, and in which project. A job is run again if it changes."""

    project: NotRequired[pulumi.Input[str]]
    """The Incus project. Default: the `project` of the `IncusHost`, of the stack configuration
    (`pika:project`) or of the environment, else `default`. The default is used at creation only.
    Change: replaces the instance."""
    profile: NotRequired[pulumi.Input[str]]
    """The profile that is applied after `extra_profiles`, and so takes precedence over them.
    Default: `default`. Change: in place; a virtual machine may restart."""
    image_alias: pulumi.Input[str]
    """An alias of an image that the Incus server has (`incus image list`), or its fingerprint. An
    `IncusImage` brings an image of an image server there. Change: replaces the instance, except if
    the new alias points to the image that the instance was created from. If the alias itself is
    moved to another image, nothing changes."""


class ResourcesArgs(TypedDict, total=False):
    """Limits of an instance. A job is run again if one of them changes."""

    vcpu_count: pulumi.Input[int]
    """The number of virtual CPUs, 1 to 255. Default: the limit of the profiles; 2 for a job.
    Change: in place; a virtual machine may restart."""
    memory_mib: pulumi.Input[int]
    """The memory in MiB, at least 1. Default: the limit of the profiles; 4096 for a job. Change:
    in place; a virtual machine may restart."""
    root_disk_gib: pulumi.Input[int]
    """The size of the root disk in GiB, at least 1. Default: the size in the profiles or of the
    storage pool. Change: in place; some storage pools refuse a smaller size, and Incus may defer
    it to the next start."""


class MountArgs(TypedDict):
    """One directory of the guest, and where its contents are.

    `PersistentVolume.mount` returns one for a volume of the program.
    """

    kind: pulumi.Input[MountKind]
    """What the mount is for: `persistent_volume` (a missing volume is created; the data stays when
    the instance is deleted), `read_only_snapshot` (must exist), `artifact_output` or `cache`. It is
    part of the name of the Incus device. Change: the device is replaced; a virtual machine may
    restart."""
    guest_path: pulumi.Input[str]
    """The absolute path in the guest, not `/`; each mount needs another one. Change: the device is
    replaced; a virtual machine may restart."""
    source: "pulumi.Input[str] | PersistentVolume"
    """An absolute path on the host, the name of a custom volume (`VOLUME` or `VOLUME/DIRECTORY`),
    or a `PersistentVolume`, whose name and storage pool are then used. Change: the device is
    replaced; a virtual machine may restart. The data of the old source stays."""
    mode: pulumi.Input[MountMode]
    """`read_only` or `read_write`. Change: the device is updated; a virtual machine may restart."""
    required: NotRequired[pulumi.Input[bool]]
    """Whether a missing source is an error. If False, the mount is skipped with a warning.
    A missing `persistent_volume` is created, and a missing `read_only_snapshot` is always an
    error. Default: False. Change: in place."""
    storage_pool: NotRequired[pulumi.Input[str]]
    """The storage pool of the volume. Default: the argument `storage_pool`, else the pool of the
    root disk in the profiles. Change: in place; the volume in that pool is mounted, or created
    empty, and the present one stays."""
    shift: NotRequired[pulumi.Input[bool]]
    """Whether a container sees the owners of the host's files as its own users, by an overlay that
    shifts the ids; for a path of the host. For a volume, set its config key `security.shifted`.
    Default: False. Change: the device is replaced."""
    recursive: NotRequired[pulumi.Input[bool]]
    """Whether file systems that are mounted below a path of the host are visible, too. Not for a
    read-only mount. Default: False. Change: the device is replaced."""
    propagation: NotRequired[pulumi.Input[Propagation]]
    """How mounts below a path of the host are shared with the guest: `private`, `shared`, `slave`,
    `unbindable`, `rprivate`, `rshared`, `rslave` or `runbindable`. Default: private. Change: the
    device is replaced."""


class GuestFileArgs(TypedDict):
    """A file that is written into a container. One of `content` and `source` is required."""

    path: pulumi.Input[str]
    """The absolute path in the guest, not below `/dev`, `/proc`, `/run`, `/sys` or a mount. Missing
    directories are created for root, with mode 0755. An existing file is overwritten. Change: in
    place; the file at the new path is written, and the old one stays."""
    content: NotRequired[pulumi.Input[str]]
    """The content, at most 64 MiB. Default: that of `source`. Change: in place; the file is written
    again."""
    source: NotRequired[pulumi.Input[str]]
    """A file on the machine that runs Pulumi, at most 64 MiB; a relative path is below the
    program's directory. Default: none; `content` is used. Change: in place; the file is written
    again if its content differs."""
    encoding: NotRequired[pulumi.Input[FileEncoding]]
    """How `content` is given: `text`, or `base64` for any bytes. Default: `text`. Change: in
    place."""
    mode: NotRequired[pulumi.Input[str]]
    """The file mode in octal digits. Default: `0644`. Change: in place; the file is written
    again."""
    uid: NotRequired[pulumi.Input[int]]
    """The numeric user id of the owner in the guest. Default: 0. Change: in place; the file is
    written again."""
    gid: NotRequired[pulumi.Input[int]]
    """The numeric group id of the owner in the guest. Default: 0. Change: in place; the file is
    written again."""


class LifecyclePathsArgs(TypedDict, total=False):
    """Files and directories in the guest through which host and guest exchange information.

    All are absolute and below `lifecycle_root`. The defaults are for the default
    `lifecycle_root`; with another one, give all of them.
    """

    state_dir: pulumi.Input[str]
    """The directory itself; it must be the same as `lifecycle_root`. Default: `/run/pika-cloud`.
    Change: in place."""
    events_path: pulumi.Input[str]
    """The file to which the guest appends events, one JSON object per line. Default:
    `/run/pika-cloud/events.jsonl`. Change: in place."""
    status_path: pulumi.Input[str]
    """The file to which the guest writes its status, which the output `guest_status` shows.
    Default: `/run/pika-cloud/status.json`. Change: in place."""
    result_path: pulumi.Input[str]
    """The file to which a job writes its result. Default: `/run/pika-cloud/result.json`. Change:
    in place."""
    guest_request_path: pulumi.Input[str]
    """The file in which a job finds its request. Default: `/run/pika-cloud/guest-request.json`.
    Change: in place."""
    logs_dir: pulumi.Input[str]
    """The directory of the guest's log files. Default: `/run/pika-cloud/logs`. Change: in
    place."""
    guest_log_path: pulumi.Input[str]
    """The guest's main log file. Default: `/run/pika-cloud/logs/guest.log`. Change: in place."""
    artifacts_dir: pulumi.Input[str]
    """The directory to which a job writes its artifacts. Default: `/run/pika-cloud/artifacts`.
    Change: in place."""


class OutputCollectionArgs(TypedDict):
    """Which outputs of a finished job are collected, and when. A runtime ignores it."""

    mode: pulumi.Input[OutputMode]
    """When outputs are collected: `none` (never), `failure_only` (if the job failed) or `always`.
    Change: in place; a job is run again."""
    include_logs: NotRequired[pulumi.Input[bool]]
    """Whether log and events are collected. Default: True. Change: in place; a job is run
    again."""
    include_result: NotRequired[pulumi.Input[bool]]
    """Whether result and status are collected. Default: True. Change: in place; a job is run
    again."""
    artifact_globs: NotRequired[pulumi.Input[Sequence[pulumi.Input[str]]]]
    """Which files below `paths.artifacts_dir` are collected, as glob patterns. Default: an empty
    list; no artifacts are collected. Change: in place; a job is run again."""


class PoliciesArgs(TypedDict):
    """What happens when the work of an instance ends."""

    restart_policy: pulumi.Input[RestartPolicy]
    """`never`, `on_failure` or `always`. For a runtime, whether Incus restarts an instance that
    stopped by itself, and (`always`) starts it with the host. For a job, whether it is run again
    after a failure (`on_failure`), or also if its result is unknown (`always`). Change: in place;
    a job is run again."""
    retention_policy: pulumi.Input[RetentionPolicy]
    """What happens to the instance of a job that has ended: it is deleted
    (`destroy_on_completion`), it is retained for as long as it runs (`keep_until_stopped`), or it
    is retained if the job failed (`debug_keep`). A runtime ignores it. Change: in place; a job is
    run again."""
    output_collection: NotRequired[
        "pulumi.Input[OutputCollectionArgs | spec_models.OutputCollection]"
    ]
    """Which outputs of a job are collected. Default: logs and result, always. Change: in place; a
    job is run again."""


class BootstrapArgs(TypedDict, total=False):
    """How the guest starts its work."""

    guest_request_path: pulumi.Input[str]
    """The request file; the same as `paths.guest_request_path`. Default: not part of the plan.
    Change: in place."""
    entry_command: pulumi.Input[str]
    """A job runs this as root in place of `command`. It finds the command in the request file and
    must write the result file, which then decides about success. A runtime ignores it. Default:
    `command` is run directly. Change: in place; a job is run again."""


class TimeoutsArgs(TypedDict, total=False):
    """Time limits in seconds, greater than 0 and at most 604800 (7 days). Changed in place."""

    create: pulumi.Input[float]
    """How long Incus may take to create the instance. Default: 600 seconds. Change: in place."""
    update: pulumi.Input[float]
    """How long Incus may take for one change. Default: 600 seconds. Change: in place."""
    delete: pulumi.Input[float]
    """How long Incus may take to delete the instance. Default: 300 seconds. Change: in place."""
    wait: pulumi.Input[float]
    """How long to wait for the state that `wait_for` names; for a job, until a command can be run
    in the guest. Default: 300 seconds. Change: in place."""
    stop: pulumi.Input[float]
    """How long the guest may take to shut down. After that a delete kills the guest, and an update
    fails. Default: 30 seconds. Change: in place."""


class InstanceArgs(TypedDict, total=False):
    """The arguments that `IncusRuntime` and `IncusJob` have in common.

    A job is run again if one of them changes, except `description` and `timeouts`.
    """

    project: pulumi.Input[str] | None
    """Short for `incus.project`. Default: the `project` of the `IncusHost`, else `default`.
    Change: replaces the instance."""
    profile: pulumi.Input[str] | None
    """Short for `incus.profile`. Default: `default`. Change: in place; a virtual machine may
    restart."""
    instance_name: pulumi.Input[str] | None
    """Short for `identity.instance_name`. Default: the name of the Pulumi resource. Change:
    replaces the instance."""
    runtime_id: pulumi.Input[str] | None
    """Short for `identity.runtime_id`. Default: the name of the Pulumi resource. Change: in
    place."""
    vcpu_count: pulumi.Input[int] | None
    """Short for `resources.vcpu_count`, 1 to 255. Default: the limit of the profiles; 2 for a job.
    Change: in place; a virtual machine may restart."""
    memory_mib: pulumi.Input[int] | None
    """Short for `resources.memory_mib`, in MiB. Default: the limit of the profiles; 4096 for a
    job. Change: in place; a virtual machine may restart."""
    root_disk_gib: pulumi.Input[int] | None
    """Short for `resources.root_disk_gib`, in GiB. Default: the size in the profiles or of the
    storage pool. Change: in place."""
    identity: "pulumi.Input[IdentityArgs | spec_models.RuntimeIdentity] | None"
    """The instance's name in Incus, and the id that its data is labelled with; see
    `IdentityArgs`. Default: both are the name of the Pulumi resource. Change: another
    `instance_name` replaces the instance."""
    resources: "pulumi.Input[ResourcesArgs | spec_models.RuntimeResources] | None"
    """CPU, memory and disk limits; see `ResourcesArgs`. Default: the limits of the profiles; 2 CPUs
    and 4096 MiB for a job. Change: in place; a virtual machine may restart."""
    mounts: "pulumi.Input[Sequence[pulumi.Input[MountArgs | RuntimeMount]]] | None"
    """Volumes and directories that the guest sees; see `MountArgs`. `PersistentVolume.mount`
    returns a mount. Default: an empty list. Change: in place; a virtual machine may restart."""
    lifecycle_root: pulumi.Input[str] | None
    """The absolute path of the directory in the guest through which host and guest exchange
    information. It must be the same as `paths.state_dir`. Default: `/run/pika-cloud`. Change: in
    place."""
    paths: "pulumi.Input[LifecyclePathsArgs | spec_models.LifecyclePaths] | None"
    """Files and directories below `lifecycle_root`; see `LifecyclePathsArgs`. Default: the defaults
    there. Change: in place."""
    policies: "pulumi.Input[PoliciesArgs | spec_models.RuntimePolicies] | None"
    """What happens when the work of the instance ends; see `PoliciesArgs`. Default:
    `restart_policy` is `never`, `retention_policy` is `destroy_on_completion`, and the logs and
    the result of a job are always collected. Change: in place."""
    bootstrap: "pulumi.Input[BootstrapArgs | spec_models.RuntimeBootstrap] | None"
    """How the guest starts its work; see `BootstrapArgs`. Default: empty. Change: in place."""
    labels: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None
    """Labels of the instance, which Incus shows as `user.pika.label.KEY`. Default: an empty
    mapping. Change: in place."""
    metadata: pulumi.Input[Mapping[str, Tree]] | None
    """Any JSON object. It is part of the plan and not shown to the guest. Default: an empty
    mapping. Change: in place."""
    instance_type: pulumi.Input[InstanceType] | None
    """`virtual-machine` or `container`. Default: `virtual-machine`, which needs a host with KVM.
    Change: replaces the instance."""
    storage_pool: pulumi.Input[str] | None
    """The storage pool of custom volumes whose mounts name none, and of a root disk with a size of
    its own. Default: the `storage_pool` of the `IncusHost`, else the pool of the root disk in the
    profiles. Change: replaces the instance, except if it names the pool that the instance is in."""
    config: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None
    """Further Incus instance options (`incus config`), as strings. Keys that have an argument of
    their own and keys below `user.pika.` are refused. Default: an empty mapping. Change: in place
    if Incus can apply the key to a running instance, else the instance may restart."""
    devices: pulumi.Input[Mapping[str, pulumi.Input[Mapping[str, pulumi.Input[str]]]]] | None
    """Further Incus devices by name, as `{"eth1": {"type": "nic", "network": "lan"}}`. Names that
    begin with `pk-` are refused. Default: an empty mapping. Change: in place; removing a device
    from a virtual machine may restart it."""
    extra_profiles: pulumi.Input[Sequence[pulumi.Input[str]]] | None
    """Profiles that are applied before `profile`, in this order. `profiles` lists all of them
    instead. Default: an empty list. Change: in place; a virtual machine may restart."""
    profiles: pulumi.Input[Sequence[pulumi.Input[str]]] | None
    """All profiles of the instance, in the order in which Incus applies them, in place of `profile`
    and `extra_profiles`. Profiles that another client adds are removed. An empty list is valid:
    the root disk is then created from `root_disk_gib` and `storage_pool`. The plan names the last
    profile, or `none`. Default: `extra_profiles`, then `profile`. Change: in place; a virtual
    machine may restart."""
    cloud_init_user_data: pulumi.Input[str] | None
    """The user-data of cloud-init, which the guest reads at its first boot. Default: none. Change:
    in place, without any effect on a guest that has booted."""
    cloud_init: "pulumi.Input[CloudInitArgs] | None"
    """What cloud-init does at the first boot, typed, in place of `cloud_init_user_data`: users,
    packages, files, commands, network; see `CloudInitArgs`. Default: none. Change: in place,
    without any effect on a guest that has booted; see `replace_on_user_data`."""
    description: pulumi.Input[str] | None
    """The description that `incus list` shows. Default: left as it is on the host. Change: in
    place."""
    timeouts: "pulumi.Input[TimeoutsArgs | Timeouts] | None"
    """Time limits in seconds; see `TimeoutsArgs` for the defaults. Change: in place."""


class _RuntimeSettingArgs(InstanceArgs, total=False):
    """The arguments of `IncusRuntime` that are one setting of Incus each."""

    target: pulumi.Input[str] | None
    """The cluster member on which the instance is created, or `@GROUP` for a group of members; its
    new volumes go there, too. Default: the `target` or `cluster_group` of the `IncusHost`, else
    Incus chooses. Change: in place; the instance stays where it is (`incus move` moves it)."""
    cpu_pinning: pulumi.Input[str] | None
    """The CPUs of the host that the instance uses, as `0-3` or `0,2`, in place of `vcpu_count`; a
    single CPU is `3-3`. Default: any CPUs. Change: in place; a virtual machine may restart."""
    cpu_allowance: pulumi.Input[str] | None
    """The CPU time of a container: a share, as `50%`, which counts if the host is busy, or a time
    in each period, as `25ms/100ms`, which always counts. Default: not limited. Change: in place."""
    memory_percent: pulumi.Input[int] | None
    """The memory as a percentage of the host's, 1 to 100, in place of `memory_mib`. Default: the
    limit of the profiles. Change: in place; a virtual machine may restart."""
    snapshots_schedule: pulumi.Input[str] | None
    """When Incus takes a snapshot of the instance: five cron fields, as `0 6 * * *`, or an alias,
    as `@daily`. Default: that of the profiles. Change: in place."""
    snapshots_expiry: pulumi.Input[str] | None
    """After which time Incus deletes these snapshots, as `2w`. Default: never. Change: in place,
    for later snapshots."""
    snapshots_pattern: pulumi.Input[str] | None
    """The names of these snapshots, a Pongo2 template. Default: `snap%d`. Change: in place, for
    later snapshots."""
    ephemeral: pulumi.Input[bool] | None
    """Whether Incus deletes the instance when it stops. A restart by pulumi_pika does not delete
    it. Default: False at creation, and later not managed. Change: in place."""


class IncusRuntimeArgs(_RuntimeSettingArgs, total=False):
    """The optional keyword arguments of `IncusRuntime`.

    A program can prepare them as a dict and pass them as `**arguments`.
    """

    running: pulumi.Input[bool] | None
    """Whether the instance runs. If None, it is started at creation, and later neither started nor
    stopped. Default: True. Change: starts or stops the instance."""
    files: pulumi.Input[Sequence[pulumi.Input[GuestFileArgs]]] | None
    """Files that are written into a container before its first start; see `GuestFileArgs`. For a
    virtual machine, use `cloud_init.files`. The state has only digests of the contents. Default:
    an empty list. Change: in place; the changed files are written again, and a file that is
    removed from the list stays in the guest."""
    wait_for: pulumi.Input[WaitFor] | None
    """The state that a create, or a start, waits for: `running`, `agent` (a command can be run in
    the guest), `ipv4` (the guest has a global IPv4 address), `ready` (the guest reported to Incus
    that it is ready), `guest_status` (its status file says ready) or `cloud_init` (cloud-init has
    ended in the guest without errors; its own errors are reported). Default: `running`. Change: in
    place; used at the next start."""
    replace_on_user_data: pulumi.Input[bool] | None
    """Whether a change of `cloud_init` or `cloud_init_user_data` replaces the instance, since a
    guest reads them at its first boot only. Default: False. Change: in place."""
    allow_restart: pulumi.Input[bool] | None
    """Whether a change that Incus cannot apply to a running instance may restart it. If False,
    such a change fails. Default: True. Change: in place."""
    adopt: pulumi.Input[bool] | None
    """Whether an existing instance of this name is adopted if no other resource owns it and it can
    be updated in place; and volumes that hold the data of another runtime. Default: False.
    Change: in place."""
    delete_data: pulumi.Input[bool] | None
    """Whether the volumes that were created for the persistent mounts are deleted WITH ALL THEIR
    DATA when the resource is deleted or replaced. If False, they are kept, and the next runtime
    with the same `runtime_id` finds them again. Default: False. Change: in place."""
    restart_triggers: pulumi.Input[Tree] | None
    """Any value; when it changes, a running instance is restarted and a stopped one is started.
    Default: none. Change: restarts the instance."""
    access_interface: pulumi.Input[str] | None
    """The network interface whose addresses are the outputs `ipv4_address` and `ipv6_address`, and
    for which `wait_for="ipv4"` waits: the name of its device, or of the interface in the guest.
    Default: the first nic of Incus's own that has an address. Change: in place."""


class IncusJobArgs(InstanceArgs, total=False):
    """The optional keyword arguments of `IncusJob`.

    A program can prepare them as a dict and pass them as `**arguments`.
    """

    timeout_secs: pulumi.Input[int] | None
    """How long the command may take, in seconds, 1 to 604800. Then it is ended; if the guest does
    not end it, the instance is stopped. Default: 3600. Change: in place."""
    run_as_root: pulumi.Input[bool] | None
    """Whether the command runs as root. If False, it runs as `uid` and `gid`. Default: True.
    Change: the job is run again."""
    uid: pulumi.Input[int] | None
    """The numeric user id in the guest, used if `run_as_root` is False. Default: 1000. Change: the
    job is run again."""
    gid: pulumi.Input[int] | None
    """The numeric group id in the guest, used if `run_as_root` is False. Default: 1000. Change:
    the job is run again."""
    environment: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None
    """Additional environment variables of the command. Default: an empty mapping. Change: the job
    is run again."""
    triggers: pulumi.Input[Tree] | None
    """Any value; when it changes, the job is run again. Default: none. Change: the job is run
    again."""
    output_dir: pulumi.Input[str] | None
    """The directory to which outputs are downloaded, on the machine that runs Pulumi; a relative
    path is below the program's directory. Default: none; only `log_tail` is collected. Change: in
    place."""
    max_output_mib: pulumi.Input[int] | None
    """The size limit for all outputs together, in MiB, 1 to 1048576. Default: 1024. Change: in
    place."""
    max_attempts: pulumi.Input[int] | None
    """How often the job is run at most, 1 to 100, if `policies.restart_policy` is not `never`.
    Default: 3. Change: in place."""
    allow_failure: pulumi.Input[bool] | None
    """Whether a job that fails is a result like any other, which `status` shows. If False, it
    fails the `pulumi up`. Default: False. Change: in place."""


class VolumeTimeoutsArgs(TypedDict, total=False):
    """Time limits of a `PersistentVolume` in seconds, greater than 0 and at most 604800."""

    restore: pulumi.Input[float]
    """How long a restore, and the safety snapshot before it, may each take. Default: 3600 seconds.
    Change: in place."""
    stop: pulumi.Input[float]
    """How long each instance that uses the volume may take to shut down for a restore. Default: 60
    seconds. Change: in place."""
    delete: pulumi.Input[float]
    """How long Incus may take to delete the volume. Default: 600 seconds. Change: in place."""


class SnapshotTimeoutsArgs(TypedDict, total=False):
    """Time limits of a `VolumeSnapshot` in seconds, greater than 0 and at most 604800."""

    create: pulumi.Input[float]
    """How long Incus may take to create the snapshot. Default: 3600 seconds. Change: in place."""
    delete: pulumi.Input[float]
    """How long Incus may take to delete the snapshot. Default: 600 seconds. Change: in place."""


class HostTimeoutsArgs(TypedDict, total=False):
    """Time limits for requests to an Incus server in seconds, greater than 0, at most 86400."""

    connect: pulumi.Input[float]
    """How long to wait for a connection. Default: 10 seconds. Change: in place."""
    reply: pulumi.Input[float]
    """How long to wait for the reply to a request. Default: 60 seconds. Change: in place."""
