"""Fetch, start, stop and delete instances."""

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from ...incus.client import IncusClient, OnProgress
from ...incus.errors import (
    BadRequest,
    IncusError,
    IncusUnreachable,
    NotFound,
    OperationError,
    OperationFailed,
    OperationLost,
    OperationTimedOut,
    UnexpectedResponse,
)
from ...incus.instances import (
    delete_instance,
    find_instance,
    get_instance,
    patch_instance,
    running_operations,
    set_power,
)
from ...message_templates import TIMED_OUT, Message, could_not
from ..shared.errors import ReconcileError, RestartRefused
from ..shared.ownership import (
    OWNER_KEY,
    RUNTIME_ID_KEY,
    Claim,
    is_same_or_earlier,
)
from ..shared.reporter import Progress, Reporter
from .live_instance import FROZEN, LiveInstance

_KILL_TIMEOUT: Final = 60.0
_BUSY_FOR: Final = 60.0

LOST_REPLY_ERRORS: Final = (IncusUnreachable, OperationLost, UnexpectedResponse)
"""Errors after which a change may still have been carried out: the instance must be fetched."""


def fetch_instance(client: IncusClient, name: str, *, inside: bool = True) -> LiveInstance | None:
    """Return the instance as it is now, or None.

    Args:
        client: a client in its project.
        name: its name.
        inside: whether its addresses and processes are fetched too, for which the server enters the
            guest. Without them, Incus 6.0.4 shows a container that is stopping as running.
    """
    entity = get_instance(client, name, state=inside)
    return LiveInstance.of(entity.data, entity.etag) if entity else None


def fetch_instance_by_uuid(client: IncusClient, uuid: str) -> LiveInstance | None:
    """Return the instance with a ``volatile.uuid``, whatever its name is now, or None."""
    entity = find_instance(client, uuid) if uuid else None
    return LiveInstance.of(entity.data, entity.etag) if entity else None


@dataclass(frozen=True, slots=True)
class FoundInstance:
    """Hold the result of a search for a resource's own instance."""

    live: LiveInstance | None
    """The resource's own instance, whatever its name is now."""
    other: LiveInstance | None = None
    """The instance that has the name but is not the resource's own."""


def find_owned_instance(
    client: IncusClient, name: str, claim: Claim, *, inside: bool = True
) -> FoundInstance:
    """Find the instance that a state manages.

    The search is by its name, and by its uuid if the name is not in use or another instance has it.

    Args:
        client: a client in the instance's project.
        name: the name that the instance was given.
        claim: what the state knows of the instance.
        inside: see `fetch_instance`.
    """
    named = fetch_instance(client, name, inside=inside)
    if named is not None and claim.holds(named.config, named.uuid):
        return FoundInstance(named)
    renamed = fetch_instance_by_uuid(client, claim.identity)
    if renamed is not None and renamed.name != name and claim.holds(renamed.config, renamed.uuid):
        return FoundInstance(renamed, named)
    return FoundInstance(None, named)


def why_not_owned(client: IncusClient, live: LiveInstance, claim: Claim) -> str:
    """Return why an instance of the name is not the one that a state manages.

    Args:
        client: a client in the instance's project.
        live: the instance as last fetched.
        claim: what the state knows of it.
    """
    where = f"instance {live.name} in project {client.project} at {client.host}"
    owner = live.config.get(OWNER_KEY, "")
    if owner and owner not in claim.owners:
        return f"{where} now belongs to {owner}"
    if claim.identity and live.uuid and claim.identity != live.uuid:
        return f"{where} is not the one that this resource created: another instance has its name"
    known = is_same_or_earlier(live.generation, claim.generation)
    if live.generation and claim.generation and not known:
        return (
            f"{where} was adopted by a later create of this resource (a replacement that created "
            "first), or by a stack with the same name in another backend; or it was restored from "
            "an instance snapshot from before this resource adopted it"
        )
    return (
        f"{where} does not have the ownership label of this resource (its runtime id is "
        f"{live.config.get(RUNTIME_ID_KEY, 'not set')!r}, its owner {owner or 'not set'!r})"
    )


def wait_for_pending_operations(
    client: IncusClient,
    name: str,
    *,
    timeout: float = _BUSY_FOR,
    progress: OnProgress | None = None,
) -> None:
    """Wait until no operation is running on an instance; the result is visible at the instance.

    Args:
        client: a client in the instance's project.
        name: the instance's name.
        timeout: how long to wait for each operation, in seconds. Default: 60.
        progress: called while an operation runs.
    """
    for operation in running_operations(client, name):
        with suppress(OperationError):
            client.wait(
                operation, timeout=timeout, what=f"an operation on {name}", progress=progress
            )


def fetch_after_lost_reply(client: IncusClient, name: str, error: Exception) -> LiveInstance | None:
    """Return the instance after its operations have ended, if the reply to a change was lost.

    Args:
        client: a client in the instance's project.
        name: the instance's name.
        error: the error of the change.
    """
    if isinstance(error, IncusUnreachable) and not error.sent:
        raise error
    try:
        if isinstance(error, LOST_REPLY_ERRORS):
            wait_for_pending_operations(client, name)
        return fetch_instance(client, name)
    except IncusUnreachable:
        # The error of the change is more useful than the error of the fetch.
        raise error from None


