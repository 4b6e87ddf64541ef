"""Run a job by a function call, for scripts that do not use Pulumi: `run_job`."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pydantic import BaseModel

from ..incus.client import IncusClient
from ..incus.hosts import HostSettings, connect, resolve
from ..incus.trust import decode_token, enrol, is_trusted
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


def run_job(
    spec: RuntimeSpec | Mapping[str, Any],
    command: str | Sequence[str],
    *,
    timeout_secs: int = 3600,
    run_as_root: bool = True,
    uid: int = 1000,
    gid: int = 1000,
    environment: Mapping[str, str] | None = None,
    output_dir: str | None = None,
    max_output_mib: int = 1024,
    max_attempts: int = 3,
    instance_type: str = "virtual-machine",
    storage_pool: str | None = None,
    config: Mapping[str, str] | None = None,
    devices: Mapping[str, Mapping[str, str]] | None = None,
    extra_profiles: Sequence[str] = (),
    cloud_init_user_data: str | None = None,
    description: str | None = None,
    timeouts: Mapping[str, float] | None = None,
    host: HostSettings | None = None,
    client: IncusClient | None = None,
    watcher: JobObserver | None = None,
) -> JobOutcome:
    """Run one command in a temporary instance and collect its outputs.

    `IncusJobArgs` describes the arguments in detail. A failed command is not an exception here: the
    outcome reports it, and `JobOutcome.check` raises it. An interruption (Ctrl-C) deletes the
    instance.

    Args:
        spec: The spec, or its JSON.
        command: A string for the guest's shell, or a list of arguments.
        timeout_secs: How long the command may take, in seconds, 1 to 604800. Default: 3600.
        run_as_root: Whether the command runs as root. If False, it runs as `uid` and `gid`.
            Default: True.
        uid: The numeric user id in the guest. Default: 1000.
        gid: The numeric group id in the guest. Default: 1000.
        environment: Additional environment variables of the command. Default: none.
        output_dir: The directory to which outputs are downloaded. Default: none; only `log_tail` is
            collected.
        max_output_mib: The size limit for all outputs together, in MiB. Default: 1024.
        max_attempts: How often the job runs at most, if the spec's restart policy is not `never`.
            Default: 3.
        instance_type: `virtual-machine` or `container`. Default: `virtual-machine`.
        storage_pool: The storage pool of volumes, and of a root disk with a size of its own.
            Default: the pool of the root disk in the profiles.
        config: Further Incus instance options. Default: none.
        devices: Further Incus devices by name. Default: none.
        extra_profiles: Profiles that are applied before the profile of the spec. Default: none.
        cloud_init_user_data: The user-data of cloud-init. Default: none.
        description: The description that `incus list` shows. Default: none.
        timeouts: Time limits in seconds, by the names in `TimeoutsArgs`. Default: 120 for `wait`,
            which is the time until a command can be run in the guest; see `TimeoutsArgs` for the
            others.
        host: The host. Default: the host that the environment names (see `HostSettings`).
        client: A client of the host, in place of `host`.
        watcher: Receives output and progress while the command runs. Default: none.

    Returns:
        The outcome of the last attempt.

    Raises:
        pydantic.ValidationError: The spec, or an argument, does not have the right form.
        RuntimeSpecError: The spec is not valid; the exception lists all problems.
        JobRefused: The arguments are not valid; the exception lists all problems.
        JobInstanceTaken, JobNotBegun, JobOutputRefused, ReconcileError, IncusError: See
            `job_run.run_attempts`.
    """
    plan, runtime, options = prepare(
        spec,
        command,
        runtime={
            "instance_type": instance_type,
            "storage_pool": storage_pool,
            "config": dict(config or {}),
            "devices": {name: dict(device) for name, device in (devices or {}).items()},
            "extra_profiles": list(extra_profiles),
            "cloud_init_user_data": cloud_init_user_data,
            "description": description,
            "timeouts": {"wait": EXEC_WITHIN, **(timeouts or {})},
        },
        job={
            "timeout_secs": timeout_secs,
            "run_as_root": run_as_root,
            "uid": uid,
            "gid": gid,
            "environment": dict(environment or {}),
            "output_dir": output_dir,
            "max_output_mib": max_output_mib,
            "max_attempts": max_attempts,
        },
    )
    if client is None:
        client = connected(host)
    return run_attempts(
        client.in_project(plan.incus.project), plan, runtime, options, watcher or _Nobody()
    )


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


class _Nobody:
    """An observer that ignores everything."""

    def info(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...

    def output(self, data: bytes) -> None: ...

    def event(self, event: Any) -> None: ...

    def alive(self, standing: Any) -> None: ...
