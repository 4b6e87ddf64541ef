"""The calls of `IncusJobProvider`."""

import secrets as tokens
from collections.abc import Iterable
from typing import Any, Final

from pulumi.dynamic import DiffResult

from ..incus.client import IncusClient
from ..jobs.job_instance import (
    pass_on,
    refuse_existing,
    remove_job_instance,
)
from ..jobs.job_options import JobOptions
from ..jobs.job_run import JobOutcome, run_attempts
from ..jobs.observer import LineObserver
from ..planner.plan import IncusRuntimePlan
from ..reconcile.feasibility import Predecessor
from ..reconcile.instances.lifecycle import fetch_instance, fetch_instance_by_uuid
from ..reconcile.instances.live_instance import LiveInstance
from ..reconcile.instances.runtime_options import JOB_KEY, RuntimeOptions
from ..redaction import redact
from ..validation.lenient_validation import Failure
from ..validation.plan_inputs import SECRET_INPUTS, SPEC_FIELDS
from ..validation.warning_codes import REPLACE, coded
from .engine_log import PulumiReporter
from .host_checks import before_create, before_replacement, check_host
from .host_connection import client_for
from .instance_inputs import with_host_defaults
from .job_inputs import INSTANCE_OPTIONS, REPLACING_OPTIONS, JobInputs, JobState
from .properties import REPLACE_ON, Values
from .replace_on_changes import replaced_by_option
from .resource_kind import Created, Kind, Refreshed, Updated
from .secret_marking import mark_secrets
from .unfinished_creates import warn_of_unfinished

_REPLACING_WORK: Final = ("command", "run_as_root", "uid", "gid", "environment", "triggers")
_JOB_FIELDS: Final = tuple(JobOptions.model_fields)


def check(new: JobInputs, old: JobInputs | None, report: PulumiReporter) -> Iterable[Failure]:
    """Return everything that is wrong with the new inputs.

    Args:
        new: The new inputs.
        old: The inputs that an earlier `check` returned; None for a new job.
        report: Receives warnings.
    """
    return new.failures or check_host(old, new, report, _refuse_holder)


def diff(state: JobState, new: JobInputs, report: PulumiReporter) -> DiffResult:
    """Compare the job in the state with the new inputs.

    Another plan, command or trigger replaces the resource, which runs the job again.
    """
    changes, replaces = _changes(state, new)
    replaces += replaced_by_option(
        new.hidden.replace_on, state.values, new.values, new.unknown, replaces
    )
    if state.hidden.secret_inputs != new.hidden.secret_inputs:
        changes.append(SECRET_INPUTS)
    if not replaces and state.is_over:
        report.info(
            f"the retained instance {state.retained_instance} of the job is "
            f"{state.retained_status or 'deleted'}; the update deletes what remains of it"
        )
        changes.append("retained_instance")
    if replaces:
        text = f"the job {state.name} will be run again ({', '.join(replaces)} changed)"
        report.info(coded(text, REPLACE))
        before_replacement(new, _predecessor(state), report, _refuse_holder)
    return DiffResult(
        changes=bool(changes or replaces),
        replaces=replaces,
        # A retained instance has the name that the next one needs.
        delete_before_replace=True,
    )


def create(new: JobInputs, report: PulumiReporter) -> Created:
    """Run the job to its end."""
    work = new.work.options
    client = client_for(new.project)
    before_create(new, _refuse_holder)
    watcher = LineObserver(report, new.name)
    try:
        outcome = run_attempts(client, new.planned.plan, new.planned.options, work, watcher)
    finally:
        watcher.finish()
    if not work.allow_failure:
        outcome.check(new.name)
    if not outcome.completed:
        report.warn(f"the job {new.name} ended with the status {outcome.status}: {outcome.message}")
    return Created(_id_of(new), _outputs_of(outcome))


def read(state: JobState, _report: PulumiReporter) -> Refreshed:
    """Fetch the retained instance, if there is one; all other outputs stay."""
    if not state.retained_instance:
        return Refreshed({})
    live = _retained(state)
    return Refreshed({"retained_status": live.status if live else ""})


