"""What others do to an instance of ours x command -> outcome; a table at the end of the run."""

import json
import secrets
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pulumi_pika.incus import instances
from pulumi_pika.incus.client import IncusClient, url
from pulumi_pika.incus.errors import OperationFailed
from pulumi_pika.incus.guest_files import read_kernel_file
from pulumi_pika.incus.instances import exec_status
from pulumi_pika.planner.device_names import device_name
from pulumi_pika.providers.provider_errors import ProviderError
from pulumi_pika.reconcile.instances import delete, device_rollback
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.reconcile.instances.live_instance import LiveInstance

from ...conftest import (
    Sandbox,
    custom_volumes,
    sweep,
)
from ...support.faults.table import OTHERS_PROPERTY
from ...support.provider_engine import (
    Managed,
    Refused,
    arguments,
    volume_mount,
)
from .test_adoption import make
from .test_drift import (
    patch,
    put,
    stop,
)

Tell = Callable[[str, str, str], None]
Record = Callable[[str, object], None]


@pytest.fixture
def tell(record_property: Record) -> Tell:
    """Puts a cell into the table: what others did, the command, the outcome."""

    def record(what: str, command: str, outcome: str) -> None:
        record_property(OTHERS_PROPERTY, [what, command, outcome])

    return record


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """What was said since the last call."""
    return lambda: "".join(capfd.readouterr())


def power(sandbox: Sandbox, name: str, action: str) -> None:
    body = {"action": action, "force": True}
    sandbox.daemon.request("PUT", f"/instances/{name}/state", body)


def seen(client: IncusClient, name: str) -> LiveInstance:
    live = fetch_instance(client, name)
    assert live is not None
    return live


def pid(client: IncusClient, name: str) -> int:
    return int(seen(client, name).raw["state"]["pid"])


# --- power ---


def test_recover_dropped_restarts_nothing(
    client: IncusClient, name: str, said: Callable[[], str]
) -> None:
    managed = Managed(arguments(name, mounts=[], restart_triggers="1"))
    managed.up()
    before = pid(client, name)
    said()
    managed.change(restart_triggers=None)
    assert managed.planned() == "update"
    assert "restarted" not in said()
    managed.up()
    assert pid(client, name) == before
    assert managed.planned() == "same"


def test_recover_dropped_with_running_false_stops(client: IncusClient, name: str) -> None:
    managed = Managed(arguments(name, mounts=[], restart_triggers="1", timeouts={"stop": 5}))
    managed.up()
    managed.change(restart_triggers=None, running=False)
    managed.up()
    assert seen(client, name).status == "Stopped"
    assert managed["status"] == "Stopped"
    assert managed.planned() == "same"


@pytest.mark.parametrize("refreshes", [0, 1, 2])
def test_frozen_is_stopped_if_running_is_false(
    client: IncusClient, name: str, sandbox: Sandbox, refreshes: int, tell: Tell
) -> None:
    managed = Managed(arguments(name, mounts=[], timeouts={"stop": 5}))
    managed.up()
    power(sandbox, name, "freeze")
    for _ in range(refreshes):
        managed.refresh()
    managed.change(running=False)
    assert managed.up() == "update"
    assert seen(client, name).status == "Stopped"
    assert managed["status"] == "Stopped"
    assert managed.refresh() == {}
    assert managed.planned() == "same"
    tell("frozen, running=False", "up", "stopped")


def test_frozen_with_running_false_is_drift(
    client: IncusClient, name: str, sandbox: Sandbox, said: Callable[[], str], tell: Tell
) -> None:
    managed = Managed(arguments(name, mounts=[], running=False, timeouts={"stop": 5}))
    managed.up()
    power(sandbox, name, "start")
    power(sandbox, name, "freeze")
    assert managed.refresh() == {"running": (False, True)}
    assert managed.refresh() == {}, "seen once, seen for good"
    tell("frozen, running=False", "refresh", "seen")
    assert managed.planned() == "update"
    assert "is frozen, and `running` is False" in said()
    tell("frozen, running=False", "preview", "said")
    managed.up()
    assert seen(client, name).status == "Stopped"


