"""Starts and stops instances, and removes them."""

import time
from typing import Final

from ..incus.client import IncusClient
from ..incus.errors import (
    BadRequest,
    IncusUnreachable,
    NotFound,
    OperationError,
    OperationFailed,
    OperationLost,
    OperationTimedOut,
)
from ..incus.instances import delete_instance, find_instance, get_instance, set_power
from .errors import ReconcileError
from .observe import LiveInstance
from .reporter import Progress, Reporter

_KILL_TIMEOUT: Final = 60.0
_BUSY_FOR: Final = 60.0


def look(client: IncusClient, name: str) -> LiveInstance | None:
    """The instance as it is now, or None."""
    entity = get_instance(client, name)
    return LiveInstance.of(entity.data, entity.etag) if entity else None


def find_renamed(client: IncusClient, uuid: str) -> LiveInstance | None:
    """The instance with an id, whatever its name is now; None without one."""
    entity = find_instance(client, uuid) if uuid else None
    return LiveInstance.of(entity.data, entity.etag) if entity else None


def start(
    client: IncusClient, name: str, *, timeout: float, reporter: Reporter, frozen: bool = False
) -> None:
    """Starts a stopped instance, or has a frozen one go on.

    Raises:
        OperationFailed: it does not start; the text is Incus's.
    """
    progress = Progress(reporter, f"starting {name}")
    action = "unfreeze" if frozen else "start"
    try:
        set_power(client, name, action, timeout=timeout, on_progress=progress.operation)
    except OperationError as error:
        # The outcome counts, not the answer that got lost or that came twice.
        live = look(client, name)
        if isinstance(error, OperationTimedOut) or live is None or not live.running:
            raise


def stop_gently(
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
    except (OperationError, BadRequest) as error:
        live = look(client, name)
        if live is None or not live.running:
            return
        raise ReconcileError(
            f"{name} did not shut down within {grace:g} s ({error}); it was not killed, since "
            "that can lose data: see what keeps it, raise timeouts.stop, "
            f"or stop it yourself with `incus stop --project {client.project} {name}`"
        ) from error


def kill(client: IncusClient, name: str) -> None:
    """Stops an instance at once."""
    try:
        set_power(client, name, "stop", timeout=_KILL_TIMEOUT, force=True)
    except (OperationError, BadRequest):
        live = look(client, name)
        if live is not None and live.running:
            raise


def remove(client: IncusClient, name: str, *, timeout: float) -> None:
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
            if look(client, name) is None:
                return
            if isinstance(error, BadRequest) and "running" in error.reason.lower():
                kill(client, name)
            elif "busy" not in str(error).lower() and not isinstance(
                error, OperationLost | IncusUnreachable
            ):
                raise
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)
        else:
            return
