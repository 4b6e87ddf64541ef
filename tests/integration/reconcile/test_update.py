"""Changing runtimes in place: only what differs, nothing of others', and no restart unasked."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient, url
from pulumi_pika.incus.storage import create_volume, get_volume
from pulumi_pika.planner.device_names import device_name
from pulumi_pika.planner.plan import IncusRuntimePlan
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.reconcile.instances.restart_prediction import restart_reasons
from pulumi_pika.reconcile.instances.runtime_options import RuntimeOptions
from pulumi_pika.reconcile.shared.errors import (
    ForeignInstance,
    InstanceGone,
    ReconcileError,
    RestartRefused,
    RuntimeFailed,
    SourceMissing,
)

from ...support.proxy import (
    Answer,
    Forward,
    Proxy,
    Request,
    Reset,
    call,
    edit,
    error,
    reply,
    reset_before,
)
from ...support.reconcile import (
    Made,
    Recorder,
    cpus,
    delete,
    eventually,
    make,
    memory_limit,
    mount,
    options_of,
    output,
    plan_of,
    shell,
    there,
)

PATH = r"/1\.0/instances/[^/]+"
DIGEST = "user.pika.plan_digest"


def patch(client: IncusClient, name: str, **body: Any) -> None:
    """A change that somebody else makes."""
    before = client.get(url("instances", name)).data
    # A PATCH without a description clears it.
    client.send_change(
        "PATCH", url("instances", name), {"description": before["description"], **body}
    )


def boot(client: IncusClient, name: str) -> str:
    """Of which start of the instance its process 1 is."""
    return output(client, name, "cut -d' ' -f22 /proc/1/stat")


# Only what changed


def test_unchanged_plan_sends_nothing(
    proxy: Proxy, proxied: IncusClient, name: str, reporter: Recorder
) -> None:
    plan = plan_of(
        name,
        mount("persistent_volume", f"{name}-state", "/mnt/state"),
        resources={"vcpu_count": 1, "memory_mib": 64, "root_disk_gib": 1},
        labels={"a": "b", "empty": ""},
        policies={"restart_policy": "always", "retention_policy": "debug_keep"},
    )
    options = options_of(
        config={"user.x": "1"}, description="d", cloud_init_user_data="#!/bin/sh\n", owner="o"
    )
    made = make(proxied, plan, options)
    proxy.clear()

    made.update(reporter)

    assert proxy.changes() == []
    assert (reporter.infos, reporter.warnings) == ([], [])


@pytest.mark.usefixtures("held_limits")
def test_changed_limits_are_sent_alone_and_reach_the_kernel_live(
    proxy: Proxy, proxied: IncusClient, name: str, reporter: Recorder
) -> None:
    state = mount("persistent_volume", f"{name}-state", "/mnt/state")
    made = make(proxied, plan_of(name, state, resources={"vcpu_count": 2, "memory_mib": 64}))
    before = boot(proxied, name)
    proxy.clear()

    plan = plan_of(name, state, resources={"vcpu_count": 1, "memory_mib": 96})
    after = made.update(reporter, plan=plan)

    (request,) = proxy.changes()
    assert request.method == "PATCH"
    assert request.json == {
        "description": "",
        "config": {
            "limits.cpu": "1",
            "limits.memory": "96MiB",
            DIGEST: after.live.config[DIGEST],
        },
    }
    assert memory_limit(name) == 96 * 2**20
    # The processors follow when Incus next balances its containers; 6.0.4 may do so before it
    # stores the new limit, and then not until another container starts or stops.
    make(proxied, plan_of(f"{name}-other"))
    eventually(lambda: cpus(name) in ("0", "1"))
    assert boot(proxied, name) == before


def test_limit_that_is_dropped_is_unset(client: IncusClient, name: str, reporter: Recorder) -> None:
    made = make(client, plan_of(name, resources={"memory_mib": 64}))

    after = made.update(reporter, plan=plan_of(name))

    assert "limits.memory" not in after.live.config
    assert memory_limit(name) > 2**40


def test_description_alone_is_changed(
    proxy: Proxy, proxied: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(proxied, plan_of(name), options_of(running=False, description="one"))
    proxy.clear()

    after = made.update(reporter, options=options_of(running=False, description="two"))

    assert [request.json for request in proxy.changes()] == [{"description": "two"}]
    assert after.live.description == "two"


def test_description_stays_when_something_else_changes(
    client: IncusClient, name: str, reporter: Recorder
) -> None:
    options = options_of(running=False, description="stays")
    made = make(client, plan_of(name), options)

    after = made.update(reporter, plan=plan_of(name, labels={"new": "1"}))

    assert after.live.description == "stays"
    assert after.live.config["user.pika.label.new"] == "1"


def test_label_that_is_dropped_is_removed(
    client: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(client, plan_of(name, labels={"a": "1", "b": "2"}), options_of(running=False))

    after = made.update(reporter, plan=plan_of(name, labels={"b": "3"}))

    labels = {k: v for k, v in after.live.config.items() if k.startswith("user.pika.label.")}
    assert labels == {"user.pika.label.b": "3"}


def test_restart_policy_changes(client: IncusClient, name: str, reporter: Recorder) -> None:
    def policies(restart: str) -> dict[str, Any]:
        return {"restart_policy": restart, "retention_policy": "debug_keep"}

    made = make(client, plan_of(name, policies=policies("always")), options_of(running=False))

    after = made.update(reporter, plan=plan_of(name, policies=policies("never")))

    boot_keys = {k: v for k, v in after.live.config.items() if k.startswith("boot.")}
    assert boot_keys == {"boot.autorestart": "false"}


# Devices


def test_mount_is_added_and_removed_live(
    proxy: Proxy, proxied: IncusClient, name: str, reporter: Recorder
) -> None:
    one = mount("persistent_volume", f"{name}-one", "/mnt/one")
    two = mount("persistent_volume", f"{name}-two", "/mnt/two")
    made = make(proxied, plan_of(name, one))
    before = boot(proxied, name)

    both = made.update(reporter, plan=plan_of(name, one, two))
    assert shell(proxied, name, "echo 2 >/mnt/two/file && grep -q /mnt/two /proc/mounts") == 0
    only_two = both.update(reporter, plan=plan_of(name, two))

    assert list(only_two.live.devices) == [
        device_name("persistent_volume", f"{name}-two", "/mnt/two")
    ]
    assert output(proxied, name, "cat /mnt/two/file") == "2\n"
    assert shell(proxied, name, "grep -q /mnt/one /proc/mounts") != 0
    assert boot(proxied, name) == before
    assert [request.method for request in proxy.changes() if request.method != "POST"] == [
        "PATCH",
        "PUT",
    ]
    assert get_volume(proxied, "default", f"{name}-one") is not None


def test_mount_that_becomes_read_only_is_changed_in_place(
    client: IncusClient, name: str, reporter: Recorder
) -> None:
    create_volume(client, "default", f"{name}-v", description="", config={})
    made = make(client, plan_of(name, mount("cache", f"{name}-v", "/c")))
    assert shell(client, name, "touch /c/x") == 0

    made.update(reporter, plan=plan_of(name, mount("cache", f"{name}-v", "/c", "read_only")))

    assert shell(client, name, "touch /c/x") != 0


def test_mount_of_another_source_takes_the_place_of_the_first(
    client: IncusClient, name: str, reporter: Recorder
) -> None:
    for volume in ("a", "b"):
        create_volume(client, "default", f"{name}-{volume}", description="", config={})
    made = make(client, plan_of(name, mount("cache", f"{name}-a", "/c")))
    assert shell(client, name, "echo a >/c/which") == 0

    made.update(reporter, plan=plan_of(name, mount("cache", f"{name}-b", "/c")))
    assert shell(client, name, "test ! -e /c/which && echo b >/c/which") == 0

    assert set(there(client, name).devices) == {device_name("cache", f"{name}-b", "/c")}


def test_planned_device_that_was_re_pointed_is_put_right(
    client: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(client, plan_of(name, mount("persistent_volume", f"{name}-v", "/v")))
    planned = device_name("persistent_volume", f"{name}-v", "/v")
    create_volume(client, "default", f"{name}-other", description="", config={})
    device = {"type": "disk", "pool": "default", "source": f"{name}-other", "path": "/v"}
    patch(client, name, devices={planned: device})

    after = made.update(reporter)

    assert after.live.devices[planned]["source"] == f"{name}-v"


def test_root_disk_grows_in_place(
    proxy: Proxy, proxied: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(proxied, plan_of(name, resources={"root_disk_gib": 1}))
    proxy.clear()

    after = made.update(reporter, plan=plan_of(name, resources={"root_disk_gib": 2}))

    assert after.live.devices["root"]["size"] == "2GiB"
    (request,) = proxy.changes()
    root = {"type": "disk", "path": "/", "pool": "default", "size": "2GiB"}
    assert request.json["devices"] == {"root": root}


def test_further_device_is_changed_and_removed(
    client: IncusClient, name: str, reporter: Recorder
) -> None:
    def with_null(path: str) -> RuntimeOptions:
        device = {"type": "unix-char", "source": "/dev/null", "path": path}
        return options_of(devices={"null": device})

    made = make(client, plan_of(name), with_null("/dev/one"))
    changed = made.update(reporter, options=with_null("/dev/two"))
    assert shell(client, name, "test -c /dev/two && test ! -e /dev/one") == 0

    after = changed.update(reporter, options=options_of())

    assert after.live.devices == {}


# What others set


def test_config_and_devices_of_others_are_left_alone(
    client: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(client, plan_of(name, mount("persistent_volume", f"{name}-v", "/v")))
    theirs = {"type": "unix-char", "source": "/dev/null", "path": "/dev/theirs"}
    patch(client, name, config={"user.theirs": "1", "limits.processes": "500"})
    patch(client, name, devices={"theirs": theirs})

    # Removing a device takes a PUT of everything.
    after = made.update(reporter, plan=plan_of(name, labels={"a": "1"}))

    assert after.live.devices == {"theirs": theirs}
    assert after.live.config["user.theirs"] == "1"
    assert after.live.config["limits.processes"] == "500"
    assert after.live.config["volatile.uuid"] == made.live.uuid
    assert after.live.fingerprint == made.live.fingerprint
    assert after.live.config["user.pika.label.a"] == "1"
    assert reporter.warnings == []


def test_config_key_that_is_dropped_is_unset(
    client: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(client, plan_of(name), options_of(running=False, config={"user.a": "1"}))

    after = made.update(reporter, options=options_of(running=False))

    assert "user.a" not in after.live.config
    assert reporter.warnings == []


def test_dropped_config_key_that_others_changed_stays_with_a_warning(
    client: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(client, plan_of(name), options_of(running=False, config={"user.a": "1"}))
    patch(client, name, config={"user.a": "theirs"})

    after = made.update(reporter, options=options_of(running=False))

    assert after.live.config["user.a"] == "theirs"
    assert reporter.warnings == [
        f"{name}: not removed, because it was changed outside Pulumi: config user.a"
    ]


def test_dropped_device_that_others_changed_stays_with_a_warning(
    client: IncusClient, name: str, reporter: Recorder
) -> None:
    device = {"type": "unix-char", "source": "/dev/null", "path": "/dev/mine"}
    made = make(client, plan_of(name), options_of(running=False, devices={"null": device}))
    theirs = {**device, "path": "/dev/theirs"}
    patch(client, name, devices={"null": theirs})

    after = made.update(reporter, options=options_of(running=False))

    assert after.live.devices == {"null": theirs}
    assert reporter.warnings == [
        f"{name}: not removed, because it was changed outside Pulumi: device null"
    ]


@pytest.fixture
def profiles(client: IncusClient, name: str) -> Iterator[list[str]]:
    """Two more profiles, and none of the test's instances left when they go."""
    names = [f"{name}-p1", f"{name}-p2"]
    for profile in names:
        client.send_change("POST", "/1.0/profiles", {"name": profile})
    yield names
    patch(client, name, profiles=["default"])
    for profile in names:
        client.send_change("DELETE", url("profiles", profile))


