"""The calls of `IncusExecProvider`."""

import secrets as tokens
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pulumi.dynamic import DiffResult

from ..incus.client import IncusClient
from ..jobs.exec_options import COMMANDS, ExecOptions
from ..jobs.exec_run import run_command
from ..jobs.observer import LineObserver
from ..message_templates import could_not
from ..reconcile.instances.lifecycle import fetch_instance, fetch_instance_by_uuid
from ..reconcile.instances.live_instance import LiveInstance
from ..reconcile.shared.errors import ReconcileError
from ..redaction import redact
from ..validation.hidden_property import SECRET_RESULTS
from ..validation.lenient_validation import Failure
from ..validation.option_inputs import ValidatedOptions
from ..validation.plan_inputs import SECRET_INPUTS
from .engine_log import PulumiReporter
from .exec_inputs import RESULTS, ExecInputs, ExecState, with_project
from .host_connection import client_for
from .properties import REPLACE_ON
from .replace_on_changes import replaced_by_changed_options
from .resource_kind import Created, Kind, Refreshed, Updated
from .secret_marking import mark_exec_secrets

_FIELDS: Final = tuple(ExecOptions.model_fields)
_REPLACING: Final[tuple[str, ...]] = ("instance", "instance_uuid", "project", "triggers")
"""The inputs for which `delete` and then `create` are run."""
_RUNNING: Final = ("create", "stdin", "environment", "working_dir", "uid", "gid")
"""The inputs for which `update` is run, or `create` if there is none."""


def check(new: ExecInputs, _old: ExecInputs | None, _report: PulumiReporter) -> Iterable[Failure]:
    """Return everything that is wrong with the new inputs."""
    return new.failures


def diff(state: ExecState, new: ExecInputs, _report: PulumiReporter) -> DiffResult:
    """Compare the old options with the new options."""
    old = state.options
    changes = [name for name in _FIELDS if _differs(name, old, new.given)]
    if state.hidden.secret_inputs != new.hidden.secret_inputs:
        changes.append(SECRET_INPUTS)
    replaces = [name for name in _REPLACING if name in changes]
    replaces += replaced_by_changed_options(new.hidden, old, new.given, replaces)
    return DiffResult(
        changes=bool(changes or replaces),
        replaces=replaces,
        # `delete` undoes what `create` did, so that it runs first.
        delete_before_replace=True,
    )


def create(new: ExecInputs, report: PulumiReporter) -> Created:
    """Run the command `create`."""
    options = new.options
    client = client_for(options.project)
    live = _fetch_running(client, options, options.instance_uuid or "")
    return Created(tokens.token_hex(8), _run(client, live, options, options.create, report))


def read(state: ExecState, report: PulumiReporter) -> Refreshed | None:
    """Return the state as it is; None if the instance in which the command ran is deleted."""
    options = state.options
    if _find(client_for(options.project), options.instance, state.ran_in) is None:
        report.warn(
            f"the instance in which the command ran, {options.instance} in project "
            f"{options.project}, no longer exists; the next `pulumi up` runs `create` again"
        )
        return None
    return Refreshed({})


def update(state: ExecState, new: ExecInputs, report: PulumiReporter) -> Updated:
    """Run the command `update`, or `create` if there is none; nothing is run if only inputs changed
    that no running command has."""
    options, old = new.options, state.options
    if all(getattr(old, name) == getattr(options, name) for name in _RUNNING):
        # An input may be secret only now.
        secret = sorted({*state.secret_results, *_with_secrets(state.results)})
        return Updated({SECRET_RESULTS: secret}, kept=(*RESULTS, "duration_secs", "ran_in"))
    client = client_for(options.project)
    live = _fetch_running(client, options, state.ran_in)
    command = options.update or options.create
    return Updated(_run(client, live, options, command, report, state.results))


def delete(state: ExecState, report: PulumiReporter) -> None:
    """Run the command `delete`, if there is one and the instance still exists."""
    options = state.options
    if options.delete is None:
        return
    client = client_for(options.project)
    live = _find(client, options.instance, state.ran_in)
    if live is None:
        report.info(f"instance {options.instance} no longer exists; `delete` is not run")
        return
    _refuse_stopped(client, live, "delete", "forget the resource: `pulumi state delete URN`")
    _run(client, live, options, options.delete, report, state.results)


def _run(
    client: IncusClient,
    live: LiveInstance,
    options: ExecOptions,
    command: str,
    reporter: PulumiReporter,
    before: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Run a command; return its outputs.

    Args:
        before: The output of an earlier run, which the command gets.
    """
    # As the commands of Pulumi's own command provider get it.
    variables = {
        f"PULUMI_COMMAND_{name.upper()}": text.replace("\0", "")
        for name, text in (before or {}).items()
    }
    watcher = LineObserver(reporter, live.name)
    try:
        result = run_command(
            client.on_member(live.location), live, options, command, watcher, variables=variables
        )
    finally:
        watcher.finish()
    results = {"stdout": result.stdout.rstrip("\n"), "stderr": result.stderr.rstrip("\n")}
    return {
        **results,
        SECRET_RESULTS: _with_secrets(results),
        "duration_secs": round(result.seconds, 3),
        "ran_in": live.uuid,
    }


def _with_secrets(results: Mapping[str, str]) -> list[str]:
    """Return the names of the outputs that contain a secret of this call."""
    return [name for name, text in results.items() if redact(text) != text]


def _find(client: IncusClient, name: str, uuid: str) -> LiveInstance | None:
    """Return the instance with an id, whatever its name is now; by its name if no id is known."""
    live = fetch_instance(client, name)
    if not uuid or (live is not None and live.uuid == uuid):
        return live
    return fetch_instance_by_uuid(client, uuid)


def _fetch_running(client: IncusClient, options: ExecOptions, uuid: str) -> LiveInstance:
    """Return the instance.

    Raises:
        ReconcileError: It does not exist, or does not run.
    """
    live = _find(client, options.instance, uuid)
    if live is None:
        raise ReconcileError(
            could_not(
                f"run a command in {options.instance}",
                f"it does not exist in project {options.project} at {client.host}"
                + (" any more, or another instance has its name" if uuid else ""),
                advice="Run `pulumi refresh`, or correct `instance` and `project`",
            )
        )
    _refuse_stopped(client, live, "run the command", "set `running` to true on its runtime")
    return live


def _refuse_stopped(client: IncusClient, live: LiveInstance, action: str, otherwise: str) -> None:
    if not live.running:
        start = f"incus start --project {client.project} {live.name}"
        action = f"run `{action}` in" if action in COMMANDS else f"{action} in"
        raise ReconcileError(
            could_not(
                f"{action} {live.name}",
                f"it is {live.status}",
                advice=f"Start it (`{start}`) and run the same again, or {otherwise}",
            )
        )


def _differs(name: str, old: ExecOptions, new: ValidatedOptions[ExecOptions]) -> bool:
    if any(path[0] == name for path in new.unknown):
        return True
    return bool(getattr(old, name) != getattr(new.options, name))


KIND: Final = Kind(
    input_names=(*_FIELDS, SECRET_INPUTS, REPLACE_ON),
    parse_inputs=ExecInputs.parse,
    parse_state=ExecState.parse,
    mark_secrets=mark_exec_secrets,
    check=check,
    diff=diff,
    create=create,
    read=read,
    update=update,
    delete=delete,
    fill_inputs=with_project,
    undoable=True,
)
