"""`IncusExec`: commands in an instance of the test's daemon, as the engine would call for them."""

import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from pulumi.runtime import rpc

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.guest_files import read_small_file
from pulumi_pika.jobs import exec_run
from pulumi_pika.jobs.exec_options import ExecOptions
from pulumi_pika.jobs.exec_run import ExecFailed, run_command
from pulumi_pika.jobs.job_errors import JobNotBegun
from pulumi_pika.jobs.observer import LineObserver
from pulumi_pika.providers.provider_errors import ProviderError
from pulumi_pika.reconcile.instances.live_instance import LiveInstance

from ...conftest import Sandbox
from ...support.provider_calls import exec_calls as calls
from ...support.provider_engine import Refused, received, wire
from ...support.proxy import Proxy, reset_after, reset_before
from ...support.reconcile import (
    Recorder,
    eventually,
    make,
    options_of,
    output,
    plan_of,
    shell,
    there,
)


@dataclass
class Run:
    """One `IncusExec` of a program, and its state."""

    arguments: dict[str, Any]
    outputs: dict[str, Any] | None = None
    inputs: dict[str, Any] = field(default_factory=dict)

    def checked(self) -> dict[str, Any]:
        news = wire({"owner": "urn:x", "secret_inputs": [], **self.arguments})
        found = calls.check(news, self.inputs or None)
        if found.failures:
            raise Refused("; ".join(f"{f.property}: {f.reason}" for f in found.failures))
        return dict(wire(found.inputs))

    def up(self, **arguments: Any) -> str:
        self.arguments.update(arguments)
        inputs = self.checked()
        step = "create"
        if self.outputs is not None:
            difference = calls.diff(wire(self.outputs), inputs)
            step = "update" if difference.changes else "same"
            if difference.replaces:
                self.destroy()
                step = "replace"
        if step in ("create", "replace"):
            self.outputs = wire(calls.create(inputs).outs)
        elif step == "update":
            self.outputs = wire(calls.update(wire(self.outputs), inputs).outs)
        self.inputs = inputs
        return step

    def destroy(self) -> None:
        calls.delete(wire(self.outputs))
        self.outputs = None


