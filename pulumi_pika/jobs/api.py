"""`run_job`: a job as a call, for scripts that need no Pulumi."""

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
"""Of the marks of instances that belong to no resource of Pulumi's; the runtime's id follows."""


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
    """Runs one command in a throw-away instance, and brings its outputs home.

    What each argument means is said at `IncusJob`. That the command failed is an outcome, which
    `JobOutcome.check` makes an error. An interruption (Ctrl-C) removes the instance.

    Args:
        spec: the spec, or its JSON.
        command: a text for the guest's shell, or a list of arguments.
        timeout_secs: seconds that it may take.
        run_as_root: as root, or as `uid` and `gid`.
        uid: the user's number in the guest.
        gid: the group's number.
        environment: further variables of the command.
        output_dir: where outputs are put.
        max_output_mib: MiB that all outputs together may have.
        max_attempts: how often it runs at most, where the spec's restart policy is not `never`.
        instance_type: `virtual-machine` or `container`.
        storage_pool: where volumes and a root disk of its own are.
        config: further instance config.
        devices: further Incus devices by name.
        extra_profiles: profiles applied before the plan's own.
        cloud_init_user_data: cloud-init's user-data.
        description: shown by `incus list`.
        timeouts: seconds, for `create`, and for `wait`: until commands can be run in the guest.
        host: the host; by default the one that the environment names (see `HostSettings`).
        client: a client of the host, in place of `host`.
        watcher: takes output and progress while it runs; by default nobody does.

    Raises:
        pydantic.ValidationError: the spec, or an argument, has another shape.
        RuntimeSpecError: the spec says something impossible; all of it.
        JobRefused: the arguments do; all of it.
        JobInstanceTaken, JobNotBegun, JobOutputRefused, ReconcileError, IncusError: see `run`.
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
    """Validates everything and plans; asks no server.

    Args:
        spec: the spec, or its JSON.
        command: the command.
        runtime: the fields of `RuntimeOptions`.
        job: the fields of `JobOptions`.

    Raises:
        pydantic.ValidationError, RuntimeSpecError, JobRefused: see `run_job`.
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
    """A client of a host, which knows this client: a trust token is used where it is needed.

    Raises:
        BadHostSettings, IncusUnreachable, Unauthorised: see `IncusHost`.
    """
    settings = resolve(host or HostSettings())
    client = connect(settings)
    if settings.trust_token is not None and not is_trusted(client):
        enrol(client, decode_token(settings.trust_token))
    return client


class _Nobody:
    """A watcher that does not look."""

    def info(self, message: str) -> None: ...

    def warn(self, message: str) -> None: ...

    def output(self, data: bytes) -> None: ...

    def event(self, event: Any) -> None: ...

    def alive(self, standing: Any) -> None: ...
