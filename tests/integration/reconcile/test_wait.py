"""What `wait_for` waits for, with guests that really do it, and guests that do not."""

import json
import re
import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient, url
from pulumi_pika.reconcile.instances.create import create_runtime
from pulumi_pika.reconcile.instances.guest_status import fetch_guest_status
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.reconcile.instances.wait import next_pause, wait_for
from pulumi_pika.reconcile.shared.errors import RuntimeFailed, WaitFailed

from ...conftest import Sandbox
from ...support.proxy import (
    Proxy,
    call,
    edit,
    error,
    reply,
    reset_before,
)
from ...support.reconcile import (
    Recorder,
    eventually,
    make,
    mount,
    options_of,
    plan_of,
    shell,
    there,
)

STATUS = "/run/pika-cloud/status.json"
BOOT_ID = "$(cat /proc/sys/kernel/random/boot_id)"


def says(status: str, after: float = 0) -> str:
    """A guest that writes its status file, `status` being the text within double quotes."""
    quoted = status.replace('"', '\\"')
    return f'#!/bin/sh\nsleep {after}\nmkdir -p /run/pika-cloud\nprintf %s "{quoted}" >{STATUS}\n'


def refusal(client: IncusClient, name: str, text: str, said: str) -> None:
    """Asserts that what a guest writes is not taken, and that this is why."""
    # It has to have written it by then, which it may not on a machine that is busy.
    for patience in (0.8, 5, 30):
        options = options_of(
            wait_for="guest_status", timeouts={"wait": patience}, cloud_init_user_data=says(text)
        )
        with pytest.raises(RuntimeFailed) as caught:
            make(client, plan_of(name), options)
        if re.search(said, str(caught.value)):
            return
    raise AssertionError(str(caught.value))


def status(state: str, **more: Any) -> str:
    """What the status file of this boot says."""
    return json.dumps({"schema_version": 1, "state": state, "boot_id": BOOT_ID, **more})


def test_running_is_there_when_the_start_has_ended(
    proxy: Proxy, proxied: IncusClient, name: str
) -> None:
    assert make(proxied, plan_of(name)).live.status == "Running"
    assert proxy.sent("POST", ".*/exec") == []


def test_agent_is_there_when_exec_works(proxy: Proxy, proxied: IncusClient, name: str) -> None:
    make(proxied, plan_of(name), options_of(wait_for="agent"))

    assert proxy.sent("POST", ".*/exec")


def test_agent_that_does_not_answer_yet_is_asked_again(
    proxy: Proxy, proxied: IncusClient, name: str
) -> None:
    rule = proxy.on("POST", ".*/exec", reset_before(), times=2)

    make(proxied, plan_of(name), options_of(wait_for="agent"))

    assert rule.applied == 2


def test_guest_without_the_command_has_an_agent(client: IncusClient, name: str) -> None:
    # Nothing but a process 1: exec reaches the guest and finds no `true`.
    options = options_of(wait_for="agent", cloud_init_user_data="#!/bin/sh\nrm /bin/true\n")

    assert make(client, plan_of(name), options).live.running


@pytest.fixture(scope="module")
def network(sandbox: Sandbox) -> Iterator[str]:
    """A real bridge with DHCP."""
    bridge = f"pikat{secrets.token_hex(4)}"
    profile = sandbox.daemon.request("GET", "/profiles/default")
    sandbox.daemon.add_network(bridge)
    # Not for all instances: only those of the tests that name it are on it.
    sandbox.daemon.request("PUT", "/profiles/default", profile)
    yield bridge
    sandbox.daemon.request("DELETE", f"/networks/{bridge}")


def test_ipv4_is_there_when_the_guest_has_an_address(
    client: IncusClient, name: str, network: str
) -> None:
    nic = {"type": "nic", "name": "eth0", "network": network}

    made = make(client, plan_of(name), options_of(wait_for="ipv4", devices={"eth0": nic}))

    address = made.live.address("inet")
    assert address is not None
    assert address.startswith("10.")


def test_guest_without_a_network_gets_no_ipv4(client: IncusClient, name: str) -> None:
    with pytest.raises(RuntimeFailed, match=r"Last seen: no global IPv4 address yet"):
        make(client, plan_of(name), options_of(wait_for="ipv4", timeouts={"wait": 0.3}))


def test_address_of_an_earlier_boot_is_not_taken(
    proxy: Proxy, proxied: IncusClient, name: str, reporter: Recorder
) -> None:
    """What Incus answers while a virtual machine boots again: the address of its lease."""
    sent = iter([0, 0, 0, 1, 1, 1])

    def boots(answer: dict[str, Any]) -> None:
        address = {"family": "inet", "scope": "global", "address": "10.1.2.3"}
        network = {"addresses": [address], "hwaddr": "", "host_name": "tap0", "type": "broadcast"}
        counters = {"packets_sent": next(sent), "packets_received": 5}
        state = answer["metadata"]["state"]
        state |= {"processes": -1, "network": {"eth0": {**network, "counters": counters}}}
        answer["metadata"]["type"] = "virtual-machine"

    made = make(proxied, plan_of(name), options_of())
    proxy.on("GET", f"/1.0/instances/{name}", edit(boots), times=6)
    machine = options_of(instance_type="virtual-machine", wait_for="ipv4")
    desired = replace(made.desired, options=machine)

    live = wait_for(proxied, desired, reporter)

    assert live is not None
    assert live.address("inet") == "10.1.2.3"
    assert next(sent) == 1, "it waited until the guest had sent something, and no longer"


