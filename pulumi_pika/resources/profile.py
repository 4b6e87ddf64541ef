"""`IncusProfile`: what instances have in common."""

from typing import Unpack

import pulumi

from ..providers.config_object import IncusProfileProvider
from .config_object import ConfigObject
from .object_arguments import IncusProfileArgs


class IncusProfile(ConfigObject, module="pika", name="IncusProfile"):
    """A profile: limits, devices and config keys that several instances have in common.

    Its `name` output is the `profile` of an `IncusRuntime`. A delete is refused while an instance
    uses the profile. The profile `default`, and any other that exists, can be adopted.
    """

    project: pulumi.Output[str]
    """The Incus project of the profile."""

    _arguments = IncusProfileArgs
    _provider_class = IncusProfileProvider
    _more_outputs = ("project",)

    def __init__(
        self,
        resource_name: str,
        *,
        opts: pulumi.ResourceOptions | None = None,
        **arguments: Unpack[IncusProfileArgs],
    ) -> None:
        """Declare a profile. Every argument, and every value within one, may be an `Output`.

        Args:
            resource_name: The name of the resource in the Pulumi stack; by default also the name
                of the profile in Incus.
            opts: Pulumi's resource options. `delete_before_replace` is on by default.
            arguments: All arguments are optional; see `IncusProfileArgs`.

        Raises:
            TypeError: There is no argument of this name.
        """
        super().__init__(resource_name, arguments, opts)
