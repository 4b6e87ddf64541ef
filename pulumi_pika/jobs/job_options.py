"""What a job has beyond its plan and the options of its instance: the work, and its outcome."""

import re
from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import Field, JsonValue

from ..planner.plan import IncusRuntimePlan
from ..planner.spec_models import Part, RuntimeResources
from ..reconcile.instances.runtime_options import OptionProblem

DEFAULT_RESOURCES: Final = RuntimeResources(vcpu_count=2, memory_mib=4096)
"""The limits of a job's instance where the spec gives none."""
EXEC_WITHIN: Final = 300.0
"""Seconds until a command can be run in the guest, where `timeouts.wait` is not given. A virtual
machine on a slow host boots for two minutes and more."""

Count = Annotated[int, Field(ge=1, le=100)]
Identity = Annotated[int, Field(ge=0, le=2**32 - 2)]
WholeSeconds = Annotated[int, Field(ge=1, le=7 * 24 * 3600)]
Mebibytes = Annotated[int, Field(ge=1, le=2**20)]

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST_COMMAND: Final = 1024 * 1024


class JobOptions(Part):
    """The work of a job, how long it may take, and what becomes of its outputs.

    Attributes:
        command: for the guest's shell.
        timeout_secs: seconds; then the work is ended.
        run_as_root: as root, or as `uid` and `gid`.
        uid: the user's number in the guest.
        gid: the group's number.
        environment: further variables of the command.
        output_dir: where outputs are put, on the machine that runs the job; None keeps none.
        max_output_mib: MiB that all outputs together may have.
        max_attempts: how often it runs at most, where `policies.restart_policy` lets it run again.
        allow_failure: whether a failed job is an outcome like another, rather than an error.
        triggers: any value; when it changes, the job runs anew.
        owner: who the job's instance belongs to: the URN of the resource.
    """

    command: str
    timeout_secs: WholeSeconds = 3600
    run_as_root: bool = True
    uid: Identity = 1000
    gid: Identity = 1000
    environment: dict[str, str] = Field(default_factory=dict)
    output_dir: str | None = None
    max_output_mib: Mebibytes = 1024
    max_attempts: Count = 3
    allow_failure: bool = False
    triggers: JsonValue = None
    owner: str = ""

    def attempts(self, plan: IncusRuntimePlan) -> int:
        """How often the job runs at most."""
        return 1 if plan.policies.restart_policy == "never" else self.max_attempts


def find_job_problems(options: JobOptions) -> Iterator[OptionProblem]:
    """All that cannot work, found without asking a server."""
    if not options.command.strip():
        yield ("command",), "must be non-empty"
    elif "\0" in options.command:
        yield ("command",), "must not contain a NUL character"
    elif len(options.command.encode(errors="replace")) > _LONGEST_COMMAND:
        yield ("command",), "is longer than 1 MiB; put a script on a mount, and run that"
    for key, value in options.environment.items():
        if not _VARIABLE.fullmatch(key):
            yield (
                ("environment", key),
                f"{key!r} is no name of a variable: letters, digits and `_`, no digit first",
            )
        elif "\0" in value:
            yield ("environment", key), "must not contain a NUL character"
    if options.output_dir is not None and (
        not options.output_dir.strip() or "\0" in options.output_dir
    ):
        yield ("output_dir",), "must be the path of a directory"
