"""The parts that a spec and its plan share, with the exact defaults of the wire shape.

All models are strict (no "4096" for 4096), refuse unknown fields, and are frozen.
"""

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from ..choices import OutputMode, RestartPolicy, RetentionPolicy

DEFAULT_LIFECYCLE_ROOT: Final = "/run/pika-cloud"

U8 = Annotated[int, Field(ge=0, le=2**8 - 1)]
U32 = Annotated[int, Field(ge=0, le=2**32 - 1)]
Labels = dict[str, str]
Metadata = dict[str, JsonValue]


class Part(BaseModel):
    """Base of all models of the wire shape: strict, closed, immutable."""

    model_config = ConfigDict(
        strict=True,
        extra="forbid",
        frozen=True,
        # A finite number is all that JSON can say.
        allow_inf_nan=False,
        # No limit, but any makes pydantic look into the text and refuse lone surrogates (what
        # Python makes of file names that are not UTF-8): they could not be sent to Incus.
        str_min_length=0,
        hide_input_in_errors=True,
    )


class RuntimeIdentity(Part):
    """Who the runtime is: a stable id of the user's, and the Incus instance's name."""

    runtime_id: str
    instance_name: str


class IncusTarget(Part):
    """Where and from what: Incus project, profile and image alias."""

    project: str
    profile: str
    image_alias: str


class RuntimeResources(Part):
    """Limits; what is absent is not limited by the plan. Memory in MiB, root disk in GiB."""

    vcpu_count: U8 | None = None
    memory_mib: U32 | None = None
    root_disk_gib: U32 | None = None


class LifecyclePaths(Part):
    """Where host and guest meet inside the guest; all are below the lifecycle root."""

    state_dir: str = DEFAULT_LIFECYCLE_ROOT
    events_path: str = f"{DEFAULT_LIFECYCLE_ROOT}/events.jsonl"
    status_path: str = f"{DEFAULT_LIFECYCLE_ROOT}/status.json"
    result_path: str = f"{DEFAULT_LIFECYCLE_ROOT}/result.json"
    guest_request_path: str = f"{DEFAULT_LIFECYCLE_ROOT}/guest-request.json"
    logs_dir: str = f"{DEFAULT_LIFECYCLE_ROOT}/logs"
    guest_log_path: str = f"{DEFAULT_LIFECYCLE_ROOT}/logs/guest.log"
    artifacts_dir: str = f"{DEFAULT_LIFECYCLE_ROOT}/artifacts"


class OutputCollection(Part):
    """What a finished job brings home, and when. Given at all, the mode is required."""

    mode: OutputMode
    include_logs: bool = True
    include_result: bool = True
    artifact_globs: list[str] = Field(default_factory=list)


class RuntimePolicies(Part):
    """What happens when the runtime ends. Given at all, the first two are required."""

    restart_policy: RestartPolicy
    retention_policy: RetentionPolicy
    output_collection: OutputCollection = OutputCollection(mode="always")


DEFAULT_POLICIES: Final = RuntimePolicies(
    restart_policy="never", retention_policy="destroy_on_completion"
)


class RuntimeBootstrap(Part):
    """How the guest starts its work."""

    guest_request_path: str | None = None
    entry_command: str | None = None
