"""What becomes of a machine that is interrupted or deleted while it boots."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.incus.storage import get_volume
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance

from .machine import Machine, VmHost

SOON = 300.0


@pytest.fixture
def starting(host: VmHost, name: str, tmp_path: Path) -> Machine:
    """A machine that a stack declares, and that does not exist yet."""
    machine = Machine.in_folder(host, name, tmp_path)
    machine.declare(**machine.defaults())
    return machine


Begin = Callable[[Machine], "subprocess.Popen[bytes]"]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Starts an `up` as a terminal does: in a process group of its own."""
    begun: list[subprocess.Popen[bytes]] = []

    def begin(machine: Machine) -> "subprocess.Popen[bytes]":
        stack = machine.stack
        with (tmp_path / "output").open("wb") as output:
            process = subprocess.Popen(
                ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive", "--stack", "test"],
                cwd=stack.directory,
                env=stack.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # A test run in the background ignores the signal, and so would its children.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )
        begun.append(process)
        return process

    yield begin
    for process in begun:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_interrupted_while_it_boots(starting: Machine, begin: Begin, host: VmHost) -> None:
    """Ctrl-C twice while it boots: Pulumi names the interrupted create; the next up finishes it"""
    process = begin(starting)
    _until(lambda: _boots(starting), "it does not boot")
    left = starting.live()

    # Pulumi waits after the first one until the resources in progress are done. With the second
    # one it kills the providers (SIGKILL), which cannot undo anything then.
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(5)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)

    assert process.wait(timeout=60) != 0
    starting.stack.run("cancel", "--yes")
    starting.declare(wait_for="running")
    assert "::box, interrupted while creating" in starting.stack.up()
    assert starting.live().uuid == left.uuid
    starting.declare(timeouts={**starting.arguments["timeouts"], "stop": 5.0})
    starting.stack.up()
    starting.stack.destroy()
    assert fetch_instance(host.client, starting.name) is None


def test_interrupted_once_while_it_boots(starting: Machine, begin: Begin, tmp_path: Path) -> None:
    """Ctrl-C once while it boots: the create comes to its end and is in the state; delete"""
    process = begin(starting)
    _until(lambda: _boots(starting), "it does not boot")

    os.killpg(process.pid, signal.SIGINT)
    process.wait(timeout=starting.stack.timeout)

    said = (tmp_path / "output").read_text()
    assert "cancel" in said, said
    assert starting.live().running
    starting.stack.run("refresh", "--yes", "--skip-preview")
    starting.stack.settled()
    starting.stack.destroy()
    assert fetch_instance(starting.client, starting.name) is None


def test_deleted_while_it_boots(starting: Machine) -> None:
    """delete while it boots, when its guest does not answer a request to shut down yet"""
    timeouts = {**starting.arguments["timeouts"], "stop": 10.0}
    starting.declare(wait_for="running", timeouts=timeouts)
    starting.stack.up()
    assert starting.live().processes < 0, "it has booted already"

    said = starting.stack.destroy()

    assert fetch_instance(starting.client, starting.name) is None
    assert "did not shut down within 10 s; killing it" in said
    assert get_volume(starting.client, starting.host.pool, f"{starting.name}-data")


def _boots(machine: Machine) -> bool:
    live = fetch_instance(machine.client, machine.name)
    return live is not None and live.running and "BdsDxe" in machine.console()


def _until(happened: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + SOON
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(1)