def test_ready_is_waited_for_with_progress(
    client: IncusClient, name: str, reporter: Recorder
) -> None:
    def said_so(line: str) -> bool:
        return line.startswith(f"{name}: waiting for ready: ") and "status Running" in line

    def report_ready() -> None:
        eventually(lambda: any(map(said_so, reporter.infos)), within=60)
        # What Incus itself writes when a guest says so through /dev/incus/sock.
        config = {"volatile.last_state.ready": "true"}
        client.send_change("PATCH", url("instances", name), {"config": config})

    later = threading.Thread(target=report_ready)
    later.start()
    made = make(client, plan_of(name), options_of(wait_for="ready"), reporter)
    later.join()

    assert made.live.status == "Ready"
    assert made.live.running
    assert any(map(said_so, reporter.infos)), reporter.infos


@pytest.mark.parametrize("state", ["ready", "completed"])
def test_guest_that_says_ready_is_ready(client: IncusClient, name: str, state: str) -> None:
    options = options_of(wait_for="guest_status", cloud_init_user_data=says(status(state), 0.3))

    assert make(client, plan_of(name), options).live.running


def test_status_without_boot_id_is_not_taken(client: IncusClient, name: str) -> None:
    refusal(
        client,
        name,
        json.dumps({"schema_version": 1, "state": "ready"}),
        "has no boot_id, so that its boot is unknown",
    )


def test_status_of_an_earlier_boot_is_not_taken(client: IncusClient, name: str) -> None:
    old = status("ready", boot_id="00000000-0000-4000-8000-000000000000")

    refusal(client, name, old, r"is from an earlier boot \(its state is 'ready'\)")


def test_status_of_another_schema_is_not_taken(client: IncusClient, name: str) -> None:
    new = json.dumps({"schema_version": 2, "state": "ready"})

    refusal(client, name, new, "has schema version 2, not 1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", r"is not JSON \(1 bytes\)"),
        ("", "is empty, or is a FIFO or a device"),
        ("[]", "is not a JSON object"),
        ('{"state": "ready"}', "has schema version None, not 1"),
        ('{"schema_version": 1, "state": "great"}', "has an unknown state 'great'"),
    ],
)
def test_status_that_cannot_be_read_is_not_taken(
    client: IncusClient, name: str, text: str, said: str
) -> None:
    refusal(client, name, text, said)


def test_status_file_is_looked_at_before_it_is_read(
    proxy: Proxy, proxied: IncusClient, client: IncusClient, name: str
) -> None:
    """To read a FIFO would last until the server or we give it up."""
    make(client, plan_of(name))
    live = there(client, name)

    def asked() -> tuple[str, list[str]]:
        proxy.clear()
        found = fetch_guest_status(proxied, live, STATUS)
        return found.describe(), [request.method for request in proxy.requests]

    assert asked() == (f"the guest has not written the status file {STATUS} yet", ["HEAD"])
    assert shell(client, name, f"mkdir -p /run/pika-cloud; mkfifo {STATUS}") == 0
    empty = f"the status file {STATUS} is empty, or is a FIFO or a device"
    assert asked() == (empty, ["HEAD"])
    text = status("ready").replace('"', '\\"')
    assert shell(client, name, f'rm {STATUS}; printf %s "{text}" >{STATUS}') == 0
    # The last one asks of which boot that is.
    assert asked() == ("guest state 'ready'", ["HEAD", "GET", "GET"])


def test_missing_status_file_is_told(client: IncusClient, name: str) -> None:
    options = options_of(wait_for="guest_status", timeouts={"wait": 0.3})

    last_seen = rf"Last seen: the guest has not written the status file {STATUS} yet\."
    with pytest.raises(RuntimeFailed, match=last_seen):
        make(client, plan_of(name), options)


def test_guest_that_says_failed_is_not_waited_for_any_longer(
    client: IncusClient, name: str
) -> None:
    failed = status("failed", message="no disk left")
    options = options_of(
        wait_for="guest_status", timeouts={"wait": 600}, cloud_init_user_data=says(failed)
    )

    begun = time.monotonic()

    with pytest.raises(RuntimeFailed, match=r"guest state 'failed': no disk left") as caught:
        make(client, plan_of(name), options)

    assert time.monotonic() - begun < 120
    assert fetch_instance(client, name) is None
    assert f"Undone: deleted instance {name}" in str(caught.value)


def test_guest_that_ends_is_not_waited_for_any_longer(client: IncusClient, name: str) -> None:
    script = "#!/bin/sh\necho I give up\nkill -TERM 1\n"
    options = options_of(
        wait_for="guest_status", timeouts={"wait": 60}, cloud_init_user_data=script
    )

    with pytest.raises(RuntimeFailed, match=r"it is Stopped"):
        make(client, plan_of(name), options)

    assert fetch_instance(client, name) is None