def test_frozen_is_left_if_running_is_none(
    client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    given = arguments(name, mounts=[])
    del given["running"]
    managed = Managed(given)
    managed.up()
    power(sandbox, name, "start")
    power(sandbox, name, "freeze")
    assert managed.refresh() == {}
    managed.change(labels={"a": "1"})
    managed.up()
    assert seen(client, name).status == "Frozen"


def test_frozen_is_destroyed(client: IncusClient, name: str, sandbox: Sandbox, tell: Tell) -> None:
    managed = Managed(arguments(name, mounts=[], timeouts={"stop": 5}))
    managed.up()
    power(sandbox, name, "freeze")
    managed.destroy()
    assert fetch_instance(client, name) is None
    tell("frozen", "destroy", "deleted")


# --- ephemeral ---


def test_adopted_ephemeral_is_made_lasting(
    client: IncusClient, name: str, sandbox: Sandbox, said: Callable[[], str], tell: Tell
) -> None:
    make(sandbox, name, ephemeral=True, start=True)
    managed = Managed(arguments(name, mounts=[], adopt=True))
    managed.up()
    assert "was ephemeral" in said()
    assert not seen(client, name).ephemeral
    tell("ephemeral", "up (adopt)", "ephemeral to false")


@pytest.mark.parametrize(
    "change",
    [{"running": False}, {"restart_triggers": "1"}, {"config": {"security.nesting": "true"}}],
    ids=["running", "restart_triggers", "restart"],
)
def test_ephemeral_is_made_lasting_before_a_stop(
    client: IncusClient,
    name: str,
    sandbox: Sandbox,
    said: Callable[[], str],
    tell: Tell,
    change: dict[str, Any],
) -> None:
    managed = Managed(arguments(name, mounts=[], timeouts={"stop": 5}))
    managed.up()
    uuid = managed["uuid"]
    put(sandbox, name, ephemeral=True)
    said()
    managed.change(**change)
    assert managed.planned() == "update"
    if "config" not in change:
        assert "is ephemeral" in said()
        tell("ephemeral", "preview", "said")
    managed.up()
    live = seen(client, name)
    assert live.uuid == uuid
    if "config" not in change:
        assert not live.ephemeral
        tell("ephemeral", "up", "ephemeral to false")


# --- protected ---


def test_a_destroy_that_is_refused_stops_nothing(
    client: IncusClient, name: str, sandbox: Sandbox, tell: Tell
) -> None:
    managed = Managed(arguments(name, mounts=[]))
    managed.up()
    before = pid(client, name)
    patch(sandbox, name, config={"security.protection.delete": "true"})
    with pytest.raises(ProviderError, match=r"config unset .*security\.protection\.delete"):
        managed.destroy()
    assert pid(client, name) == before
    tell("protected", "destroy", "refused")
    patch(sandbox, name, config={"security.protection.delete": ""})
    managed.destroy()
    assert fetch_instance(client, name) is None


def test_a_replacement_of_what_a_profile_protects_is_refused_beforehand(
    client: IncusClient, name: str, sandbox: Sandbox, tell: Tell
) -> None:
    protect = {"name": f"{name}-p", "config": {"security.protection.delete": "true"}}
    sandbox.daemon.request("POST", "/profiles", protect)
    managed = Managed(arguments(name, mounts=[], extra_profiles=[f"{name}-p"]))
    managed.up()
    before = pid(client, name)
    given = managed.arguments
    managed.change(identity={"runtime_id": "id", "instance_name": f"{name}-other"})
    for call in (managed.planned, managed.up):
        with pytest.raises(Refused, match=r"profile sets it .*security\.protection\.delete=false"):
            call()
    tell("protected", "preview (replace)", "refused")
    assert pid(client, name) == before
    managed.arguments = given
    assert managed.planned() == "same"
    patch(sandbox, name, config={"security.protection.delete": "false"})
    managed.destroy()
    assert fetch_instance(client, name) is None
    sandbox.daemon.request("DELETE", f"/profiles/{name}-p")


# --- devices that a failed change half made ---


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_proxy_that_cannot_be_changed_goes_on_as_it_was(
    client: IncusClient, name: str, tell: Tell
) -> None:
    port = _free_port()

    def proxy(listen: int) -> dict[str, dict[str, str]]:
        return {
            "px": {
                "type": "proxy",
                "listen": f"tcp:127.0.0.1:{listen}",
                "connect": "tcp:127.0.0.1:80",
            }
        }

    managed = Managed(arguments(name, mounts=[], devices=proxy(port)))
    managed.up()
    assert _listens(port)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        managed.change(devices=proxy(taken.getsockname()[1]))
        with pytest.raises(ProviderError, match=r"device px of the running .* was attached again"):
            managed.up()
    assert _listens(port)
    managed.change(devices=proxy(port))
    assert managed.up() == "same"
    assert managed.refresh() == {}
    tell("device change fails half way", "up", "put back")


def test_mount_that_cannot_be_changed_is_put_back(client: IncusClient, name: str) -> None:
    managed = Managed(arguments(name))
    managed.up()
    exec_status(client, name, ["touch", "/mnt/state/there"], timeout=10)
    # No directory: newer servers make one that is missing.
    managed.change(mounts=[volume_mount(f"{name}-state/there/nope")])
    with pytest.raises(ProviderError, match="attached again"):
        managed.up()
    assert exec_status(client, name, ["ls", "/mnt/state/there"], timeout=10) == 0
    managed.change(mounts=[volume_mount(f"{name}-state")])
    managed.up()
    assert exec_status(client, name, ["ls", "/mnt/state/there"], timeout=10) == 0


# --- a wait that failed ---


@pytest.mark.parametrize("refreshes", [0, 1])
def test_a_wait_that_failed_is_waited_for_again(
    client: IncusClient, name: str, refreshes: int, tell: Tell
) -> None:
    managed = Managed(arguments(name, mounts=[], running=False, timeouts={"stop": 5, "wait": 1}))
    managed.up()
    managed.change(running=True, wait_for="guest_status")
    for _ in range(2):
        with pytest.raises(ProviderError, match="did not reach state `guest_status`"):
            managed.up()
        for _ in range(refreshes):
            managed.refresh()
    _say_ready(client, name)
    assert managed.up() == "update"
    assert managed.refresh() == {}
    assert managed.planned() == "same"
    tell("wait failed", "up", "waits again")


def test_a_wait_after_a_restart_that_failed_is_waited_for_again(
    client: IncusClient, name: str
) -> None:
    given = arguments(name, mounts=[], timeouts={"stop": 5, "wait": 1})
    managed = Managed(given)
    managed.up()
    managed.change(restart_triggers="1", wait_for="guest_status")
    with pytest.raises(ProviderError, match="did not reach state `guest_status`"):
        managed.up()
    managed.refresh()
    managed.change(restart_triggers=None)
    with pytest.raises(ProviderError, match="did not reach state `guest_status`"):
        managed.up()
    _say_ready(client, name)
    managed.up()
    assert managed.planned() == "same"


def _say_ready(client: IncusClient, name: str) -> None:
    exec_status(client, name, ["mkdir", "-p", "/run/pika-cloud"], timeout=10)
    boot = read_kernel_file(client, name, "/proc/sys/kernel/random/boot_id").decode().strip()
    said = json.dumps({"schema_version": 1, "state": "ready", "boot_id": boot})
    client.transport.send(
        "POST",
        url("instances", name, "files"),
        params={"path": "/run/pika-cloud/status.json", "project": "default"},
        data=said.encode(),
        headers={"X-Incus-type": "file", "X-Incus-write": "overwrite"},
    )


# --- addresses ---


def _network(address: str, hwaddr: str, host_name: str = "") -> dict[str, Any]:
    entry = {"family": "inet", "address": address, "scope": "global"}
    return {"addresses": [entry], "hwaddr": hwaddr, "host_name": host_name}


def test_the_address_is_that_of_a_nic_of_incus() -> None:
    live = LiveInstance.of(
        {
            "name": "a",
            "type": "virtual-machine",
            "status": "Running",
            "config": {
                "volatile.eth0.hwaddr": "00:16:3e:00:00:01",
                "volatile.lan.hwaddr": "00:16:3E:00:00:02",
            },
            "expanded_devices": {"eth0": {"type": "nic"}, "lan": {"type": "nic"}},
            "state": {
                "network": {
                    "docker0": _network("172.17.0.1", "02:42:00:00:00:01"),
                    "cni0": _network("10.42.0.1", "02:42:00:00:00:02"),
                    "enp5s0": _network("10.0.0.5", "00:16:3e:00:00:01", "tap1"),
                    "enp6s0": _network("10.1.0.5", "00:16:3e:00:00:02", "tap2"),
                }
            },
        },
        "",
    )
    assert live.address("inet") == "10.0.0.5"
    assert live.address("inet", "lan") == live.address("inet", "enp6s0") == "10.1.0.5"
    assert live.address("inet", "docker0") == "172.17.0.1"
    assert live.address("inet", "nothing") is None
    assert live.addresses() == {
        "eth0": {"ipv4": ["10.0.0.5"], "ipv6": []},
        "lan": {"ipv4": ["10.1.0.5"], "ipv6": []},
    }
    # Without an address of its own nic, none: docker0's is reachable from nowhere.
    live.raw["state"]["network"]["enp5s0"]["addresses"] = []
    live.raw["state"]["network"]["enp6s0"]["addresses"] = []
    assert live.address("inet") is None
    # Without any nic of Incus's, whatever there is.
    for interface in ("enp5s0", "enp6s0"):
        del live.raw["state"]["network"][interface]
    assert live.address("inet") == "10.42.0.1"


# --- the root disk's pool ---


@pytest.fixture
def other_pool(sandbox: Sandbox, name: str) -> Iterator[str]:
    """A second storage pool."""
    pool = f"{name}-p2"
    sandbox.daemon.request("POST", "/storage-pools", {"name": pool, "driver": "dir"})
    yield pool
    sweep(sandbox.daemon, name)
    sandbox.daemon.request("DELETE", f"/storage-pools/{pool}")


def move(sandbox: Sandbox, name: str, pool: str) -> None:
    """As `incus move NAME --storage POOL`."""
    stop(sandbox, name)
    body = {"name": name, "migration": True, "pool": pool}
    sandbox.daemon.request("POST", f"/instances/{name}", body)
    power(sandbox, name, "start")


def test_moved_to_another_pool_is_no_drift_if_none_is_named(
    client: IncusClient, name: str, sandbox: Sandbox, other_pool: str, tell: Tell
) -> None:
    given = arguments(name, resources={"root_disk_gib": 1})
    del given["storage_pool"]
    managed = Managed(given)
    managed.up()
    uuid = managed["uuid"]
    move(sandbox, name, other_pool)
    assert managed.refresh() == {}
    assert managed["root_storage_pool"] == other_pool
    assert managed["volume_storage_pool"] == "default"
    tell("moved to another pool", "refresh", "follows")
    assert managed.planned() == "same"
    managed.change(labels={"a": "1"})
    assert managed.up() == "update"
    managed.change(storage_pool=other_pool)
    assert managed.up() == "update"
    live = seen(client, name)
    assert (live.uuid, live.root_pool) == (uuid, other_pool)
    device = live.devices[device_name("persistent_volume", f"{name}-state", "/mnt/state")]
    assert device["pool"] == "default", "its data stays where it is"
    assert managed.refresh() == {}
    assert managed.planned() == "same"
    tell("moved to another pool", "up", "in place")


def test_moved_to_another_pool_than_the_named_one(
    client: IncusClient,
    name: str,
    sandbox: Sandbox,
    other_pool: str,
    said: Callable[[], str],
    tell: Tell,
) -> None:
    managed = Managed(arguments(name, mounts=[], resources={"root_disk_gib": 1}))
    managed.up()
    uuid = managed["uuid"]
    move(sandbox, name, other_pool)
    assert set(managed.refresh()) == {"devices"}
    said()
    assert managed.planned() == "update"
    assert "--storage default`. Until then every update fails" in said()
    tell("moved to another pool than storage_pool", "preview", "said")
    before = seen(client, name).etag
    with pytest.raises(ProviderError, match=f"Set `storage_pool` to {other_pool}"):
        managed.up()
    assert seen(client, name).etag == before
    tell("moved to another pool than storage_pool", "up", "refused")
    managed.change(storage_pool=other_pool)
    assert managed.up() == "update"
    assert seen(client, name).uuid == uuid
    assert managed.refresh() == {}
    assert managed.planned() == "same"
    managed.destroy()
    assert fetch_instance(client, name) is None


def test_a_change_that_another_root_pool_would_refuse_is_refused_beforehand(
    client: IncusClient, name: str, sandbox: Sandbox, other_pool: str
) -> None:
    managed = Managed(arguments(name, mounts=[], storage_pool=other_pool))
    managed.up()
    managed.change(resources={"root_disk_gib": 1})
    with pytest.raises(Refused, match=rf"resources\.root_disk_gib: the root disk .* {other_pool}"):
        managed.planned()
    # As the message says.
    move(sandbox, name, other_pool)
    assert managed.up() == "update"
    managed.change(resources=None)
    with pytest.raises(Refused, match=r"resources\.root_disk_gib: the root disk .* default"):
        managed.planned()


def test_a_profile_with_another_root_pool_is_refused_beforehand(
    name: str, sandbox: Sandbox, other_pool: str
) -> None:
    root = {"root": {"type": "disk", "path": "/", "pool": other_pool}}
    sandbox.daemon.request("POST", "/profiles", {"name": f"{name}-p", "devices": root})
    given = arguments(name, mounts=[])
    managed = Managed(given)
    managed.up()
    managed.change(incus={**given["incus"], "profile": f"{name}-p"})
    with pytest.raises(Refused, match=r"incus\.profile: the root disk"):
        managed.planned()
    managed.destroy()
    sandbox.daemon.request("DELETE", f"/profiles/{name}-p")


# --- what a program may say ---


def test_devices_that_are_ignored_let_a_mount_change(client: IncusClient, name: str) -> None:
    given = arguments(name, devices={"px": {"type": "none"}}, resources={"root_disk_gib": 1})
    managed = Managed(given)
    managed.up()
    # With ignore_changes=["devices"] Pulumi hands back what `check` returned last.
    mounts = [volume_mount(f"{name}-other"), volume_mount(f"{name}-more", "/more")]
    managed.change(mounts=mounts, devices=managed.inputs["devices"])
    assert managed.up() == "update"
    managed.change(devices=managed.inputs["devices"], resources=None)
    assert managed.up() == "update"
    live = seen(client, name)
    assert {device["source"] for device in live.devices.values() if "source" in device} == {
        f"{name}-other",
        f"{name}-more",
    }
    assert live.devices["px"] == {"type": "none"}
    assert "root" not in live.devices
    managed.change(devices=managed.inputs["devices"])
    assert managed.planned() == "same"


def test_a_device_under_our_prefix_is_still_refused(name: str) -> None:
    managed = Managed(arguments(name))
    managed.up()
    managed.change(devices={"pk-mine-00000000": {"type": "none"}})
    with pytest.raises(Refused, match="names that begin with `pk-`"):
        managed.planned()


def test_keys_of_images_can_be_set(client: IncusClient, name: str) -> None:
    managed = Managed(arguments(name, mounts=[], config={"image.os": "Windows"}))
    managed.up()
    assert seen(client, name).config["image.os"] == "Windows"
    assert managed.refresh() == {}
    managed.change(config={"image.os": "Windows 11"})
    assert managed.up() == "update"
    managed.change(config=None)
    assert managed.up() == "update"
    assert seen(client, name).config["image.os"] == "Windows 11"
    assert managed.refresh() == {}
    assert managed.planned() == "same"


@pytest.mark.parametrize(
    ("config", "hint"),
    [
        ({"volatile.eth0.hwaddr": "00:16:3e:00:00:01"}, "set `hwaddr` of device `eth0`"),
        ({"limits.cpu": "0-1"}, "set the key in a profile"),
        ({"security.nesting": True}, 'write "true" or "false"'),
    ],
)
def test_hints(name: str, config: dict[str, Any], hint: str) -> None:
    with pytest.raises(Refused, match=hint):
        Managed(arguments(name, config=config)).checked()


# --- adoption ---


@pytest.mark.parametrize("running", [True, False])
def test_a_failed_adoption_is_taken_back(
    client: IncusClient,
    name: str,
    sandbox: Sandbox,
    said: Callable[[], str],
    tell: Tell,
    running: bool,
) -> None:
    make(
        sandbox,
        name,
        start=running,
        ephemeral=True,
        description="theirs",
        config={"limits.memory": "64MiB", "user.theirs": "1"},
        devices={"pk-theirs": {"type": "none"}},
    )
    before = seen(client, name)
    given = arguments(
        name,
        adopt=True,
        wait_for="guest_status",
        timeouts={"wait": 1, "stop": 5},
        resources={"memory_mib": 80},
        description="ours",
    )
    managed = Managed(given)
    managed.checked()
    listed = said()
    assert "this changes: set limits.memory" in listed
    assert (
        "remove device pk-theirs, set description, its ownership label (user.pika.*), ephemeral"
        in listed
    )
    assert ("starts it" in listed) is not running
    tell("adoption", "preview", "lists the changes")
    with pytest.raises(
        ProviderError, match=rf"Undone: reverted the adoption of {name} \("
    ) as caught:
        managed.up()
    assert f"volume {name}-state" in str(caught.value)
    after = seen(client, name)
    assert after.status == before.status
    assert after.ephemeral
    assert after.description == "theirs"
    assert after.devices == before.devices
    assert after.profiles == before.profiles
    assert _kept(after) == _kept(before)
    assert not custom_volumes(sandbox.daemon, name)
    tell("adoption that fails", "up", "taken back")


def _kept(live: LiveInstance) -> dict[str, str]:
    return {k: v for k, v in live.config.items() if not k.startswith("volatile.")}


# --- another project ---


@pytest.fixture
def other_project(sandbox: Sandbox, name: str) -> Iterator[str]:
    """A second project with the images and profiles of the first."""
    project = f"{name}-q"
    config = {"features.images": "false", "features.profiles": "false"}
    sandbox.daemon.request("POST", "/projects", {"name": project, "config": config})
    yield project
    sweep(sandbox.daemon, name, project)
    sandbox.daemon.request("DELETE", f"/projects/{project}")


def move_to_project(sandbox: Sandbox, name: str, project: str) -> None:
    """As `incus move NAME --target-project PROJECT`."""
    stop(sandbox, name)
    body = {"name": name, "migration": True, "project": project}
    sandbox.daemon.request("POST", f"/instances/{name}", body)
    action = {"action": "start"}
    sandbox.daemon.request("PUT", f"/instances/{name}/state?project={project}", action)


def test_moved_to_another_project(
    client: IncusClient,
    name: str,
    sandbox: Sandbox,
    other_project: str,
    said: Callable[[], str],
    tell: Tell,
) -> None:
    what = "moved to another project"
    given = arguments(name, mounts=[], timeouts={"stop": 5})
    managed = Managed(given)
    managed.up()
    uuid = managed["uuid"]
    move_to_project(sandbox, name, other_project)
    said()
    assert managed.refresh() == {}
    assert managed["uuid"] == uuid
    assert f"was moved from project default to project {other_project}" in said()
    tell(what, "refresh", "kept, said")
    state, inputs = managed.outputs, managed.inputs
    managed.change(labels={"a": "1"})
    with pytest.raises(ProviderError, match=r"--target-project default`\. It was not changed"):
        managed.up()
    tell(what, "up", "refused")
    managed.destroy()
    assert f"incus delete --force --project {other_project} {name}" in said()
    there = client.in_project(other_project)
    assert seen(there, name).running
    tell(what, "destroy", "left, said")

    managed.outputs, managed.inputs = state, inputs
    managed.change(incus={**given["incus"], "project": other_project})
    assert managed.up() == "update"
    tell(what, "up (program follows)", "in place")
    assert seen(there, name).uuid == uuid
    assert managed.refresh() == {}
    assert managed.planned() == "same"
    managed.destroy()
    assert fetch_instance(there, name) is None


@pytest.mark.parametrize("command", ["refresh", "destroy"])
def test_project_removed(name: str, sandbox: Sandbox, command: str, tell: Tell) -> None:
    project = f"{name}-q"
    config = {"features.images": "false", "features.profiles": "false"}
    sandbox.daemon.request("POST", "/projects", {"name": project, "config": config})
    given = arguments(name, mounts=[])
    managed = Managed({**given, "incus": {**given["incus"], "project": project}})
    managed.up()
    sweep(sandbox.daemon, name, project)
    sandbox.daemon.request("DELETE", f"/projects/{project}")
    if command == "refresh":
        assert "id" in managed.refresh()
        tell("project removed", "refresh", "gone")
    else:
        managed.destroy()
        tell("project removed", "destroy", "done")


# --- what cannot be put right at once ---


def test_a_device_that_cannot_be_put_back_is_said_and_repaired(
    client: IncusClient, name: str, monkeypatch: pytest.MonkeyPatch, tell: Tell
) -> None:
    managed = Managed(arguments(name))
    managed.up()
    real, calls = instances.replace_instance, []

    def fails_the_second_time(*args: Any, **more: Any) -> None:
        calls.append(args)
        if len(calls) == 2:
            raise OperationFailed("no", operation="o", reason="no")
        real(*args, **more)

    monkeypatch.setattr(device_rollback, "replace_instance", fails_the_second_time)
    assert exec_status(client, name, ["touch", "/mnt/state/there"], timeout=10) == 0
    managed.change(mounts=[volume_mount(f"{name}-state/there/nope")])
    with pytest.raises(ProviderError, match=r"could not be attached again.*up --refresh"):
        managed.up()
    managed.change(mounts=[volume_mount(f"{name}-state")])
    assert managed.refresh() != {}
    assert managed.up() == "update"
    assert exec_status(client, name, ["grep", " /mnt/state ", "/proc/mounts"], timeout=10) == 0
    assert managed.refresh() == {}
    tell("device change fails half way", "up --refresh", "repaired")


def test_what_could_not_be_deleted_runs_again(
    client: IncusClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    managed = Managed(arguments(name, mounts=[], timeouts={"stop": 5}))
    managed.up()

    def refused(*args: Any, **more: Any) -> None:
        raise OperationFailed("no", operation="o", reason="no")

    with monkeypatch.context() as patched:
        patched.setattr(delete, "remove_instance", refused)
        with pytest.raises(ProviderError, match=r"The instance was started again\. Correct this"):
            managed.destroy()
    assert seen(client, name).running
    managed.destroy()
    assert fetch_instance(client, name) is None


def test_the_address_is_not_that_of_a_bridge_of_the_guest(
    client: IncusClient, name: str, sandbox: Sandbox, tell: Tell
) -> None:
    bridge = f"pikaw{secrets.token_hex(4)}"
    config = {"ipv4.address": "10.91.7.1/24", "ipv4.dhcp": "false", "ipv6.address": "none"}
    config |= {"ipv4.firewall": "false", "ipv6.firewall": "false", "ipv4.nat": "false"}
    body = {"name": bridge, "type": "bridge", "config": config}
    sandbox.daemon.request("POST", "/networks", body)
    try:
        nic = {"type": "nic", "name": "eth0", "network": bridge}
        managed = Managed(arguments(name, mounts=[], devices={"lan": nic}))
        managed.up()
        for line in (
            "ip addr add 10.91.7.50/24 dev eth0",
            "ip link set eth0 up",
            "ip link add docker0 type bridge",
            "ip addr add 172.17.0.1/16 dev docker0",
            "ip link set docker0 up",
        ):
            assert exec_status(client, name, line.split(), timeout=10) == 0, line
        managed.refresh()
        assert managed["ipv4_address"] == "10.91.7.50"
        assert managed["addresses"] == {"lan": {"ipv4": ["10.91.7.50"], "ipv6": []}}
        tell("a bridge of the guest's own", "refresh", "ipv4 stays")
        managed.change(access_interface="docker0")
        assert managed.up() == "update"
        assert managed["ipv4_address"] == "172.17.0.1"
        managed.destroy()
    finally:
        sweep(sandbox.daemon, name)
        sandbox.daemon.request("DELETE", f"/networks/{bridge}")
