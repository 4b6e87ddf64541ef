"""Run the job of `python -m pulumi_pika run`."""

import argparse
import json
import os
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, Final

from ..incus.hosts import HostSettings
from ..jobs.api import connected, run_job
from ..jobs.job_errors import JobRefused
from ..jobs.job_options import JobOptions, find_job_problems
from ..jobs.job_run import JobOutcome
from ..validation.lenient_validation import Failure
from ..validation.option_inputs import validate_options
from ..validation.property_tree import path_text
from .console import RED, Screen
from .frame import WRONG, CommandRefused, run_framed
from .interrupts import Interruption
from .job_progress import Display
from .spec_file import (
    find_spec_problems,
    problem_list,
    read_spec,
    with_provider,
)

TIMED_OUT: Final = 124
"""The exit code if the time limit ended the command, as in timeout(1)."""
FAILED: Final = 125
"""The exit code if the job failed for another reason than the command, as in timeout(1)."""

_FLAGS: Final = {
    "command": "COMMAND",
    "timeout_secs": "--timeout",
    "uid": "--user",
    "gid": "--user",
    "environment": "--env",
    "output_dir": "--output-dir",
    "max_output_mib": "--max-output-mib",
    "max_attempts": "--max-attempts",
    "instance_type": "--type",
    "storage_pool": "--storage-pool",
    "extra_profiles": "--profile",
    "description": "--description",
    "timeouts": "--exec-within",
}
"""The option that sets each argument."""


def run(arguments: argparse.Namespace, command: Sequence[str]) -> int:
    """Run a job; return the exit code.

    Args:
        arguments: The parsed options.
        command: The command and its arguments.
    """
    return run_framed(
        partial(_run, arguments, command),
        failed=FAILED,
        when_closed="error: the reader of standard output ended; the command was ended",
    )


def exit_code(outcome: JobOutcome) -> int:
    """Return the exit code for an outcome: that of the command, if it is meaningful."""
    if outcome.completed:
        return 0
    if outcome.status == "timed_out":
        return TIMED_OUT
    if outcome.status == "lost":
        return FAILED
    code = outcome.exit_code
    return code if code is not None and 1 <= code <= 255 else 1


def _run(
    arguments: argparse.Namespace,
    command: Sequence[str],
    screen: Screen,
    interruption: Interruption,
) -> int:
    # One argument is a string for the shell, as with ssh; several are passed unchanged.
    given: str | list[str] = command[0] if len(command) == 1 else list(command)
    text = given if isinstance(given, str) else shlex.join(given)
    spec = read_spec(arguments.spec)
    instance = _instance(arguments)
    environment, unset = _environment(arguments.env)
    work = {**_work(arguments), "environment": environment}
    problems = [
        problem.line(spec.name) if problem.place else _option_problem(problem.failure)
        for problem in find_spec_problems(spec, instance)
    ]
    wrong = validate_options(JobOptions, {**work, "command": text}, find_job_problems).failures
    problems += [*map(_option_problem, wrong), *unset]
    if problems:
        # User and group are set by one option, so that its problem could show twice.
        screen.line(problem_list(list(dict.fromkeys(problems)), spec.name), RED)
        return WRONG
    name, project = spec.tree["identity"]["instance_name"], spec.tree["incus"]["project"]
    client = connected(HostSettings(remote=arguments.remote, socket=arguments.socket))
    display = Display(screen, name, quiet=arguments.quiet, as_text=arguments.json)
    interruption.left = _how_to_remove(name, project, arguments.remote)
    try:
        outcome = run_job(
            with_provider(spec.tree), given, **instance, **work, client=client, watcher=display
        )
    except JobRefused as error:
        raise CommandRefused(str(error)) from error
    finally:
        display.finish()
    interruption.left = ""
    code = exit_code(outcome)
    # If the exit code is that of the failed command, no further explanation is needed.
    clear = outcome.completed or (outcome.status == "failed" and code == outcome.exit_code)
    display.verdict(outcome, clear=clear, output_dir=arguments.output_dir)
    if arguments.json:
        screen.raw(json.dumps(asdict(outcome)).encode() + b"\n")
    return code


def _instance(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of the instance that the user set."""
    return _given(
        instance_type=arguments.type,
        storage_pool=arguments.storage_pool,
        extra_profiles=arguments.profile,
        description=arguments.description,
        timeouts=None if arguments.exec_within is None else {"wait": arguments.exec_within},
    )


def _work(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the options of the job that the user set."""
    uid, gid = arguments.user or (None, None)
    return _given(
        timeout_secs=arguments.timeout,
        run_as_root=None if uid is None else False,
        uid=uid,
        gid=gid,
        output_dir=arguments.output_dir,
        max_output_mib=arguments.max_output_mib,
        max_attempts=arguments.max_attempts,
    )


def _given(**values: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _environment(given: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Return the variables, and the problems of those that are not set in this environment."""
    environment, unset = {}, []
    for text in given:
        key, equals, value = text.partition("=")
        if equals:
            environment[key] = value
        elif key in os.environ:
            environment[key] = os.environ[key]
        else:
            unset.append(f"--env: {key} is not set in this environment; use --env {key}=VALUE")
    return environment, unset


def _option_problem(problem: Failure) -> str:
    """Return a line on a problem of an option, with the option's name on the command line."""
    first = str(problem.path[0]) if problem.path else ""
    where = _FLAGS.get(first) or path_text(problem.path)
    return f"{where}: {problem.reason}" if where else problem.reason


def _how_to_remove(name: str, project: str, remote: str | None) -> str:
    named = f"{remote}:{name}" if remote else name
    return (
        f"Instance {name} may still exist. The next run of the job deletes it. To delete it now: "
        f"`incus delete --force --project {shlex.quote(project)} {shlex.quote(named)}`"
    )
