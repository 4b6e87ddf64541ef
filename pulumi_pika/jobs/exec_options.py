"""The options of an `IncusExec`, and the rules that they must follow."""

import re
from collections.abc import Iterator
from typing import Final

from pydantic import Field, JsonValue

from ..message_templates import invalid_value, must
from ..planner.spec_models import Part
from ..reconcile.instances.runtime_options import OptionProblem
from .job_options import Identity, WholeSeconds

COMMANDS: Final = ("create", "update", "delete")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_INSTANCE: Final = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?")
_LONGEST: Final = 1024 * 1024
"""The most bytes of a command, of the standard input, and of all variables together."""


class ExecOptions(Part):
    """The commands of an `IncusExec`, and how they run.

    Attributes:
        instance: The name of the instance.
        instance_uuid: The instance's own id (`volatile.uuid`), if the program knows it: another
            instance of that name is not the one.
        project: The Incus project of the instance.
        create: The command that a create runs.
        update: The command that an update runs. None runs `create`.
        delete: The command that a delete runs. None runs nothing.
        stdin: The standard input of the commands.
        environment: Additional environment variables of the commands.
        working_dir: The directory in which the commands run. None is the root directory.
        uid: The numeric user id in the guest.
        gid: The numeric group id in the guest.
        timeout_secs: How long a command may take, in seconds.
        wait_secs: How long the guest may take until a command can be run in it, in seconds.
        triggers: Any value; when it changes, `delete` and then `create` are run.
        owner: The URN of the resource.
    """

    instance: str
    instance_uuid: str | None = None
    project: str = "default"
    create: str
    update: str | None = None
    delete: str | None = None
    stdin: str | None = None
    environment: dict[str, str] = Field(default_factory=dict)
    working_dir: str | None = None
    uid: Identity = 0
    gid: Identity = 0
    timeout_secs: WholeSeconds = 3600
    wait_secs: WholeSeconds = 300
    triggers: JsonValue = None
    owner: str = ""


def find_exec_problems(options: ExecOptions) -> Iterator[OptionProblem]:
    """Yield all problems of the options, without a request to a server."""
    if not _INSTANCE.fullmatch(options.instance):
        rule = "use 1-63 letters, digits or hyphens, no hyphen at either end"
        yield ("instance",), invalid_value(_short(options.instance), "instance name", rule)
    project = options.project
    if not project.strip() or "/" in project or not project.isprintable():
        rule = "use a name without slash and control characters"
        yield ("project",), invalid_value(_short(project), "project name", rule)
    for name in COMMANDS:
        command = getattr(options, name)
        if command is not None and not command.strip():
            yield (name,), must("be non-empty")
    for name in (*COMMANDS, "stdin"):
        text = getattr(options, name) or ""
        if "\0" in text and name != "stdin":
            yield (name,), must("not contain a NUL character")
        elif len(text.encode(errors="replace")) > _LONGEST:
            yield (name,), must("be at most 1 MiB; mount a volume, or write a file with `files`")
    for key, value in options.environment.items():
        if not _VARIABLE.fullmatch(key):
            rule = "use letters, digits and `_`, no digit first"
            yield ("environment", key), invalid_value(_short(key), "name of a variable", rule)
        elif "\0" in value:
            yield ("environment", key), must("not contain a NUL character")
    if sum(map(len, options.environment.values())) > _LONGEST:
        yield ("environment",), must("be at most 1 MiB in total; use `stdin`")
    folder = options.working_dir
    if folder is not None and (not folder.startswith("/") or "\0" in folder):
        rule = "use an absolute path"
        yield ("working_dir",), invalid_value(_short(folder), "directory of the guest", rule)


def _short(text: str) -> str:
    return ascii(text)[1:-1][:80]