@pytest.fixture(autouse=True)
def _host(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INCUS_SOCKET", str(sandbox.socket))


@pytest.fixture
def live(client: IncusClient, name: str) -> LiveInstance:
    return make(client, plan_of(name), options_of()).live


def lines(client: IncusClient, name: str, path: str = "/log") -> list[str]:
    return (read_small_file(client, name, path) or b"").decode().splitlines()


def folders(client: IncusClient, name: str) -> str:
    return output(client, name, "ls /var/lib/pika-exec")


def test_create_update_delete(client: IncusClient, live: LiveInstance) -> None:
    name = live.name
    run = Run(
        {
            "instance": name,
            "create": "echo create $A >>/log; cat >>/log; echo out; echo err >&2",
            "update": 'echo "update after $PULUMI_COMMAND_STDOUT" >>/log; echo two',
            "delete": 'echo "delete after $PULUMI_COMMAND_STDOUT" >>/log',
            "environment": {"A": 'it\'s "x"'},
            "stdin": "from stdin\n",
        }
    )
    assert run.up() == "create"
    assert run.outputs is not None
    assert (run.outputs["stdout"], run.outputs["stderr"]) == ("out", "err")
    assert lines(client, name) == ['create it\'s "x"', "from stdin"]
    assert run.up() == "same"
    assert run.up(environment={"A": "2"}) == "update"
    assert lines(client, name)[2:] == ["update after out"]
    assert run.outputs["stdout"] == "two"
    # What no running command has: nothing is run.
    assert run.up(timeout_secs=77, update="echo other >>/log") == "update"
    assert lines(client, name)[2:] == ["update after out"]
    assert run.outputs["stdout"] == "two"
    assert run.up(triggers=["1"]) == "replace"
    assert lines(client, name)[3:] == ["delete after two", "create 2", "from stdin"]
    run.destroy()
    assert lines(client, name)[6:] == ["delete after out"]
    assert folders(client, name) == ""


def test_without_update_create_runs_again(client: IncusClient, live: LiveInstance) -> None:
    run = Run({"instance": live.name, "create": "echo one >>/log"})
    run.up()
    run.up(create="echo two >>/log")
    assert lines(client, live.name) == ["one", "two"]
    run.destroy()


def test_user_and_directory(client: IncusClient, live: LiveInstance) -> None:
    command = "id -u; id -g; pwd; cat /proc/self/environ >/dev/null && echo read"
    run = Run(
        {"instance": live.name, "create": command, "uid": 65534, "gid": 7, "working_dir": "/srv"}
    )
    run.up()
    assert run.outputs is not None
    assert run.outputs["stdout"].split() == ["65534", "7", "/srv", "read"]
    with pytest.raises(ProviderError, match=r"(?s)exit code 126.*/no/such"):
        run.up(working_dir="/no/such")


def test_failure_shows_the_end_of_both_outputs(client: IncusClient, live: LiveInstance) -> None:
    run = Run({"instance": live.name, "create": "seq 100; echo why >&2; exit 3"})
    with pytest.raises(ProviderError) as caught:
        run.up()
    said = str(caught.value)
    assert f"the command in {live.name} ended with exit code 3" in said
    assert "\n  100\n" in said
    assert "\n  80\n" not in said
    assert "The last lines of its stderr:\n  why" in said
    assert folders(client, live.name) == ""


def test_secrets_stay_secret(client: IncusClient, live: LiveInstance) -> None:
    values = {
        "owner": "urn:x",
        "instance": live.name,
        "create": "echo token is $T; echo fine >&2",
        "environment": {"T": "s3cr3t-t0ken"},
        "secret_inputs": ['environment["T"]'],
    }
    inputs = wire(calls.check(values, None).inputs)
    values["environment"] = {"T": "s3cr3t-t0ken"}
    made = calls.create(wire(values))
    outs = made.outs or {}
    assert rpc.is_rpc_secret(outs["stdout"])
    assert outs["stderr"] == "fine"
    assert rpc.is_rpc_secret(outs["environment"]["T"])
    assert "T" in inputs["environment"]
    with pytest.raises(ProviderError) as caught:
        calls.create(wire({**values, "create": "echo $T; exit 1"}))
    assert "s3cr3t" not in str(caught.value)
    # Nothing of it is in the server's list of operations, or left in the guest.
    assert "s3cr3t" not in json.dumps(client.get("/1.0/operations", recursion="1").data)
    assert folders(client, live.name) == ""


def test_output_with_a_secret_of_an_earlier_program_stays_secret(live: LiveInstance) -> None:
    """The program has another `update` now, and the output that the earlier one wrote is kept."""
    values: dict[str, Any] = {
        "owner": "urn:x",
        "instance": live.name,
        "create": "true",
        "project": "default",
    }
    state = received(calls.create(wire({**values, "secret_inputs": []})).outs)
    secret = {**values, "environment": {"A": "1"}, "secret_inputs": ["update"]}
    state = received(calls.update(state, wire({**secret, "update": "echo s3cr3t-w0rd"})).outs)
    assert state["stdout"] == "s3cr3t-w0rd"
    updated = calls.update(state, wire({**secret, "update": "echo other"})).outs or {}
    assert rpc.is_rpc_secret(updated["stdout"])
    assert rpc.is_rpc_secret((calls.read("id", received(updated)).outs or {})["stdout"])
    # By now, no property has the earlier command.
    values = {**secret, "update": "echo other", "timeout_secs": 77}
    updated = calls.update(received(updated), wire(values)).outs or {}
    assert rpc.is_rpc_secret(updated["stdout"])
    assert not rpc.is_rpc_secret(updated["stderr"])


def test_time_limit_ends_the_command_and_not_the_instance(
    client: IncusClient, live: LiveInstance
) -> None:
    run = Run({"instance": live.name, "create": "sleep 300 & sleep 301", "timeout_secs": 1})
    with pytest.raises(ProviderError, match=r"was ended after 1 s \(timeout_secs\)"):
        run.up()
    assert there(client, live.name).running
    assert "sleep 30" not in output(client, live.name, "ps w | grep -v grep")


def test_command_that_ignores_signals_is_killed(client: IncusClient, live: LiveInstance) -> None:
    command = "trap '' TERM; while :; do sleep 1; done"
    run = Run({"instance": live.name, "create": command, "timeout_secs": 1})
    with pytest.raises(ProviderError, match=r"was ended after 1 s"):
        run.up()
    assert "while :" not in output(client, live.name, "ps w | grep -v grep")


@pytest.mark.parametrize("lost", ["before", "after"])
def test_lost_reply_of_the_start_starts_nothing_twice(
    proxy: Proxy, proxied: IncusClient, client: IncusClient, live: LiveInstance, lost: str
) -> None:
    action = reset_after() if lost == "after" else reset_before()
    rule = proxy.on("POST", r"/1\.0/instances/[^/]+/exec", action, times=2)
    options = ExecOptions(instance=live.name, create="echo ran >>/log")
    run_command(proxied, live, options, options.create, LineObserver(Recorder(), live.name))
    assert rule.applied == 2
    assert lines(client, live.name) == ["ran"]


def test_daemon_that_restarts_meanwhile(
    sandbox: Sandbox, client: IncusClient, live: LiveInstance
) -> None:
    options = ExecOptions(instance=live.name, create="echo ran >>/log; sleep 6; echo done")
    found: list[Any] = []

    def work() -> None:
        watcher = LineObserver(Recorder(), live.name)
        found.append(run_command(client, live, options, options.create, watcher))

    thread = threading.Thread(target=work)
    thread.start()
    eventually(lambda: lines(client, live.name))
    sandbox.daemon.restart()
    thread.join(60)
    assert [result.stdout for result in found] == ["done\n"]
    assert lines(client, live.name) == ["ran"]


def test_interruption_ends_the_command(
    client: IncusClient, live: LiveInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ExecOptions(instance=live.name, create="echo ran >>/log; sleep 300")

    class Interrupted(LineObserver):
        def alive(self, standing: Any) -> None:
            if lines(client, live.name):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_command(client, live, options, options.create, Interrupted(Recorder(), live.name))
    assert "sleep 300" not in output(client, live.name, "ps w | grep -v grep")
    assert folders(client, live.name) == ""


def test_guest_that_stops_or_reboots_meanwhile_is_told(
    client: IncusClient, live: LiveInstance, sandbox: Sandbox
) -> None:
    options = ExecOptions(instance=live.name, create="sleep 1; kill -TERM 1; sleep 300")
    with pytest.raises(ExecFailed, match=r"unknown result: instance .* is Stopped"):
        run_command(client, live, options, options.create, LineObserver(Recorder(), live.name))
    run = Run({"instance": live.name, "create": "true", "delete": "true"})
    with pytest.raises(ProviderError, match=f"could not run the command in {live.name}: it is Sto"):
        run.up()
    sandbox.daemon.request("PUT", f"/instances/{live.name}/state", {"action": "start"})
    eventually(lambda: there(client, live.name).running)
    run.up()
    stop = {"action": "stop", "force": True}
    sandbox.daemon.request("PUT", f"/instances/{live.name}/state", stop)
    with pytest.raises(
        ProviderError, match=f"could not run `delete` in {live.name}: .*incus start"
    ):
        run.destroy()


def test_missing_instance_is_no_error_of_a_delete_and_drift_of_a_refresh(
    sandbox: Sandbox, client: IncusClient, live: LiveInstance, name: str
) -> None:
    run = Run({"instance": name, "create": "echo one >>/log", "delete": "echo del >>/log"})
    run.up()
    assert calls.read("id", wire(run.outputs)).id == "id"
    sandbox.daemon.request("PUT", f"/instances/{name}/state", {"action": "stop", "force": True})
    sandbox.daemon.request("DELETE", f"/instances/{name}")
    assert calls.read("id", wire(run.outputs)).id == ""
    # Another instance has the name now, in which nothing of this was run.
    make(client, plan_of(name), options_of())
    assert calls.read("id", wire(run.outputs)).id == ""
    run.destroy()
    assert lines(client, name) == []
    with pytest.raises(ProviderError, match="another instance has its name"):
        Run({"instance": name, "instance_uuid": live.uuid, "create": "true"}).up()


def test_long_output_keeps_its_end(
    client: IncusClient, live: LiveInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exec_run, "MOST_OUTPUT", 1000)
    options = ExecOptions(instance=live.name, create="seq 1 2000")
    recorder = Recorder()
    watcher = LineObserver(recorder, live.name)
    found = run_command(client, live, options, options.create, watcher).stdout
    assert found.splitlines()[-1] == "2000"
    assert 900 < len(found) < 1000
    assert found.splitlines()[0].isdecimal()
    assert len(found.splitlines()[0]) == 4
    assert any("stdout has more than" in text for text in recorder.warnings)


def test_many_at_once_in_one_instance(client: IncusClient, live: LiveInstance) -> None:
    found: dict[int, str] = {}

    def work(number: int) -> None:
        options = ExecOptions(instance=live.name, create=f"sleep 0.5; echo {number}")
        watcher = LineObserver(Recorder(), live.name)
        found[number] = run_command(client, live, options, options.create, watcher).stdout

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {number: f"{number}\n" for number in range(6)}
    assert time.monotonic() - begun < 30


def test_guest_without_a_shell_is_told(client: IncusClient, live: LiveInstance) -> None:
    shell(client, live.name, "mv /bin/sh /bin/gone")
    options = ExecOptions(instance=live.name, create="true")
    with pytest.raises(JobNotBegun, match="could not start a command"):
        run_command(client, live, options, options.create, LineObserver(Recorder(), live.name))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"instance": "a b"}, "instance: `a b` is not a valid instance name"),
        ({"create": " "}, "create: must be non-empty"),
        ({"create": None}, "create: is required"),
        ({"environment": {"1A": ""}}, "`1A` is not a valid name of a variable"),
        ({"working_dir": "srv"}, "working_dir: `srv` is not"),
        ({"timeout_secs": 0}, "timeout_secs: must be at least 1"),
        ({"project": "a/b"}, "project: `a/b` is not"),
    ],
)
def test_refused(change: dict[str, Any], said: str) -> None:
    values = {"instance": "box", "create": "true", **change}
    with pytest.raises(Refused, match=said):
        Run(values).checked()
