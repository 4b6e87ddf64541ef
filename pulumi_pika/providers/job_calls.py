"""The calls of `IncusJobProvider`."""

import secrets as tokens
from dataclasses import dataclass
from typing import Any, Final

from pulumi.dynamic import (
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    UpdateResult,
)

from ..incus.client import IncusClient
from ..jobs.job_instance import (
    pass_on,
    refuse_existing,
    remove_job_instance,
)
from ..jobs.job_options import (
    DEFAULT_RESOURCES,
    EXEC_WITHIN,
    JobOptions,
    find_job_problems,
)
from ..jobs.job_run import JobOutcome, run_attempts
from ..jobs.observer import LineObserver
from ..planner.plan import IncusRuntimePlan
from ..reconcile.feasibility import Predecessor
from ..reconcile.instances.lifecycle import fetch_instance, fetch_instance_by_uuid
from ..reconcile.instances.live_instance import RUNNING, LiveInstance
from ..reconcile.instances.runtime_options import JOB_KEY, RuntimeOptions
from ..redaction import redact
from ..validation.option_inputs import ValidatedOptions, validate_options
from ..validation.plan_inputs import (
    SECRET_INPUTS,
    SPEC_FIELDS,
    PlannedInputs,
    plan_inputs,
)
from ..validation.property_tree import (
    Path,
    get_path,
    without_provider,
)
from ..validation.warning_codes import REPLACE, coded
from .check_flow import (
    finish_check,
    read_inputs,
    with_argument_names,
)
from .host_checks import before_create, before_replacement
from .host_connection import client_for
from .provider_errors import (
    nesting_failure,
    raise_if_failed,
    user_facing_errors,
)
from .replace_on_changes import REPLACE_ON, replaced_by_option
from .schema_version import SCHEMA_VERSION
from .secret_marking import (
    check_failures,
    is_secret,
    mark_secrets,
    secret_paths,
)
from .unfinished_creates import warn_of_unfinished

_REPLACING_OPTIONS: Final = (
    "instance_type",
    "storage_pool",
    "mount_storage_pools",
    "mount_options",
    "config",
    "devices",
    "extra_profiles",
    "profiles",
    "cloud_init_user_data",
    "cloud_init",
)
"""The options of the instance that can change the result of the job."""
_INSTANCE_OPTIONS: Final = (*_REPLACING_OPTIONS, "description", "timeouts", "owner", "backend")
_REPLACING_WORK: Final = ("command", "run_as_root", "uid", "gid", "environment", "triggers")
_JOB_FIELDS: Final = tuple(JobOptions.model_fields)
INPUTS: Final = (
    *dict.fromkeys((*SPEC_FIELDS, *_INSTANCE_OPTIONS, *_JOB_FIELDS, SECRET_INPUTS, REPLACE_ON)),
    "plan",
    "instance_name",
)
"""The names of the inputs that `check` returns."""


@dataclass(frozen=True, slots=True)
class _Job:
    """The inputs of a job, planned and validated."""

    examined: PlannedInputs
    given: ValidatedOptions[JobOptions]

    @classmethod
    def of(cls, inputs: dict[str, Any]) -> "_Job":
        return cls(
            plan_inputs(_of_instance(inputs)),
            validate_options(JobOptions, inputs, find_job_problems),
        )

    @property
    def name(self) -> str:
        return self.examined.plan.identity.instance_name

    @property
    def project(self) -> str:
        return self.examined.plan.incus.project

    @property
    def unknown(self) -> frozenset[Path]:
        return self.examined.unknown | self.given.unknown

    def tree(self) -> dict[str, Any]:
        """Return all planned and validated values, by name."""
        options, work = self.examined.options, self.given.options
        return {**options.model_dump(), **work.model_dump(), **self.examined.plan.to_dict()}

    def refuse(self) -> None:
        raise_if_failed([*self.examined.failures, *self.given.failures])


def check(news: dict[str, Any], olds: dict[str, Any] | None = None) -> CheckResult:
    """Validate the inputs, and add the plan, the devices and the instance's name.

    Args:
        news: The inputs of the program.
        olds: The inputs that an earlier `check` returned; None or empty for a new job.
    """
    try:
        before, inputs = read_inputs(news, olds, INPUTS)
        job = _Job.of(inputs)
        examined = job.examined
        found = with_argument_names([*examined.failures, *job.given.failures])
        failures = check_failures(found, inputs, examined.plan_tree)
    except RecursionError:
        return nesting_failure()
    if failures:
        return CheckResult({}, failures)
    return finish_check(news, before, inputs, examined, _refuse_holder)


