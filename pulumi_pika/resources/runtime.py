"""`IncusRuntime`: one Incus instance, made exactly to its plan."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pulumi
from pulumi.dynamic import Resource

from ..providers.runtime import IncusRuntimeProvider
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

_TYPE = "pulumi-python:dynamic/pika:IncusRuntime"
_OUTPUTS = (
    "plan",
    "instance_name",
    "on_delete",
    "status",
    "image_fingerprint",
    "current_alias_fingerprint",
    "devices",
    "skipped_mounts",
    "ipv4_address",
    "ipv6_address",
    "addresses",
    "location",
    "volume_storage_pool",
    "root_storage_pool",
    "uuid",
    "original_image_fingerprint",
    "plan_digest",
    "server_fingerprint",
    "guest_status",
)


class IncusRuntime(Resource, module="pika", name="IncusRuntime"):
    """An Incus instance: a virtual machine, or a container.

    `pulumi preview` shows its whole plan with the name of every device, and `pulumi up` makes
    precisely that. A failed `up` takes back what it made.
    """

    plan: pulumi.Output[dict[str, Any]]
    """The plan, in the shape of `IncusRuntimePlan.to_dict()`; as seen, after a refresh."""
    instance_name: pulumi.Output[str]
    """The instance's name in Incus."""
    status: pulumi.Output[str]
    """Incus's word for what the instance does: Running, Ready, Stopped, Frozen, Error."""
    image_fingerprint: pulumi.Output[str]
    """What image the instance was made of. The alias may point at another one by now."""
    current_alias_fingerprint: pulumi.Output[str]
    """What `incus.image_alias` pointed at when last looked at; where it was moved, that is no
    change, and the instance is still of `image_fingerprint`."""
    devices: pulumi.Output[dict[str, dict[str, str]]]
    """The instance's own devices that the program names, mounts included, by name."""
    on_delete: pulumi.Output[str]
    """In words, what a delete or a replacement does to the data."""
    skipped_mounts: pulumi.Output[list[str]]
    """Devices of mounts that are not required and whose source was missing."""
    ipv4_address: pulumi.Output[str]
    """The first global IPv4 address when the instance was last looked at, or empty: of the nic that
    `access_interface` names, or of Incus's own nics. Interfaces that the guest itself makes, such
    as docker0, do not count."""
    ipv6_address: pulumi.Output[str]
    """The first global IPv6 address, likewise."""
    addresses: pulumi.Output[dict[str, dict[str, list[str]]]]
    """All global addresses by nic device, as `{"eth0": {"ipv4": [...], "ipv6": [...]}}`."""
    location: pulumi.Output[str]
    """The cluster member that it is on; `none` on a server that is no cluster."""
    volume_storage_pool: pulumi.Output[str]
    """The storage pool of its custom volumes; without any, of its root disk."""
    root_storage_pool: pulumi.Output[str]
    """The storage pool that its root disk is in."""
    uuid: pulumi.Output[str]
    """The instance's own id, which another instance of the same name would not share."""
    original_image_fingerprint: pulumi.Output[str]
    """The image that this resource made the instance of; after a rebuild outside, not the one that
    it is of now."""
    plan_digest: pulumi.Output[str]
    """Of the plan that was applied last; marks the instance as `user.pika.plan_digest`."""
    server_fingerprint: pulumi.Output[str]
    """Of the certificate of the server, or cluster, that it was last seen at."""
    guest_status: pulumi.Output[dict[str, Any]]
    """What the guest's status file said when last looked at: `state`, `message`, `updated_at`,
    `details`; or the state `unknown` with the `reason` why the file is not believed."""

    def __init__(
        self,
        resource_name: str,
        *,
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
        instance_type: pulumi.Input[str] = "virtual-machine",
        storage_pool: pulumi.Input[str] | None = None,
        running: pulumi.Input[bool] | None = True,
        config: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None,
        devices: (
            pulumi.Input[Mapping[str, pulumi.Input[Mapping[str, pulumi.Input[str]]]]] | None
        ) = None,
        extra_profiles: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None,
        cloud_init_user_data: pulumi.Input[str] | None = None,
        description: pulumi.Input[str] | None = None,
        wait_for: pulumi.Input[str] = "running",
        timeouts: "pulumi.Input[TimeoutsArgs | Timeouts] | None" = None,
        allow_restart: pulumi.Input[bool] = True,
        adopt: pulumi.Input[bool] | None = None,
        delete_data: pulumi.Input[bool] | None = None,
        restart_triggers: pulumi.Input[Tree] | None = None,
        access_interface: pulumi.Input[str] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declares a runtime.

        Every argument, and every value within one, may be an `Output`.

        Args:
            resource_name: its name in the stack.
            spec: a whole `RuntimeSpec`, or its JSON, in place of the ten arguments that follow;
                those given beside it have the last word.
            identity: `runtime_id` and the `instance_name` in Incus. Another name is a replacement.
            incus: `project`, `profile` and `image_alias`. Another project or image is a
                replacement.
            resources: `vcpu_count`, `memory_mib`, `root_disk_gib`; what is absent is not limited.
            mounts: what the guest sees where. An absolute source is a path of the host, any other
                a custom volume in the storage pool; persistent volumes are made if missing.
            lifecycle_root: the directory in the guest where host and guest meet.
            paths: the files and directories below it.
            policies: what happens when the runtime ends.
            bootstrap: how the guest starts its work.
            labels: shown as `user.pika.label.<key>` of the instance.
            metadata: any JSON; part of the plan, not shown to the guest.
            instance_type: `virtual-machine` or `container`. Another type is a replacement.
            storage_pool: where volumes and a root disk of its own are; by default the pool of the
                profile's root disk. Another pool is a replacement.
            running: whether it runs; None leaves that to others.
            config: further instance config. Keys that the plan owns are refused.
            devices: further Incus devices by name (nic, proxy, gpu, ...). Names that begin with
                `pk-` are the plan's.
            extra_profiles: profiles applied before the plan's own.
            cloud_init_user_data: cloud-init's user-data; read by the guest at its first boot.
            description: shown by `incus list`; left out, it is left to others.
            wait_for: what a create, or a start, waits for: `running`, `agent` (a command can be
                run in the guest), `ipv4` (it has a global address), `ready` (it said so to Incus)
                or `guest_status` (its status file says ready).
            timeouts: seconds, for `create`, `update`, `delete`, `wait` and `stop`.
            allow_restart: whether a change that a running instance cannot take may restart it.
            adopt: take over an existing instance of that name that no other resource is marked to
                own, if it can be brought to the plan in place; and volumes that hold another
                runtime's data.
            delete_data: delete the volumes that were made for the persistent mounts, WITH ALL
                DATA, when the resource is deleted or replaced. By default they are kept, and
                found again by the next runtime of the same id.
            restart_triggers: any value; when it changes, a running instance is restarted and a stopped one
                started.
            access_interface: the nic whose addresses are the outputs `ipv4_address` and `ipv6_address`, and which
                `wait_for="ipv4"` waits for: the name of its device, or of its interface in the
                guest. By default the first of Incus's own nics that has an address.
            opts: Pulumi's resource options.

        Raises:
            ValueError: `spec` names another provider than `incus`.
        """
        given = tree_of(
            {
                **fields_of(spec, "an IncusRuntime is made by"),
                **present(
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
                    instance_type=instance_type,
                    storage_pool=storage_pool,
                    running=running,
                    config=config,
                    devices=devices,
                    extra_profiles=extra_profiles,
                    cloud_init_user_data=cloud_init_user_data,
                    description=description,
                    wait_for=wait_for,
                    timeouts=timeouts,
                    allow_restart=allow_restart,
                    adopt=adopt,
                    delete_data=delete_data,
                    restart_triggers=restart_triggers,
                    access_interface=access_interface,
                ),
            }
        )
        given = with_mount_pools(given)
        props = {
            **dict.fromkeys(_OUTPUTS),
            **given,
            **hidden(given, resource_name, _TYPE, opts),
        }
        super().__init__(IncusRuntimeProvider(), resource_name, props, deleted_first(opts))
