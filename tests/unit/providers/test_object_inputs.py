"""What the providers of config objects answer to inputs and changes, without a server."""

import json
import pickle
from typing import Any

import pytest
from pulumi.runtime.rpc import UNKNOWN

from pulumi_pika.providers import config_object, host_connection
from pulumi_pika.providers.object_calls import KINDS
from pulumi_pika.reconcile.objects.live_object import users_text
from pulumi_pika.reconcile.objects.network import NETWORK
from pulumi_pika.reconcile.objects.object_plan import ObjectPlan
from pulumi_pika.reconcile.objects.pool import POOL
from pulumi_pika.reconcile.objects.project import PROJECT

from ...support import hostile
from ...support.object_engine import OWNER
from ...support.provider_calls import object_calls

SECRET_SIG = "1b47061264138c4ac30d75fd1eb44270"
NOUNS = ("profile", "project", "network", "storage pool")


@pytest.fixture(autouse=True)
def _no_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INCUS_SOCKET", "/nonexistent")
    host_connection.configure({})


def inputs(noun: str, **more: Any) -> dict[str, Any]:
    required = {"driver": "dir"} if noun == "storage pool" else {}
    return {"name": "thing", "owner": OWNER, "secret_inputs": [], **required, **more}


def checked(noun: str, **more: Any) -> dict[str, Any]:
    result = object_calls[noun].check(inputs(noun, **more))
    assert [(it.property, it.reason) for it in result.failures] == []
    return dict(result.inputs)


def failures(noun: str, olds: dict[str, Any] | None = None, **more: Any) -> dict[str, str]:
    result = object_calls[noun].check(inputs(noun, **more), olds)
    return {failure.property: failure.reason for failure in result.failures}


def state(noun: str, **more: Any) -> dict[str, Any]:
    return {
        **checked(noun, **more),
        "adopted": False,
        "unmanaged": [],
        "generation": "abc",
        "schema_version": 1,
    }


@pytest.mark.parametrize(
    "provider",
    [
        config_object.IncusProfileProvider,
        config_object.IncusProjectProvider,
        config_object.IncusNetworkProvider,
        config_object.StoragePoolProvider,
    ],
)
def test_provider_pickles_to_a_reference(provider: Any) -> None:
    assert len(pickle.dumps(provider())) < 100
    assert vars(provider()) == {}
    assert provider()._kind() is KINDS[provider.noun]


def test_all_problems_of_a_profile_at_once() -> None:
    found = failures(
        "profile",
        name="a b",
        project="x/y",
        vcpu_count=0,
        memory_mib="64",
        storage_pool=" ",
        network="a\nb",
        root_disk_gib=2,
        cloud_init_user_data="x",
        config={
            "cloud-init.user-data": "y",
            "user.pika.owner": "me",
            "volatile.x": "1",
            "user.empty": "",
            " user.x": "1",
            "user.nul": "a\0b",
        },
        devices={
            "root": {"type": "disk"},
            "-bad": {"type": "nic"},
            "untyped": {"path": "/x"},
            "eth1": {"type": "nic", "a\x1b": "b"},
        },
        adopt="yes",
    )
    assert "no space" in found["name"]
    assert "not a valid name" in found["project"]
    assert found["vcpu_count"] == "must be at least 1"
    assert found["memory_mib"] == "must be an integer"
    assert "not a valid name" in found["storage_pool"]
    assert "not a valid name" in found["network"]
    assert "argument `cloud_init_user_data`" in found['config["cloud-init.user-data"]']
    assert "ownership label" in found['config["user.pika.owner"]']
    assert "managed by Incus" in found['config["volatile.x"]']
    assert "an empty value" in found['config["user.empty"]']
    assert "blanks at its ends" in found['config[" user.x"]']
    assert "NUL" in found['config["user.nul"]']
    assert "argument `storage_pool`" in found["devices.root"]
    assert "not a valid device name" in found["devices.-bad"]
    assert found["devices.untyped.type"] == "is required"
    assert any(name.startswith("devices.eth1") for name in found)
    assert found["adopt"] == "must be true or false"


