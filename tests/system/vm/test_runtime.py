"""The life of a runtime that is a virtual machine: one machine, in the order of the tests."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pulumi_pika.incus.storage import get_volume
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance

from ...support.reconcile import mount
from .machine import Machine

STATUS = "/run/pika-cloud/status.json"
_NICS = "[ $(ls /sys/class/net | grep -c '^e')"


Booted = Callable[[Machine], None]


@pytest.fixture
def booted(record_property: Callable[[str, object], None]) -> Booted:
    """Records how long a machine took from its start to the end of the command."""
    return lambda machine: record_property("boot", machine.seconds_since_start())


@pytest.fixture
def made(machine: Machine) -> Machine:
    """The machine, if it was made and runs."""
    live = fetch_instance(machine.client, machine.name) if machine.arguments else None
    if live is None or not live.running:
        pytest.skip("the machine was not made, or does not run: see the tests before this one")
    return machine


def test_created_with_a_volume_and_a_share(machine: Machine, booted: Booted) -> None:
    """create with a volume and a virtiofs share, secure boot, limits.cpu a range; wait_for agent"""
    profile = {"name": f"{machine.name}-range", "config": {"limits.cpu": "0-0"}, "devices": {}}
    machine.client.send_change("POST", "/1.0/profiles", profile)
    devices = {"eth9": machine.host.nic_of_its_own(f"{machine.name}a")}
    machine.declare(**machine.defaults(), extra_profiles=[profile["name"]], devices=devices)

    shown = machine.stack.preview()
    assert "2 to create" in shown, "the stack and the machine"
    said = machine.stack.up()
    booted(machine)

    assert "waiting for agent" in said
    assert "BdsDxe" in said, "the console's tail is not shown while it boots"
    live = machine.live()
    assert live.instance_type == "virtual-machine"
    assert live.raw["expanded_config"]["limits.cpu"] == "0-0"


def test_volume_and_share(made: Machine) -> None:
    """secure boot in the guest; volume written and read; share read, and a write to it refused"""
    assert made.runs("tail -c 1 /sys/firmware/efi/efivars/SecureBoot-* | od -An -tu1 | grep 1")
    assert made.runs("echo kept >/data/file && sync && grep kept /data/file")
    assert made.runs('[ -n "$(ls -A /mnt/share)" ]')
    assert made.runs("touch /mnt/share/no 2>&1 | grep 'Read-only file system'")


def test_nothing_to_do_afterwards(made: Machine) -> None:
    """preview and refresh without a change"""
    shown = made.stack.preview("--expect-no-changes")
    assert "waiting" not in shown
    made.stack.settled()


def test_guest_status_is_of_this_boot(made: Machine) -> None:
    """guest status with the boot id"""
    _say(made, "ready", made.boot_id())
    made.stack.refresh()
    assert made.output("guest_status")["state"] == "ready"

    _say(made, "completed", "11111111-2222-3333-4444-555555555555")
    made.stack.refresh()
    status = made.output("guest_status")
    assert status["state"] == "unknown"
    assert "earlier boot" in status["reason"]


def test_limits_changed_live(made: Machine) -> None:
    """limit changed live: memory below the boot size"""
    boot = made.boot_id()
    made.declare(resources={"memory_mib": 560, "root_disk_gib": 3})

    shown = made.stack.preview()
    assert re.search(r"memory_mib\s*: 640 => 560", shown)
    made.stack.up()

    assert made.live().config["limits.memory"] == "560MiB"
    assert made.boot_id() == boot
    made.stack.settled()


def test_drift_of_limits_and_devices(made: Machine) -> None:
    """drift of limits and devices: shown by a refresh, corrected by the next up, live"""
    boot = made.boot_id()
    live = made.live()
    devices = {name: device for name, device in live.devices.items() if name != "eth9"}
    config = {**live.config, "limits.memory": "600MiB"}
    body = {**live.raw, "config": config, "devices": devices}
    made.client.run("PUT", f"/1.0/instances/{made.name}", body, timeout=120)

    shown = made.stack.refresh()
    assert re.search(r"memory_mib\s*: 560 => 600", shown)
    assert "eth9" in shown
    made.stack.up()

    live = made.live()
    assert live.config["limits.memory"] == "560MiB"
    assert "eth9" in live.devices
    assert made.boot_id() == boot
    made.stack.settled()


def test_devices_added_and_removed_live(made: Machine) -> None:
    """devices added and removed live: a nic and a volume"""
    boot = made.boot_id()
    before = made.arguments
    more = mount("persistent_volume", f"{made.name}-more", "/more")
    nic = made.host.nic_of_its_own(f"{made.name}b")
    nics = next(number for number in range(9) if made.runs(f"{_NICS} -eq {number} ]"))
    devices = {**before["devices"], "eth8": nic}
    made.declare(mounts=[*before["mounts"], more], devices=devices)

    made.stack.up()
    assert _comes(lambda: made.runs("echo more >/more/file && grep -q ' /more ' /proc/mounts"))
    assert _comes(lambda: made.runs(f"{_NICS} -eq {nics + 1} ]"))
    made.stack.settled()

    made.declare(mounts=before["mounts"], devices=before.get("devices"))
    made.stack.up()
    assert _comes(lambda: made.runs(f"{_NICS} -eq {nics} ]"))
    assert made.boot_id() == boot
    assert get_volume(made.client, made.host.pool, f"{made.name}-more")
    made.stack.settled()


def test_limits_changed_by_a_restart(made: Machine, booted: Booted) -> None:
    """limits changed by a restart: memory above the boot size, a guest that obeys; wait_for ipv4"""
    boot = made.boot_id()
    made.declare(
        resources={"memory_mib": 704, "vcpu_count": 1, "root_disk_gib": 3},
        extra_profiles=[],
        wait_for="ipv4" if made.host.network() else "agent",
    )

    shown = made.stack.preview()
    assert "restart" in shown
    said = made.stack.up()
    booted(made)

    assert "restarting" in said
    live = made.live()
    assert (live.config["limits.memory"], live.config["limits.cpu"]) == ("704MiB", "1")
    assert live.profiles == ["default"]
    if made.host.network():
        assert made.output("ipv4_address")
    made.await_agent()
    assert made.boot_id() != boot
    assert made.runs("grep kept /data/file")
    made.stack.settled()


def test_processors_changed_live(made: Machine) -> None:
    """limit changed live: one processor more"""
    if made.client.get("/1.0/resources").data["cpu"]["total"] < 2:
        pytest.skip("a machine gets at most the processors that its host had when it booted: one")
    boot = made.boot_id()
    made.declare(resources={"memory_mib": 704, "vcpu_count": 2, "root_disk_gib": 3})

    made.stack.up()

    assert made.live().config["limits.cpu"] == "2"
    assert made.boot_id() == boot
    assert _comes(lambda: made.processors() == "0-1")
    made.stack.settled()


def test_memory_added_live(made: Machine) -> None:
    """limit changed live: memory above the boot size, where the server can add it"""
    if not made.client.server().has("memory_hotplug"):
        pytest.skip("this server adds no memory to a running machine")
    boot, before = made.boot_id(), made.memory_kib()
    made.declare(resources={**made.arguments["resources"], "memory_mib": 832})

    said = made.stack.up()

    assert "restarting" not in said
    assert made.boot_id() == boot
    # The guest has no program that does this, as a distribution has.
    assert made.runs(
        "for state in /sys/devices/system/memory/memory*/state; do "
        "grep -q offline $state && echo online >$state; done; true"
    )
    assert _comes(lambda: made.memory_kib() > before)
    made.stack.settled()


def test_guest_that_does_not_shut_down(made: Machine) -> None:
    """change by a restart that the guest does not obey: refused, and all as before"""
    boot = made.boot_id()
    before = made.arguments
    assert made.runs("killall acpid")
    # No running machine takes this key, on any server.
    made.declare(
        config={"agent.nic_config": "true"},
        timeouts={**before["timeouts"], "stop": 20.0},
    )

    said = made.stack.up(fails=True)

    assert "did not shut down within 20 s" in said
    assert "it was not killed" in said
    assert made.live().running
    assert "agent.nic_config" not in made.live().config
    assert made.boot_id() == boot
    assert made.runs("setsid acpid -d >/dev/null 2>&1 </dev/null & sleep 2; pidof acpid")
    made.declare(config=None, timeouts=before["timeouts"])
    made.stack.up()
    assert made.boot_id() == boot
    made.stack.settled()


def test_root_disk_grown(made: Machine) -> None:
    """root disk grown; the guest has the new size after its next start at the latest"""
    boot, size = made.boot_id(), made.root_disk_bytes()
    assert size == 3 * 2**30
    made.declare(resources={**made.arguments["resources"], "root_disk_gib": 4})

    made.stack.up()

    assert made.live().devices["root"]["size"] == "4GiB"
    made.stack.settled()
    made.await_agent()
    # Incus 6.0 does not change a machine that was asked to stop, so that it was restarted for this.
    # The next test restarts the other ones.
    if made.boot_id() != boot:
        assert made.root_disk_bytes() == 4 * 2**30


def test_restart_trigger(made: Machine, booted: Booted) -> None:
    """restart trigger; wait_for guest_status; default time-outs; the root disk has its new size"""
    boot = made.boot_id()
    given = made.arguments["timeouts"]
    made.declare(restart_triggers="one", wait_for="guest_status", timeouts=None)

    with _working(made, lambda: _say(made, "ready", made.boot_id()), boot):
        said = made.stack.up()
    booted(made)

    assert "waiting for guest_status" in said
    assert made.boot_id() != boot
    assert made.root_disk_bytes() == 4 * 2**30
    assert made.output("guest_status")["state"] == "ready"
    made.stack.settled()
    # The tests after this one are about other things than time.
    made.declare(timeouts=given)


def test_waits_for_ready(made: Machine, booted: Booted) -> None:
    """restart trigger; wait_for ready"""
    boot = made.boot_id()
    made.declare(restart_triggers="two", wait_for="ready")
    request = (
        "PATCH /1.0 HTTP/1.1\\r\\nHost: x\\r\\nContent-Type: application/json\\r\\n"
        'Content-Length: 17\\r\\nConnection: close\\r\\n\\r\\n{"state":"Ready"}'
    )
    script = f"printf '{request}' | unixcat /dev/incus/sock | grep ' 200 '"

    def say_ready() -> None:
        assert made.runs(script)

    with _working(made, say_ready, boot):
        made.stack.up()
    booted(made)

    assert made.live().status == "Ready"
    made.stack.settled()


def test_snapshot_restored(made: Machine) -> None:
    """restore of a volume's snapshot: stops the machine, and starts it again"""
    path = f"/1.0/storage-pools/{made.host.pool}/volumes/custom/{made.name}-data"
    snapshot = f"first-{made.boot_id()[:8]}"
    made.client.run("POST", f"{path}/snapshots", {"name": snapshot}, timeout=300)
    assert made.runs("echo later >/data/file && sync")
    volume = {
        "volume_name": f"{made.name}-data",
        "storage_pool": made.host.pool,
        "restore_from": snapshot,
        "adopt": True,
        "timeouts": {"restore": 1200.0, "stop": 240.0},
    }
    made.declare(volume=volume)
    # The mount of the runtime made the volume, which belongs to the runtime until then.
    assert "remove the ownership label" in made.stack.up(fails=True)
    labels = {"user.pika.owner": "", "user.pika.runtime_id": ""}
    made.client.send_change("PATCH", path, {"config": labels})

    shown = made.stack.preview()
    assert f"stops {made.name}" in shown
    made.stack.up()

    made.await_agent()
    assert made.runs("grep kept /data/file")


