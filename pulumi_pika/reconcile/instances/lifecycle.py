"""Starts and stops instances, and removes them."""

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
"""A change may have been carried out all the same: look."""


def fetch_instance(client: IncusClient, name: str, *, inside: bool = True) -> LiveInstance | None:
    """The instance as it is now, or None.

    Args:
        client: a client in its project.
        name: its name.
        inside: whether its addresses and processes are looked at too, for which the server
            enters the guest. Without that, Incus 6.0.4 shows a container that is ending as one that
            runs.
    """
    entity = get_instance(client, name, state=inside)
    return LiveInstance.of(entity.data, entity.etag) if entity else None


def fetch_instance_by_uuid(client: IncusClient, uuid: str) -> LiveInstance | None:
    """The instance with an id, whatever its name is now; None without one."""
    entity = find_instance(client, uuid) if uuid else None
    return LiveInstance.of(entity.data, entity.etag) if entity else None


@dataclass(frozen=True, slots=True)
class FoundInstance:
    """What a search for a resource's own instance found."""

    live: LiveInstance | None
    """The resource's own instance, whatever its name is now."""
    other: LiveInstance | None = None
    """The instance that has the name and is not the resource's own."""


def find_owned_instance(
    client: IncusClient, name: str, claim: Claim, *, inside: bool = True
) -> FoundInstance:
    """Find the instance that a state manages: by its name, and by its uuid if another instance,
    or none, has the name.

    Args:
        client: a client in the instance's project.
        name: the name that it was given.
        claim: what the state knows of it.
        inside: see `look`.
    """
    named = fetch_instance(client, name, inside=inside)
    if named is not None and claim.holds(named.config, named.uuid):
        return FoundInstance(named)
    renamed = fetch_instance_by_uuid(client, claim.identity)
    if renamed is not None and renamed.name != name and claim.holds(renamed.config, renamed.uuid):
        return FoundInstance(renamed, named)
    return FoundInstance(None, named)


def why_not_owned(client: IncusClient, live: LiveInstance, claim: Claim) -> str:
    """Say why an instance of the name is not the one that a state manages."""
    where = f"the instance {live.name} in project {client.project} at {client.host}"
    owner = live.config.get(OWNER_KEY, "")
    if owner and owner not in claim.owners:
        return f"{where} is owned by {owner} now"
    if claim.identity and live.uuid and claim.identity != live.uuid:
        return f"{where} is not the one that this resource made (another has its name)"
    known = is_same_or_earlier(live.generation, claim.generation)
    if live.generation and claim.generation and not known:
        return (
            f"{where} was taken over since: by a later create of this resource (a replacement "
            "that created first), or by a stack of the same name in another backend; or it was "
            "restored from an instance snapshot of before this resource took it over"
        )
    return (
        f"{where} does not carry the marks of this resource (its runtime id is "
        f"{live.config.get(RUNTIME_ID_KEY, 'not set')!r}, its owner {owner or 'not set'!r})"
    )


def wait_for_pending_operations(
    client: IncusClient,
    name: str,
    *,
    timeout: float = _BUSY_FOR,
    progress: OnProgress | None = None,
) -> None:
    """Waits until nothing goes on at an instance; what became of it is seen at the instance."""
    for operation in running_operations(client, name):
        with suppress(OperationError):
            client.wait(
                operation, timeout=timeout, what=f"the work going on at {name}", progress=progress
            )


def fetch_after_lost_reply(client: IncusClient, name: str, error: Exception) -> LiveInstance | None:
    """The instance once nothing goes on at it, after a change whose answer was lost."""
    if isinstance(error, IncusUnreachable) and not error.sent:
        raise error
    try:
        if isinstance(error, LOST_REPLY_ERRORS):
            wait_for_pending_operations(client, name)
        return fetch_instance(client, name)
    except IncusUnreachable:
        # What could not be done says more than that it could not be looked at.
        raise error from None


def start_instance(
    client: IncusClient, name: str, *, timeout: float, reporter: Reporter, frozen: bool = False
) -> None:
    """Starts a stopped instance, or has a frozen one go on.

    A start that fails is tried once more when nothing goes on at the instance any more: the stop of
    an earlier call, which was cut off, may have got in its way.

    Raises:
        OperationFailed: it does not start; the text is Incus's.
    """
    progress = Progress(reporter, f"starting {name}")
    action = "unfreeze" if frozen else "start"
    for again in (True, False):
        try:
            set_power(client, name, action, timeout=timeout, on_progress=progress.operation)
        except (OperationError, *LOST_REPLY_ERRORS) as error:
            # The outcome counts, not the answer that got lost or that came twice.
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
    """Make an ephemeral instance a lasting one, so that a stop does not delete it.

    Raises:
        RestartRefused: Incus refuses; nothing was stopped.
    """
    try:
        body = {"description": live.description, "ephemeral": False}
        patch_instance(client, live.name, body, "")
    except IncusError as error:
        raise RestartRefused(
            f"{live.name} is ephemeral: Incus deletes it when it stops, and it could not be made "
            f"lasting ({error}). It was not stopped"
        ) from error
    reporter.warn(
        f"{live.name} was ephemeral, which means that Incus deletes it when it stops; it is "
        "lasting now (ephemeral: false)"
    )


def prepare_stop(
    client: IncusClient, live: LiveInstance, *, timeout: float, reporter: Reporter
) -> None:
    """Prepare an instance for a stop that is not to lose anything: an ephemeral one is made
    lasting, and a frozen one goes on, so that its guest can shut down.

    Raises:
        RestartRefused: it is ephemeral and cannot be made lasting; nothing was stopped.
    """
    if live.ephemeral and live.alive:
        make_lasting(client, live, reporter)
    if live.status == FROZEN:
        start_instance(client, live.name, timeout=timeout, reporter=reporter, frozen=True)


def shut_down(
    client: IncusClient, name: str, *, grace: float, timeout: float, reporter: Reporter
) -> None:
    """Asks the guest to shut down, and leaves it running where it does not.

    Raises:
        ReconcileError: it did not shut down in `grace` seconds.
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
        held = ". Until it has stopped, Incus may refuse every other change of it" * is_machine
        raise ReconcileError(
            f"{name} did not shut down within {grace:g} s ({error}); it was not killed, since "
            "that can lose data: see what keeps it, raise timeouts.stop, "
            f"or stop it yourself with `incus stop --project {client.project} {name}`{held}"
        ) from error


def kill_instance(client: IncusClient, name: str) -> None:
    """Stops an instance at once."""
    try:
        set_power(client, name, "stop", timeout=_KILL_TIMEOUT, force=True)
    except (OperationError, BadRequest, *LOST_REPLY_ERRORS) as error:
        live = fetch_after_lost_reply(client, name, error)
        if live is not None and live.alive:
            raise


def remove_instance(client: IncusClient, name: str, *, timeout: float) -> None:
    """Removes a stopped instance; one that is gone already is removed as well.

    An instance that is busy, as one whose making was cut off, is tried again for a while.
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
