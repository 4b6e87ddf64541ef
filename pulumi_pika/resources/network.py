"""`IncusNetwork`: a network of Incus."""

from typing import Unpack

import pulumi

from ..providers.config_object import IncusNetworkProvider
from .config_object import ConfigObject
from .object_arguments import IncusNetworkArgs


class IncusNetwork(ConfigObject, module="pika", name="IncusNetwork"):
    """A network of Incus: a bridge with addresses, NAT and DHCP, or one of another type.

    Its `name` output is the `network` of an `IncusProfile` and of nic devices. A delete is refused
    while an instance or a profile uses the network. An existing network can be adopted.
    """

    project: pulumi.Output[str]
    """The Incus project of the network."""
    ipv4_gateway: pulumi.Output[str]
    """The network's own IPv4 address, as `10.20.0.1`; empty if it has none."""
    ipv4_subnet: pulumi.Output[str]
    """The IPv4 network, as `10.20.0.0/24`; empty if it has none."""
    ipv6_gateway: pulumi.Output[str]
    """The network's own IPv6 address; empty if it has none."""
    ipv6_subnet: pulumi.Output[str]
    """The IPv6 network, as `fd42:1::/64`; empty if it has none."""

    _arguments = IncusNetworkArgs
    _provider_class = IncusNetworkProvider
    _more_outputs = ("project", "ipv4_gateway", "ipv4_subnet", "ipv6_gateway", "ipv6_subnet")

    def __init__(
        self,
        resource_name: str,
        *,
        opts: pulumi.ResourceOptions | None = None,
        **arguments: Unpack[IncusNetworkArgs],
    ) -> None:
        """Declare a network. Every argument, and every value within one, may be an `Output`.

        Args:
            resource_name: The name of the resource in the Pulumi stack; by default also the name
                of the network in Incus.
            opts: Pulumi's resource options. `delete_before_replace` is on by default.
            arguments: All arguments are optional; see `IncusNetworkArgs`.

        Raises:
            TypeError: There is no argument of this name.
        """
        super().__init__(resource_name, arguments, opts)