def test_a_root_disk_needs_its_pool() -> None:
    assert "needs `storage_pool`" in failures("profile", root_disk_gib=2)["root_disk_gib"]


@pytest.mark.parametrize("noun", NOUNS)
@pytest.mark.parametrize("text", hostile.WHOLE)
def test_hostile_names_are_refused_and_hostile_values_are_harmless(noun: str, text: str) -> None:
    found = object_calls[noun].check(inputs(noun, name=text))
    assert found.failures or text == hostile.UNKNOWN
    for failure in found.failures:
        assert hostile.wrong_in(failure.reason) == []
    result = object_calls[noun].check(inputs(noun, config={"user.x": text}, description=text))
    for failure in result.failures:
        assert hostile.wrong_in(failure.reason) == []
    result = object_calls[noun].check(inputs(noun, config={text: "x"}))
    for failure in result.failures:
        assert hostile.wrong_in(f"{failure.property} {failure.reason}") == []


@pytest.mark.parametrize("noun", NOUNS)
def test_wrong_shapes_are_problems_and_no_failure_of_ours(noun: str) -> None:
    deep: Any = {}
    for _ in range(300):
        deep = {"x": deep}
    values: tuple[Any, ...] = (3.5, [], {"a": {"b": 1}}, True, deep, "\ud800")
    for value in values:
        for name in ("name", "config", "description", "devices", "project", "member_config"):
            result = object_calls[noun].check(inputs(noun, **{name: value}))
            assert "internal" not in str([it.reason for it in result.failures])


def test_names_of_networks_and_projects() -> None:
    assert "valid name of a bridge" in failures("network", name="much-too-long-for-it")["name"]
    assert failures("network", name="much-too-long-for-it", network_type="ovn") == {}
    assert "use no underscore" in failures("project", name="a_b")["name"]


def test_addresses_and_ranges_of_a_network() -> None:
    def wrong(**more: Any) -> dict[str, str]:
        return failures("network", **more)

    assert "not a valid address" in wrong(ipv4_address="10.0.0.1")["ipv4_address"]
    assert "not a valid address" in wrong(ipv4_address="fd42::1/64")["ipv4_address"]
    assert "not a valid address" in wrong(ipv4_address="10.0.0.300/24")["ipv4_address"]
    assert "not a valid address" in wrong(ipv6_address="10.0.0.1/24")["ipv6_address"]
    assert wrong(ipv4_address="auto", ipv6_address="none") == {}
    good = {"ipv4_address": "10.0.0.1/24", "ipv4_dhcp_ranges": ["10.0.0.5-10.0.0.9"]}
    assert wrong(**good) == {}
    for text in ("10.0.0.9-10.0.0.5", "10.0.0.5", "a-b", "10.0.0.5-fd42::1", ""):
        found = wrong(ipv4_address="10.0.0.1/24", ipv4_dhcp_ranges=[text])
        assert "not a valid range of addresses" in found["ipv4_dhcp_ranges[0]"]
    found = wrong(ipv4_address="10.0.0.1/24", ipv4_dhcp_ranges=["10.0.1.5-10.0.1.9"])
    assert "use addresses of the network 10.0.0.0/24" in found["ipv4_dhcp_ranges[0]"]
    found = wrong(ipv4_address="none", ipv4_nat=True, ipv4_dhcp_ranges=["10.0.0.5-10.0.0.9"])
    assert set(found) == {"ipv4_nat", "ipv4_dhcp_ranges"}
    assert (
        failures("network", ipv6_dhcp_ranges=["fd42::5-fd42::9"], ipv6_address="fd42::1/64") == {}
    )


