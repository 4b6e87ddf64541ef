"""Making runtimes for real: what comes to be, and that nothing is left of what fails."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient, url
from pulumi_pika.incus.storage import create_volume, get_volume
from pulumi_pika.planner.device_names import device_name
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.reconcile.shared.errors import (
    InstanceExists,
    PlacementError,
    RuntimeFailed,
    SourceMissing,
    Unsupported,
)

from ...conftest import (
    IMAGE,
    Sandbox,
    sweep,
)
from ...support.proxy import (
    Proxy,
    call,
    edit,
    error,
    reply,
    reset_after,
    reset_before,
)
from ...support.reconcile import (
    Recorder,
    cpus,
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

INSTANCES = "/1.0/instances"
WAITS = "/1.0/operations/[^/]+/wait"


def mounts_inside(client: IncusClient, name: str) -> dict[str, str]:
    """What is mounted in the guest: options by place."""
    lines = output(client, name, "cat /proc/mounts").splitlines()
    return {line.split()[1]: line.split()[3] for line in lines}


def volume_config(client: IncusClient, name: str) -> dict[str, str]:
    volume = get_volume(client, "default", name)
    assert volume is not None, f"there is no volume {name}"
    config: dict[str, str] = volume.data["config"]
    return config


# What comes to be


@pytest.mark.parametrize("form", ["whole", "short", "alias"])
def test_image_by_fingerprint(
    client: IncusClient, sandbox: Sandbox, name: str, form: str, request: pytest.FixtureRequest
) -> None:
    image = sandbox.other_image if form == "whole" else sandbox.other_image[:12]
    wanted = sandbox.other_image
    if form == "alias":
        # An alias that looks like a fingerprint counts first.
        sandbox.daemon.request("POST", "/images/aliases", {"name": image, "target": sandbox.image})
        request.addfinalizer(lambda: sandbox.daemon.request("DELETE", f"/images/aliases/{image}"))
        wanted = sandbox.image
    made = make(client, plan_of(name, incus={"image_alias": image}))

    assert made.live.fingerprint == wanted
    assert made.desired.plan.incus.image_alias == image


@pytest.mark.usefixtures("held_limits")
def test_limits_reach_the_kernel(client: IncusClient, name: str) -> None:
    make(client, plan_of(name, resources={"vcpu_count": 1, "memory_mib": 64}))

    assert memory_limit(name) == 64 * 2**20
    eventually(lambda: cpus(name) in ("0", "1"))


def test_limits_that_are_not_set_are_left_to_incus(client: IncusClient, name: str) -> None:
    made = make(client, plan_of(name))

    assert not [key for key in made.live.config if key.startswith("limits.")]


def test_mounts_are_seen_inside_and_only_the_writable_ones_take_writes(
    client: IncusClient, name: str
) -> None:
    create_volume(client, "default", f"{name}-snap", description="", config={})
    plan = plan_of(
        name,
        mount("persistent_volume", f"{name}-state", "/mnt/state"),
        mount("read_only_snapshot", f"{name}-snap", "/mnt/snap"),
        mount("cache", f"{name}-snap", "/mnt/cache", "read_only", required=True),
    )

    make(client, plan)

    seen = mounts_inside(client, name)
    assert seen["/mnt/state"].split(",")[0] == "rw"
    assert seen["/mnt/snap"].split(",")[0] == "ro"
    assert seen["/mnt/cache"].split(",")[0] == "ro"
    assert shell(client, name, "echo x > /mnt/state/file") == 0
    assert shell(client, name, "echo x > /mnt/snap/file") != 0
    assert shell(client, name, "echo x > /mnt/cache/file") != 0


@pytest.fixture
def host_directory(sandbox: Sandbox, name: str) -> Iterator[Path]:
    """A directory of the host that an unprivileged guest may look into."""
    directory = sandbox.daemon.directory / f"host-{name}"
    directory.mkdir()
    directory.chmod(0o777)
    yield directory
    shutil.rmtree(directory)


def test_absolute_source_is_a_path_of_the_host(
    client: IncusClient, name: str, host_directory: Path
) -> None:
    (host_directory / "from-host").write_text("hello")
    plan = plan_of(name, mount("artifact_output", str(host_directory), "/out", required=True))

    make(client, plan)

    assert output(client, name, "cat /out/from-host") == "hello"
    assert shell(client, name, "echo back > /out/from-guest") == 0
    assert (host_directory / "from-guest").read_text() == "back\n"


def test_devices_have_their_planned_names(client: IncusClient, name: str) -> None:
    plan = plan_of(name, mount("persistent_volume", f"{name}-state", "/mnt/state"))

    made = make(client, plan)

    planned = device_name("persistent_volume", f"{name}-state", "/mnt/state")
    assert made.live.devices == {
        planned: {
            "type": "disk",
            "pool": "default",
            "source": f"{name}-state",
            "path": "/mnt/state",
        }
    }


def test_volumes_are_made_before_the_instance_and_marked(
    proxy: Proxy, proxied: IncusClient, name: str, reporter: Recorder
) -> None:
    plan = plan_of(name, mount("persistent_volume", f"{name}-state", "/mnt/state"))

    make(proxied, plan, options_of(owner="urn:x"), reporter)

    posts = [request.path for request in proxy.sent("POST")]
    assert posts == ["/1.0/storage-pools/default/volumes/custom", INSTANCES]
    config = volume_config(proxied, f"{name}-state")
    assert config["user.pika.runtime_id"] == f"id-{name}"
    assert config["user.pika.owner"] == "urn:x"
    assert f"created volume {name}-state in pool default (project default)" in reporter.infos


def test_volume_that_is_there_is_used_as_it_is(client: IncusClient, name: str) -> None:
    create_volume(client, "default", f"{name}-state", description="mine", config={"user.a": "1"})
    plan = plan_of(name, mount("persistent_volume", f"{name}-state", "/mnt/state"))

    make(client, plan)

    volume = get_volume(client, "default", f"{name}-state")
    assert volume is not None
    assert volume.data["description"] == "mine"
    assert volume.data["config"]["user.a"] == "1"


def test_directory_of_a_volume_can_be_mounted(client: IncusClient, name: str) -> None:
    create_volume(client, "default", f"{name}-v", description="", config={})
    make(client, plan_of(f"{name}-a", mount("cache", f"{name}-v", "/v")))
    assert shell(client, f"{name}-a", "mkdir /v/sub && echo in > /v/sub/file") == 0

    make(client, plan_of(f"{name}-b", mount("cache", f"{name}-v/sub", "/sub", required=True)))

    assert output(client, f"{name}-b", "cat /sub/file") == "in\n"


def test_optional_mount_without_source_is_left_out_with_a_warning(
    client: IncusClient, name: str, reporter: Recorder
) -> None:
    plan = plan_of(
        name,
        mount("cache", "/no/such/path", "/a"),
        mount("artifact_output", f"{name}-none", "/b"),
    )

    made = make(client, plan, reporter=reporter)

    names = [mount.device_name for mount in plan.mounts]
    assert made.desired.left_out == tuple(names)
    assert made.live.devices == {}
    assert [any(name in line for line in reporter.warnings) for name in names] == [True, True]
    assert all("is skipped" in line for line in reporter.warnings)


def test_root_disk_gets_size_and_the_profiles_pool(client: IncusClient, name: str) -> None:
    made = make(client, plan_of(name, resources={"root_disk_gib": 1}))

    root = {"type": "disk", "path": "/", "pool": "default", "size": "1GiB"}
    assert made.live.devices == {"root": root}
    assert made.desired.pool == "default"


@pytest.fixture
def odd_profile(sandbox: Sandbox, name: str) -> Iterator[str]:
    """A profile whose root disk has another name than `root`."""
    disk = {"type": "disk", "path": "/", "pool": "default"}
    sandbox.daemon.request("POST", "/profiles", {"name": f"{name}-odd", "devices": {"disk0": disk}})
    yield f"{name}-odd"
    # An instance of it has to go first.
    sweep(sandbox.daemon, name)
    sandbox.daemon.request("DELETE", f"/profiles/{name}-odd")


def test_root_disk_takes_the_name_that_it_has_in_the_profile(
    client: IncusClient, name: str, odd_profile: str
) -> None:
    plan = plan_of(name, resources={"root_disk_gib": 1}, incus={"profile": odd_profile})

    made = make(client, plan)

    assert set(made.live.devices) == {"disk0"}
    assert made.live.devices["disk0"]["size"] == "1GiB"


def test_marks_labels_and_config_are_on_the_instance(client: IncusClient, name: str) -> None:
    plan = plan_of(name, labels={"team": "a b", "empty": "", "ü/x": "=1\n2"})
    options = options_of(
        config={"user.mine": "yes", "security.nesting": "true"},
        description="what it is",
        cloud_init_user_data="#!/bin/sh\ntrue\n",
        owner="urn:pulumi:x",
    )

    made = make(client, plan, options)

    config = made.live.config
    assert config["user.pika.label.team"] == "a b"
    assert config["user.pika.label.ü/x"] == "=1\n2"
    assert "user.pika.label.empty" not in config
    assert config["user.pika.runtime_id"] == f"id-{name}"
    assert config["user.pika.lifecycle_root"] == "/run/pika-cloud"
    assert len(config["user.pika.plan_digest"]) == 64
    assert config["user.pika.owner"] == "urn:pulumi:x"
    assert config["user.mine"] == "yes"
    assert config["security.nesting"] == "true"
    assert config["cloud-init.user-data"] == "#!/bin/sh\ntrue\n"
    assert made.live.description == "what it is"


@pytest.mark.parametrize(
    ("policy", "keys"),
    [
        ("never", {"boot.autorestart": "false"}),
        ("on_failure", {"boot.autorestart": "true"}),
        ("always", {"boot.autorestart": "true", "boot.autostart": "true"}),
    ],
)
def test_restart_policy_is_kept_by_incus(
    client: IncusClient, name: str, policy: str, keys: dict[str, str]
) -> None:
    policies = {"restart_policy": policy, "retention_policy": "debug_keep"}

    made = make(client, plan_of(name, policies=policies), options_of(running=False))

    boot = {key: value for key, value in made.live.config.items() if key.startswith("boot.")}
    assert boot == keys


def without_autorestart(answer: dict[str, Any]) -> None:
    answer["metadata"]["api_extensions"].remove("instance_auto_restart")


def test_restart_policy_on_an_older_server_is_a_clear_error(
    proxy: Proxy, proxied: IncusClient, name: str
) -> None:
    proxy.on("GET", "/1.0", edit(without_autorestart), times=None)
    policies = {"restart_policy": "always", "retention_policy": "debug_keep"}

    with pytest.raises(
        Unsupported, match=r"restart_policy always is not supported .*upgrade Incus, or use"
    ):
        make(proxied, plan_of(name, policies=policies))

    assert proxy.changes() == []


def test_policy_never_needs_nothing_of_an_older_server(
    proxy: Proxy, proxied: IncusClient, name: str
) -> None:
    proxy.on("GET", "/1.0", edit(without_autorestart), times=None)

    made = make(proxied, plan_of(name), options_of(running=False))

    assert "boot.autorestart" not in made.live.config


def test_profiles_are_applied_before_the_plans_own(
    client: IncusClient, name: str, odd_profile: str
) -> None:
    plan = plan_of(name, incus={"profile": odd_profile})
    # The default profile has a root disk as well; the last one counts, under its own name.
    made = make(client, plan, options_of(extra_profiles=[], running=False))
    assert made.live.profiles == [odd_profile]

    client.send_change("POST", "/1.0/profiles", {"name": f"{name}-extra"})
    try:
        plan = plan_of(f"{name}-two")
        made = make(client, plan, options_of(extra_profiles=[f"{name}-extra"], running=False))
        assert made.live.profiles == [f"{name}-extra", "default"]
        client.run("DELETE", url("instances", f"{name}-two"), timeout=30)
    finally:
        client.send_change("DELETE", url("profiles", f"{name}-extra"))


def test_runtime_that_is_not_to_run_is_not_started(client: IncusClient, name: str) -> None:
    made = make(client, plan_of(name), options_of(running=False, wait_for="agent"))

    assert made.live.status == "Stopped"
    assert "volatile.last_state.power" not in made.live.config, "it was started before"


def test_runtime_whose_power_is_left_to_others_is_not_started(
    client: IncusClient, name: str
) -> None:
    assert make(client, plan_of(name), options_of(running=None)).live.status == "Stopped"


def test_fingerprint_is_that_of_the_image(client: IncusClient, name: str, sandbox: Sandbox) -> None:
    made = make(client, plan_of(name))

    assert made.live.fingerprint == sandbox.image
    assert output(client, name, "cat /etc/marker") == "one"


# Errors before anything is made


@pytest.mark.parametrize("source", ["{name}-none", "/no/such/path", "{name}-none/sub"])
@pytest.mark.parametrize(("kind", "required"), [("read_only_snapshot", False), ("cache", True)])
def test_missing_source_is_an_error_before_anything_is_made(
    proxy: Proxy, proxied: IncusClient, name: str, kind: str, required: bool, source: str
) -> None:
    plan = plan_of(
        name,
        mount("persistent_volume", f"{name}-state", "/mnt/state"),
        mount(kind, source.format(name=name), "/mnt/x", required=required),
    )

    with pytest.raises(SourceMissing, match=r"^mount pk-.*does not exist.*Nothing was created$"):
        make(proxied, plan)

    assert proxy.changes() == []
    assert get_volume(proxied, "default", f"{name}-state") is None


def test_missing_profile_is_an_error_before_anything_is_made(
    proxy: Proxy, proxied: IncusClient, name: str
) -> None:
    plan = plan_of(name, mount("persistent_volume", f"{name}-v", "/v"), incus={"profile": "none"})

    with pytest.raises(PlacementError, match="profile none does not exist in project default"):
        make(proxied, plan)

    assert proxy.changes() == []


def test_no_pool_to_be_told_is_an_error_before_anything_is_made(
    proxy: Proxy, proxied: IncusClient, name: str
) -> None:
    proxied.send_change("POST", "/1.0/profiles", {"name": f"{name}-bare"})
    proxy.clear()
    plan = plan_of(
        name, mount("persistent_volume", f"{name}-v", "/v"), incus={"profile": f"{name}-bare"}
    )

    try:
        with pytest.raises(PlacementError, match="set `storage_pool`"):
            make(proxied, plan)
        assert proxy.changes() == []
    finally:
        proxied.send_change("DELETE", url("profiles", f"{name}-bare"))


def test_existing_instance_is_refused_and_untouched(
    proxy: Proxy, proxied: IncusClient, name: str
) -> None:
    source = {"type": "image", "alias": IMAGE}
    body = {"name": name, "type": "container", "start": True, "source": source}
    proxied.run("POST", INSTANCES, body, timeout=30)
    before = there(proxied, name)
    proxy.clear()

    with pytest.raises(InstanceExists, match=rf"instance {name} already exists in project default"):
        make(proxied, plan_of(name, mount("persistent_volume", f"{name}-state", "/v")))

    assert proxy.changes() == []
    assert there(proxied, name).raw["config"] == before.raw["config"]
    assert there(proxied, name).status == "Running"


def test_instance_that_came_meanwhile_is_refused_and_untouched(
    proxy: Proxy, proxied: IncusClient, client: IncusClient, name: str
) -> None:
    def others(_: object) -> None:
        body = {"name": name, "type": "container", "source": {"type": "none"}}
        client.run("POST", INSTANCES, body, timeout=30)

    proxy.on("POST", INSTANCES, call(others))

    # The volume had been made, and its removal is told.
    with pytest.raises(RuntimeFailed, match=rf"instance {name} already exists") as caught:
        make(proxied, plan_of(name, mount("persistent_volume", f"{name}-state", "/v")))

    assert f"Undone: deleted volume {name}-state in pool default" in str(caught.value)
    assert there(client, name).config.get("user.pika.runtime_id") is None
    assert get_volume(client, "default", f"{name}-state") is None
    with pytest.raises(InstanceExists):
        make(client, plan_of(name))


# Undo


def assert_all_undone(client: IncusClient, name: str, said: str) -> None:
    assert fetch_instance(client, name) is None
    assert get_volume(client, "default", f"{name}-state") is None
    assert f"Undone: deleted instance {name}, volume {name}-state in pool default" in said
    assert "NOT be undone" not in said


def test_failed_start_undoes_all(client: IncusClient, name: str) -> None:
    plan = plan_of(name, mount("persistent_volume", f"{name}-state", "/mnt/state"))
    nic = {"type": "nic", "nictype": "bridged", "parent": "no-such-bridge"}

    with pytest.raises(RuntimeFailed, match="no-such-bridge") as caught:
        make(client, plan, options_of(devices={"eth0": nic}))

    assert_all_undone(client, name, str(caught.value))


def test_unknown_image_undoes_all_and_says_where_to_look(client: IncusClient, name: str) -> None:
    plan = plan_of(
        name,
        mount("persistent_volume", f"{name}-state", "/mnt/state"),
        incus={"image_alias": "no/such"},
    )

    with pytest.raises(RuntimeFailed, match=r"check that image alias no/such exists") as caught:
        make(client, plan)

    assert fetch_instance(client, name) is None
    assert get_volume(client, "default", f"{name}-state") is None
    assert f"Undone: deleted volume {name}-state in pool default" in str(caught.value)


def test_failed_create_keeps_a_volume_that_was_there(client: IncusClient, name: str) -> None:
    create_volume(client, "default", f"{name}-old", description="", config={})
    plan = plan_of(
        name,
        mount("persistent_volume", f"{name}-old", "/mnt/old"),
        mount("persistent_volume", f"{name}-state", "/mnt/state"),
        incus={"image_alias": "no/such"},
    )

    with pytest.raises(RuntimeFailed) as caught:
        make(client, plan)

    assert get_volume(client, "default", f"{name}-old") is not None
    assert get_volume(client, "default", f"{name}-state") is None
    assert f"{name}-old" not in str(caught.value)


def test_failed_create_keeps_a_volume_that_others_made_meanwhile(
    proxy: Proxy, proxied: IncusClient, client: IncusClient, name: str
) -> None:
    proxy.on(
        "POST",
        ".*/volumes/custom",
        call(lambda _: create_volume(client, "default", f"{name}-v", description="", config={})),
    )
    plan = plan_of(
        name, mount("persistent_volume", f"{name}-v", "/v"), incus={"image_alias": "no/such"}
    )

    with pytest.raises(RuntimeFailed):
        make(proxied, plan)

    assert get_volume(client, "default", f"{name}-v") is not None


def test_failed_wait_undoes_all_and_says_what_was_seen(client: IncusClient, name: str) -> None:
    plan = plan_of(name, mount("persistent_volume", f"{name}-state", "/mnt/state"))
    options = options_of(
        wait_for="ready",
        # Until it has been said, also on a machine that is busy.
        timeouts={"wait": 5},
        cloud_init_user_data="#!/bin/sh\necho something is broken here\n",
    )

    with pytest.raises(RuntimeFailed, match=r"did not reach state `ready`") as caught:
        make(client, plan, options)

    said = str(caught.value)
    assert "Last seen: status Running." in said
    assert "something is broken here" in said
    assert_all_undone(client, name, said)


def test_refused_volume_undoes_the_first_one(client: IncusClient, name: str) -> None:
    plan = plan_of(
        name,
        mount("persistent_volume", f"{name}-state", "/mnt/state"),
        mount("persistent_volume", f"{name}-{'x' * 300}", "/mnt/bad"),
    )

    with pytest.raises(RuntimeFailed) as caught:
        make(client, plan)

    assert get_volume(client, "default", f"{name}-state") is None
    assert f"deleted volume {name}-state in pool default" in str(caught.value)


def test_what_cannot_be_undone_is_named(
    proxy: Proxy, proxied: IncusClient, client: IncusClient, name: str
) -> None:
    plan = plan_of(
        name,
        mount("persistent_volume", f"{name}-state", "/mnt/state"),
        incus={"image_alias": "no/such"},
    )
    proxy.on("DELETE", ".*/volumes/.*", reply(500, error("the disk is on fire", 500)), times=None)

    with pytest.raises(
        RuntimeFailed, match="Could NOT be undone: run the same command again"
    ) as caught:
        make(proxied, plan)

    assert f"what may be left: volume {name}-state in pool default (" in str(caught.value)
    assert "the disk is on fire" in str(caught.value)
    assert get_volume(client, "default", f"{name}-state") is not None


@pytest.mark.parametrize("volumes", [["one"], ["one", "two"]])
def test_what_was_never_asked_for_is_not_named_as_left(
    proxy: Proxy, proxied: IncusClient, client: IncusClient, name: str, volumes: list[str]
) -> None:
    """The daemon goes between two steps of a create, and stays away."""
    mounts = [mount("persistent_volume", f"{name}-{it}", f"/{it}") for it in volumes]
    plan = plan_of(name, *mounts)

    class Goes(Recorder):
        def info(self, message: str) -> None:
            super().info(message)
            if message.startswith("created volume"):
                proxy.close()

    with pytest.raises(RuntimeFailed) as caught:
        make(proxied, plan, reporter=Goes())

    said = str(caught.value)
    left = said.partition("what may be left: ")[2]
    assert f"volume {name}-one in pool default (" in left
    assert f"{name}-two in" not in left
    assert f"instance {name} " not in left
    assert fetch_instance(client, name) is None
    assert get_volume(client, "default", f"{name}-two") is None
    proxy.start()
    assert make(proxied, plan).live.running


# Lost answers


def test_create_whose_answer_is_lost_goes_on_with_what_was_made(
    proxy: Proxy, proxied: IncusClient, name: str
) -> None:
    rule = proxy.on("POST", INSTANCES, reset_after())

    made = make(proxied, plan_of(name))

    assert rule.applied == 1
    assert len(proxy.sent("POST", INSTANCES)) == 1
    assert made.live.running


def test_create_that_never_arrived_fails_and_leaves_nothing(
    proxy: Proxy, proxied: IncusClient, name: str
) -> None:
    proxy.on("POST", INSTANCES, reset_before())

    with pytest.raises(RuntimeFailed, match="connection was lost"):
        make(proxied, plan_of(name, mount("persistent_volume", f"{name}-state", "/v")))

    assert fetch_instance(proxied, name) is None
    assert get_volume(proxied, "default", f"{name}-state") is None


def test_create_whose_operation_is_forgotten_looks_at_the_instance(
    proxy: Proxy, proxied: IncusClient, name: str
) -> None:
    rule = proxy.on("GET", WAITS, reply(404, error("Operation not found", 404)))

    made = make(proxied, plan_of(name))

    assert rule.applied == 1
    assert made.live.running
    assert len(proxy.sent("POST", INSTANCES)) == 1


def test_second_project_is_kept_apart(client: IncusClient, sandbox: Sandbox, name: str) -> None:
    config = {"features.images": "false", "features.profiles": "false"}
    sandbox.daemon.request("POST", "/projects", {"name": f"{name}-p", "config": config})
    inside = client.in_project(f"{name}-p")
    plan = plan_of(
        name,
        mount("persistent_volume", f"{name}-state", "/mnt/state"),
        incus={"project": f"{name}-p"},
    )
    try:
        made = make(inside, plan, options_of(running=False))
        assert made.live.project == f"{name}-p"
        assert fetch_instance(client, name) is None
        assert get_volume(client, "default", f"{name}-state") is None
        assert get_volume(inside, "default", f"{name}-state") is not None
    finally:
        inside.run("DELETE", url("instances", name), timeout=30)
        volume = url("storage-pools", "default", "volumes", "custom", f"{name}-state")
        inside.run("DELETE", volume, timeout=30)
        sandbox.daemon.request("DELETE", f"/projects/{name}-p")


# Virtual machines: the payload, and what the daemon here says of it

GOLDEN_VM: dict[str, Any] = {
    "type": "virtual-machine",
    "description": "an agent",
    "profiles": ["default"],
    "config": {
        "limits.cpu": "2",
        "limits.memory": "4096MiB",
        "boot.autorestart": "true",
        "boot.autostart": "true",
        "security.secureboot": "false",
        "cloud-init.user-data": "#cloud-config\n{}\n",
        "user.pika.lifecycle_root": "/run/pika-cloud",
        "user.pika.label.team": "a",
    },
    "start": True,
    "source": {"type": "image", "alias": IMAGE},
}


def vm(name: str, base: str) -> tuple[Any, Any]:
    plan = plan_of(
        name,
        mount("persistent_volume", f"{name}-state", "/mnt/state"),
        mount("cache", base, "/mnt/base", "read_only", required=True),
        resources={"vcpu_count": 2, "memory_mib": 4096, "root_disk_gib": 20},
        policies={"restart_policy": "always", "retention_policy": "keep_until_stopped"},
        labels={"team": "a"},
    )
    options = options_of(
        instance_type="virtual-machine",
        description="an agent",
        config={"security.secureboot": "false"},
        cloud_init_user_data="#cloud-config\n{}\n",
    )
    return plan, options


def test_virtual_machine_is_asked_for_in_full_and_undone_where_it_cannot_be(
    proxy: Proxy, proxied: IncusClient, name: str
) -> None:
    plan, options = vm(name, "/usr")

    # No VM driver here, or, where there is one, the image is a container's.
    with pytest.raises(RuntimeFailed):
        make(proxied, plan, options)

    (request,) = proxy.sent("POST", INSTANCES)
    body = request.json
    state = device_name("persistent_volume", f"{name}-state", "/mnt/state")
    base = device_name("cache", "/usr", "/mnt/base")
    assert body.pop("name") == name
    assert body.pop("devices") == {
        state: {"type": "disk", "source": f"{name}-state", "path": "/mnt/state", "pool": "default"},
        base: {
            "type": "disk",
            "source": "/usr",
            "path": "/mnt/base",
            "readonly": "true",
            "io.bus": "virtiofs",
        },
        "root": {"type": "disk", "path": "/", "pool": "default", "size": "20GiB"},
    }
    own = body["config"]
    assert own.pop("user.pika.runtime_id") == f"id-{name}"
    assert len(own.pop("user.pika.plan_digest")) == 64
    assert len(own.pop("user.pika.generation")) == 16
    assert body == GOLDEN_VM
    assert fetch_instance(proxied, name) is None
    assert get_volume(proxied, "default", f"{name}-state") is None


def test_container_of_the_same_plan_differs_in_type_and_bus_only(
    proxy: Proxy, proxied: IncusClient, name: str
) -> None:
    plan, options = vm(name, "/usr")
    with pytest.raises(RuntimeFailed):
        make(proxied, plan, options)
    config = {key: value for key, value in options.config.items() if "secureboot" not in key}
    same = options.model_copy(update={"instance_type": "container", "config": config})

    make(proxied, plan, same)

    asked = [request.json for request in proxy.sent("POST", INSTANCES)]
    machine, container = asked
    assert machine.pop("type") == "virtual-machine"
    assert container.pop("type") == "container"
    base = device_name("cache", "/usr", "/mnt/base")
    assert machine["devices"][base].pop("io.bus") == "virtiofs"
    assert "io.bus" not in container["devices"][base]
    del machine["config"]["security.secureboot"]
    for body in (machine, container):
        del body["config"]["user.pika.generation"]
    assert machine == container
    assert shell(proxied, name, "test -d /mnt/base/bin && ! touch /mnt/base/x") == 0
