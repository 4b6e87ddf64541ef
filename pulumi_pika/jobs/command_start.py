"""Wait until a command can be run in a guest, and start the job's command there."""

import re
import time
from collections.abc import Callable
from typing import Final, TypeVar

from ..incus.client import IncusClient, url
from ..incus.errors import (
    IncusApiError,
    IncusUnreachable,
    NotFound,
    OperationFailed,
    OperationLost,
    ServerFailure,
    UnexpectedResponse,
)
from ..incus.instances import (
    exec_output,
    push_guest_file,
    start_exec,
)
from ..message_templates import could_not, timed_out
from ..reconcile.instances.console import last_console_words
from ..reconcile.instances.lifecycle import fetch_instance, wait_for_pending_operations
from ..reconcile.shared.reporter import Progress, Reporter
from ..redaction import cut_front
from .guest_script import SCRIPT_PATH, Script
from .job_errors import JobNotBegun
from .output_tail import Tail
from .retry_transport import AWAY_FOR, retry_transport

_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 2.0
_PREPARE_WITHIN: Final = 120.0
_APPEARS_WITHIN: Final = 2.0
"""Seconds for which a command is searched for if the request that starts it got no reply."""
_MOST_QUOTED: Final = 500
"""The most characters of the script's error output that a message quotes."""
_RECORD: Final = re.compile(r"/exec_([0-9a-f-]{36})\.stdout$")
NO_ANSWER: Final = (IncusUnreachable, ServerFailure, UnexpectedResponse)

T = TypeVar("T")


def start_command(
    client: IncusClient,
    name: str,
    script: Script,
    *,
    user: int,
    group: int,
    within: float,
    reporter: Reporter,
) -> str:
    """Write the script into the guest as soon as the guest can be reached, and start it.

    Args:
        client: A client in the instance's project.
        name: The name of the instance, which is running.
        script: The script.
        user: The numeric user id of the steps that do not run as root.
        group: The numeric group id of these steps.
        within: How long the guest may take until it can be reached, in seconds.
        reporter: Receives progress.

    Returns:
        The id of the operation of the last step, which runs the command.

    Raises:
        JobNotBegun: The guest was not reached in time, or could not prepare the command.
        IncusUnreachable: The host does not answer.
    """
    progress = Progress(reporter, f"{name}: waiting until the guest can run commands")
    # The script may contain secrets: no other user of the guest may read it.
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
    known: set[str] = set()
    for earlier, _as_root in before:
        known |= _prepare(client, name, earlier)
    who = {} if as_root else owner
    command = ["/bin/sh", SCRIPT_PATH, *arguments]
    return _until_reached(
        client, name, lambda: _start_once(client, name, command, who, known), progress, within
    )


def _until_reached(
    client: IncusClient, name: str, step: Callable[[], T], progress: Progress, within: float
) -> T:
    pause = _PAUSE
    is_machine = False
    while True:
        try:
            return step()
        except (IncusApiError, IncusUnreachable, UnexpectedResponse) as error:
            seen: Exception = error
        try:
            # The state is fetched too: without it, an instance that is stopping would count as
            # running.
            live = fetch_instance(client, name)
        except NO_ANSWER as error:
            seen = error
        else:
            # A frozen instance may continue.
            is_machine = live is not None and live.instance_type == "virtual-machine"
            if live is None or not (live.running or live.status == "Frozen"):
                state = f"the instance is {live.status}" if live else "the instance was deleted"
                raise JobNotBegun(
                    could_not(f"start the command in {name}", f"{state}; last error: {seen}")
                )
        if progress.elapsed > within:
            raise JobNotBegun(
                timed_out(
                    f"instance {name}",
                    "a state in which it can run commands",
                    within,
                    f"last error: {seen}. If the guest needs more time, raise `timeouts.wait`",
                )
            )
        if progress.is_due:
            shown = last_console_words(client, name) if is_machine else ""
            progress.tick(f"last error: {seen}{shown}")
        time.sleep(pause)
        pause = min(pause * 1.5, _LONGEST_PAUSE)


def _start_once(
    client: IncusClient, name: str, command: list[str], who: dict[str, int], known: set[str]
) -> str:
    """Start the command. If the reply is lost, search for the command; do not start it twice.

    Raises:
        JobNotBegun: It is unknown whether the command was started.
        ServerFailure, IncusUnreachable: The command was not started.
    """
    try:
        return start_exec(client, name, command, **who)
    except NO_ANSWER as error:
        if isinstance(error, IncusUnreachable) and not error.sent:
            raise
        if found := _find_started(client, name, known):
            return found
        # If the server itself reports a failure, it did not start the command. If it forwarded the
        # request to a cluster member, that member may have.
        if isinstance(error, ServerFailure):
            raise
        raise JobNotBegun(
            could_not(
                f"start the command in {name}",
                f"the reply to the request was lost ({error}), and the instance does not run the "
                "command",
            )
        ) from error


def _find_started(client: IncusClient, name: str, known: set[str]) -> str | None:
    """Return the id of the operation that was started after the known ones; None if there is none.

    The operation may have ended already. If the host is unreachable, it is waited for.
    """
    begun = time.monotonic()
    deadline: float | None = None
    while True:
        now = time.monotonic()
        try:
            # No other client runs commands in this instance.
            found = _recorded(client, name) - known
        except NO_ANSWER:
            if now - begun > AWAY_FOR:
                return None
        else:
            if found:
                return found.pop()
            deadline = deadline or now + _APPEARS_WITHIN
            if now > deadline:
                return None
        time.sleep(_PAUSE)


def _recorded(client: IncusClient, name: str) -> set[str]:
    """Return the ids of the operations whose output Incus keeps: the commands that were started."""
    try:
        listed = client.get_list(url("instances", name, "logs", "exec-output"))
    except NotFound:
        return set()
    return {found[1] for path in listed if (found := _RECORD.search(str(path)))}


def _prepare(client: IncusClient, name: str, arguments: tuple[str, ...]) -> set[str]:
    """Prepare the command; repeat that, which is harmless, if the result is unknown.

    Returns:
        The ids of the operations of these preparations.
    """
    for again in (True, False):
        try:
            operation = start_exec(client, name, ["/bin/sh", SCRIPT_PATH, *arguments])
            done = client.wait(operation, timeout=_PREPARE_WITHIN, what=f"preparing {name}")
        except (*NO_ANSWER, OperationFailed, OperationLost) as error:
            if not again:
                raise JobNotBegun(
                    could_not(f"prepare the command in {name}", str(error))
                ) from error
            time.sleep(_PAUSE)
            wait_for_pending_operations(retry_transport(client), name)
            continue
        if code := done.get("return"):
            tail = Tail(client, exec_output(name, operation, "stderr"))
            quoted = cut_front(tail.read().decode(errors="replace"), _MOST_QUOTED)
            raise JobNotBegun(
                could_not(f"prepare the command in {name}", f"exit code {code}: {quoted}")
            )
        return {operation} if again else _recorded(client, name)
    raise AssertionError("the second try returns or raises")
