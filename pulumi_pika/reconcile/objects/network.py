"""Define networks: bridges with their addresses, and other types by their config keys."""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from ipaddress import IPv4Interface, IPv6Interface, ip_address
from typing import Any, ClassVar, Final

from pydantic import Field

from ...choices import NetworkType
from ...incus.client import IncusClient
from ...message_templates import conflict, invalid_value
from ...text_safety import one_line
from ..instances.runtime_options import OptionProblem
from .live_object import LiveObject
from .member_creation import create_on_members
from .object_kind import Need, ObjectKind, place_problems
from .object_plan import ObjectOptions, ObjectPlan, Path

_INTERFACE: Final = re.compile(r"[-_a-zA-Z0-9.]{2,15}")
"""The name of an interface of Linux (Incus shared/validate IsInterfaceName)."""
_OF_MEMBER: Final = frozenset(
    {"bgp.ipv4.nexthop", "bgp.ipv6.nexthop", "bridge.external_interfaces", "parent"}
)
_TUNNEL_OF_MEMBER: Final = re.compile(r"tunnel\.[^.]+\.(interface|local)")
_CHOSEN: Final = frozenset({"ipv4.address", "ipv4.nat", "ipv6.address", "ipv6.nat"})
"""The keys that Incus sets at the creation of a bridge, if the program does not."""
_WITHOUT_MEMBERS: Final = frozenset({"ovn"})
"""The types whose network is the same on all members, so that none is prepared."""


class NetworkOptions(ObjectOptions):
    """Hold the arguments of an `IncusNetwork`."""

    project: str = "default"
    network_type: NetworkType = "bridge"
    ipv4_address: str | None = None
    ipv4_nat: bool | None = None
    ipv4_dhcp: bool | None = None
    ipv4_dhcp_ranges: list[str] | None = None
    ipv6_address: str | None = None
    ipv6_nat: bool | None = None
    ipv6_dhcp: bool | None = None
    ipv6_dhcp_ranges: list[str] | None = None
    dns_domain: str | None = None
    mtu: int | None = Field(default=None, ge=68, le=65535)
    member_config: dict[str, dict[str, str]] = Field(default_factory=dict)


