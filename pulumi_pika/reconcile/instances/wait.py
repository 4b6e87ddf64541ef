"""Wait until a started instance reaches the state that the user names."""

import time
from collections.abc import Callable
from typing import Final

from ...incus.client import IncusClient
from ...incus.errors import (
    IncusError,
    IncusUnreachable,
    OperationError,
)
from ...incus.instances import exec_status
from ...message_templates import MISSING, Message, timed_out
from ..shared.errors import WaitFailed
from ..shared.reporter import Progress, Reporter
from .cloud_init_end import CloudInitEnd, CloudInitFailed, recoverable_errors
from .console import console_lines, last_console_words
from .desired import DesiredInstance
from .guest_status import fetch_guest_status
from .lifecycle import fetch_instance
from .live_instance import LiveInstance

_FIRST_PAUSE: Final = 0.05
_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 3.0
"""The longest pause between two fetches, in seconds: at first, and after a minute.

The host needs its processor for the boot of a virtual machine, and each fetch enters the guest.
"""
_COMMAND_WITHIN: Final = 30.0
"""How long a guest that is still booting may take for a command that does nothing, in seconds."""
_INSIDE_EVERY: Final = 5.0
"""How often to enter a container although nothing inside is waited for, in seconds.

Incus 6.0.4 can report a container as running although its guest has ended, for as long as a client
requests its files. A wait for ``guest_status`` does so. Entering the container shows that it is
stopping, and requests no files meanwhile.
"""
_CONSOLE_LINES: Final = 20

Seen = tuple[bool, str]
"""Whether the awaited state is reached, and what was observed."""


def wait_for(
    client: IncusClient, desired: DesiredInstance, reporter: Reporter
) -> LiveInstance | None:
    """Wait for the state that `wait_for` of the options names.

    Args:
        client: a client in the instance's project.
        desired: the desired instance.
        reporter: receives progress and warnings.

    Returns:
        The instance as last fetched, if each fetch includes its inside; else None.

    Raises:
        WaitFailed: the state did not come within `timeouts.wait` seconds, or cannot come any more.
            The message has the last observation and the end of the console log.
    """
    options, name = desired.options, desired.name
    if options.wait_for == "running":
        # The operation that starts an instance ends when the instance is running.
        return None
    check = _check_of(options.wait_for)
    # For the other states, Incus need not enter the guest, which costs more than the rest of a
    # fetch.
    inside = options.wait_for == "ipv4" or options.instance_type == "virtual-machine"
    progress = Progress(reporter, f"{name}: waiting for {options.wait_for}")
    pause = _FIRST_PAUSE
    seen = "nothing"
    looked_inside = 0.0
    while True:
        try:
            thorough = inside or progress.elapsed - looked_inside > _INSIDE_EVERY
            live = fetch_instance(client, name, inside=thorough)
            if thorough:
                looked_inside = progress.elapsed
            if live is None:
                raise WaitFailed(
                    Message(
                        f"another client deleted instance {name} during the wait for "
                        f"{options.wait_for}",
                        MISSING,
                    )
                )
            if not live.running:
                raise _failed(client, desired, f"it is {live.status}", progress.elapsed)
            done, seen = check(client, desired, live)
            if done:
                if options.wait_for == "cloud_init":
                    for text in recoverable_errors(client, name):
                        reporter.warn(f"{name}: cloud-init went on after an error: {text}")
                return live if inside else None
        except (_GuestSaysFailed, CloudInitFailed) as error:
            raise _failed(client, desired, str(error), progress.elapsed) from None
        except IncusUnreachable as error:
            seen = str(error)
        if progress.elapsed > options.timeouts.wait:
            raise _failed(client, desired, seen, progress.elapsed)
        if progress.is_due:
            progress.tick(f"last seen: {seen}{_on_console(client, desired)}")
        time.sleep(min(pause, max(0.0, options.timeouts.wait - progress.elapsed) + 0.01))
        pause = next_pause(pause, progress.elapsed)


def next_pause(pause: float, elapsed: float) -> float:
    """Return the pause before the next fetch, in seconds.

    Args:
        pause: the last pause, in seconds.
        elapsed: the time of the wait so far, in seconds. A pause of more than a second is at most a
            twentieth of it, so that a late fetch does not matter.
    """
    return min(pause * 1.5, max(_PAUSE, elapsed / 20), _LONGEST_PAUSE)


class _GuestSaysFailed(Exception):
    """Signal that further waiting is useless."""


def _agent(client: IncusClient, desired: DesiredInstance, live: LiveInstance) -> Seen:
    if live.instance_type == "virtual-machine" and live.processes < 0:
        return False, "the agent in the guest does not reply yet"
    try:
        exec_status(client, desired.name, ["true"], timeout=_COMMAND_WITHIN)
    except OperationError as error:
        # Incus reports a missing command as one that could not be started: the guest was reached.
        if "not found" in error.reason.lower():
            return True, "exec works"
        return False, error.reason or str(error)
    return True, "exec works"


def _ipv4(client: IncusClient, desired: DesiredInstance, live: LiveInstance) -> Seen:
    address = live.address("inet", desired.options.access_interface)
    if address and live.has_stale_addresses:
        return False, f"address {address} of an earlier boot; the guest has sent nothing yet"
    return address is not None, f"address {address}" if address else "no global IPv4 address yet"


def _ready(client: IncusClient, desired: DesiredInstance, live: LiveInstance) -> Seen:
    return live.status == "Ready", f"status {live.status}"


def _guest_status(client: IncusClient, desired: DesiredInstance, live: LiveInstance) -> Seen:
    status = fetch_guest_status(client, live, desired.plan.paths.status_path)
    if status.state == "failed":
        raise _GuestSaysFailed(status.describe())
    # A guest that has completed its work was ready before.
    return status.state in ("ready", "completed"), status.describe()


Check = Callable[[IncusClient, DesiredInstance, LiveInstance], Seen]


def _check_of(state: str) -> Check:
    if state == "cloud_init":
        end = CloudInitEnd()
        return lambda client, desired, live: end(client, live)
    return _CHECKS[state]


_CHECKS: Final[dict[str, Check]] = {
    "agent": _agent,
    "ipv4": _ipv4,
    "ready": _ready,
    "guest_status": _guest_status,
}


def _on_console(client: IncusClient, desired: DesiredInstance) -> str:
    is_machine = desired.options.instance_type == "virtual-machine"
    return last_console_words(client, desired.name) if is_machine else ""


def _failed(client: IncusClient, desired: DesiredInstance, seen: str, elapsed: float) -> WaitFailed:
    try:
        lines = console_lines(client, desired.name)[-_CONSOLE_LINES:]
    except IncusError:
        lines = []
    tail = "\n  ".join(lines)
    return WaitFailed(
        timed_out(
            f"instance {desired.name}",
            f"state `{desired.options.wait_for}`",
            round(elapsed),
            f"timeouts.wait is {desired.options.timeouts.wait:g} s. Last seen: {seen}. "
            + (f"Last lines of its console:\n  {tail}\n" if tail else "Its console is empty"),
        )
    )
