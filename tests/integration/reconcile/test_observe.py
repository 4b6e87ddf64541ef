"""Reading a live instance back: the plan that was applied, and what of it is otherwise now."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient, url
from pulumi_pika.incus.storage import create_volume
from pulumi_pika.planner.device_names import device_name
from pulumi_pika.planner.plan import IncusRuntimePlan
from pulumi_pika.reconcile.instances.live_instance import (
    Expected,
    LiveInstance,
    observed_options,
    observed_plan,
    outputs_of,
)
from pulumi_pika.reconcile.instances.runtime_options import RuntimeOptions

from ...conftest import Sandbox
from ...support.reconcile import (
    Made,
    make,
    mount,
    options_of,
    plan_of,
    there,
)


def full(name: str, **more: Any) -> IncusRuntimePlan:
    """A plan with everything that an instance can show."""
    spec = {
        "resources": {"vcpu_count": 1, "memory_mib": 64, "root_disk_gib": 1},
        "labels": {"team": "a", "empty": ""},
        "policies": {"restart_policy": "on_failure", "retention_policy": "debug_keep"},
        "metadata": {"any": ["thing", 1.5, None]},
        "bootstrap": {"entry_command": "run"},
        **more,
    }
    return plan_of(
        name,
        mount("persistent_volume", f"{name}-state", "/mnt/state"),
        mount("cache", f"{name}-snap", "/mnt/cache", "read_only"),
        mount("artifact_output", "/no/such/path", "/mnt/none"),
        **spec,
    )


def full_options(**more: Any) -> RuntimeOptions:
    given: dict[str, Any] = {
        "running": False,
        "description": "d",
        "config": {"user.mine": "1"},
        "cloud_init_user_data": "#!/bin/sh\n",
        "owner": "urn:x",
        "devices": {"null": {"type": "unix-char", "source": "/dev/null", "path": "/dev/mine"}},
        **more,
    }
    return options_of(**given)


def expected(made: Made) -> Expected:
    return Expected(
        plan=made.plan,
        options=made.options,
        devices=made.desired.devices,
        left_out=frozenset(made.desired.left_out),
        pool=made.desired.pool,
        fingerprint=made.live.fingerprint,
    )


def make_full(client: IncusClient, name: str) -> Made:
    create_volume(client, "default", f"{name}-snap", description="", config={})
    return make(client, full(name), full_options())


def applied_options(made: Made) -> dict[str, Any]:
    options = made.options.model_dump(exclude_none=True)
    # The devices are observed as the instance's, not as an option.
    del options["devices"]
    return options


def test_what_was_made_is_observed_as_it_was_planned(client: IncusClient, name: str) -> None:
    made = make_full(client, name)

    live = there(client, name)

    assert observed_plan(live, expected(made)) == made.plan.to_dict()
    assert IncusRuntimePlan.from_dict(observed_plan(live, expected(made))) == made.plan
    assert observed_options(live, expected(made)) == applied_options(made)


@pytest.mark.parametrize("policy", ["never", "on_failure", "always"])
@pytest.mark.parametrize("running", [True, False, None])
def test_power_and_policy_are_observed_as_they_were_planned(
    client: IncusClient, name: str, policy: str, running: bool | None
) -> None:
    policies = {"restart_policy": policy, "retention_policy": "debug_keep"}
    made = make(client, plan_of(name, policies=policies), options_of(running=running))

    assert observed_plan(made.live, expected(made)) == made.plan.to_dict()
    assert observed_options(made.live, expected(made)) == applied_options(made)


def drifted(client: IncusClient, made: Made, **body: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is observed otherwise after somebody else's change: of the plan, of the options."""
    before = client.get(url("instances", made.name)).data
    client.send_change(
        "PATCH", url("instances", made.name), {"description": before["description"], **body}
    )
    live = there(client, made.name)
    plan, options = observed_plan(live, expected(made)), observed_options(live, expected(made))
    return differing(made.plan.to_dict(), plan), differing(applied_options(made), options)


