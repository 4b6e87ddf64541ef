"""`IncusJob`: one command in a throw-away instance, its outputs brought home."""

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import Resource

from ..providers.job import IncusJobProvider
from .args import (
    BootstrapArgs,
    IdentityArgs,
    IncusArgs,
    MountArgs,
    PathsArgs,
    PoliciesArgs,
    ResourcesArgs,
    TimeoutsArgs,
    Tree,
)
from .inputs import deleted_first, fields_of, hidden, present, tree_of, with_mount_pools

if TYPE_CHECKING:
    from ..planner import parts
    from ..planner.spec import RuntimeMount, RuntimeSpec
    from ..reconcile.options import Timeouts

_TYPE = "pulumi-python:dynamic/pika:IncusJob"
_OUTPUTS = (
    "plan",
    "instance_name",
    "status",
    "exit_code",
    "message",
    "duration_secs",
    "image_fingerprint",
    "attempts",
    "outputs",
    "left_out",
    "log_tail",
    "kept",
    "kept_status",
    "kept_uuid",
)


class IncusJob(Resource, module="pika", name="IncusJob"):
    """A command that runs once, in an instance that is made for it and goes with it.

    `pulumi up` makes the instance, runs the command while its output shows in the log, brings the
    outputs home to `output_dir`, and removes the instance. A job that fails fails the `up`. With
    the same spec, command and triggers nothing runs; with others it runs anew.
    """

    plan: pulumi.Output[dict[str, Any]]
    """The plan, in the shape of `IncusRuntimePlan.to_dict()`."""
    instance_name: pulumi.Output[str]
    """The name in Incus that the instance has, or had."""
    status: pulumi.Output[str]
    """`completed`; with `allow_failure` also `failed`, `timed_out`, or `lost` where nobody can tell
    how the command ended."""
    exit_code: pulumi.Output[int | None]
    """The command's exit code; None where it is not known."""
    message: pulumi.Output[str]
    """In a sentence or two, how it ended and what the guest's result file says."""
    duration_secs: pulumi.Output[float]
    """Seconds that the command took, in its last attempt."""
    image_fingerprint: pulumi.Output[str]
    """What image the instance was made of."""
    attempts: pulumi.Output[int]
    """How often it ran."""
    outputs: pulumi.Output[list[dict[str, Any]]]
    """The files that were brought home: `path` below `output_dir`, `kind` (log, events, status,
    result or artifact), `size` in bytes, `sha256`."""
    left_out: pulumi.Output[list[dict[str, str]]]
    """What was not brought home: `path` in the guest, and the `reason`."""
    log_tail: pulumi.Output[str]
    """The last 50 lines of the command's output."""
    kept: pulumi.Output[str]
    """The instance that `policies.retention_policy` keeps; empty without one."""
    kept_status: pulumi.Output[str]
    """What that instance does, when last looked at."""
    kept_uuid: pulumi.Output[str]
    """That instance's own id."""

    def __init__(
        self,
        resource_name: str,
        *,
        command: "pulumi.Input[str | Sequence[str]] | Sequence[pulumi.Input[str]]",
        spec: "RuntimeSpec | Mapping[str, Tree] | None" = None,
        identity: "pulumi.Input[IdentityArgs | parts.RuntimeIdentity] | None" = None,
        incus: "pulumi.Input[IncusArgs | parts.IncusTarget] | None" = None,
        resources: "pulumi.Input[ResourcesArgs | parts.RuntimeResources] | None" = None,
        mounts: "pulumi.Input[Sequence[pulumi.Input[MountArgs | RuntimeMount]]] | None" = None,
        lifecycle_root: pulumi.Input[str] | None = None,
        paths: "pulumi.Input[PathsArgs | parts.LifecyclePaths] | None" = None,
        policies: "pulumi.Input[PoliciesArgs | parts.RuntimePolicies] | None" = None,
        bootstrap: "pulumi.Input[BootstrapArgs | parts.RuntimeBootstrap] | None" = None,
        labels: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None,
        metadata: pulumi.Input[Mapping[str, Tree]] | None = None,
        timeout_secs: pulumi.Input[int] = 3600,
        run_as_root: pulumi.Input[bool] = True,
        user: pulumi.Input[int] | None = None,
        group: pulumi.Input[int] | None = None,
        environment: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None,
        triggers: pulumi.Input[Tree] | None = None,
        output_dir: pulumi.Input[str] | None = None,
        max_artifact_mib: pulumi.Input[int] | None = None,
        max_attempts: pulumi.Input[int] | None = None,
        allow_failure: pulumi.Input[bool] | None = None,
        instance_type: pulumi.Input[str] = "virtual-machine",
        storage_pool: pulumi.Input[str] | None = None,
        config: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None,
        devices: (
            pulumi.Input[Mapping[str, pulumi.Input[Mapping[str, pulumi.Input[str]]]]] | None
        ) = None,
        extra_profiles: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None,
        cloud_init_user_data: pulumi.Input[str] | None = None,
        description: pulumi.Input[str] | None = None,
        timeouts: "pulumi.Input[TimeoutsArgs | Timeouts] | None" = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declares a job.

        Every argument, and every value within one, may be an `Output`. What makes the instance is
        as with `IncusRuntime`; the rest is the job's own.

        Args:
            resource_name: its name in the stack.
            command: what to run: a text for the guest's shell, or a list of arguments. Another
                command runs the job anew.
            spec: a whole `RuntimeSpec`, or its JSON, in place of the ten arguments that follow;
                those given beside it have the last word. Another spec runs the job anew.
            identity: `runtime_id` and the `instance_name` in Incus.
            incus: `project`, `profile` and `image_alias`. An alias that moves runs nothing.
            resources: `vcpu_count` (2 where it is not given), `memory_mib` (4096), `root_disk_gib`.
            mounts: what the guest sees where. Persistent volumes are made if missing, and stay.
            lifecycle_root: the directory in the guest where host and guest meet.
            paths: the files and directories below it.
            policies: `restart_policy`: whether a job that failed (`on_failure`), or failed or got
                lost (`always`), runs again, each time in a new instance. `retention_policy`:
                whether the instance goes in any case (`destroy_on_completion`), stays as long as it
                runs (`keep_until_stopped`), or stays if the job failed (`debug_keep`).
                `output_collection`: what is brought home, and when.
            bootstrap: `entry_command`: what the guest is to run, as root, in place of the command;
                it finds the command in the request file, and writes the result file, which then is
                what counts.
            labels: shown as `user.pika.label.<key>` of the instance.
            metadata: any JSON; part of the plan, not shown to the guest.
            timeout_secs: seconds that the command may take; then it is ended, and if the guest does
                not do that, the instance is stopped.
            run_as_root: run the command as root, or as `user`.
            user: the number of the user in the guest, where `run_as_root` is off (1000).
            group: the number of the group (1000).
            environment: further variables of the command.
            triggers: any value; when it changes, the job runs anew.
            output_dir: the directory that outputs are brought home to, on the machine that runs
                Pulumi, from the program's directory. Without it only `log_tail` is.
            max_artifact_mib: MiB that all outputs together may have (1024).
            max_attempts: how often the job runs at most, where its restart policy is not `never`
                (3).
            allow_failure: a job that fails is an outcome like another: `status` tells.
            instance_type: `virtual-machine` or `container`.
            storage_pool: where volumes and a root disk of its own are.
            config: further instance config.
            devices: further Incus devices by name.
            extra_profiles: profiles applied before the plan's own.
            cloud_init_user_data: cloud-init's user-data.
            description: shown by `incus list`.
            timeouts: seconds, for `create`, and for `wait`: until commands can be run (300).
            opts: Pulumi's resource options.

        Raises:
            ValueError: `spec` names another provider than `incus`.
        """
        given = tree_of(
            {
                **fields_of(spec, "an IncusJob is run by"),
                **present(
                    command=_one_text(command),
                    identity=identity,
                    incus=incus,
                    resources=resources,
                    mounts=mounts,
                    lifecycle_root=lifecycle_root,
                    paths=paths,
                    policies=policies,
                    bootstrap=bootstrap,
                    labels=labels,
                    metadata=metadata,
                    timeout_secs=timeout_secs,
                    run_as_root=run_as_root,
                    user=user,
                    group=group,
                    environment=environment,
                    triggers=triggers,
                    output_dir=output_dir,
                    max_artifact_mib=max_artifact_mib,
                    max_attempts=max_attempts,
                    allow_failure=allow_failure,
                    instance_type=instance_type,
                    storage_pool=storage_pool,
                    config=config,
                    devices=devices,
                    extra_profiles=extra_profiles,
                    cloud_init_user_data=cloud_init_user_data,
                    description=description,
                    timeouts=timeouts,
                ),
            }
        )
        given = with_mount_pools(given)
        props = {
            **dict.fromkeys(_OUTPUTS),
            **given,
            **hidden(given, resource_name, _TYPE, opts),
        }
        super().__init__(IncusJobProvider(), resource_name, props, deleted_first(opts))


def _one_text(command: Any) -> Any:
    """The command as one text, which is secret where any part of it is."""
    if isinstance(command, pulumi.Output):
        return command.apply(_one_text)
    if isinstance(command, Sequence) and not isinstance(command, str | bytes):
        if any(isinstance(part, pulumi.Output) for part in command):
            return pulumi.Output.all(*command).apply(_one_text)
        if all(isinstance(part, str) for part in command):
            return shlex.join(command)
    return command