def test_profiles_change_and_those_of_others_stay(
    client: IncusClient, name: str, profiles: list[str], reporter: Recorder
) -> None:
    ours, theirs = profiles
    made = make(client, plan_of(name), options_of(running=False, extra_profiles=[ours]))
    patch(client, name, profiles=[theirs, ours, "default"])

    after = made.update(reporter, options=options_of(running=False))

    assert after.live.profiles == [theirs, "default"]


# ETags


def test_change_is_sent_for_what_was_read(
    proxy: Proxy, proxied: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(proxied, plan_of(name), options_of(running=False))
    proxy.clear()

    made.update(reporter, plan=plan_of(name, labels={"a": "1"}))

    (request,) = proxy.changes()
    assert request.header("If-Match") == made.live.etag


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_change_by_others_in_between_is_kept_and_ours_sent_again(
    proxy: Proxy,
    proxied: IncusClient,
    client: IncusClient,
    name: str,
    reporter: Recorder,
    method: str,
) -> None:
    made = make(
        proxied,
        plan_of(name, mount("persistent_volume", f"{name}-v", "/v")),
        options_of(running=False),
    )
    proxy.on(method, PATH, call(lambda _: patch(client, name, config={"user.theirs": "1"})))
    kept = made.plan.mounts if method == "PATCH" else []
    proxy.clear_requests()

    plan = plan_of(name, labels={"a": "1"}).model_copy(update={"mounts": kept})
    after = made.update(reporter, plan=plan)

    first, second = proxy.sent(method, PATH)
    assert first.header("If-Match") != second.header("If-Match")
    assert after.live.config["user.theirs"] == "1"
    assert after.live.config["user.pika.label.a"] == "1"
    assert bool(after.live.devices) == (method == "PATCH")


def test_change_is_tried_again_only_once(
    proxy: Proxy, proxied: IncusClient, client: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(proxied, plan_of(name), options_of(running=False))
    count = iter(range(10))
    proxy.on(
        "PATCH",
        PATH,
        call(lambda _: patch(client, name, config={"user.theirs": str(next(count))})),
        times=None,
    )

    with pytest.raises(RuntimeFailed, match="another client changed it at the same time"):
        made.update(reporter, plan=plan_of(name, labels={"a": "1"}))

    assert len(proxy.sent("PATCH")) == 2
    assert there(client, name).config["user.theirs"] == "1"


# Restarts


def use_memory(client: IncusClient, name: str) -> None:
    """Makes a container use so much memory that its limit cannot be lowered below it."""
    mounted = "mkdir -p /tmp/m && mount -t tmpfs none /tmp/m"
    script = f"{mounted} && dd if=/dev/zero of=/tmp/m/file bs=1M count=40"
    assert shell(client, name, script) == 0


@pytest.mark.usefixtures("held_limits")
def test_change_that_the_server_refuses_live_restarts(
    client: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(client, plan_of(name, resources={"memory_mib": 128}))
    use_memory(client, name)
    before = boot(client, name)

    after = made.update(reporter, plan=plan_of(name, resources={"memory_mib": 16}))

    assert after.live.running
    assert boot(client, name) != before
    assert memory_limit(name) == 16 * 2**20
    assert any(line.startswith(f"restarting {name}: ") for line in reporter.infos)


@pytest.mark.usefixtures("held_limits")
def test_change_that_the_server_refuses_live_is_refused_without_allow_restart(
    client: IncusClient, name: str, reporter: Recorder
) -> None:
    options = options_of(allow_restart=False)
    made = make(client, plan_of(name, resources={"memory_mib": 128}), options)
    use_memory(client, name)
    before = boot(client, name)

    with pytest.raises(RestartRefused, match=r"set limits\.memory.*Set allow_restart=True"):
        made.update(reporter, plan=plan_of(name, resources={"memory_mib": 16}))

    assert boot(client, name) == before
    assert there(client, name).config["limits.memory"] == "128MiB"
    assert memory_limit(name) == 128 * 2**20


def test_change_that_fails_for_another_reason_does_not_restart(
    client: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(client, plan_of(name))
    before = boot(client, name)

    with pytest.raises(RuntimeFailed, match="bogus"):
        made.update(reporter, options=options_of(config={"limits.processes": "bogus"}))

    assert boot(client, name) == before
    assert "limits.processes" not in there(client, name).config


def test_restart_waits_for_what_wait_for_says(
    proxy: Proxy, proxied: IncusClient, name: str, reporter: Recorder
) -> None:
    options = options_of(wait_for="agent")
    made = make(proxied, plan_of(name), options)
    proxy.clear()
    proxy.on("PATCH", PATH, refuses("security.nesting"))

    made.update(reporter, options=options_of(wait_for="agent", config={"security.nesting": "true"}))

    assert len(proxy.sent("POST", ".*/exec")) == 1


@pytest.mark.parametrize("removes", [False, True], ids=["PATCH", "PUT"])
def test_change_that_arrives_after_its_answer_was_given_up_is_waited_for(
    proxy: Proxy, proxied: IncusClient, name: str, reporter: Recorder, removes: bool
) -> None:
    """The volume that it needs must not be taken back while it comes about."""
    old = [mount("persistent_volume", f"{name}-old", "/old")] if removes else []
    made = make(proxied, plan_of(name, *old), options_of(running=False))

    def late(request: Request, forward: Forward) -> Answer:
        threading.Timer(0.7, forward, [request]).start()
        raise Reset

    rule = proxy.on("PUT" if removes else "PATCH", PATH, late)

    after = made.update(
        reporter,
        plan=plan_of(name, mount("persistent_volume", f"{name}-new", "/new")),
        options=options_of(running=False),
    )

    assert rule.applied == 1
    assert [it["source"] for it in after.live.devices.values() if "source" in it] == [f"{name}-new"]


def test_guest_that_does_not_shut_down_is_not_killed_for_a_change(
    proxy: Proxy, proxied: IncusClient, name: str, reporter: Recorder
) -> None:
    deaf = {"raw.lxc": "lxc.init.cmd = /bin/busybox sleep 100000"}
    made = make(proxied, plan_of(name), options_of(config=deaf, timeouts={"stop": 1}))
    before = there(proxied, name).raw["state"]["pid"]
    proxy.on("PATCH", PATH, refuses("user.x"))

    with pytest.raises(ReconcileError, match="it was not killed"):
        made.update(
            reporter, options=options_of(config={**deaf, "user.x": "1"}, timeouts={"stop": 1})
        )

    assert there(proxied, name).raw["state"]["pid"] == before


def test_limit_is_sent_again_while_the_guest_gives_memory_back(
    proxy: Proxy, proxied: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(proxied, plan_of(name, resources={"memory_mib": 128}))
    before = there(proxied, name).raw["state"]["pid"]
    proxy.on("PATCH", PATH, shrinks(112))
    proxy.on("PATCH", PATH, shrinks(100), nth=2)

    after = made.update(reporter, plan=plan_of(name, resources={"memory_mib": 96}))

    assert after.live.config["limits.memory"] == "96MiB"
    assert there(proxied, name).raw["state"]["pid"] == before
    assert [line for line in reporter.infos if "is releasing memory" in line] == [
        f"{name}: its guest is releasing memory; it has {left} MiB now" for left in (112, 100)
    ]


def test_guest_that_gives_no_memory_back_restarts(
    proxy: Proxy, proxied: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(proxied, plan_of(name, resources={"memory_mib": 128}))
    before = there(proxied, name).raw["state"]["pid"]
    proxy.on("PATCH", PATH, shrinks(112))
    proxy.on("PATCH", PATH, shrinks(112), nth=2)

    after = made.update(reporter, plan=plan_of(name, resources={"memory_mib": 96}))

    assert after.live.config["limits.memory"] == "96MiB"
    assert there(proxied, name).raw["state"]["pid"] != before


@pytest.mark.parametrize(
    "text",
    [
        "Failed updating memory limit: Memory hotplug feature is disabled",
        "Failed updating memory limit: Requested memory total of 2.00GiB exceeds instance current "
        "maximum of 1.00GiB, restart required",
        "Failed updating memory limit: Cannot live update memory limit when using huge pages",
        "Failed updating cpu limit: Unable to allocate more CPUs, not enough hotpluggable CPUs "
        "available",
        "Failed updating cpu limit: Cannot allocate more CPUs than available",
        "Cannot change to CPU pinning or an explicit CPU topology when the VM is running",
    ],
)
def test_limit_that_a_running_machine_does_not_take_restarts_it(
    proxy: Proxy, proxied: IncusClient, name: str, reporter: Recorder, text: str
) -> None:
    """The texts are those of 6.0.4 and 7.0.1 (driver_qemu.go)."""
    made = make(proxied, plan_of(name))
    before = there(proxied, name).raw["state"]["pid"]
    seen_as_vm(proxy, name)
    proxy.on("PATCH", PATH, reply(500, error(text, 500)))
    machine = options_of(instance_type="virtual-machine", config={"user.x": "1"})

    after = made.update(reporter, options=machine)

    assert after.live.config["user.x"] == "1"
    assert there(proxied, name).raw["state"]["pid"] != before


def test_machine_that_an_earlier_stop_holds_restarts(
    proxy: Proxy, proxied: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(proxied, plan_of(name))
    before = there(proxied, name).raw["state"]["pid"]
    seen_as_vm(proxy, name)
    text = 'Failed to create instance update operation: Instance is busy running a "stop" operation'
    proxy.on("PATCH", PATH, reply(500, error(text, 500)))
    machine = options_of(instance_type="virtual-machine", config={"user.x": "1"})

    after = made.update(reporter, options=machine)

    assert after.live.config["user.x"] == "1"
    assert there(proxied, name).raw["state"]["pid"] != before
    assert f"restarting {name}: {text}" in reporter.infos


def shrinks(left: int) -> Any:
    """The answer of a running VM whose guest still has so many MiB (driver_qemu.go)."""
    text = f"Failed setting memory to 96MiB (currently {left}MiB) as it was taking too long"
    return reply(500, error(f"Failed updating memory limit: {text}", 500))


def refuses(key: str) -> Any:
    """The answer of a running VM to a PATCH of such a key (driver_qemu.go, instance_patch.go)."""
    return reply(500, error(f'Key "{key}" cannot be updated when VM is running', 500))


def seen_as_vm(proxy: Proxy, name: str) -> None:
    """Lets the container look like a virtual machine; it is written to as what it is."""
    proxy.on(
        "GET",
        f"/1.0/instances/{name}",
        edit(lambda answer: answer["metadata"].update(type="virtual-machine")),
        times=None,
    )


def vm_change(proxied: IncusClient, name: str) -> tuple[Made, IncusRuntimePlan, RuntimeOptions]:
    """A runtime, and a change of both a mount and of a key that no running VM takes."""
    made = make(proxied, plan_of(name, mount("persistent_volume", f"{name}-a", "/a")))
    plan = plan_of(name, mount("persistent_volume", f"{name}-b", "/b"))
    options = options_of(instance_type="virtual-machine", config={"security.nesting": "true"})
    return made, plan, options


def test_refused_key_of_a_virtual_machine_leaves_its_devices_attached(
    proxy: Proxy, proxied: IncusClient, client: IncusClient, name: str, reporter: Recorder
) -> None:
    made, plan, options = vm_change(proxied, name)
    seen_as_vm(proxy, name)
    proxy.on("PATCH", PATH, refuses("security.nesting"), times=None)

    with pytest.raises(RuntimeFailed, match=r'Key "security\.nesting" cannot be updated') as caught:
        made.update(
            reporter, plan=plan, options=options.model_copy(update={"allow_restart": False})
        )

    (request,) = proxy.sent("PATCH", PATH)
    assert "devices" not in request.json
    assert there(client, name).devices == made.live.devices
    assert there(client, name).running
    assert proxy.sent("PUT") == []
    assert isinstance(caught.value.__cause__, RestartRefused)
    assert get_volume(client, "default", f"{name}-b") is None


def test_refused_key_of_a_virtual_machine_is_applied_while_it_is_stopped(
    proxy: Proxy, proxied: IncusClient, client: IncusClient, name: str, reporter: Recorder
) -> None:
    made, plan, options = vm_change(proxied, name)
    seen_as_vm(proxy, name)
    proxy.on("PATCH", PATH, refuses("security.nesting"))
    states: list[str] = []
    proxy.on("PUT", PATH, call(lambda _: states.append(there(client, name).status)))
    proxy.clear_requests()

    made.update(reporter, plan=plan, options=options)

    assert states == ["Stopped"]
    live = there(client, name)
    assert live.running
    assert live.config["security.nesting"] == "true"
    assert set(live.devices) == {device_name("persistent_volume", f"{name}-b", "/b")}
    assert [
        (request.method, request.json.get("action"))
        for request in proxy.changes()
        if "/instances/" in request.path
    ] == [("PATCH", None), ("PUT", "stop"), ("PUT", None), ("PUT", "start")]


def test_device_of_a_virtual_machine_that_cannot_be_detached_restarts(
    proxy: Proxy, proxied: IncusClient, client: IncusClient, name: str, reporter: Recorder
) -> None:
    made, plan, options = vm_change(proxied, name)
    seen_as_vm(proxy, name)
    text = 'Failed to stop device "x": Device cannot be stopped when instance is running'
    proxy.on("PUT", PATH, reply(500, error(text, 500)))

    made.update(reporter, plan=plan, options=options)

    assert set(there(client, name).devices) == {device_name("persistent_volume", f"{name}-b", "/b")}
    assert f"restarting {name}: {text}" in reporter.infos


def test_instance_runs_again_when_a_change_fails_while_it_is_stopped(
    proxy: Proxy, proxied: IncusClient, client: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(proxied, plan_of(name))
    proxy.on("PATCH", PATH, refuses("user.x"))
    proxy.on("PATCH", PATH, reply(500, error("the disk is on fire", 500)), nth=2)

    with pytest.raises(RuntimeFailed, match="the disk is on fire"):
        made.update(reporter, options=options_of(config={"user.x": "1"}))

    assert there(client, name).running


# Power


@pytest.mark.usefixtures("held_limits")
def test_stopped_instance_is_changed_and_then_started(
    proxy: Proxy, proxied: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(proxied, plan_of(name), options_of(running=False))
    proxy.clear()

    after = made.update(
        reporter, plan=plan_of(name, resources={"memory_mib": 64}), options=options_of()
    )

    assert [request.method for request in proxy.changes()] == ["PATCH", "PUT"]
    assert after.live.running
    assert memory_limit(name) == 64 * 2**20


def test_running_instance_is_stopped_and_then_changed(
    proxy: Proxy, proxied: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(proxied, plan_of(name))
    proxy.clear()

    after = made.update(
        reporter,
        plan=plan_of(name, resources={"memory_mib": 64}),
        options=options_of(running=False),
    )

    assert [request.method for request in proxy.changes()] == ["PUT", "PATCH"]
    assert after.live.status == "Stopped"


def test_power_that_is_left_to_others_is_left_alone(
    client: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(client, plan_of(name), options_of(running=None))
    changed = made.update(reporter, plan=plan_of(name, labels={"a": "1"}))
    assert changed.live.status == "Stopped"
    client.run("PUT", url("instances", name, "state"), {"action": "start"}, timeout=30)

    after = changed.update(reporter, plan=plan_of(name, labels={"a": "2"}))

    assert after.live.running


# Errors


def test_instance_that_is_gone_is_an_error(
    client: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(client, plan_of(name), options_of(running=False))
    client.run("DELETE", url("instances", name), timeout=30)

    with pytest.raises(InstanceGone, match="run `pulumi refresh`"):
        made.update(reporter, plan=plan_of(name, labels={"a": "1"}))


def test_another_instance_of_the_name_is_not_touched(
    proxy: Proxy, proxied: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(proxied, plan_of(name), options_of(running=False))
    proxied.run("DELETE", url("instances", name), timeout=30)
    make(proxied, plan_of(name), options_of(running=False))
    proxy.clear()

    with pytest.raises(
        ForeignInstance,
        match="is not the one that this resource created: another instance has its name",
    ):
        made.update(reporter, plan=plan_of(name, labels={"a": "1"}))

    assert proxy.changes() == []


def test_missing_source_changes_nothing(
    proxy: Proxy, proxied: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(proxied, plan_of(name), options_of(running=False))
    proxy.clear()

    with pytest.raises(SourceMissing):
        made.update(reporter, plan=plan_of(name, mount("read_only_snapshot", f"{name}-x", "/x")))

    assert proxy.changes() == []


def test_volume_made_for_a_change_that_fails_is_taken_back(
    proxy: Proxy, proxied: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(proxied, plan_of(name), options_of(running=False))
    proxy.on("PATCH", PATH, reply(500, error("the disk is on fire", 500)))

    with pytest.raises(RuntimeFailed, match=rf"Undone: deleted volume {name}-v in pool default"):
        made.update(reporter, plan=plan_of(name, mount("persistent_volume", f"{name}-v", "/v")))

    assert get_volume(proxied, "default", f"{name}-v") is None


def test_change_that_never_arrived_is_an_error_and_can_be_done_again(
    proxy: Proxy, proxied: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(proxied, plan_of(name), options_of(running=False))
    proxy.on("PATCH", PATH, reset_before())
    plan = plan_of(name, labels={"a": "1"})

    with pytest.raises(RuntimeFailed, match="connection was lost"):
        made.update(reporter, plan=plan)
    after = made.update(reporter, plan=plan)

    assert after.live.config["user.pika.label.a"] == "1"


# Replacement, as the engine does it: removed, and made anew


def test_data_written_through_a_mount_is_there_after_a_replacement(
    client: IncusClient, name: str, reporter: Recorder
) -> None:
    state = mount("persistent_volume", f"{name}-state", "/mnt/state")
    made = make(client, plan_of(name, state))
    assert shell(client, name, "echo kept >/mnt/state/file && echo lost >/root/file") == 0
    delete(made, reporter)
    assert fetch_instance(client, name) is None

    make(client, plan_of(name, state, incus={"image_alias": "pika/tiny-two"}))

    assert output(client, name, "cat /etc/marker") == "two"
    assert output(client, name, "cat /mnt/state/file") == "kept\n"
    assert shell(client, name, "test ! -e /root/file") == 0


def test_preview_knows_that_a_container_may_not_take_less_memory_live() -> None:
    def reasons(old: str | None, new: str | None) -> list[str]:
        before = {"limits.memory": old} if old else {}
        after = {"limits.memory": new} if new else {}
        return restart_reasons(options_of(), options_of(), before, after, {}, {}, False)

    assert "`limits.memory`" in reasons("64MiB", "32MiB")[0]
    assert "`limits.memory`" in reasons(None, "32MiB")[0]
    assert reasons("64MiB", "96MiB") == reasons("64MiB", None) == reasons("50%", "32MiB") == []


def test_preview_knows_that_a_machine_may_not_take_more_processors_live() -> None:
    def reasons(old: str | None, new: str | None) -> list[str]:
        before = {"limits.cpu": old} if old else {}
        after = {"limits.cpu": new} if new else {}
        machine = options_of(instance_type="virtual-machine")
        return restart_reasons(machine, machine, before, after, {}, {}, False)

    assert "`limits.cpu`" in reasons("1", "2")[0]
    assert "`limits.cpu`" in reasons(None, "1")[0]
    assert "`limits.cpu`" in reasons("2", None)[0]
    assert reasons("2", "1") == []


def test_preview_knows_which_keys_a_running_machine_takes() -> None:
    def reasons(key: str, kind: str = "virtual-machine") -> list[str]:
        options = options_of(instance_type=kind)
        return restart_reasons(options, options, {}, {key: "true"}, {}, {}, False)

    for live in ("security.protection.delete", "security.agent.metrics", "boot.autostart"):
        assert reasons(live) == []
    for cold in ("agent.nic_config", "raw.qemu", "limits.memory.hugepages"):
        assert reasons(cold) == [f"`{cold}`"]
    assert reasons("security.protection.delete", "container") == []


def start_fails(proxy: Proxy, times: int) -> None:
    """The next starts fail as one does that an earlier stop gets in the way of."""
    operation = {"type": "async", "operation": "/1.0/operations/gone", "metadata": {"id": "gone"}}
    proxy.on("PUT", f"{PATH}/state", reply(202, operation), times=times)
    failed = error("no such file or directory")
    proxy.on("GET", "/1.0/operations/gone/wait", reply(200, failed), times=times)


def test_start_that_a_stop_got_in_the_way_of_is_tried_once_more(
    proxy: Proxy, proxied: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(proxied, plan_of(name), options_of(running=False))
    start_fails(proxy, times=1)

    assert made.update(reporter, options=options_of()).live.running


def test_start_that_fails_again_is_an_error(
    proxy: Proxy, proxied: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(proxied, plan_of(name), options_of(running=False))
    start_fails(proxy, times=2)

    with pytest.raises(RuntimeFailed, match="no such file or directory"):
        made.update(reporter, options=options_of())
    assert len(proxy.sent("PUT", f"{PATH}/state")) == 2
