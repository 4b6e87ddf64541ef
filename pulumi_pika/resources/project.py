"""`IncusProject`: a project of Incus."""

from typing import Unpack

import pulumi

from ..providers.config_object import IncusProjectProvider
from .config_object import ConfigObject
from .object_arguments import IncusProjectArgs


class IncusProject(ConfigObject, module="pika", name="IncusProject"):
    """A project: a part of an Incus server with its own limits, images, profiles and volumes.

    Its `name` output is the `project` of other resources. A delete is refused while anything but
    its own default profile is in the project. An existing project can be adopted.
    """

    _arguments = IncusProjectArgs
    _provider_class = IncusProjectProvider

    def __init__(
        self,
        resource_name: str,
        *,
        opts: pulumi.ResourceOptions | None = None,
        **arguments: Unpack[IncusProjectArgs],
    ) -> None:
        """Declare a project. Every argument, and every value within one, may be an `Output`.

        Args:
            resource_name: The name of the resource in the Pulumi stack; by default also the name
                of the project in Incus.
            opts: Pulumi's resource options. `delete_before_replace` is on by default.
            arguments: All arguments are optional; see `IncusProjectArgs`.

        Raises:
            TypeError: There is no argument of this name.
        """
        super().__init__(resource_name, arguments, opts)