def differing(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    return {key: new.get(key) for key in old.keys() | new.keys() if old.get(key) != new.get(key)}


def config(**keys: str) -> dict[str, Any]:
    """A body that sets config keys, spelt with two underscores for each dot."""
    return {"config": {key.replace("__", "."): value for key, value in keys.items()}}


LIMITS = {"vcpu_count": 1, "memory_mib": 64, "root_disk_gib": 1}


@pytest.mark.parametrize(
    ("body", "plan", "options"),
    [
        (config(limits__cpu="2"), {"resources": {**LIMITS, "vcpu_count": 2}}, {}),
        (config(limits__cpu="0-1"), {"resources": {**LIMITS, "vcpu_count": "0-1"}}, {}),
        (config(limits__memory="1GiB"), {"resources": {**LIMITS, "memory_mib": 1024}}, {}),
        (config(limits__memory="50%"), {"resources": {**LIMITS, "memory_mib": "50%"}}, {}),
        (
            config(limits__memory=""),
            {"resources": {"vcpu_count": 1, "root_disk_gib": 1}},
            {},
        ),
        (
            {"devices": {"root": {"type": "disk", "path": "/", "pool": "default", "size": "2GiB"}}},
            {"resources": {**LIMITS, "root_disk_gib": 2}},
            {},
        ),
        (config(boot__autorestart="false"), None, {}),
        (config(user__pika__label__team="b"), {"labels": {"team": "b", "empty": ""}}, {}),
        (config(user__pika__label__team=""), {"labels": {"empty": ""}}, {}),
        (
            config(user__pika__label__new="x"),
            {"labels": {"team": "a", "empty": "", "new": "x"}},
            {},
        ),
        (config(user__pika__lifecycle_root="/x"), {"lifecycle_root": "/x"}, {}),
        ({"description": "other"}, {}, {"description": "other"}),
        (config(user__mine="2"), {}, {"config": {"user.mine": "2"}}),
        (config(user__mine=""), {}, {"config": {}}),
        ({"config": {"cloud-init.user-data": "#!/x"}}, {}, {"cloud_init_user_data": "#!/x"}),
        (config(user__pika__owner="urn:y"), {}, {"owner": "urn:y"}),
        (config(user__theirs="1", limits__processes="9"), {}, {}),
        ({"devices": {"theirs": {"type": "none"}}}, {}, {}),
    ],
    ids=lambda value: json.dumps(value) if isinstance(value, dict) else "",
)
def test_drift_shows_where_it_is(
    client: IncusClient,
    name: str,
    body: dict[str, Any],
    plan: dict[str, Any] | None,
    options: dict[str, Any],
) -> None:
    made = make_full(client, name)
    if plan is None:
        policies = made.plan.to_dict()["policies"]
        plan = {"policies": {**policies, "restart_policy": "never"}}

    assert drifted(client, made, **body) == (plan, options)


def planned_mounts(made: Made) -> list[dict[str, Any]]:
    mounts: list[dict[str, Any]] = made.plan.to_dict()["mounts"]
    return mounts


def test_mount_that_was_re_pointed_shows_its_source(client: IncusClient, name: str) -> None:
    made = make_full(client, name)
    state, cache, none = planned_mounts(made)
    create_volume(client, "default", f"{name}-other", description="", config={})
    device = {**made.live.devices[state["device_name"]], "source": f"{name}-other"}

    plan, options = drifted(client, made, devices={state["device_name"]: device})

    assert plan == {"mounts": [{**state, "source": f"{name}-other"}, cache, none]}
    assert options == {}


def test_mount_that_was_made_writable_shows_it(client: IncusClient, name: str) -> None:
    made = make_full(client, name)
    state, cache, none = planned_mounts(made)
    device = {**made.live.devices[cache["device_name"]], "readonly": "false"}

    plan, _ = drifted(client, made, devices={cache["device_name"]: device})

    writable = {**cache, "read_only": False}
    del writable["io_bus"]
    assert plan == {"mounts": [state, writable, none]}


def test_mount_that_was_removed_is_gone(client: IncusClient, name: str) -> None:
    made = make_full(client, name)
    state, cache, none = planned_mounts(made)
    whole = {**there(client, name).raw}
    whole["devices"] = {k: v for k, v in whole["devices"].items() if k != state["device_name"]}
    client.run("PUT", url("instances", name), whole, timeout=30)

    live = there(client, name)

    assert observed_plan(live, expected(made))["mounts"] == [cache, none]


def test_device_of_the_plans_prefix_that_no_plan_names_shows(
    client: IncusClient, name: str
) -> None:
    made = make_full(client, name)
    stray = {"type": "disk", "pool": "default", "source": f"{name}-snap", "path": "/mnt/stray"}

    plan, _ = drifted(client, made, devices={"pk-cache-00000000": stray})

    assert plan["mounts"][:3] == planned_mounts(made)
    assert plan["mounts"][3]["device_name"] == "pk-cache-00000000"
    assert plan["mounts"][3]["guest_path"] == "/mnt/stray"


def test_power_that_was_changed_shows(client: IncusClient, name: str) -> None:
    made = make(client, plan_of(name), options_of(running=True))
    stop = {"action": "stop", "force": True}
    client.run("PUT", url("instances", name, "state"), stop, timeout=30)

    assert observed_options(there(client, name), expected(made))["running"] is False


def test_profiles_that_were_changed_show(client: IncusClient, name: str) -> None:
    made = make(client, plan_of(name), options_of(running=False))
    root = {"root": {"type": "disk", "path": "/", "pool": "default"}}
    client.send_change("POST", "/1.0/profiles", {"name": f"{name}-p", "devices": root})
    try:
        plan, _ = drifted(client, made, profiles=["default", f"{name}-p"])
        assert plan["incus"]["profile"] == f"{name}-p"
        plan, options = drifted(client, made, profiles=[f"{name}-p", "default"])
        assert (plan, options) == ({}, {}), "what others put before ours changes nothing of ours"
    finally:
        client.send_change("PATCH", url("instances", name), {"profiles": ["default"]})
        client.send_change("DELETE", url("profiles", f"{name}-p"))


def test_instance_rebuilt_from_another_image_shows_it(
    client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    made = make(client, plan_of(name), options_of(running=False))
    body = {"source": {"type": "image", "alias": "pika/tiny-two"}}
    client.run("POST", url("instances", name, "rebuild"), body, timeout=30)

    observed = observed_plan(there(client, name), expected(made))

    assert observed["incus"]["image_alias"] == sandbox.other_image


def test_outputs_are_what_the_instance_shows(client: IncusClient, name: str) -> None:
    made = make_full(client, name)

    outputs = outputs_of(made.live, set(made.desired.devices))

    assert outputs["instance_name"] == name
    assert outputs["status"] == "Stopped"
    assert outputs["image_fingerprint"] == made.live.fingerprint
    assert outputs["devices"] == made.live.devices
    assert outputs["uuid"] == made.live.uuid != ""
    assert (outputs["ipv4_address"], outputs["ipv6_address"]) == ("", "")


# What no daemon here can show: a virtual machine's answer


def vm_live(made: Made, change: Callable[[dict[str, Any]], object]) -> LiveInstance:
    """The instance as it would be shown were it a virtual machine."""
    data = json.loads(json.dumps(made.live.raw))
    data["type"] = "virtual-machine"
    change(data)
    return LiveInstance.of(data, "")


def test_bus_of_a_virtual_machines_mount_is_observed(client: IncusClient, name: str) -> None:
    made = make_full(client, name)
    as_vm = made.options.model_copy(update={"instance_type": "virtual-machine"})
    made = Made(made.client, made.plan, as_vm, made.desired, made.live)
    cache = device_name("cache", f"{name}-snap", "/mnt/cache")

    with_bus = vm_live(made, lambda data: data["devices"][cache].update({"io.bus": "virtiofs"}))
    without = vm_live(made, lambda data: None)
    other = vm_live(made, lambda data: data["devices"][cache].update({"io.bus": "9p"}))

    def bus(live: LiveInstance) -> Any:
        return observed_plan(live, expected(made))["mounts"][1].get("io_bus")

    assert observed_plan(with_bus, expected(made)) == made.plan.to_dict()
    assert (bus(with_bus), bus(without), bus(other)) == ("virtiofs", None, "9p")


def test_ready_is_running() -> None:
    assert LiveInstance.of({"status": "Ready"}, "").running
    assert not LiveInstance.of({"status": "Frozen"}, "").running
    assert not LiveInstance.of({"status": "Error"}, "").running


def test_addresses_are_the_global_ones() -> None:
    def address(family: str, text: str, scope: str) -> dict[str, str]:
        return {"family": family, "address": text, "scope": scope}

    network = {
        "lo": {"addresses": [address("inet", "127.0.0.1", "local")]},
        "eth1": {"addresses": [address("inet", "10.0.0.2", "global")]},
        "eth0": {
            "addresses": [
                address("inet6", "fe80::1", "link"),
                address("inet6", "fd00::1", "global"),
                address("inet", "169.254.1.1", "link"),
            ]
        },
        "eth2": {"addresses": None},
    }
    live = LiveInstance.of({"state": {"network": network}}, "")

    assert live.address("inet") == "10.0.0.2"
    assert live.address("inet6") == "fd00::1"
    assert LiveInstance.of({"state": {"network": None}}, "").address("inet") is None
    assert LiveInstance.of({}, "").address("inet") is None
