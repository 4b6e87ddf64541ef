"""`IncusExec`: commands that run in an instance when the resource is created, updated, deleted."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import Resource

from ..providers.exec import IncusExecProvider
from .argument_types import Tree
from .job import Command, shell_text
from .property_inputs import delete_before_replace_default, resource_properties, to_plain

if TYPE_CHECKING:
    from .runtime import IncusRuntime

_TYPE = "pulumi-python:dynamic/pika:IncusExec"


class IncusExec(Resource, module="pika", name="IncusExec"):
    """Commands that run in an existing instance.

    `pulumi up` runs `create` once, and `update` (or `create` again) when the command, its input or
    its environment change. A delete runs `delete`. If a command does not end with exit code 0, the
    `up` fails.
    """

    stdout: pulumi.Output[str]
    """The standard output of the last command, without line breaks at its end: the last 256 KiB. It
    is a secret if it contains a secret of the inputs."""
    stderr: pulumi.Output[str]
    """The error output of the last command, by the same rules as `stdout`."""
    duration_secs: pulumi.Output[float]
    """How long the last command took, in seconds."""
    ran_in: pulumi.Output[str]
    """The id (`volatile.uuid`) of the instance in which the last command ran."""

    def __init__(
        self,
        resource_name: str,
        *,
        instance: "IncusRuntime | pulumi.Input[str]",
        create: Command,
        update: Command | None = None,
        delete: Command | None = None,
        project: pulumi.Input[str] | None = None,
        stdin: pulumi.Input[str] | None = None,
        environment: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None,
        working_dir: pulumi.Input[str] | None = None,
        uid: pulumi.Input[int] | None = None,
        gid: pulumi.Input[int] | None = None,
        timeout_secs: pulumi.Input[int] = 3600,
        wait_secs: pulumi.Input[int] = 300,
        triggers: pulumi.Input[Tree] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the commands.

        A command is a string for the guest's shell, or a list of arguments. Every argument may be
        an `Output`. A secret never reaches a command line that other processes can see before the
        guest has it: the commands are written into the guest as a file for their user only.

        Args:
            resource_name: The name of the resource in the Pulumi stack.
            instance: An `IncusRuntime`, or the name of an instance. With an `IncusRuntime`, the
                commands run again if the instance is replaced. Change: runs `delete` in the old
                instance, then `create`.
            create: The command that a create runs. Change: runs `update`, or `create` if there is
                none.
            update: The command that an update runs. It finds the output of the previous command in
                the variables `PULUMI_COMMAND_STDOUT` and `PULUMI_COMMAND_STDERR`. Default:
                `create`. Change: in place; nothing is run.
            delete: The command that a delete runs, with the same variables. If the instance no
                longer exists, nothing is run. Default: nothing. Change: in place; nothing is run.
            project: The Incus project of the instance. Default: that of the `IncusRuntime`,
                else of the `IncusHost`, else `default`. Change: as `instance`.
            stdin: The standard input of the commands. Default: empty. Change: as `create`.
            environment: Additional environment variables of the commands. Default: an empty
                mapping. Change: as `create`.
            working_dir: The absolute path of the directory in which the commands run. Default: `/`.
                Change: as `create`.
            uid: The numeric user id of the commands in the guest. Default: 0. Change: as `create`.
            gid: The numeric group id of the commands in the guest. Default: 0. Change: as
                `create`.
            timeout_secs: How long a command may take, in seconds, 1 to 604800. Then it is ended,
                and the `up` fails. Default: 3600. Change: in place; nothing is run.
            wait_secs: How long to wait until a command can be run in the guest, in seconds, 1 to
                604800. Default: 300. Change: in place; nothing is run.
            triggers: Any value. Default: none. Change: runs `delete`, then `create`.
            opts: Pulumi's resource options. `delete_before_replace` is on by default.
        """
        name, uuid, where = _target(instance)
        given = to_plain(
            {
                "instance": name,
                "instance_uuid": uuid,
                "project": project or where,
                "create": shell_text(create),
                "update": shell_text(update),
                "delete": shell_text(delete),
                "stdin": stdin,
                "environment": environment,
                "working_dir": working_dir,
                "uid": uid,
                "gid": gid,
                "timeout_secs": timeout_secs,
                "wait_secs": wait_secs,
                "triggers": triggers,
            }
        )
        given = {name: value for name, value in given.items() if value is not None}
        props = resource_properties(IncusExec, given, resource_name, _TYPE, opts)
        super().__init__(
            IncusExecProvider(), resource_name, props, delete_before_replace_default(opts)
        )


def _target(instance: Any) -> tuple[Any, Any, Any]:
    """Return name, id and project of an instance; id and project are None for a name."""
    if not isinstance(instance, pulumi.Resource):
        return instance, None, None
    project = instance.plan.apply(lambda plan: plan["incus"]["project"])  # type: ignore[attr-defined]
    return instance.instance_name, instance.uuid, project  # type: ignore[attr-defined]
