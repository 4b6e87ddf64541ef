"""The calls of `IncusExecProvider`."""

import secrets
from typing import Any, Final

from pulumi.dynamic import CheckResult, CreateResult, DiffResult, ReadResult, UpdateResult
from pulumi.runtime.rpc import wrap_rpc_secret

from ..incus.client import IncusClient
from ..jobs.exec_options import COMMANDS, ExecOptions, find_exec_problems
from ..jobs.exec_run import run_command
from ..jobs.observer import LineObserver
from ..message_templates import could_not
from ..reconcile.instances.lifecycle import fetch_instance, fetch_instance_by_uuid
from ..reconcile.instances.live_instance import LiveInstance
from ..reconcile.shared.errors import ReconcileError
from ..redaction import redact
from ..validation.option_inputs import ValidatedOptions, validate_options
from ..validation.plan_inputs import SECRET_INPUTS
from ..validation.property_tree import without_provider
from .engine_log import PulumiReporter
from .host_connection import client_for, default_place
from .provider_errors import nesting_failure, raise_if_failed, user_facing_errors
from .replace_on_changes import REPLACE_ON, replaced_by_option
from .schema_version import SCHEMA_VERSION
from .secret_marking import check_failures, mark_secret_inputs, secret_paths

_FIELDS: Final = tuple(ExecOptions.model_fields)
INPUTS: Final = (*_FIELDS, SECRET_INPUTS, REPLACE_ON)
_REPLACING: Final[tuple[str, ...]] = ("instance", "instance_uuid", "project", "triggers")
"""The inputs for which `delete` and then `create` are run."""
_RUNNING: Final = ("create", "stdin", "environment", "working_dir", "uid", "gid")
"""The inputs for which `update` is run, or `create` if there is none."""
_RESULTS: Final = ("stdout", "stderr")


def check(news: dict[str, Any], olds: dict[str, Any] | None = None) -> CheckResult:
    """Validate the inputs.

    Args:
        news: The inputs of the program.
        olds: The inputs that an earlier `check` returned; None or empty for a new resource.
    """
    try:
        inputs = {name: value for name, value in without_provider(news).items() if name in INPUTS}
        if "project" not in inputs:
            # The default of the host is used at creation only.
            inputs["project"] = (olds or {}).get("project") or default_place()[0]
        given = validate_options(ExecOptions, inputs, find_exec_problems)
    except RecursionError:
        return nesting_failure()
    if given.failures:
        return CheckResult({}, check_failures(given.failures, inputs))
    return CheckResult(mark_secret_inputs(inputs, secret_paths(inputs), {}, inputs), [])


def diff(olds: dict[str, Any], props: dict[str, Any]) -> DiffResult:
    """Compare the old options with the new options.

    Args:
        olds: The outputs in the state.
        props: The new inputs.
    """
    news = without_provider(props)
    with user_facing_errors(olds, news):
        state = without_provider(olds)
        old = validate_options(ExecOptions, state, lambda _: ()).options
        new = validate_options(ExecOptions, news, find_exec_problems)
        changes = [name for name in _FIELDS if _differs(name, old, new)]
        if (state.get(SECRET_INPUTS) or []) != (news.get(SECRET_INPUTS) or []):
            changes.append(SECRET_INPUTS)
        replaces = [name for name in _REPLACING if name in changes]
        replaces += replaced_by_option(
            news, old.model_dump(), new.options.model_dump(), new.unknown, replaces
        )
    return DiffResult(
        changes=bool(changes or replaces),
        replaces=replaces,
        # `delete` undoes what `create` did, so that it runs first.
        delete_before_replace=True,
    )


def create(props: dict[str, Any]) -> CreateResult:
    """Run the command `create`.

    Args:
        props: The inputs that `check` returned.
    """
    inputs = without_provider(props)
    with user_facing_errors(inputs, undoable=True) as report:
        options = _options(inputs)
        client = client_for(options.project)
        live = _running(client, options, options.instance_uuid or "")
        outputs = {**inputs, **_run(client, live, options, options.create, report())}
        made = _marked(outputs, inputs)
    return CreateResult(secrets.token_hex(8), made)


