"""`python3 dev vm-lab`: a host on which virtual machines run, where the machine at hand has none.

It is a Debian system with an unchanged Incus in a virtual machine, with KVM if this machine has it,
else emulated. Its Incus is reached over HTTPS on a loopback port. All that takes long is kept in
the user's cache, and an interrupted run is continued by the next one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import select
import shlex
import sys
import termios
import time
import tty
from collections.abc import Iterator, Sequence
from pathlib import Path

from dev import vm_lab_client as client
from dev import vm_lab_guest as guest
from dev import vm_lab_machine as machine
from dev import vm_lab_outer as outer
from dev.console import Failure, elapsed, say, step
from dev.vm_lab_qemu import ensure_qemu
from dev.vm_lab_tree import AGAIN, choose, lab, series

_BOOTS_WITHIN = 1800.0
"""Seconds: 2 minutes where nothing else runs, a multiple on a machine whose cores are taken."""
_ESCAPE = b"\x1d"


def up(arguments: Sequence[str] = ()) -> None:
    """Make what is missing, start the machine, and wait until its Incus answers.

    Args:
        arguments: the series of Incus; if it is empty, that of the last run.
    """
    if platform.machine() != "x86_64":
        raise Failure(
            f"the lab emulates x86-64 on x86-64, and this machine is {platform.machine()}"
        )
    begun = time.monotonic()
    tried = machine.pid() is not None
    with _alone():
        if arguments and arguments[0] != series():
            if machine.pid() is not None:
                raise Failure(
                    f"a machine with Incus {series()} runs; end it first: python3 dev vm-lab down"
                )
            choose(arguments[0])
        if machine.pid() is not None and client.is_complete():
            say("==> The virtual machine lab runs already")
        else:
            ensure_qemu()
            outer.ensure_root()
            outer.ensure_image(guest.image(), guest.ensure_image())
            # One that boots since an interrupted run goes on.
            if machine.pid() is None:
                machine.start()
                client.make_certificate()
    # Not within the lock, so that `down` can end a boot.
    if not client.is_complete():
        with step(f"Outer machine: booting it, {_how()}", AGAIN):
            token = machine.wait(_BOOTS_WITHIN)
            # The token on the console was used if an earlier run failed after that.
            client.enrol(machine.new_token() if tried else token)
    say(f"    the whole took {elapsed(time.monotonic() - begun)}")
    status()


def down() -> None:
    """End the machine and remove what belongs to this run of it; the caches stay."""
    with _alone():
        if machine.pid() is None and not machine.folder().exists():
            say("==> The virtual machine lab does not run")
            return
        with step("Outer machine: ending it, and removing its disk", AGAIN):
            machine.remove()


def status() -> None:
    """Say what is there, and how it is used."""
    made = [
        (lab() / "tools", "tools"),
        (lab() / "qemu", "QEMU"),
        (outer.root(), "outer system"),
        (guest.image(), "guest image"),
        (outer.image(), "outer image"),
    ]
    missing = [name for place, name in made if not place.with_name(place.name + ".made").exists()]
    say(f"Cache: {lab()}" + (f"; to be made: {', '.join(missing)}" if missing else "; complete"))
    if machine.pid() is None:
        say("Machine: does not run; `python3 dev vm-lab up` starts it")
        return
    if not client.is_complete():
        say(f"Machine: boots (process {machine.pid()}); its console's last lines:")
        say(machine.tail(5))
        return
    say(f"Machine: process {machine.pid()}, Incus at https://127.0.0.1:{machine.port()}, {_how()}")
    say(f"Incus {series()}, image {outer.ALIAS}, pools default (dir) and {outer.BTRFS_POOL}")
    say("To use it in a shell:")
    for name, value in client.settings().items():
        say(f"    export {name}={shlex.quote(value)}")
    say("To run the tests of virtual machines with it:")
    say("    python3 dev test tests/system/vm --vm-host lab")


def serve(arguments: Sequence[str]) -> None:
    """Serve the machine's Incus on the Unix socket that the arguments name."""
    if len(arguments) != 1:
        raise Failure("name the socket: python3 dev vm-lab socket PATH")
    if machine.pid() is None or not client.is_complete():
        raise Failure("the machine does not run; `python3 dev vm-lab up` starts it")
    client.serve_socket(Path(arguments[0]).absolute())


def shell(command: Sequence[str]) -> int:
    """Open the machine's root shell, or run one command in it; return the exit code."""
    if command:
        code, output = machine.execute(shlex.join(command) if len(command) > 1 else command[0])
        if output:
            say(output)
        return code
    if not sys.stdin.isatty():
        raise Failure("a shell needs a terminal; give a command: python3 dev vm-lab shell COMMAND")
    say("The outer machine's root shell; Ctrl-] leaves it.")
    before = termios.tcgetattr(sys.stdin)
    with machine.shell() as connection:
        try:
            tty.setraw(sys.stdin)
            connection.sendall(b"\n")
            _relay(connection.fileno())
        finally:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
    say()
    return 0


def _relay(line: int) -> None:
    while True:
        ready, _, _ = select.select([sys.stdin, line], [], [])
        if line in ready:
            data = os.read(line, 65536)
            if not data:
                return
            os.write(sys.stdout.fileno(), data)
        if sys.stdin in ready:
            data = os.read(sys.stdin.fileno(), 4096)
            if not data or _ESCAPE in data:
                return
            os.write(line, data)


def _how() -> str:
    return "with KVM" if machine.has_kvm() else "emulated (this machine has no nested KVM)"


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    lab().mkdir(parents=True, exist_ok=True)
    with (lab() / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("==> waiting for another run of this command")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
