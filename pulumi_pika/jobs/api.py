"""Run a job by a function call, for scripts that do not use Pulumi: `run_job`."""

import secrets
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypedDict, Unpack, overload

from pydantic import BaseModel

from ..choices import InstanceType
from ..incus.client import IncusClient
from ..incus.hosts import HostSettings, connect, resolve
from ..incus.trust import decode_token, enrol, is_trusted
from ..message_templates import CONFLICT, REQUIRED, Message, conflict
from ..planner.flat_arguments import DEFAULT_PROFILE, FLAT_ARGUMENTS
from ..planner.plan import IncusRuntimePlan
from ..planner.spec import RuntimeSpec
from ..reconcile.instances.runtime_options import RuntimeOptions, find_option_problems
from .job_errors import JobRefused
from .job_options import (
    DEFAULT_RESOURCES,
    EXEC_WITHIN,
    JobOptions,
    find_job_problems,
)
from .job_run import JobOutcome, run_attempts
from .observer import JobObserver

OWNER_PREFIX: Final = "run_job:"
"""The prefix of the owner of an instance that no Pulumi resource owns; the runtime id follows."""


class RunJobOptions(TypedDict, total=False):
    """The optional arguments of `run_job`. None means the same as not given."""

    instance_name: str | None
    """The name of the instance. Default: `job-` and a random suffix. Give a name if a later run
    must delete the instance that a killed run left behind."""
    runtime_id: str | None
    """The id of the runtime, which owns volumes. Default: the name of the instance."""
    project: str | None
    """The Incus project of the instance. Default: the project of the host's settings, or
    `default`."""
    profile: str | None
    """The profile of the instance. Default: `default`."""
    vcpu_count: int | None
    """The number of CPUs. Default: 2."""
    memory_mib: int | None
    """The memory in MiB. Default: 4096."""
    root_disk_gib: int | None
    """The size of the root disk in GiB. Default: the size in the profile, or of the image."""
    timeout_secs: int | None
    """How long the command may take, in seconds, 1 to 604800. Default: 3600."""
    run_as_root: bool | None
    """Whether the command runs as root. If False, it runs as `uid` and `gid`. Default: True."""
    uid: int | None
    """The numeric user id in the guest. Default: 1000."""
    gid: int | None
    """The numeric group id in the guest. Default: 1000."""
    environment: Mapping[str, str] | None
    """Additional environment variables of the command. Default: none."""
    output_dir: str | None
    """The directory to which outputs are downloaded. Default: none; only `log_tail` is
    collected."""
    max_output_mib: int | None
    """The size limit for all outputs together, in MiB. Default: 1024."""
    max_attempts: int | None
    """How often the job runs at most, if the spec's restart policy is not `never`. Default: 3."""
    instance_type: InstanceType | None
    """`virtual-machine` or `container`. Default: `virtual-machine`."""
    storage_pool: str | None
    """The storage pool of volumes, and of a root disk with a size of its own. Default: the pool of
    the root disk in the profiles."""
    config: Mapping[str, str] | None
    """Further Incus instance options. Default: none."""
    devices: Mapping[str, Mapping[str, str]] | None
    """Further Incus devices by name. Default: none."""
    extra_profiles: Sequence[str] | None
    """Profiles that are applied before the profile of the spec. Default: none."""
    cloud_init_user_data: str | None
    """The user-data of cloud-init. Default: none."""
    description: str | None
    """The description that `incus list` shows. Default: none."""
    timeouts: Mapping[str, float] | None
    """Time limits in seconds, by the names in `TimeoutsArgs`. Default: 300 for `wait`, which is the
    time until a command can be run in the guest; see `TimeoutsArgs` for the others."""
    host: HostSettings | None
    """The host. Default: the host that the environment names (see `HostSettings`)."""
    client: IncusClient | None
    """A client of the host, in place of `host`. Default: a new client of `host`."""
    watcher: JobObserver | None
    """Receives output and progress while the command runs. Default: none."""


_JOB_FIELDS: Final = (
    "timeout_secs", "run_as_root", "uid", "gid", "environment", "output_dir", "max_output_mib",
    "max_attempts",
)  # fmt: skip
_RUNTIME_FIELDS: Final = (
    "instance_type", "storage_pool", "config", "devices", "extra_profiles", "cloud_init_user_data",
    "description",
)  # fmt: skip


@overload
def run_job(
    spec: RuntimeSpec | Mapping[str, Any],
    command: str | Sequence[str],
    **options: Unpack[RunJobOptions],
) -> JobOutcome: ...


@overload
def run_job(
    *,
    command: str | Sequence[str],
    image: str,
    **options: Unpack[RunJobOptions],
) -> JobOutcome: ...


