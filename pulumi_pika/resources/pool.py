"""`StoragePool`: a storage pool of Incus."""

from typing import Unpack

import pulumi

from ..providers.config_object import StoragePoolProvider
from .config_object import ConfigObject
from .object_arguments import StoragePoolArgs


class StoragePool(ConfigObject, module="pika", name="StoragePool"):
    """A storage pool: where Incus stores root disks and volumes.

    Its `name` output is the `storage_pool` of other resources. A delete is refused while an
    instance, a volume or a profile uses the pool. An existing pool can be adopted.
    """

    status: pulumi.Output[str]
    """The status that Incus reports, such as `Created` or `Unavailable`."""

    _arguments = StoragePoolArgs
    _provider_class = StoragePoolProvider
    _more_outputs = ("status",)

    def __init__(
        self,
        resource_name: str,
        *,
        opts: pulumi.ResourceOptions | None = None,
        **arguments: Unpack[StoragePoolArgs],
    ) -> None:
        """Declare a storage pool. Every argument, and every value within one, may be an `Output`.

        Args:
            resource_name: The name of the resource in the Pulumi stack; by default also the name
                of the storage pool in Incus.
            opts: Pulumi's resource options. `delete_before_replace` is on by default.
            arguments: `driver` is required. See `StoragePoolArgs`.

        Raises:
            TypeError: There is no argument of this name.
        """
        super().__init__(resource_name, arguments, opts)
