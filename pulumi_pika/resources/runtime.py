"""`IncusRuntime`: one Incus instance, created exactly as planned."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Unpack, overload

import pulumi
from pulumi.dynamic import Resource

from ..providers.runtime import IncusRuntimeProvider
from .argument_types import (
    IncusRuntimeArgs,
    IncusTargetArgs,
    Tree,
)
from .property_inputs import (
    delete_before_replace_default,
    resource_properties,
    unknown_arguments,
)
from .spec_parts import instance_inputs

if TYPE_CHECKING:
    from ..planner import spec_models
    from ..planner.spec import RuntimeSpec

_TYPE = "pulumi-python:dynamic/pika:IncusRuntime"


class IncusRuntime(Resource, module="pika", name="IncusRuntime"):
    """An Incus instance: a virtual machine, or a container.

    `pulumi preview` shows the whole plan with the name of every device, and `pulumi up` applies
    exactly this plan. A failed create deletes what it created.
    """

    plan: pulumi.Output[dict[str, Any]]
    """The plan that was applied, in the form of `IncusRuntimePlan.to_dict()`; after a refresh, as
    the live instance shows it."""
    instance_name: pulumi.Output[str]
    """The name of the instance in Incus."""
    status: pulumi.Output[str]
    """The status that Incus reports: `Running`, `Ready`, `Stopped`, `Frozen` or `Error`."""
    image_fingerprint: pulumi.Output[str]
    """The fingerprint of the image that the instance has now. The alias may point to another image
    in the meantime."""
    current_alias_fingerprint: pulumi.Output[str]
    """The fingerprint that `incus.image_alias` pointed to at the last create, update or refresh. If
    it differs from `image_fingerprint`, the alias was moved; that is not a change."""
    devices: pulumi.Output[dict[str, dict[str, str]]]
    """The instance's own devices that the program names, mounts included, by name."""
    on_delete: pulumi.Output[str]
    """What a delete or a replacement does to the data, as a sentence."""
    skipped_mounts: pulumi.Output[list[str]]
    """The device names of mounts that were skipped because their source is missing on the host and
    the mount is not required."""
    ipv4_address: pulumi.Output[str]
    """The first global IPv4 address at the last create, update or refresh, or an empty string. Only
    the nic that `access_interface` names counts, or else Incus's own nics; interfaces that the
    guest creates, such as docker0, do not count."""
    ipv6_address: pulumi.Output[str]
    """The first global IPv6 address, by the same rule as `ipv4_address`."""
    addresses: pulumi.Output[dict[str, dict[str, list[str]]]]
    """All global addresses by nic device, as `{"eth0": {"ipv4": [...], "ipv6": [...]}}`."""
    location: pulumi.Output[str]
    """The cluster member that the instance is on; `none` on a server that is not clustered."""
    volume_storage_pool: pulumi.Output[str]
    """The storage pool of the custom volumes whose mounts name none; without such volumes, that of
    the root disk."""
    root_storage_pool: pulumi.Output[str]
    """The storage pool of the root disk."""
    uuid: pulumi.Output[str]
    """The instance's own id (`volatile.uuid`), which another instance of the same name does not
    have."""
    original_image_fingerprint: pulumi.Output[str]
    """The fingerprint of the image that this resource created the instance from. It differs from
    `image_fingerprint` after a rebuild outside Pulumi."""
    plan_digest: pulumi.Output[str]
    """A digest of the plan that was applied last; the instance has it as
    `user.pika.plan_digest`."""
    server_fingerprint: pulumi.Output[str]
    """The SHA-256 fingerprint of the certificate of the server, or cluster, that the instance is
    on."""
    guest_status: pulumi.Output[dict[str, Any]]
    """The content of the guest's status file at the last create, update or refresh: `state`,
    `message`, `updated_at`, `details`; or the state `unknown` with the `reason` why the file is not
    used."""

    @overload
    def __init__(
        self,
        resource_name: str,
        *,
        image: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
        **arguments: Unpack[IncusRuntimeArgs],
    ) -> None: ...

    @overload
    def __init__(
        self,
        resource_name: str,
        *,
        incus: "pulumi.Input[IncusTargetArgs | spec_models.IncusTarget]",
        opts: pulumi.ResourceOptions | None = None,
        **arguments: Unpack[IncusRuntimeArgs],
    ) -> None: ...

    @overload
    def __init__(
        self,
        resource_name: str,
        *,
        spec: "RuntimeSpec | Mapping[str, Tree]",
        incus: "pulumi.Input[IncusTargetArgs | spec_models.IncusTarget] | None" = None,
        opts: pulumi.ResourceOptions | None = None,
        **arguments: Unpack[IncusRuntimeArgs],
    ) -> None: ...

    def __init__(
        self,
        resource_name: str,
        *,
        image: pulumi.Input[str] | None = None,
        incus: "pulumi.Input[IncusTargetArgs | spec_models.IncusTarget] | None" = None,
        spec: "RuntimeSpec | Mapping[str, Tree] | None" = None,
        opts: pulumi.ResourceOptions | None = None,
        **arguments: Unpack[IncusRuntimeArgs],
    ) -> None:
        """Declare a runtime. One of `image`, `incus` and `spec` is required.

        Every argument, and every value within one, may be an `Output`. A value that is given in
        two ways, as `memory_mib` and as `resources.memory_mib`, is an error.

        Args:
            resource_name: The name of the resource in the Pulumi stack; by default also the name
                of the instance in Incus.
            image: Short for `incus.image_alias`: an alias of an image that the Incus server has, or
                its fingerprint, such as the `alias` or the `fingerprint` of an `IncusImage`.
                Default: that of `incus` or `spec`. Change: replaces the instance, except if the new
                alias points to the same image.
            incus: What the instance is created from, and in which project; see `IncusTargetArgs`.
                Default: `image`, `project` and `profile`. Change: as the field that changes.
            spec: A whole `RuntimeSpec`, or its JSON, in place of the parts of a spec among the
                arguments. A part that is given as well takes precedence over that of the spec.
                Default: the other arguments. Change: as the part that changes.
            opts: Pulumi's resource options. `delete_before_replace` is on by default.
            arguments: All other arguments are optional; see `IncusRuntimeArgs`.

        Raises:
            InvalidArguments: A value is given in two ways, or `spec` names another provider than
                `incus`.
            TypeError: There is no argument of this name.
        """
        unknown_arguments(type(self).__name__, arguments, IncusRuntimeArgs)
        arguments.setdefault("instance_type", "virtual-machine")
        arguments.setdefault("running", True)
        arguments.setdefault("wait_for", "running")
        arguments.setdefault("allow_restart", True)
        given = instance_inputs(resource_name, type(self).__name__, spec, image, incus, arguments)
        props = resource_properties(IncusRuntime, given, resource_name, _TYPE, opts)
        super().__init__(
            IncusRuntimeProvider(), resource_name, props, delete_before_replace_default(opts)
        )