def test_sizes_of_a_pool() -> None:
    assert "add a unit" in failures("storage pool", driver="zfs", size="10")["size"]
    assert 'driver="dir"' in failures("storage pool", size="10GiB")["size"]
    assert "must be one of 'dir'" in failures("storage pool", driver="zsf")["driver"]
    without = {"name": "thing", "owner": OWNER, "secret_inputs": []}
    [missing] = object_calls["storage pool"].check(without).failures
    assert (missing.property, missing.reason) == ("driver", "is required")
    old = checked("storage pool", driver="zfs", size="10GiB")
    found = failures("storage pool", old, driver="zfs", size="9GiB")
    assert "Incus does not shrink a pool; keep 10GiB" in found["size"]
    assert failures("storage pool", old, driver="zfs", size="10240MiB") == {}


def test_the_plan_is_exact_and_unknown_only_where_an_argument_is() -> None:
    plan = checked("profile", vcpu_count=2, memory_mib=UNKNOWN, storage_pool=UNKNOWN)["plan"]
    assert plan == {
        "name": "thing",
        "project": "default",
        "config": {"limits.cpu": "2", "limits.memory": UNKNOWN},
        "devices": {"root": {"type": "disk", "path": "/", "pool": UNKNOWN}},
    }
    plan = checked("network", ipv4_address=UNKNOWN, ipv4_nat=True, config={"user.a": UNKNOWN})[
        "plan"
    ]
    assert plan["config"] == {"ipv4.address": UNKNOWN, "ipv4.nat": "true", "user.a": UNKNOWN}
    assert checked("profile", config=UNKNOWN)["plan"]["config"] == UNKNOWN
    assert checked("project", name=UNKNOWN)["plan"]["name"] == UNKNOWN


def test_the_project_is_that_of_the_host_at_the_creation_only() -> None:
    host_connection.configure({"pika:project": "agents", "pika:socket": "/nonexistent"})
    assert checked("profile")["plan"]["project"] == "agents"
    assert checked("network", project="default")["project"] == "default"
    assert "project" not in checked("project")
    old = checked("profile", project="before")
    result = object_calls["profile"].check(inputs("profile"), old)
    assert result.inputs["project"] == "before"


def test_on_delete_says_what_a_delete_does() -> None:
    assert checked("network")["on_delete"] == "deletes the network, if nothing uses it"
    assert checked("network", retain_on_delete=True)["on_delete"].startswith("keeps the network")
    assert checked("project", name="default")["on_delete"].startswith("releases the project")
    adopting = checked("storage pool", adopt=True)["on_delete"]
    assert adopting.startswith("releases the storage pool if it was adopted; else deletes")


@pytest.mark.parametrize(
    ("noun", "path", "where"),
    [
        ("profile", 'config["user.x"]', ("config", "user.x")),
        ("profile", "cloud_init_user_data", ("config", "cloud-init.user-data")),
        ("profile", "devices.usb.serial", ("devices", "usb", "serial")),
        ("network", 'config["user.x"]', ("config", "user.x")),
        ("storage pool", "source", ("config", "source")),
        ("storage pool", "member_config.one.source", ("member_config", "one", "source")),
        ("project", "description", ("description",)),
        ("network", "name", ("name",)),
    ],
)
def test_a_secret_is_marked_in_the_inputs_and_in_the_plan(
    noun: str, path: str, where: tuple[str, ...]
) -> None:
    secret = "hidden123"
    given: dict[str, Any] = {
        "config": {"user.x": secret},
        "description": secret,
        "cloud_init_user_data": secret,
        "devices": {"usb": {"type": "usb", "serial": secret}},
        "source": secret,
        "member_config": {"one": {"source": secret}},
        "name": secret,
    }
    name = path.partition("[")[0].partition(".")[0]
    tree = checked(noun, **{name: given[name]}, secret_inputs=[path])
    value: Any = tree["plan"]
    for step in where:
        value = value[step]
    assert SECRET_SIG in value.values()
    plain = json.dumps(_without_secrets(tree))
    assert secret not in plain


