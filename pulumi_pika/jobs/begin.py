"""Waits until something can be run in a guest, and begins the work there."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

from ..incus.client import IncusClient
from ..incus.errors import IncusApiError, IncusUnreachable, UnexpectedResponse
from ..incus.instances import exec_output, push_guest_file, running_operations, start_exec
from ..reconcile.power import look
from ..reconcile.reporter import Progress, Reporter
from .errors import JobNotBegun
from .script import SCRIPT_PATH, Script
from .tail import Tail

_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 2.0
_PREPARE_WITHIN: Final = 120.0
_APPEARS_WITHIN: Final = 5.0
"""Seconds for which a command is looked for whose start got no answer."""

T = TypeVar("T")


def begin(
    client: IncusClient,
    name: str,
    script: Script,
    *,
    user: int,
    group: int,
    within: float,
    reporter: Reporter,
) -> str:
    """Puts the script into the guest as soon as that can be reached, and starts it.

    Args:
        client: a client in the instance's project.
        name: the instance, which is running.
        script: the script.
        user: the user of the steps that are not root's.
        group: the user's group.
        within: seconds that the guest may take until it can be reached.
        reporter: takes progress.

    Returns:
        the id of the operation of the last step, which runs the work.

    Raises:
        JobNotBegun: the guest was not reached in time, or could not prepare the work.
        IncusUnreachable: the host does not answer.
    """
    progress = Progress(reporter, f"{name}: waiting until commands can be run in it")
    # It may hold what is secret, so that nobody else in the guest is to read it.
    text = script.text.encode()
    others = any(not as_root for _, as_root in script.steps)
    owner = {"user": user, "group": group} if others else {}
    _until_reached(
        client,
        name,
        lambda: push_guest_file(client, name, SCRIPT_PATH, text, mode="0700", **owner),
        progress,
        within,
    )
    *before, (arguments, as_root) = script.steps
    for earlier, _as_root in before:
        _prepare(client, name, earlier)
    who = {} if as_root else owner
    command = ["/bin/sh", SCRIPT_PATH, *arguments]
    return _until_reached(
        client, name, lambda: _start_once(client, name, command, who), progress, within
    )


def _until_reached(
    client: IncusClient, name: str, step: Callable[[], T], progress: Progress, within: float
) -> T:
    pause = _PAUSE
    while True:
        try:
            return step()
        except (IncusApiError, IncusUnreachable, UnexpectedResponse) as error:
            seen = error
        live = look(client, name, inside=False)
        if live is None or not live.running:
            state = live.status if live else "gone"
            raise JobNotBegun(f"{name} is {state} before the command was begun ({seen})")
        if progress.elapsed > within:
            raise JobNotBegun(
                f"no command could be run in {name} within {within:g} s (timeouts.wait); last "
                f"seen: {seen}"
            )
        progress.tick(f"last seen: {seen}")
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def _start_once(client: IncusClient, name: str, command: list[str], who: dict[str, int]) -> str:
    """Starts the work. Where the reply is lost, the command is looked for rather than repeated."""
    try:
        return start_exec(client, name, command, **who)
    except (IncusUnreachable, UnexpectedResponse) as error:
        if isinstance(error, IncusUnreachable) and not error.sent:
            raise
        deadline = time.monotonic() + _APPEARS_WITHIN
        while time.monotonic() < deadline:
            # Nobody else has anything to do in this instance.
            if found := running_operations(client, name):
                return found[0]
            time.sleep(_PAUSE)
        raise JobNotBegun(
            f"{name}: whether the command was begun is not known, and it is not seen to run "
            f"({error})"
        ) from error


def _prepare(client: IncusClient, name: str, arguments: tuple[str, ...]) -> None:
    operation = start_exec(client, name, ["/bin/sh", SCRIPT_PATH, *arguments])
    done = client.wait(operation, timeout=_PREPARE_WITHIN, what=f"preparing {name}")
    if code := done.get("return"):
        said = Tail(client, exec_output(name, operation, "stderr")).read().decode(errors="replace")
        raise JobNotBegun(f"{name} could not be prepared (exit code {code}): {said.strip()[-500:]}")