def start_instance(
    client: IncusClient, name: str, *, timeout: float, reporter: Reporter, frozen: bool = False
) -> None:
    """Start a stopped instance, or unfreeze a frozen one.

    If the start fails, it is retried once after all operations on the instance have ended: the stop
    of an earlier, interrupted call may have got in its way.

    Args:
        client: a client in the instance's project.
        name: the instance's name.
        timeout: how long Incus may take, in seconds.
        reporter: receives progress and warnings.
        frozen: whether the instance is frozen rather than stopped. Default: False.

    Raises:
        OperationFailed: the instance does not start; the text is Incus's.
    """
    progress = Progress(reporter, f"starting {name}")
    action = "unfreeze" if frozen else "start"
    for again in (True, False):
        try:
            set_power(client, name, action, timeout=timeout, on_progress=progress.operation)
        except (OperationError, *LOST_REPLY_ERRORS) as error:
            # The state of the instance counts, even if the reply was lost or the request was sent
            # twice.
            live = fetch_after_lost_reply(client, name, error)
            if isinstance(error, OperationTimedOut) or live is None:
                raise
            if not live.running:
                if not (again and isinstance(error, OperationFailed)):
                    raise
                wait_for_pending_operations(client, name)
                continue
        return


def make_lasting(client: IncusClient, live: LiveInstance, reporter: Reporter) -> None:
    """Make an ephemeral instance persistent, so that a stop does not delete it.

    Args:
        client: a client in the instance's project.
        live: the instance as last fetched.
        reporter: receives progress and warnings.

    Raises:
        RestartRefused: Incus refuses; nothing was stopped.
    """
    try:
        body = {"description": live.description, "ephemeral": False}
        patch_instance(client, live.name, body, "")
    except IncusError as error:
        raise RestartRefused(
            could_not(
                f"set ephemeral to false for instance {live.name}",
                str(error),
                undone="The instance was not stopped, because Incus deletes an ephemeral instance "
                "when it stops",
            )
        ) from error
    reporter.warn(
        f"instance {live.name} was ephemeral, so that Incus would have deleted it when it stops; "
        "it is no longer ephemeral (ephemeral: false)"
    )


def prepare_stop(
    client: IncusClient, live: LiveInstance, *, timeout: float, reporter: Reporter
) -> None:
    """Prepare an instance for a stop that must not lose anything.

    An ephemeral instance is made persistent. A frozen instance is unfrozen, so that its guest can
    shut down.

    Args:
        client: a client in the instance's project.
        live: the instance as last fetched.
        timeout: how long Incus may take to unfreeze it, in seconds.
        reporter: receives progress and warnings.

    Raises:
        RestartRefused: it is ephemeral and cannot be made persistent; nothing was stopped.
    """
    if live.ephemeral and live.alive:
        make_lasting(client, live, reporter)
    if live.status == FROZEN:
        start_instance(client, live.name, timeout=timeout, reporter=reporter, frozen=True)


def shut_down(
    client: IncusClient, name: str, *, grace: float, timeout: float, reporter: Reporter
) -> None:
    """Ask the guest to shut down, and leave it running if it does not.

    Args:
        client: a client in the instance's project.
        name: the instance's name.
        grace: how long the guest may take, in seconds.
        timeout: how long to wait for the operation, in seconds; at least `grace` + 10 are used.
        reporter: receives progress.

    Raises:
        ReconcileError: the guest did not shut down within `grace` seconds.
    """
    progress = Progress(reporter, f"stopping {name}")
    try:
        set_power(
            client,
            name,
            "stop",
            timeout=max(timeout, grace + 10),
            grace=grace,
            on_progress=progress.operation,
        )
    except (OperationError, BadRequest, *LOST_REPLY_ERRORS) as error:
        live = fetch_after_lost_reply(client, name, error)
        if live is None or not live.alive:
            return
        if isinstance(error, LOST_REPLY_ERRORS):
            raise
        is_machine = live.instance_type == "virtual-machine"
        held = ". Until it has stopped, Incus may refuse all other changes of it" * is_machine
        raise ReconcileError(
            Message(
                f"instance {name} did not shut down within {grace:g} s ({error}); it was not "
                "killed, because that can lose data. Check what delays its shutdown, raise "
                f"timeouts.stop, or stop it with `incus stop --project {client.project} {name}`"
                f"{held}",
                TIMED_OUT,
            )
        ) from error


def kill_instance(client: IncusClient, name: str) -> None:
    """Stop an instance at once, without a shutdown of its guest."""
    try:
        set_power(client, name, "stop", timeout=_KILL_TIMEOUT, force=True)
    except (OperationError, BadRequest, *LOST_REPLY_ERRORS) as error:
        live = fetch_after_lost_reply(client, name, error)
        if live is not None and live.alive:
            raise


def remove_instance(client: IncusClient, name: str, *, timeout: float) -> None:
    """Delete a stopped instance; an instance that is already missing counts as deleted.

    An instance that is busy, for example after an interrupted create, is retried for a while.

    Args:
        client: a client in the instance's project.
        name: the instance's name.
        timeout: how long Incus may take, in seconds.
    """
    deadline = time.monotonic() + min(timeout, _BUSY_FOR)
    while True:
        try:
            delete_instance(client, name, timeout=timeout)
        except NotFound:
            return
        except (OperationFailed, OperationLost, BadRequest, IncusUnreachable) as error:
            if fetch_instance(client, name) is None:
                return
            if isinstance(error, BadRequest) and "running" in error.reason.lower():
                kill_instance(client, name)
            elif "busy" not in str(error).lower() and not isinstance(
                error, OperationLost | IncusUnreachable
            ):
                raise
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)
        else:
            return