class NetworkKind(ObjectKind[NetworkOptions]):
    """Describe networks."""

    noun = "network"
    collection = "networks"
    command = "incus network"
    in_project = True
    model = NetworkOptions
    arguments: ClassVar[Mapping[str, Path]] = {
        "network_type": ("type",),
        "ipv4_address": ("config", "ipv4.address"),
        "ipv4_nat": ("config", "ipv4.nat"),
        "ipv4_dhcp": ("config", "ipv4.dhcp"),
        "ipv4_dhcp_ranges": ("config", "ipv4.dhcp.ranges"),
        "ipv6_address": ("config", "ipv6.address"),
        "ipv6_nat": ("config", "ipv6.nat"),
        "ipv6_dhcp": ("config", "ipv6.dhcp"),
        "ipv6_dhcp_ranges": ("config", "ipv6.dhcp.ranges"),
        "dns_domain": ("config", "dns.domain"),
        "mtu": ("config", "bridge.mtu"),
    }

    def plan(self, options: NetworkOptions) -> ObjectPlan:
        """Return the plan of the arguments."""
        config = self.config_of(options)
        for family in ("ipv4", "ipv6"):
            ranges = getattr(options, f"{family}_dhcp_ranges")
            if ranges is not None:
                config[f"{family}.dhcp.ranges"] = ",".join(ranges)
        return ObjectPlan(
            name=options.name,
            project=options.project,
            fixed={"type": options.network_type},
            description=options.description,
            config={key: value for key, value in config.items() if value},
            members=options.member_config,
        )

    def find_problems(self, options: NetworkOptions) -> Iterator[OptionProblem]:
        """Find values that Incus would refuse. No server is asked."""
        yield from super().find_problems(options)
        yield from self.find_member_problems(options.member_config)
        yield from place_problems([("project", options.project)])
        name = options.name
        if options.network_type == "bridge" and not _INTERFACE.fullmatch(name):
            rule = (
                "use 2-15 letters, digits, `-`, `_` or `.`, since it is also the name of an "
                "interface of the host"
            )
            yield ("name",), invalid_value(one_line(name, 100), "name of a bridge", rule)
        elif ":" in name or name == "none":
            rule = "use no colon, and not the word none"
            yield ("name",), invalid_value(one_line(name, 100), "name of a network", rule)
        yield from _address_problems(options, "ipv4", IPv4Interface)
        yield from _address_problems(options, "ipv6", IPv6Interface)

    def is_same(self, key: str, wanted: str, config: Mapping[str, str]) -> bool:
        """Return whether a config key is as wanted; Incus replaces `auto` by an address."""
        seen = config.get(key)
        if wanted == "auto" and key in ("ipv4.address", "ipv6.address"):
            return seen not in (None, "", "none")
        return wanted == seen

    def keeps(self, key: str) -> bool:
        """Return whether a config key stays on the host after the program drops it."""
        return key in _CHOSEN

    def is_of_member(self, key: str) -> bool:
        """Return whether each member of a cluster has a value of its own for a config key."""
        # Source: nodeSpecificNetworkConfig of Incus 7.3.
        return key in _OF_MEMBER or _TUNNEL_OF_MEMBER.fullmatch(key) is not None

    def needs_no_users(self, old: ObjectPlan, new: ObjectPlan) -> list[str]:
        """Return the changed parts that Incus changes only while nothing uses the network."""
        return ["name"] if old.name != new.name else []

    def needs(self, options: NetworkOptions) -> Iterator[Need]:
        """Return the other objects that must exist on the host before this one is created."""
        yield Need(("project",), "project", "projects", options.project)
        if uplink := options.config.get("network"):
            yield Need(("config", "network"), "network", "networks", uplink)

    def refusal(self, live: LiveObject) -> str:
        """Return why an existing network can never be managed: it is the host's own interface."""
        if live.data.get("managed") is False:
            return "it is an interface of the host that Incus does not manage"
        return ""

    def create(self, client: IncusClient, plan: ObjectPlan, config: Mapping[str, str]) -> None:
        """Create the network; in a cluster, on every member."""
        if plan.fixed["type"] in _WITHOUT_MEMBERS or not client.server().clustered:
            super().create(client, plan, config)
        else:
            create_on_members(self, client, plan, config)

    def outputs(self, live: LiveObject) -> dict[str, Any]:
        """Return the addresses that the network has."""
        found = {}
        for family, parse in (("ipv4", IPv4Interface), ("ipv6", IPv6Interface)):
            gateway = subnet = ""
            with suppress(ValueError):  # It may have none.
                interface = parse(live.config.get(f"{family}.address", ""))
                gateway, subnet = str(interface.ip), str(interface.network)
            found[f"{family}_gateway"], found[f"{family}_subnet"] = gateway, subnet
        return found


def _address_problems(
    options: NetworkOptions, family: str, parse: type[IPv4Interface] | type[IPv6Interface]
) -> Iterator[OptionProblem]:
    address: str | None = getattr(options, f"{family}_address")
    ranges: list[str] | None = getattr(options, f"{family}_dhcp_ranges")
    interface: IPv4Interface | IPv6Interface | None = None
    example = "10.20.0.1/24" if family == "ipv4" else "fd42:1::1/64"
    if address not in (None, "auto", "none"):
        with suppress(ValueError):
            interface = parse(str(address))
        if interface is None or "/" not in str(address):
            rule = (
                f"use the bridge's own address with the length of the prefix, as `{example}`, or "
                "`auto`, or `none`"
            )
            shown = one_line(str(address), 100)
            yield (f"{family}_address",), invalid_value(shown, "address of a network", rule)
            interface = None
    for index, text in enumerate(ranges or ()):
        where = (f"{family}_dhcp_ranges", index)
        first, _, last = text.partition("-")
        try:
            ends = [ip_address(first), ip_address(last)]
        except ValueError:
            ends = []
        version = 4 if family == "ipv4" else 6
        if not ends or any(end.version != version for end in ends) or int(ends[0]) > int(ends[1]):
            start = example.partition("/")[0]
            rule = f"use two addresses, the lower one first, as `{start}0-{start}9`"
            yield where, invalid_value(one_line(text, 100), "range of addresses", rule)
        elif interface is not None and any(end not in interface.network for end in ends):
            rule = f"use addresses of the network {interface.network}"
            yield where, invalid_value(text, "range of addresses", rule)
    if address == "none":
        for name in ("nat", "dhcp", "dhcp_ranges"):
            if getattr(options, f"{family}_{name}"):
                yield (f"{family}_{name}",), conflict(f'`{family}_address="none"`')


NETWORK: Final = NetworkKind()
"""The kind of an `IncusNetwork`."""
