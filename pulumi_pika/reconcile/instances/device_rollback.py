"""Restore the devices of a running instance after a change of them failed halfway.

Incus unplugs the old devices before it plugs in the new ones. If a new device fails, Incus restores
its own config, but not the devices of the guest (6.0.4, `devicesUpdate` of the drivers).
"""

import re
from typing import Any, Final

from ...incus.client import IncusClient
from ...incus.errors import (
    IncusApiError,
    IncusError,
    OperationFailed,
)
from ...incus.instances import replace_instance
from .changes import Changes
from .lifecycle import fetch_instance
from .live_instance import LiveInstance
from .runtime_options import RuntimeOptions

_HALF_WAY: Final = re.compile(r'failed to (add|start|update|remove|stop) device "([^"]*)"', re.I)
"""How Incus reports the device, and the step, at which a change of the devices failed."""


def restore_devices(
    client: IncusClient,
    before: LiveInstance,
    changes: Changes,
    error: IncusApiError | OperationFailed,
    options: RuntimeOptions,
) -> str:
    """Attach the old devices again; return a sentence on the outcome.

    Args:
        client: the client.
        before: the running instance as it was before the change.
        changes: the change that failed.
        error: the error of the change.
        options: the options; they have the time limit.

    Returns:
        An empty string if nothing had been unplugged.
    """
    found = _HALF_WAY.search(error.reason)
    old = [name for name in (*changes.devices, *changes.removed_devices) if name in before.devices]
    if found and found[1].lower() == "stop":
        # A device that cannot be unplugged is still plugged in.
        old = [name for name in old if name != found[2]]
    if not found or not old:
        return ""
    named = f"device{'s' if len(old) > 1 else ''} {', '.join(old)}"
    unplugged = False
    try:
        now = fetch_instance(client, before.name)
        if now is None or not now.running:
            return ""
        kept = {name: device for name, device in now.devices.items() if name not in old}
        _put(client, now, kept, options)
        unplugged = True
        now = fetch_instance(client, before.name)
        if now is None:
            return ""
        back = {**now.devices, **{name: before.devices[name] for name in old}}
        _put(client, now, back, options)
    except IncusError as failure:
        if unplugged:
            return (
                f"The earlier {named} could not be attached again ({failure}), and {before.name} "
                "runs without; `pulumi up --refresh` attaches what is missing"
            )
        return (
            f"The {named} of the running {before.name} may be detached although its config has "
            f"them, and could not be attached again ({failure}): restart it (change "
            f"`restart_triggers`, or run `incus restart --project {client.project} {before.name}`)"
        )
    return f"The earlier {named} of the running {before.name} was attached again"


def _put(
    client: IncusClient,
    live: LiveInstance,
    devices: dict[str, dict[str, str]],
    options: RuntimeOptions,
) -> None:
    body: dict[str, Any] = {**Changes().whole(live), "devices": devices}
    replace_instance(client, live.name, body, live.etag, timeout=options.timeouts.update)