def _without_secrets(tree: Any) -> Any:
    if isinstance(tree, dict):
        if SECRET_SIG in tree.values():
            return "secret"
        return {key: _without_secrets(value) for key, value in tree.items()}
    return [_without_secrets(value) for value in tree] if isinstance(tree, list) else tree


def test_preflight_required_needs_the_host() -> None:
    host_connection.configure({"pika:preflight": "required", "pika:socket": "/nonexistent"})
    assert "could not inspect the host" in failures("profile")[""]
    host_connection.configure({"pika:preflight": "off", "pika:socket": "/nonexistent"})
    assert failures("profile") == {}


def test_errors_do_not_show_secrets() -> None:
    found = failures("profile", config={"user.x": "hid\0den123"}, secret_inputs=["config"])
    assert "den123" not in str(found)
    found = failures("storage pool", source="hid\nden123", secret_inputs=["source"])
    assert "den123" not in str(found)
    found = failures("profile", name="hidden 123", secret_inputs=["name"])
    assert "hidden" not in str(found)


def diff(noun: str, olds: dict[str, Any], **more: Any) -> tuple[bool, list[str]]:
    result = object_calls[noun].diff(olds, checked(noun, **more))
    return bool(result.changes), list(result.replaces or [])


def test_what_replaces_and_what_does_not() -> None:
    assert diff("profile", state("profile")) == (False, [])
    assert diff("profile", state("profile"), vcpu_count=2) == (True, [])
    assert diff("profile", state("profile"), name="other") == (True, [])
    assert diff("profile", state("profile"), project="p") == (True, ["project"])
    assert diff("profile", {**state("profile"), "adopted": True}, name="x") == (True, ["name"])
    assert diff("network", state("network"), network_type="macvlan") == (True, ["type"])
    pool = state("storage pool", driver="zfs", config={"zfs.pool_name": "a"})
    assert diff("storage pool", pool, driver="zfs") == (True, ["config.zfs.pool_name"])
    assert diff("storage pool", pool, driver="btrfs")[1][0] == "driver"
    assert diff("storage pool", state("storage pool"), name="x") == (True, ["name"])
    assert diff("project", state("project"), max_instances=UNKNOWN) == (True, [])
    assert diff("profile", state("profile"), adopt=True) == (True, [])
    assert diff("profile", state("profile"), retain_on_delete=True) == (True, [])


def test_same_values_in_other_words_are_no_change() -> None:
    auto = {"ipv4.address": "10.1.2.1/24"}
    assert NETWORK.is_same("ipv4.address", "auto", auto)
    assert not NETWORK.is_same("ipv4.address", "auto", {"ipv4.address": "none"})
    assert not NETWORK.is_same("ipv4.address", "auto", {})
    assert POOL.is_same("size", "1GiB", {"size": "1024MiB"})
    assert POOL.is_same(
        "source", "/dev/sdb", {"source": "x", "volatile.initial_source": "/dev/sdb"}
    )
    assert not POOL.is_same("source", "/dev/sdb", {"source": "/dev/sdc"})


def test_features_of_a_project_that_need_it_empty() -> None:
    old = ObjectPlan("p", config={"features.images": "true", "features.networks.zones": "false"})
    new = ObjectPlan("p", config={"features.images": "false", "features.networks.zones": "true"})
    assert PROJECT.needs_no_users(old, new) == ["features.images"]


def test_users_are_named_by_kind_name_and_project() -> None:
    urls = [
        "/1.0/instances/a%20b?project=p",
        "/1.0/profiles/x",
        "/1.0/storage-pools/s/volumes/custom/v?project=q&target=one",
        "/1.0/images/0123456789abcdef",
        "/1.0/network-acls/web",
    ]
    assert users_text(urls) == (
        "instance a b (project p), profile x (project default), volume v in pool s (project q), "
        "image 0123456789ab (project default), network acl web (project default)"
    )
    assert users_text(f"/1.0/instances/i{n}" for n in range(12)).endswith(
        "instance i9 (project default) and 2 more"
    )
