"""Taking runtimes down: gently, then not; and nobody else's."""

import time
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient, url
from pulumi_pika.incus.storage import get_volume
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.reconcile.shared.errors import RuntimeFailed

from ...support.proxy import (
    Proxy,
    call,
    error,
    reply,
    reset_after,
    reset_before,
)
from ...support.reconcile import (
    Recorder,
    delete,
    make,
    mount,
    options_of,
    output,
    plan_of,
    shell,
    there,
)

# A process 1 that has no handler for any signal, so that the kernel keeps them from it.
DEAF = {"raw.lxc": "lxc.init.cmd = /bin/busybox sleep 100000"}


def test_guest_is_shut_down_in_order(client: IncusClient, name: str, reporter: Recorder) -> None:
    # The guest's process 1 gets the signal and writes, as far as it comes, what it was told.
    plan = plan_of(name, mount("persistent_volume", f"{name}-state", "/mnt/state"))
    trap = "trap 'echo in order >/mnt/state/end; exit 0' PWR TERM"
    made = make(client, plan)
    script = f"#!/bin/sh\\n{trap}\\n: >/listens\\nwhile :; do sleep 0.1; done\\n"
    assert shell(client, name, f'printf "{script}" >/sbin/init; chmod 755 /sbin/init') == 0
    client.run("PUT", url("instances", name, "state"), restart(), timeout=30)
    # A signal for which process 1 has no handler yet is lost.
    assert shell(client, name, "while [ ! -e /listens ]; do sleep 0.1; done") == 0

    delete(made, reporter)

    assert fetch_instance(client, name) is None
    assert reporter.warnings == []
    again = make(client, plan)
    assert output(client, name, "cat /mnt/state/end") == "in order\n"
    delete(again, reporter)


def restart() -> dict[str, Any]:
    return {"action": "restart", "force": True}


def test_guest_that_does_not_shut_down_is_killed_after_the_grace(
    proxy: Proxy, proxied: IncusClient, client: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(proxied, plan_of(name), options_of(config=DEAF, timeouts={"stop": 1}))
    proxy.clear()
    begun = time.monotonic()

    delete(made, reporter)

    assert time.monotonic() - begun > 1.0
    # Asked for in order, with the grace for which the server waits; then not.
    asked, killed = (request.json for request in proxy.sent("PUT", ".*/state"))
    assert (asked["timeout"], asked["force"]) == (1, False)
    assert killed["force"]
    assert reporter.warnings == [f"instance {name} did not shut down within 1 s; killing it"]
    assert fetch_instance(client, name) is None


def test_volumes_stay(client: IncusClient, name: str, reporter: Recorder) -> None:
    plan = plan_of(name, mount("persistent_volume", f"{name}-state", "/mnt/state"))
    made = make(client, plan)
    assert shell(client, name, "echo kept >/mnt/state/file") == 0

    delete(made, reporter)

    assert get_volume(client, "default", f"{name}-state") is not None
    make(client, plan)
    assert output(client, name, "cat /mnt/state/file") == "kept\n"


def test_instance_that_is_gone_is_done(client: IncusClient, name: str, reporter: Recorder) -> None:
    made = make(client, plan_of(name), options_of(running=False))
    client.run("DELETE", url("instances", name), timeout=30)

    delete(made, reporter)

    assert reporter.warnings == []


def test_stopped_instance_is_removed_without_a_stop(
    proxy: Proxy, proxied: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(proxied, plan_of(name), options_of(running=False))
    proxy.clear()

    delete(made, reporter)

    assert [request.method for request in proxy.changes()] == ["DELETE"]
    assert fetch_instance(proxied, name) is None


def test_frozen_instance_is_removed(client: IncusClient, name: str, reporter: Recorder) -> None:
    made = make(client, plan_of(name), options_of(timeouts={"stop": 1}))
    client.run("PUT", url("instances", name, "state"), {"action": "freeze"}, timeout=30)

    delete(made, reporter)

    assert fetch_instance(client, name) is None


def test_another_instance_of_the_name_is_left_alone(
    client: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(client, plan_of(name), options_of(running=False))
    client.run("DELETE", url("instances", name), timeout=30)
    other = make(client, plan_of(name), options_of(running=False))

    delete(made, reporter)

    assert there(client, name).uuid == other.live.uuid
    assert len(reporter.warnings) == 1
    assert "it is not deleted" in reporter.warnings[0]


@pytest.mark.parametrize("fault", [reset_before, reset_after])
def test_removal_whose_answer_is_lost_is_finished(
    proxy: Proxy, proxied: IncusClient, name: str, reporter: Recorder, fault: Any
) -> None:
    made = make(proxied, plan_of(name), options_of(running=False))
    rule = proxy.on("DELETE", f"/1.0/instances/{name}", fault())

    delete(made, reporter)

    assert rule.applied == 1
    assert fetch_instance(proxied, name) is None


def test_instance_that_starts_meanwhile_is_stopped_again(
    proxy: Proxy, proxied: IncusClient, client: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(proxied, plan_of(name), options_of(running=False))
    start = {"action": "start"}
    proxy.on(
        "DELETE",
        f"/1.0/instances/{name}",
        call(lambda _: client.run("PUT", url("instances", name, "state"), start, timeout=30)),
    )

    delete(made, reporter)

    assert fetch_instance(client, name) is None


def test_removal_that_is_refused_says_why(
    proxy: Proxy, proxied: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(proxied, plan_of(name), options_of(running=False))
    refusal = reply(403, error("Instance is protected", 403))
    proxy.on("DELETE", f"/1.0/instances/{name}", refusal, times=None)

    with pytest.raises(RuntimeFailed, match=r"could not delete instance .*Instance is protected"):
        delete(made, reporter)

    assert fetch_instance(proxied, name) is not None


def test_protected_instance_is_not_removed(
    client: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(
        client,
        plan_of(name),
        options_of(running=False, config={"security.protection.delete": "true"}),
    )

    with pytest.raises(RuntimeFailed, match="protected"):
        delete(made, reporter)

    client.send_change(
        "PATCH", url("instances", name), {"config": {"security.protection.delete": ""}}
    )


def test_volume_that_another_client_made_dependent_is_kept(
    client: IncusClient, name: str, reporter: Recorder
) -> None:
    if not client.server().has("dependent"):
        pytest.skip("this server has no dependent volumes")
    made = make(client, plan_of(name, mount("persistent_volume", f"{name}-state", "/mnt/state")))
    live = there(client, name)
    [device] = (it for it in live.devices if it.startswith("pk-"))
    dependent = {device: {**live.devices[device], "dependent": "true"}}
    client.send_change("PATCH", url("instances", name), {"description": "", "devices": dependent})

    delete(made, reporter)

    assert fetch_instance(client, name) is None
    assert get_volume(client, "default", f"{name}-state")
    assert any("They are kept" in warning for warning in reporter.warnings)