def diff(olds: dict[str, Any], props: dict[str, Any]) -> DiffResult:
    """Compare the job in the state with the new inputs.

    Another plan, command or trigger replaces the resource, which runs the job again.

    Args:
        olds: The outputs in the state.
        props: The new inputs.
    """
    news = without_provider(props)
    with user_facing_errors(olds, news) as report:
        state = without_provider(olds)
        old, new = _Job.of(state), _Job.of(news)
        changes, replaces = _changes(old, new)
        replaces += replaced_by_option(news, old.tree(), new.tree(), new.unknown, replaces)
        if (state.get(SECRET_INPUTS) or []) != (news.get(SECRET_INPUTS) or []):
            changes.append(SECRET_INPUTS)
        if not replaces and _is_over(state, old):
            report().info(
                f"{state['retained_instance']}, the instance that was kept of the job, is "
                f"{state.get('retained_status') or 'gone'}: what is left of it is removed"
            )
            changes.append("retained_instance")
        if replaces:
            text = f"the job {old.name} runs anew because of {', '.join(replaces)}"
            report().info(coded(text, REPLACE))
            before_replacement(new.examined, news, _kept_of(state, old), report, _refuse_holder)
    return DiffResult(
        changes=bool(changes or replaces),
        replaces=replaces,
        # A retained instance has the name that the next one needs.
        delete_before_replace=True,
    )


def create(props: dict[str, Any]) -> CreateResult:
    """Run the job to its end.

    Args:
        props: The inputs that `check` returned.
    """
    inputs = without_provider(props)
    with user_facing_errors(inputs, undoable=True) as report:
        job = _Job.of(inputs)
        job.refuse()
        options = job.given.options
        client = client_for(job.project)
        before_create(job.examined, inputs, _refuse_holder)
        watcher = LineObserver(report(), job.name)
        try:
            outcome = run_attempts(
                client, job.examined.plan, job.examined.options, options, watcher
            )
        finally:
            watcher.finish()
        if not options.allow_failure:
            outcome.check(job.name)
        if not outcome.completed:
            report().warn(f"the job {job.name} is {outcome.status}: {outcome.message}")
        outputs = {
            **inputs,
            **_outputs_of(outcome),
            "schema_version": SCHEMA_VERSION,
        }
    return CreateResult(_id_of(job, inputs), mark_secrets(outputs, secret_paths(inputs), inputs))


def read(id_: str, props: dict[str, Any]) -> ReadResult:
    """Fetch the retained instance, if there is one; all other outputs stay.

    Args:
        id_: The id of the resource.
        props: The outputs in the state.
    """
    with user_facing_errors(props):
        outputs = without_provider(props)
        if outputs.get("retained_instance"):
            live = _kept(outputs)
            outputs["retained_status"] = live.status if live else ""
    inputs = {name: outputs[name] for name in INPUTS if name in outputs}
    secret = secret_paths(outputs)
    return ReadResult(
        id_, mark_secrets(outputs, secret, inputs), mark_secrets(inputs, secret, inputs)
    )


def update(olds: dict[str, Any], props: dict[str, Any]) -> UpdateResult:
    """Apply inputs that do not run the job, and delete a retained instance that is no longer
    wanted.

    Args:
        olds: The outputs in the state.
        props: The new inputs.
    """
    inputs = without_provider(props)
    with user_facing_errors(olds, inputs) as report:
        state = without_provider(olds)
        outputs: dict[str, Any] = {name: state[name] for name in _OUTCOME if name in state}
        outputs.update(inputs)
        old, new = _Job.of(state), _Job.of(inputs)
        live = _kept(state) if state.get("retained_instance") else None
        if live is not None and not live.running and _until_stopped(old):
            remove_job_instance(_client(state, live), live, report())
            live = None
        if live is not None:
            # A later run recognizes the instance by its ownership label.
            pass_on(_client(state, live), live, new.examined.options.owner)
        outputs["retained_instance"] = live.name if live else ""
        outputs["retained_status"] = live.status if live else ""
        outputs["retained_uuid"] = live.uuid if live else ""
        outputs["schema_version"] = SCHEMA_VERSION
    return UpdateResult(mark_secrets(outputs, secret_paths(inputs), inputs))


def delete(props: dict[str, Any]) -> None:
    """Delete the retained instance, if there is one. Downloaded files are kept.

    Args:
        props: The outputs in the state.
    """
    with user_facing_errors(props) as report:
        state = without_provider(props)
        live = _kept(state) if state.get("retained_instance") else None
        if live is not None:
            remove_job_instance(_client(state, live), live, report())
        warn_of_unfinished(str(state.get("owner") or ""), report())


_OUTCOME: Final = (
    "status",
    "exit_code",
    "message",
    "duration_secs",
    "image_fingerprint",
    "attempts",
    "collected_files",
    "skipped_outputs",
    "log_tail",
)
"""The outputs that only a run of the job sets."""


