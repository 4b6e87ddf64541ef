"""`IncusJob`: run one command in a temporary instance and collect its outputs."""

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Unpack, overload

import pulumi
from pulumi.dynamic import Resource

from ..providers.job import IncusJobProvider
from .argument_types import (
    IncusJobArgs,
    IncusTargetArgs,
    Tree,
)
from .property_inputs import (
    delete_before_replace_default,
    resource_properties,
    to_plain,
    unknown_arguments,
)
from .spec_parts import instance_inputs

if TYPE_CHECKING:
    from ..planner import spec_models
    from ..planner.spec import RuntimeSpec

Command = pulumi.Input[str | Sequence[str]] | Sequence[pulumi.Input[str]]

_TYPE = "pulumi-python:dynamic/pika:IncusJob"


class IncusJob(Resource, module="pika", name="IncusJob"):
    """A command that runs once, in a temporary instance of its own.

    `pulumi up` creates the instance, runs the command and shows its output in the log. Then it
    downloads the outputs to `output_dir` and deletes the instance. A failed job fails the `up`. If
    spec, command or triggers change, the job is run again; otherwise it is not.
    """

    plan: pulumi.Output[dict[str, Any]]
    """The plan, in the form of `IncusRuntimePlan.to_dict()`."""
    instance_name: pulumi.Output[str]
    """The name of the job's instance in Incus."""
    status: pulumi.Output[str]
    """`completed`; with `allow_failure` also `failed`, `timed_out`, or `lost` if the result is
    unknown."""
    exit_code: pulumi.Output[int | None]
    """The exit code of the command; None if it is unknown."""
    message: pulumi.Output[str]
    """How the command ended, and what the guest's result file reports, in one or two sentences."""
    duration_secs: pulumi.Output[float]
    """How long the command took in its last attempt, in seconds."""
    image_fingerprint: pulumi.Output[str]
    """The fingerprint of the image that the instance was created from."""
    attempts: pulumi.Output[int]
    """How often the command was run."""
    collected_files: pulumi.Output[list[dict[str, Any]]]
    """The files that were downloaded: `path` below `output_dir`, `kind` (log, events, status,
    result or artifact), `size` in bytes, `sha256`."""
    skipped_outputs: pulumi.Output[list[dict[str, str]]]
    """The outputs that were not downloaded: `path` in the guest, and the `reason`."""
    log_tail: pulumi.Output[str]
    """The last 50 lines of the command's output."""
    retained_instance: pulumi.Output[str]
    """The name of the instance that `policies.retention_policy` retains; empty if there is none."""
    retained_status: pulumi.Output[str]
    """The status of the retained instance at the last refresh."""
    retained_uuid: pulumi.Output[str]
    """The retained instance's own id (`volatile.uuid`)."""

    @overload
    def __init__(
        self,
        resource_name: str,
        *,
        command: Command,
        image: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
        **arguments: Unpack[IncusJobArgs],
    ) -> None: ...

    @overload
    def __init__(
        self,
        resource_name: str,
        *,
        command: Command,
        incus: "pulumi.Input[IncusTargetArgs | spec_models.IncusTarget]",
        opts: pulumi.ResourceOptions | None = None,
        **arguments: Unpack[IncusJobArgs],
    ) -> None: ...

    @overload
    def __init__(
        self,
        resource_name: str,
        *,
        command: Command,
        spec: "RuntimeSpec | Mapping[str, Tree]",
        incus: "pulumi.Input[IncusTargetArgs | spec_models.IncusTarget] | None" = None,
        opts: pulumi.ResourceOptions | None = None,
        **arguments: Unpack[IncusJobArgs],
    ) -> None: ...

    def __init__(
        self,
        resource_name: str,
        *,
        command: Command,
        image: pulumi.Input[str] | None = None,
        incus: "pulumi.Input[IncusTargetArgs | spec_models.IncusTarget] | None" = None,
        spec: "RuntimeSpec | Mapping[str, Tree] | None" = None,
        opts: pulumi.ResourceOptions | None = None,
        **arguments: Unpack[IncusJobArgs],
    ) -> None:
        """Declare a job. `command` is required, and one of `image`, `incus` and `spec`.

        Every argument, and every value within one, may be an `Output`. A value that is given in
        two ways, as `memory_mib` and as `resources.memory_mib`, is an error.

        Args:
            resource_name: The name of the resource in the Pulumi stack; by default also the name
                of the instance in Incus.
            command: What to run: a string for the guest's shell, or a list of arguments. Change:
                the job is run again.
            image: Short for `incus.image_alias`: an alias of an image that the Incus server has, or
                its fingerprint, such as the `alias` or the `fingerprint` of an `IncusImage`.
                Default: that of `incus` or `spec`. Change: the job is run again; if the alias is
                moved to another image, it is not.
            incus: What the instance is created from, and in which project; see `IncusTargetArgs`.
                Default: `image`, `project` and `profile`. Change: the job is run again.
            spec: A whole `RuntimeSpec`, or its JSON, in place of the parts of a spec among the
                arguments. A part that is given as well takes precedence over that of the spec.
                Default: the other arguments. Change: the job is run again.
            opts: Pulumi's resource options. `delete_before_replace` is on by default.
            arguments: All other arguments are optional; see `IncusJobArgs`.

        Raises:
            InvalidArguments: A value is given in two ways, or `spec` names another provider than
                `incus`.
            TypeError: There is no argument of this name.
        """
        unknown_arguments(type(self).__name__, arguments, IncusJobArgs)
        arguments.setdefault("timeout_secs", 3600)
        arguments.setdefault("run_as_root", True)
        arguments.setdefault("instance_type", "virtual-machine")
        given = {
            "command": to_plain(shell_text(command)),
            **instance_inputs(resource_name, type(self).__name__, spec, image, incus, arguments),
        }
        props = resource_properties(IncusJob, given, resource_name, _TYPE, opts)
        super().__init__(
            IncusJobProvider(), resource_name, props, delete_before_replace_default(opts)
        )


def shell_text(command: Any) -> Any:
    """Return the command as one string, which is secret if a part of it is secret."""
    if isinstance(command, pulumi.Output):
        return command.apply(shell_text)
    if isinstance(command, Sequence) and not isinstance(command, str | bytes):
        if any(isinstance(part, pulumi.Output) for part in command):
            return pulumi.Output.all(*command).apply(shell_text)
        if all(isinstance(part, str) for part in command):
            return shlex.join(command)
    return command
