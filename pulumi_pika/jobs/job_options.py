"""The options of a job beyond those of its instance, and the rules that they must follow."""

import re
from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import Field, JsonValue

from ..message_templates import invalid_value
from ..planner.plan import IncusRuntimePlan
from ..planner.spec_models import Part, RuntimeResources
from ..reconcile.instances.runtime_options import OptionProblem
from ..text_safety import visible

DEFAULT_RESOURCES: Final = RuntimeResources(vcpu_count=2, memory_mib=4096)
"""The limits of a job's instance if the spec has none."""
EXEC_WITHIN: Final = 300.0
"""Seconds until a command can be run in the guest, if `timeouts.wait` is not set. A virtual machine
on a slow host boots for two minutes or more."""

Count = Annotated[int, Field(ge=1, le=100)]
Identity = Annotated[int, Field(ge=0, le=2**32 - 2)]
WholeSeconds = Annotated[int, Field(ge=1, le=7 * 24 * 3600)]
Mebibytes = Annotated[int, Field(ge=1, le=2**20)]

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONGEST_COMMAND: Final = 1024 * 1024


class JobOptions(Part):
    """The command of a job, its time limit, and what happens to its outputs.

    Attributes:
        command: The command for the guest's shell.
        timeout_secs: How long the command may take, in seconds.
        run_as_root: Whether the command runs as root. If False, it runs as `uid` and `gid`.
        uid: The numeric user id in the guest.
        gid: The numeric group id in the guest.
        environment: Additional environment variables of the command.
        output_dir: The directory to which outputs are downloaded, on the machine that runs the job.
            None downloads none.
        max_output_mib: The size limit for all outputs together, in MiB.
        max_attempts: How often the job runs at most, if `policies.restart_policy` allows further
            attempts.
        allow_failure: Whether a failed job is a result like any other, and not an error.
        triggers: Any value; when it changes, the job is run again.
        owner: The owner of the job's instance: the URN of the resource.
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
        """Return how often the job runs at most."""
        return 1 if plan.policies.restart_policy == "never" else self.max_attempts


def find_job_problems(options: JobOptions) -> Iterator[OptionProblem]:
    """Yield all problems of the options, without a request to a server."""
    if not options.command.strip():
        yield ("command",), "must be non-empty"
    elif "\0" in options.command:
        yield ("command",), "must not contain a NUL character"
    elif len(options.command.encode(errors="replace")) > _LONGEST_COMMAND:
        yield ("command",), "must not be longer than 1 MiB; put a script on a mount, and run it"
    for key, value in options.environment.items():
        if not _VARIABLE.fullmatch(key):
            yield (
                ("environment", key),
                invalid_value(
                    visible(key),
                    "environment variable name",
                    "use letters, digits and `_`; no digit at the beginning",
                ),
            )
        elif "\0" in value:
            yield ("environment", key), "must not contain a NUL character"
    if options.output_dir is not None and (
        not options.output_dir.strip() or "\0" in options.output_dir
    ):
        yield ("output_dir",), "must be the path of a directory"
