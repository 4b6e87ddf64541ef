"""The life of a bridge: its addresses, NAT and DHCP, in place and by replacement."""

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from pulumi_pika.providers.provider_errors import ProviderError

from ...conftest import Sandbox
from ...support.object_engine import Declared
from ...support.objects import edit, require_bridges, shown, sweep_objects, there
from ...support.provider_engine import Refused


@pytest.fixture
def bridge(sandbox: Sandbox) -> Iterator[str]:
    """A name of an interface that nothing else has."""
    require_bridges(sandbox)
    name = f"t{secrets.token_hex(3)}"
    yield name
    sweep_objects(sandbox.daemon, name)


@pytest.fixture
def subnet() -> str:
    """The first three parts of a network that nothing else has."""
    return f"10.{100 + secrets.randbelow(100)}.{secrets.randbelow(250)}"


def network(name: str, **more: Any) -> Declared:
    return Declared("network", {"name": name, **more})


def test_it_is_created_as_planned_and_stays(bridge: str, subnet: str, sandbox: Sandbox) -> None:
    made = network(
        bridge,
        description="agents",
        ipv4_address=f"{subnet}.1/24",
        ipv4_nat=True,
        ipv4_dhcp_ranges=[f"{subnet}.100-{subnet}.149", f"{subnet}.200-{subnet}.220"],
        ipv6_address="none",
        dns_domain="agents.test",
        mtu=1400,
        config={"user.a": "1"},
    )
    plan = made.checked()["plan"]
    made.up()
    live = shown(sandbox, "networks", bridge)
    assert plan["type"] == live["type"] == "bridge"
    assert plan["config"] == {
        "bridge.mtu": "1400",
        "dns.domain": "agents.test",
        "ipv4.address": f"{subnet}.1/24",
        "ipv4.dhcp.ranges": f"{subnet}.100-{subnet}.149,{subnet}.200-{subnet}.220",
        "ipv4.nat": "true",
        "ipv6.address": "none",
        "user.a": "1",
    }
    assert live["config"].items() >= plan["config"].items()
    assert made.outputs is not None
    assert made.outputs["ipv4_gateway"] == f"{subnet}.1"
    assert made.outputs["ipv4_subnet"] == f"{subnet}.0/24"
    assert made.outputs["ipv6_subnet"] == ""
    assert made.outputs["unmanaged"] == []
    assert made.settled()
    made.destroy()
    assert not there(sandbox, "networks", bridge)


def test_an_address_that_incus_chooses_is_no_drift(bridge: str, sandbox: Sandbox) -> None:
    # IPv6: to find an unused IPv4 network, Incus tries addresses, and in some sandboxes all reply.
    made = network(bridge, ipv4_address="none", ipv6_address="auto")
    made.up()
    assert made.outputs is not None
    assert made.outputs["plan"]["config"]["ipv6.address"] == "auto"
    assert made.outputs["ipv6_gateway"].endswith("::1")
    assert made.outputs["unmanaged"] == ["ipv6.nat"]
    assert made.settled()
    before = shown(sandbox, "networks", bridge)["config"]["ipv6.address"]
    made.drop("ipv6_address")
    made.up()
    assert shown(sandbox, "networks", bridge)["config"]["ipv6.address"] == before
    edit(sandbox, "networks", bridge, config={"ipv6.address": "none", "ipv6.nat": None})
    assert made.up(ipv6_address="auto") == "update"
    assert shown(sandbox, "networks", bridge)["config"]["ipv6.address"] not in ("none", "auto")


def test_it_changes_in_place(bridge: str, subnet: str, sandbox: Sandbox) -> None:
    made = network(
        bridge, ipv4_address=f"{subnet}.1/24", ipv6_address="none", config={"user.a": "1"}
    )
    made.up()
    made.drop("config")
    step = made.up(
        name=f"{bridge}x", ipv4_nat=True, ipv4_dhcp_ranges=[f"{subnet}.50-{subnet}.60"], mtu=1300
    )
    assert step == "update"
    assert not there(sandbox, "networks", bridge)
    live = shown(sandbox, "networks", f"{bridge}x")["config"]
    assert live["ipv4.nat"] == "true"
    assert live["ipv4.dhcp.ranges"] == f"{subnet}.50-{subnet}.60"
    assert "user.a" not in live
    edit(sandbox, "networks", f"{bridge}x", config={"ipv4.nat": "false", "user.o": "1"})
    made.refresh()
    assert made.outputs is not None
    assert made.outputs["plan"]["config"]["ipv4.nat"] == "false"
    assert made.up() == "update"
    live = shown(sandbox, "networks", f"{bridge}x")["config"]
    assert (live["ipv4.nat"], live["user.o"]) == ("true", "1")
    assert made.settled()


def test_a_used_one_is_not_deleted_renamed_or_replaced(
    bridge: str, name: str, sandbox: Sandbox
) -> None:
    made = network(bridge, ipv4_address="none", ipv6_address="none")
    made.up()
    nic = {"type": "nic", "network": bridge}
    sandbox.daemon.request("POST", "/profiles", {"name": name, "devices": {"eth0": nic}})
    user = rf"profile {name} \(project default\)"
    with pytest.raises(ProviderError, match=f"it is used by {user}"):
        made.destroy()
    made.arguments["name"] = f"{bridge}x"
    with pytest.raises(ProviderError, match=f"could not change name of network .*{user}"):
        made.planned()
    made.arguments |= {"name": bridge, "network_type": "macvlan"}
    made.drop("ipv4_address", "ipv6_address")
    with pytest.raises(
        ProviderError, match=rf"could not replace network .*\(because of type\).*{user}"
    ):
        made.planned()
    assert there(sandbox, "networks", bridge)


def test_an_interface_of_the_host_is_never_managed(sandbox: Sandbox) -> None:
    with pytest.raises(Refused, match="an interface of the host that Incus does not manage"):
        network("lo", adopt=True).up()


def test_a_refused_create_leaves_nothing(bridge: str, sandbox: Sandbox) -> None:
    made = network(bridge, ipv6_address="none", config={"bridge.driver": "nonsense"})
    with pytest.raises(ProviderError, match=r"could not create network .*Nothing was created"):
        made.up()
    assert not there(sandbox, "networks", bridge)