def update(state: JobState, new: JobInputs, report: PulumiReporter) -> Updated:
    """Apply inputs that do not run the job, and delete a retained instance that is no longer
    wanted."""
    live = _retained(state)
    if live is not None and not live.running and state.is_kept_until_stopped:
        remove_job_instance(_client(state, live), live, report)
        live = None
    if live is not None:
        # A later run recognizes the instance by its ownership label.
        pass_on(_client(state, live), live, new.planned.options.owner)
    outputs = {
        "retained_instance": live.name if live else "",
        "retained_status": live.status if live else "",
        "retained_uuid": live.uuid if live else "",
    }
    return Updated(outputs, kept=_OUTCOME)


def delete(state: JobState, report: PulumiReporter) -> None:
    """Delete the retained instance, if there is one. Downloaded files are kept."""
    live = _retained(state)
    if live is not None:
        remove_job_instance(_client(state, live), live, report)
    warn_of_unfinished(state.hidden.owner, report)


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


def _changes(old: JobState, new: JobInputs) -> tuple[list[str], list[str]]:
    """Return the changed properties, and those of them for which the job is run again."""
    replaces = Values(old.planned.plan_tree).names_that_differ(Values(new.planned.plan_tree))
    replaces += [name for name in REPLACING_OPTIONS if _option_differs(name, old, new)]
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


def _option_differs(name: str, old: JobState, new: JobInputs) -> bool:
    if any(path[0] == name for path in new.planned.unknown):
        return True
    return bool(getattr(old.planned.options, name) != getattr(new.planned.options, name))


def _work_differs(name: str, old: JobState, new: JobInputs) -> bool:
    if any(path[0] == name for path in new.work.unknown):
        return True
    return bool(getattr(old.work.options, name) != getattr(new.work.options, name))


def _retained(state: JobState) -> LiveInstance | None:
    """Return the retained instance; None if there is none or if it is deleted, even if another
    instance has its name now."""
    if not state.retained_instance:
        return None
    client = _client(state, None)
    live = fetch_instance(client, state.retained_instance, inside=False)
    if live is None or live.uuid != state.retained_uuid:
        live = fetch_instance_by_uuid(client, state.retained_uuid)
    return live if live is not None and JOB_KEY in live.config else None


def _predecessor(state: JobState) -> Predecessor | None:
    """Return the retained instance that is deleted before the job is run again, if there is one."""
    if not state.retained_instance:
        return None
    return Predecessor(state.planned.plan, state.planned.options, state.retained_uuid)


def _refuse_holder(
    client: IncusClient, live: LiveInstance, plan: IncusRuntimePlan, options: RuntimeOptions
) -> str:
    """Return why a job cannot run while a live instance has its name."""
    reason = refuse_existing(client, live, options.owner, options.backend)
    return reason.removeprefix("identity.instance_name: ")


def _client(state: JobState, live: LiveInstance | None) -> IncusClient:
    client = client_for(state.applied_project)
    return client.on_member(live.location) if live else client


def _id_of(new: JobInputs) -> str:
    """Return the id of the resource, which differs for each run and is in plain text in the
    state."""
    name = "-" if new.hidden.is_secret(("identity", "instance_name")) else new.name
    project = "-" if new.hidden.is_secret(("incus", "project")) else new.project
    return f"{project}/{name}/{tokens.token_hex(4)}"


KIND: Final = Kind(
    input_names=(
        *dict.fromkeys((*SPEC_FIELDS, *INSTANCE_OPTIONS, *_JOB_FIELDS, SECRET_INPUTS, REPLACE_ON)),
        "plan",
        "instance_name",
    ),
    parse_inputs=JobInputs,
    parse_state=JobState,
    mark_secrets=mark_secrets,
    check=check,
    diff=diff,
    create=create,
    read=read,
    update=update,
    delete=delete,
    fill_inputs=with_host_defaults,
    shown=JobInputs.shown,
    older_names=frozenset({"outputs", "left_out", "kept", "kept_status", "kept_uuid"}),
    undoable=True,
)