def test_guest_that_ends_as_it_is_first_looked_at_is_seen_to_end(
    sandbox: Sandbox, client: IncusClient, name: str
) -> None:
    """Incus then waits until nobody has asked for a file of it for a while, and takes it for
    running all that time; whoever goes on asking waits for ever."""
    made = make(client, plan_of(name))
    assert (
        fetch_guest_status(client, made.live, STATUS).describe()
        == f"the guest has not written the status file {STATUS} yet"
    )
    # What a stop finds that comes before Incus has noted which process answers for the files.
    (sandbox.daemon.directory / "run" / name / "forkfile.pid").unlink()
    shell(client, name, "kill -TERM 1")
    # Its stop is under way then, and the container is "Running" again.
    time.sleep(2)
    options = options_of(wait_for="guest_status", timeouts={"wait": 40})

    with pytest.raises(WaitFailed, match="it is Stopped"):
        wait_for(client, replace(made.desired, options=options), Recorder())


def test_status_path_of_the_spec_is_read(client: IncusClient, name: str) -> None:
    root = "/srv/x"
    names = {
        "events_path": "events.jsonl",
        "status_path": "how.json",
        "result_path": "result.json",
        "guest_request_path": "request.json",
        "logs_dir": "logs",
        "guest_log_path": "logs/guest.log",
        "artifacts_dir": "artifacts",
    }
    paths = {"state_dir": root, **{key: f"{root}/{value}" for key, value in names.items()}}
    script = (
        says(status("ready")).replace("/run/pika-cloud", root).replace("status.json", "how.json")
    )
    plan = plan_of(name, lifecycle_root=root, paths=paths)

    made = make(client, plan, options_of(wait_for="guest_status", cloud_init_user_data=script))

    assert made.live.config["user.pika.lifecycle_root"] == root


def test_daemon_that_goes_away_meanwhile_is_waited_for(
    proxy: Proxy, proxied: IncusClient, name: str
) -> None:
    # Both tries of a GET are cut off, twice.
    rule = proxy.on("GET", ".*/files", reset_before(), times=4)
    options = options_of(wait_for="guest_status", cloud_init_user_data=says(status("ready")))

    assert make(proxied, plan_of(name), options).live.running
    assert rule.applied == 4


def test_agent_of_a_virtual_machine_is_waited_for_by_its_processes(
    proxy: Proxy, proxied: IncusClient, name: str
) -> None:
    # A container that looks like a VM whose agent comes up at the third look.
    def as_vm(answer: dict[str, Any]) -> None:
        answer["metadata"]["type"] = "virtual-machine"
        answer["metadata"]["state"]["processes"] = -1

    rule = proxy.on("GET", f"/1.0/instances/{name}", edit(as_vm), nth=2, times=2)
    looks_before_exec: list[int] = []
    proxy.on("POST", ".*/exec", call(lambda _: looks_before_exec.append(rule.applied)))

    make(proxied, plan_of(name), options_of(wait_for="agent"))

    assert looks_before_exec == [2]


def test_failed_wait_without_a_console_log_says_so(
    proxy: Proxy, proxied: IncusClient, name: str
) -> None:
    proxy.on("GET", ".*/console", reply(404, error("no log", 404)), times=None)
    plan = plan_of(name, mount("persistent_volume", f"{name}-state", "/mnt/state"))

    with pytest.raises(RuntimeFailed, match=r"Its console is empty"):
        create_runtime(
            proxied, plan, options_of(wait_for="ready", timeouts={"wait": 0.3}), Recorder()
        )


def test_boot_id_of_a_machine_is_read_by_a_command(
    proxy: Proxy, proxied: IncusClient, client: IncusClient, name: str
) -> None:
    """Incus serves the kernel's files of a virtual machine as empty."""
    make(client, plan_of(name))
    text = status("ready").replace('"', '\\"')
    assert shell(client, name, f'mkdir -p /run/pika-cloud; printf %s "{text}" >{STATUS}') == 0
    seen = edit(lambda answer: answer["metadata"].update(type="virtual-machine"))
    proxy.on("GET", f"/1.0/instances/{name}", seen, times=None)

    found = fetch_guest_status(proxied, there(proxied, name), STATUS)

    assert found.describe() == "guest state 'ready'"
    assert len(proxy.sent("POST", ".*/exec")) == 1
    recorded = client.get_list(url("instances", name, "logs", "exec-output"))
    assert recorded == [], "its record stays with the instance"


def test_pauses_grow_with_the_time_of_the_wait() -> None:
    pauses, elapsed, pause = [], 0.0, 0.05
    while elapsed < 120:
        elapsed += pause
        pause = next_pause(pause, elapsed)
        pauses.append((elapsed, pause))

    assert max(pause for at, pause in pauses if at < 20) == 1.0
    assert all(pause <= at / 20 for at, pause in pauses if at > 20)
    # A machine that boots in two minutes is fetched every three seconds at last.
    assert pauses[-1][1] == 3.0
    assert len(pauses) < 85