def test_released_and_adopted(made: Machine) -> None:
    """adopt: of a running machine, without a restart"""
    made.await_agent()
    boot = made.boot_id()
    made.declare(wait_for="running", opts={"retain_on_delete": True})
    made.stack.up()
    made.write({})
    made.stack.up()
    assert made.live().running
    made.declare(opts=None, adopt=True)

    shown = made.stack.preview()
    assert "takes over" in shown or "adopt" in shown
    made.stack.up()

    assert made.boot_id() == boot
    made.stack.settled()


def test_replaced_with_its_data(made: Machine) -> None:
    """replace: another machine with the volume's data; wait_for running"""
    uuid = made.live().uuid
    made.declare(wait_for="running")
    urn = next(it["urn"] for it in made.stack.resources() if it["urn"].endswith("::box"))

    said = made.stack.up("--replace", urn)

    assert "replaced" in said
    assert made.live().uuid != uuid
    made.await_agent()
    assert made.runs("grep -q . /data/file")
    made.stack.settled()


def test_deleted(machine: Machine) -> None:
    """delete: the machine goes, its data stays"""
    if fetch_instance(machine.client, machine.name) is None:
        pytest.skip("the machine was not made: see the tests before this one")
    machine.stack.destroy()

    listed = machine.client.get_list("/1.0/instances?recursion=1")
    assert machine.name not in [it["name"] for it in listed]
    assert get_volume(machine.client, machine.host.pool, f"{machine.name}-data")


def _say(machine: Machine, state: str, boot_id: str) -> None:
    """Have the guest say this of itself, in its status file."""
    text = json.dumps({"schema_version": 1, "state": state, "boot_id": boot_id})
    assert machine.runs(f"mkdir -p /run/pika-cloud && echo '{text}' >{STATUS}")


@contextmanager
def _working(machine: Machine, work: Callable[[], None], boot: str) -> Iterator[None]:
    """Do something in the guest as soon as it has booted again."""
    failed: list[BaseException] = []
    end = threading.Event()

    def run() -> None:
        while not end.is_set():
            try:
                if machine.boot_id() != boot:
                    work()
                    return
            except BaseException as error:
                failed[:] = [error]
            time.sleep(3)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    except BaseException as error:
        if failed:
            error.add_note(f"in the guest: {failed[0]!r}")
        raise
    finally:
        end.set()
        thread.join()


def _comes(check: Callable[[], Any], timeout: float = 120) -> bool:
    """Whether something becomes true within a while."""
    deadline = time.monotonic() + timeout
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(2)
    return True
