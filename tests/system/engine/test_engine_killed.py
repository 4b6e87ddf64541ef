"""The engine is killed: its provider processes end by themselves, and leave nothing half done."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.storage import get_volume
from pulumi_pika.providers.engine_watch import Calls, EngineGone
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance

from ...conftest import IMAGE, Sandbox
from ...support.proxy import (
    Answer,
    Forward,
    Proxy,
    Request,
)
from ...support.stack import Stack, make_stack
from .test_up import runtime

SOON = 30.0
"""Seconds; a busy machine takes some for what an idle one does in one."""

JOB = """
from pulumi_pika import IncusJob

IncusJob(
    "job",
    identity={{"runtime_id": "{name}", "instance_name": "{name}"}},
    incus={{"project": "default", "profile": "default", "image_alias": "{image}"}},
    instance_type="container",
    command=["sleep", "600"],
)
"""


class Killable:
    """An `up` whose engine can be killed.

    Attributes:
        engine: the process of the `pulumi` command, which is the engine.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._known: set[int] = set()
        self.engine = subprocess.Popen(
            ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive", "--stack", stack.name],
            cwd=stack.directory,
            env=stack.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def providers(self) -> list[int]:
        """The provider processes of this stack that are alive."""
        home = f"PULUMI_HOME={self._stack.environment['PULUMI_HOME']}\0".encode()
        alive = []
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                command = (process / "cmdline").read_bytes()
                if b"\0pulumi.dynamic\0" in command and home in (process / "environ").read_bytes():
                    alive.append(int(process.name))
        self._known.update(alive)
        return alive

    def kill(self) -> None:
        """Kills the engine as the kernel does when memory is short."""
        assert self.providers(), "no provider was started yet"
        self.engine.kill()
        self.engine.wait()

    def kill_all(self) -> None:
        """Kills the engine and its providers at once, as the end of a container or a machine does.

        Providers go first, since one that lives sees that the engine is gone.
        """
        for process in {*self.providers(), *self._known}:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGSTOP)
        self.engine.kill()
        self.engine.wait()
        for process in self._known:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


@pytest.fixture
def begin() -> Iterator[Callable[[Stack], Killable]]:
    begun: list[Killable] = []

    def begin(stack: Stack) -> Killable:
        begun.append(Killable(stack))
        return begun[-1]

    yield begin
    for up in begun:
        up.kill_all()


def until(happened: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + SOON
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def running(client: IncusClient, name: str) -> bool:
    live = fetch_instance(client, name)
    return live is not None and live.running


def test_create_in_flight_is_undone(
    stack: Stack, client: IncusClient, name: str, begin: Callable[[Stack], Killable]
) -> None:
    # The guest never says so.
    waits = runtime(name, wait_for="ready", timeouts={"wait": 600})
    stack.declare(box=waits, other=runtime(f"{name}-o", wait_for="ready", timeouts={"wait": 600}))
    up = begin(stack)
    until(lambda: running(client, name) and running(client, f"{name}-o"), "it was not created")

    up.kill()

    until(lambda: not up.providers(), "the provider process lives on")
    assert fetch_instance(client, name) is None
    assert fetch_instance(client, f"{name}-o") is None
    assert get_volume(client, "default", f"{name}-state") is None
    stack.run("cancel", "--yes")
    stack.declare(box=runtime(name))
    stack.up()
    assert running(client, name)
    stack.run("refresh", "--yes", "--skip-preview", "--clear-pending-creates")
    stack.settled()
    stack.destroy()


def test_destroy_after_all_was_killed_names_what_it_does_not_know_of(
    stack: Stack,
    client: IncusClient,
    name: str,
    sandbox: Sandbox,
    begin: Callable[[Stack], Killable],
) -> None:
    known = runtime(f"{name}-k", mounts=[])
    waits = runtime(name, wait_for="ready", timeouts={"wait": 600})
    stack.declare(known=known)
    stack.up()
    stack.declare(known=known, box=waits)

    def killed() -> None:
        up = begin(stack)
        until(lambda: running(client, name), "it was not created")
        up.kill_all()
        stack.run("cancel", "--yes")

    killed()
    stack.declare(known=known, box=runtime(name))
    assert "was killed" not in stack.up()
    stack.declare(known=known)
    assert "was killed" not in stack.up(), "it came to its end meanwhile"
    # The volume of the one that was deleted stays, and is taken up again.
    stack.declare(known=known, box=waits)
    killed()

    said = stack.destroy()

    assert fetch_instance(client, f"{name}-k") is None
    assert (
        said.partition("Diagnostics:")[2].count("::box was killed and left these objects at ") == 1
    )
    assert f"instance {name}, volume {name}-state in pool default" in said
    commands = [
        f"incus delete --force --project default {name}",
        f"incus storage volume delete --project default default {name}-state",
    ]
    for command in commands:
        assert f"`{command}`" in said
        environment = {**os.environ, "INCUS_SOCKET": str(sandbox.socket)}
        subprocess.run(command.split(), env=environment, check=True, timeout=60)
    stack.declare(known=known)
    stack.up()
    assert "was killed" not in stack.destroy(), "it was removed meanwhile"


def test_job_in_flight_is_removed(
    stack: Stack, client: IncusClient, name: str, begin: Callable[[Stack], Killable]
) -> None:
    stack.program(JOB.format(name=name, image=IMAGE))
    up = begin(stack)
    until(lambda: running(client, name), "it did not begin")
    # Until it is in its work, which is what takes long.
    time.sleep(2)

    up.kill()

    until(lambda: not up.providers(), "the provider process lives on")
    assert fetch_instance(client, name) is None
    stack.run("cancel", "--yes")


def test_no_call_begins_any_more() -> None:
    watched = Calls()
    watched.end()

    with pytest.raises(EngineGone), watched.one(undoable=False):
        raise AssertionError("it began")


def test_delete_in_flight_comes_to_its_end(
    sandbox: Sandbox,
    client: IncusClient,
    name: str,
    tmp_path: Path,
    begin: Callable[[Stack], Killable],
) -> None:
    """It is let to its end: what is deleted by half would be worse than either."""
    with Proxy(sandbox.socket, tmp_path / "socket") as proxy:
        stack = make_stack(tmp_path / "stack", proxy.socket)
        stack.declare(box=runtime(name))
        stack.up()
        ups: list[Killable] = []

        def kill(request: Request, forward: Forward) -> Answer:
            ups[0].kill()
            time.sleep(2)
            assert ups[0].providers(), "it ended in the midst of its work"
            return forward(request)

        rule = proxy.on("PUT", f"/1.0/instances/{name}/state", kill)
        stack.declare()
        ups.append(begin(stack))
        until(lambda: rule.applied, "nothing was deleted")
        until(lambda: not ups[0].providers(), "the provider process lives on")
    assert fetch_instance(client, name) is None


def test_no_call_in_flight(
    stack: Stack, client: IncusClient, name: str, begin: Callable[[Stack], Killable]
) -> None:
    stack.declare(box=runtime(name))
    stack.up()
    # The program goes on for a while after its only resource was looked at.
    program = stack.directory / "__main__.py"
    program.write_text(
        program.read_text()
        + "\nimport time\nruntime.status.apply(lambda _: (pathlib.Path('seen').touch(), "
        "time.sleep(60)))\n"
    )
    up = begin(stack)
    until((stack.directory / "seen").exists, "the resource was not looked at")

    up.kill()

    until(lambda: not up.providers(), "the provider process lives on")
    assert running(client, name)
    stack.run("cancel", "--yes")
    stack.destroy()