def _outputs_of(outcome: JobOutcome) -> dict[str, Any]:
    """Return the outputs of a run. The output of the job may contain a secret of the inputs."""
    return {
        "status": outcome.status,
        "exit_code": outcome.exit_code,
        "message": redact(outcome.message),
        "duration_secs": outcome.duration_secs,
        "image_fingerprint": outcome.image_fingerprint,
        "attempts": outcome.attempts,
        "collected_files": [
            {**collected.to_dict(), "path": redact(collected.path)}
            for collected in outcome.collected_files
        ],
        "skipped_outputs": [
            {key: redact(text) for key, text in left.to_dict().items()}
            for left in outcome.skipped_outputs
        ],
        "log_tail": redact(outcome.log_tail),
        "retained_instance": outcome.retained_instance,
        "retained_status": "Running" if outcome.retained_instance else "",
        "retained_uuid": outcome.retained_uuid,
    }


def _of_instance(inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs of the plan and the instance, with the defaults of jobs."""
    taken = {name: inputs[name] for name in (*SPEC_FIELDS, *_INSTANCE_OPTIONS) if name in inputs}
    defaults: dict[str, dict[str, Any]] = {
        "resources": DEFAULT_RESOURCES.model_dump(exclude_none=True),
        "timeouts": {"wait": EXEC_WITHIN},
    }
    for name, values in defaults.items():
        given: Any = taken.get(name)
        if given is None or isinstance(given, dict):
            taken[name] = {**values, **(given or {})}
    return {**taken, "running": True}


def _changes(old: _Job, new: _Job) -> tuple[list[str], list[str]]:
    """Return the changed properties, and those of them for which the job is run again."""
    before, after = old.examined.plan_tree, new.examined.plan_tree
    replaces = [
        name for name in sorted(before.keys() | after.keys()) if before.get(name) != after.get(name)
    ]
    replaces += [name for name in _REPLACING_OPTIONS if _option_differs(name, old, new)]
    replaces += [name for name in _REPLACING_WORK if _work_differs(name, old, new)]
    changes = [
        name for name in ("description", "timeouts", "owner") if _option_differs(name, old, new)
    ]
    changes += [
        name
        for name in _JOB_FIELDS
        if name not in (*_REPLACING_WORK, "owner") and _work_differs(name, old, new)
    ]
    return changes, replaces


def _option_differs(name: str, old: _Job, new: _Job) -> bool:
    if any(path[0] == name for path in new.examined.unknown):
        return True
    return bool(getattr(old.examined.options, name) != getattr(new.examined.options, name))


def _work_differs(name: str, old: _Job, new: _Job) -> bool:
    if any(path[0] == name for path in new.given.unknown):
        return True
    return bool(getattr(old.given.options, name) != getattr(new.given.options, name))


def _until_stopped(job: _Job) -> bool:
    return job.examined.plan.policies.retention_policy == "keep_until_stopped"


def _is_over(state: dict[str, Any], job: _Job) -> bool:
    """Return whether a retained instance must be deleted, or was deleted according to a refresh."""
    if not state.get("retained_instance"):
        return False
    status = state.get("retained_status") or ""
    return not status or (_until_stopped(job) and status not in RUNNING)


def _kept(state: dict[str, Any]) -> LiveInstance | None:
    """Return the retained instance; None if it is deleted, even if another instance has its name
    now."""
    client = _client(state, None)
    live = fetch_instance(client, str(state["retained_instance"]), inside=False)
    uuid = str(state.get("retained_uuid") or "")
    if live is None or live.uuid != uuid:
        live = fetch_instance_by_uuid(client, uuid)
    return live if live is not None and JOB_KEY in live.config else None


def _kept_of(state: dict[str, Any], job: _Job) -> Predecessor | None:
    """Return the retained instance that is deleted before the job is run again, if there is one."""
    if not state.get("retained_instance"):
        return None
    uuid = str(state.get("retained_uuid") or "")
    return Predecessor(job.examined.plan, job.examined.options, uuid)


def _refuse_holder(
    client: IncusClient, live: LiveInstance, plan: IncusRuntimePlan, options: RuntimeOptions
) -> str:
    """Return why a job cannot run while a live instance has its name."""
    reason = refuse_existing(client, live, options.owner, options.backend)
    return reason.removeprefix("identity.instance_name: ")


def _client(state: dict[str, Any], live: LiveInstance | None) -> IncusClient:
    client = client_for(str(get_path(state, ("plan", "incus", "project")) or "default"))
    return client.beside(live.location) if live else client


def _id_of(job: _Job, inputs: dict[str, Any]) -> str:
    """Return the id of the resource, which differs for each run and is in plain text in the
    state."""
    name = "-" if is_secret(("identity", "instance_name"), inputs) else job.name
    project = "-" if is_secret(("incus", "project"), inputs) else job.project
    return f"{project}/{name}/{tokens.token_hex(4)}"