def run_job(
    spec: RuntimeSpec | Mapping[str, Any] | None = None,
    command: str | Sequence[str] = "",
    *,
    image: str | None = None,
    **options: Unpack[RunJobOptions],
) -> JobOutcome:
    """Run one command in a temporary instance and collect its outputs.

    Either `image` or `spec` is required. A value that is given in two ways, as `memory_mib` and as
    `resources.memory_mib` of the spec, is an error. A failed command is not an exception here: the
    outcome reports it, and `JobOutcome.check` raises it. An interruption (Ctrl-C) deletes the
    instance.

    Args:
        spec: A whole spec, or its JSON.
        command: A string for the guest's shell, or a list of arguments.
        image: The alias of the image, in place of a spec.
        options: All other arguments are optional; see `RunJobOptions`.

    Returns:
        The outcome of the last attempt.

    Raises:
        TypeError: There is no argument of this name.
        pydantic.ValidationError: The spec, or an argument, does not have the right form.
        RuntimeSpecError: The spec is not valid; the exception lists all problems.
        JobRefused: The arguments are not valid; the exception lists all problems.
        JobInstanceTaken, JobNotBegun, JobOutputRefused, ReconcileError, IncusError: See
            `job_run.run_attempts`.
    """
    for name in options:
        if name not in RunJobOptions.__annotations__:
            raise TypeError(f"run_job() got an unexpected keyword argument {name!r}")
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    host, client, watcher = given.get("host"), given.get("client"), given.get("watcher")
    flat = {name: given[name] for name in FLAT_ARGUMENTS if name in given}
    if image is not None:
        flat["image"] = image
    tree = _with_flat_arguments(spec, flat)
    target = _mapping(tree.get("incus"))
    without_project = bool(target) and "project" not in target
    if without_project:
        # The host's project is known only later; until then all else is validated.
        tree["incus"] = {**target, "project": "default"}
    plan, runtime, job = prepare(
        tree,
        command,
        runtime={
            **{name: given[name] for name in _RUNTIME_FIELDS if name in given},
            "timeouts": {"wait": EXEC_WITHIN, **given.get("timeouts", {})},
        },
        job={name: given[name] for name in _JOB_FIELDS if name in given},
    )
    client = client or connected(host)
    if without_project:
        incus = plan.incus.model_copy(update={"project": client.project})
        plan = plan.model_copy(update={"incus": incus})
    return run_attempts(
        client.in_project(plan.incus.project), plan, runtime, job, watcher or _NoObserver()
    )


def _with_flat_arguments(
    spec: RuntimeSpec | Mapping[str, Any] | None, flat: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the JSON of a spec with the values of flat arguments in its parts.

    Args:
        spec: The spec, or None for one that consists of the flat arguments.
        flat: The flat arguments that are given.

    Raises:
        JobRefused: A value is given in two ways, or neither a spec nor an image is given.
    """
    if spec is None:
        if "image" not in flat:
            raise JobRefused(Message("image: is required, unless a spec is given", REQUIRED))
        name = flat.get("instance_name") or f"job-{secrets.token_hex(4)}"
        identity = {"instance_name": name, "runtime_id": flat.get("runtime_id") or name}
        incus = {"profile": DEFAULT_PROFILE}
        tree: dict[str, Any] = {"provider": "incus", "identity": identity, "incus": incus}
    else:
        tree = dict(spec.model_dump(exclude_none=True) if isinstance(spec, BaseModel) else spec)
        problems = [
            f"{name}: {conflict(f'{part}.{field} of the spec')}"
            for name in flat
            for part, field in [FLAT_ARGUMENTS[name]]
            if field in _mapping(tree.get(part))
        ]
        if problems:
            raise JobRefused(Message("; ".join(problems), CONFLICT))
    for name, value in flat.items():
        part, field = FLAT_ARGUMENTS[name]
        tree[part] = {**_mapping(tree.get(part)), field: value}
    return tree


def _mapping(part: Any) -> Mapping[str, Any]:
    return part if isinstance(part, Mapping) else {}


def prepare(
    spec: RuntimeSpec | Mapping[str, Any],
    command: str | Sequence[str],
    *,
    runtime: Mapping[str, Any],
    job: Mapping[str, Any],
) -> tuple[IncusRuntimePlan, RuntimeOptions, JobOptions]:
    """Validate all arguments and plan the job, without a request to a server.

    Args:
        spec: The spec, or its JSON.
        command: The command.
        runtime: The fields of `RuntimeOptions`.
        job: The fields of `JobOptions`.

    Returns:
        The plan, the options of the instance and the options of the job.

    Raises:
        pydantic.ValidationError, RuntimeSpecError, JobRefused: See `run_job`.
    """
    if not isinstance(spec, BaseModel):
        spec = RuntimeSpec.model_validate(spec)
    defaults = DEFAULT_RESOURCES.model_dump(exclude_none=True)
    resources = spec.resources.model_copy(
        update={k: v for k, v in defaults.items() if getattr(spec.resources, k) is None}
    )
    plan = spec.model_copy(update={"resources": resources}).build_incus_plan()
    owner = OWNER_PREFIX + plan.identity.runtime_id
    text = command if isinstance(command, str) else shlex.join(command)
    options = RuntimeOptions.model_validate({**runtime, "running": True, "owner": owner})
    work = JobOptions.model_validate({**job, "command": text, "owner": owner})
    problems = [*find_option_problems(plan, options), *find_job_problems(work)]
    if problems:
        raise JobRefused(
            "; ".join(f"{'.'.join(map(str, path))}: {reason}" for path, reason in problems)
        )
    return plan, options, work


def connected(host: HostSettings | None) -> IncusClient:
    """Return a client of a host, and use the trust token if the host does not trust the client yet.

    Args:
        host: The settings; None for the host that the environment names.

    Raises:
        BadHostSettings, IncusUnreachable, Unauthorised: See `IncusHost`.
    """
    settings = resolve(host or HostSettings())
    client = connect(settings)
    if settings.trust_token is not None and not is_trusted(client):
        enrol(client, decode_token(settings.trust_token))
    return client


class _NoObserver:
    """An observer that ignores everything."""

    def info(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...

    def output(self, data: bytes) -> None: ...

    def event(self, event: Any) -> None: ...

    def alive(self, standing: Any) -> None: ...