def read(id_: str, props: dict[str, Any]) -> ReadResult:
    """Return the state; without the instance in which the command ran, it is returned as a deleted
    resource.

    Args:
        id_: The id of the resource.
        props: The outputs in the state.
    """
    with user_facing_errors(props) as report:
        outputs = without_provider(props)
        options = validate_options(ExecOptions, outputs, lambda _: ()).options
        uuid = str(outputs.get("ran_in") or "")
        if _find(client_for(options.project), options.instance, uuid) is None:
            report().warn(
                f"the instance in which the command ran, {options.instance} in project "
                f"{options.project}, is gone; the next `pulumi up` runs `create` again"
            )
            return ReadResult("", {})
        inputs = {name: outputs[name] for name in INPUTS if name in outputs}
        secret = secret_paths(inputs)
        marked = _marked(outputs, inputs)
    return ReadResult(id_, marked, mark_secret_inputs(dict(inputs), secret, {}, inputs))


def update(olds: dict[str, Any], props: dict[str, Any]) -> UpdateResult:
    """Run the command `update`, or `create` if there is none, unless only inputs changed that no
    running command has.

    Args:
        olds: The outputs in the state.
        props: The new inputs.
    """
    inputs = without_provider(props)
    with user_facing_errors(olds, inputs) as report:
        state = without_provider(olds)
        options = _options(inputs)
        old = validate_options(ExecOptions, state, lambda _: ()).options
        outputs = {**state, **inputs, "schema_version": SCHEMA_VERSION}
        for name in INPUTS:
            if name not in inputs:
                outputs.pop(name, None)
        if any(getattr(old, name) != getattr(options, name) for name in _RUNNING):
            client = client_for(options.project)
            live = _running(client, options, str(state.get("ran_in") or ""))
            command = options.update or options.create
            outputs.update(_run(client, live, options, command, report(), state))
        made = _marked(outputs, inputs)
    return UpdateResult(made)


def delete(props: dict[str, Any]) -> None:
    """Run the command `delete`, if there is one and the instance still exists.

    Args:
        props: The outputs in the state.
    """
    with user_facing_errors(props) as report:
        state = without_provider(props)
        options = validate_options(ExecOptions, state, lambda _: ()).options
        if options.delete is None:
            return
        client = client_for(options.project)
        uuid = str(state.get("ran_in") or "")
        live = _find(client, options.instance, uuid)
        if live is None:
            report().info(f"the instance {options.instance} is gone: `delete` is not run")
            return
        _refuse_stopped(client, live, "delete", "forget the resource: `pulumi state delete URN`")
        _run(client, live, options, options.delete, report(), state)


def _run(
    client: IncusClient,
    live: LiveInstance,
    options: ExecOptions,
    command: str,
    reporter: PulumiReporter,
    before: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Run a command; return its outputs.

    Args:
        before: The state of an earlier run, whose output the command gets.
    """
    # As the commands of Pulumi's own command provider get it.
    variables = {
        f"PULUMI_COMMAND_{name.upper()}": str((before or {}).get(name) or "").replace("\0", "")
        for name in (_RESULTS if before else ())
    }
    watcher = LineObserver(reporter, live.name)
    try:
        result = run_command(
            client.beside(live.location), live, options, command, watcher, variables=variables
        )
    finally:
        watcher.finish()
    return {
        "stdout": result.stdout.rstrip("\n"),
        "stderr": result.stderr.rstrip("\n"),
        "duration_secs": round(result.seconds, 3),
        "ran_in": live.uuid,
        "schema_version": SCHEMA_VERSION,
    }


def _find(client: IncusClient, name: str, uuid: str) -> LiveInstance | None:
    """Return the instance with an id, whatever its name is now; by its name if no id is known."""
    live = fetch_instance(client, name)
    if not uuid or (live is not None and live.uuid == uuid):
        return live
    return fetch_instance_by_uuid(client, uuid)


def _running(client: IncusClient, options: ExecOptions, uuid: str) -> LiveInstance:
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


def _options(inputs: dict[str, Any]) -> ExecOptions:
    given = validate_options(ExecOptions, inputs, find_exec_problems)
    raise_if_failed(given.failures)
    return given.options


def _marked(outputs: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    """Mark the secrets in the outputs, also an output of the command that contains one."""
    tells = [
        name
        for name in _RESULTS
        if isinstance(text := outputs.get(name), str) and redact(text) != text
    ]
    marked = mark_secret_inputs(outputs, secret_paths(inputs), {}, inputs)
    for name in tells:
        marked[name] = wrap_rpc_secret(marked[name])
    return marked
