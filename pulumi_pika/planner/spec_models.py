"""Define the parts that a spec and its plan share, with the exact defaults of the wire shape.

All models are strict ("4096" is not valid for 4096), refuse unknown fields, and are frozen.
"""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from ..choices import (
    OutputMode,
    RestartPolicy,
    RetentionPolicy,
)

DEFAULT_LIFECYCLE_ROOT: Final = "/run/pika-cloud"

U8 = Annotated[int, Field(ge=0, le=2**8 - 1)]
U32 = Annotated[int, Field(ge=0, le=2**32 - 1)]
Labels = dict[str, str]
Metadata = dict[str, JsonValue]


class Part(BaseModel):
    """Base of all models of the wire shape: strict, without unknown fields, immutable."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        # JSON can express finite numbers only.
        allow_inf_nan=False,
        # This is no real limit, but any limit makes pydantic check the string and refuse lone
        # surrogates (Python's form of file names that are not UTF-8): they cannot be sent to Incus.
        str_min_length=0,
        hide_input_in_errors=True,
    )


class RuntimeIdentity(Part):
    """The identity of a runtime: a stable id that the user chooses, and the instance's name."""

    runtime_id: str
    """An id of your choice that says which runtime data belongs to. Not empty."""
    instance_name: str
    """The name of the Incus instance. Not empty; Incus allows 1 to 63 letters, digits and
    hyphens."""


class IncusTarget(Part):
    """The source and the project of an instance: Incus project, profile and image alias."""

    project: str
    """The Incus project. Not empty."""
    profile: str
    """The profile that is applied last. Not empty."""
    image_alias: str
    """An alias of an image that the Incus server has, or its fingerprint. Not empty."""


class RuntimeResources(Part):
    """Limits of the instance. The plan sets no limit for an absent field."""

    vcpu_count: U8 | None = None
    """The number of virtual CPUs, at most 255. Default: None, no limit by the plan."""
    memory_mib: U32 | None = None
    """The memory in MiB. Default: None, no limit by the plan."""
    root_disk_gib: U32 | None = None
    """The size of the root disk in GiB. Default: None, not set by the plan."""


class LifecyclePaths(Part):
    """Files and directories in the guest for the exchange with the host.

    All are below the lifecycle root.
    """

    state_dir: str = DEFAULT_LIFECYCLE_ROOT
    """The directory itself; the same as `lifecycle_root`. Default: `/run/pika-cloud`."""
    events_path: str = f"{DEFAULT_LIFECYCLE_ROOT}/events.jsonl"
    """The file to which the guest appends events, one JSON object per line. Default:
    `/run/pika-cloud/events.jsonl`."""
    status_path: str = f"{DEFAULT_LIFECYCLE_ROOT}/status.json"
    """The file to which the guest writes its status. Default: `/run/pika-cloud/status.json`."""
    result_path: str = f"{DEFAULT_LIFECYCLE_ROOT}/result.json"
    """The file to which the guest writes the result of its work. Default:
    `/run/pika-cloud/result.json`."""
    guest_request_path: str = f"{DEFAULT_LIFECYCLE_ROOT}/guest-request.json"
    """The file in which the guest finds its request. Default:
    `/run/pika-cloud/guest-request.json`."""
    logs_dir: str = f"{DEFAULT_LIFECYCLE_ROOT}/logs"
    """The directory of the guest's log files. Default: `/run/pika-cloud/logs`."""
    guest_log_path: str = f"{DEFAULT_LIFECYCLE_ROOT}/logs/guest.log"
    """The guest's main log file. Default: `/run/pika-cloud/logs/guest.log`."""
    artifacts_dir: str = f"{DEFAULT_LIFECYCLE_ROOT}/artifacts"
    """The directory to which the guest writes artifacts. Default: `/run/pika-cloud/artifacts`."""


class OutputCollection(Part):
    """Which outputs of a finished job are collected, and when.

    If it is given, `mode` is required.
    """

    mode: OutputMode
    """When outputs are collected: `none` (never), `failure_only` (if the job failed) or `always`.
    Required if an `output_collection` is given."""
    include_logs: bool = True
    """Whether log and events are collected. Default: True."""
    include_result: bool = True
    """Whether result and status are collected. Default: True."""
    artifact_globs: list[str] = Field(default_factory=list)
    """Which files below `paths.artifacts_dir` are collected, as glob patterns. Default: an empty
    list."""


class RuntimePolicies(Part):
    """What happens when the work of the instance ends. If given, the first two are required."""

    restart_policy: RestartPolicy
    """`never`, `on_failure` or `always`: whether Incus restarts the instance, and whether a job is
    run again. Required if `policies` are given."""
    retention_policy: RetentionPolicy
    """What happens to the instance of a job that has ended: `destroy_on_completion` (deleted),
    `keep_until_stopped` (retained for as long as it runs) or `debug_keep` (retained if the job
    failed). Required if `policies` are given."""
    output_collection: OutputCollection = OutputCollection(mode="always")
    """Which outputs of a job are collected. Default: logs and result, `always`."""


DEFAULT_POLICIES: Final = RuntimePolicies(
    restart_policy="never", retention_policy="destroy_on_completion"
)


class RuntimeBootstrap(Part):
    """How the guest starts its work."""

    guest_request_path: str | None = None
    """The request file; the same as `paths.guest_request_path`. Default: None."""
    entry_command: str | None = None
    """What a job runs as root in place of its command. Not empty. Default: None."""
