"""The arguments of the resources as typed dicts: any value may be an `Output`.

The pydantic models of `pulumi_pika.planner` are taken in their place wherever all is known.
"""

from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

import pulumi

if TYPE_CHECKING:
    from .volume import PersistentVolume


class IdentityArgs(TypedDict):
    """Who the runtime is."""

    runtime_id: pulumi.Input[str]
    instance_name: pulumi.Input[str]


class IncusArgs(TypedDict):
    """Where and from what it is made."""

    project: pulumi.Input[str]
    profile: pulumi.Input[str]
    image_alias: pulumi.Input[str]


class ResourcesArgs(TypedDict, total=False):
    """Limits: CPUs, memory in MiB, root disk in GiB."""

    vcpu_count: pulumi.Input[int]
    memory_mib: pulumi.Input[int]
    root_disk_gib: pulumi.Input[int]


class MountArgs(TypedDict):
    """One directory of the guest, and where its contents live.

    `kind` is persistent_volume, read_only_snapshot, artifact_output or cache; `mode` is read_only
    or read_write. `source` is a host path, the name of a volume, or a `PersistentVolume`, whose
    name and pool then count. `pool` is the storage pool of the volume; by default `storage_pool`,
    or the pool of the profile's root disk.
    """

    kind: pulumi.Input[str]
    guest_path: pulumi.Input[str]
    source: "pulumi.Input[str] | PersistentVolume"
    mode: pulumi.Input[str]
    required: NotRequired[pulumi.Input[bool]]
    storage_pool: NotRequired[pulumi.Input[str]]


class PathsArgs(TypedDict, total=False):
    """Where host and guest meet inside the guest; all below the lifecycle root."""

    state_dir: pulumi.Input[str]
    events_path: pulumi.Input[str]
    status_path: pulumi.Input[str]
    result_path: pulumi.Input[str]
    guest_request_path: pulumi.Input[str]
    logs_dir: pulumi.Input[str]
    guest_log_path: pulumi.Input[str]
    artifacts_dir: pulumi.Input[str]


class OutputCollectionArgs(TypedDict, total=False):
    """What a finished job brings home. `mode` is none, failure_only or always."""

    mode: pulumi.Input[str]
    include_logs: pulumi.Input[bool]
    include_result: pulumi.Input[bool]
    artifact_globs: pulumi.Input[list[pulumi.Input[str]]]


class PoliciesArgs(TypedDict):
    """What happens when the runtime ends.

    `restart_policy` is never, on_failure or always; `retention_policy` is destroy_on_completion,
    keep_until_stopped or debug_keep.
    """

    restart_policy: pulumi.Input[str]
    retention_policy: pulumi.Input[str]
    output_collection: NotRequired[pulumi.Input[OutputCollectionArgs]]


class BootstrapArgs(TypedDict, total=False):
    """How the guest starts its work."""

    guest_request_path: pulumi.Input[str]
    entry_command: pulumi.Input[str]


class TimeoutsArgs(TypedDict, total=False):
    """Time limits in seconds; see `reconcile.options.Timeouts`."""

    create: pulumi.Input[float]
    update: pulumi.Input[float]
    delete: pulumi.Input[float]
    wait: pulumi.Input[float]
    stop: pulumi.Input[float]


Tree = Any
"""A value that is not described further: JSON, with `Output`s anywhere in it."""
