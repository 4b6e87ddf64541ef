"""Undo the changes that a failed adoption made to an instance."""

from ...incus.client import IncusClient
from ...incus.instances import replace_instance
from ..shared.errors import ReconcileError
from ..shared.reporter import Reporter
from .changes import Changes
from .lifecycle import (
    fetch_instance,
    kill_instance,
    shut_down,
    start_instance,
)
from .live_instance import LiveInstance
from .runtime_options import Timeouts

_VOLATILE = "volatile."


def restore_adopted(
    client: IncusClient, before: LiveInstance, timeouts: Timeouts, reporter: Reporter
) -> bool:
    """Restore an instance's config, devices, profiles, description and power state.

    Args:
        client: a client for the instance's project and cluster member.
        before: the instance as it was before its adoption.
        timeouts: the time limits for the guest's shutdown and for changes by Incus.
        reporter: receives progress.

    Returns:
        Whether anything of it had been changed.

    Raises:
        IncusError, ReconcileError: it could not be restored.
    """
    name = before.name
    now = fetch_instance(client, name)
    if now is None or (now.etag == before.etag and now.status == before.status):
        return False
    if now.alive and not before.alive:
        try:
            shut_down(client, name, grace=timeouts.stop, timeout=timeouts.update, reporter=reporter)
        except ReconcileError:
            kill_instance(client, name)
        now = fetch_instance(client, name) or now
    if now.etag != before.etag:
        # The values that Incus itself maintains have changed since then.
        config = {k: v for k, v in before.config.items() if not k.startswith(_VOLATILE)}
        config |= {k: v for k, v in now.config.items() if k.startswith(_VOLATILE)}
        body = {**Changes().whole(before), "config": config}
        replace_instance(client, name, body, now.etag, timeout=timeouts.update)
    if before.running and not now.running:
        start_instance(
            client,
            name,
            timeout=timeouts.update,
            reporter=reporter,
            frozen=now.alive,
        )
    return True
