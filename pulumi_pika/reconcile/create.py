"""Makes a runtime: volumes, instance, start, wait; or takes back all of it."""

import secrets
import time
from contextlib import suppress
from typing import Final

from ..incus.client import IncusClient
from ..incus.errors import (
    AlreadyExists,
    IncusApiError,
    IncusError,
    IncusUnreachable,
    OperationError,
    OperationLost,
    UnexpectedResponse,
)
from ..incus.instances import create_instance, running_operations
from ..incus.storage import create_volume, delete_volume, get_volume
from ..planner.plan import IncusRuntimePlan
from .desired import ATTEMPT_KEY, OWNER_KEY, RUNTIME_ID_KEY, DesiredInstance
from .errors import InstanceExists, ReconcileError, RuntimeFailed
from .observe import LiveInstance
from .options import RuntimeOptions
from .placement import Placement, place
from .power import kill, look, remove
from .reporter import Progress, Reporter
from .undo import Undo
from .wait import wait_for

_APPEARS_WITHIN: Final = 3.0
"""Seconds for which an instance is looked for whose creation got no answer."""


def create_runtime(
    client: IncusClient, plan: IncusRuntimePlan, options: RuntimeOptions, reporter: Reporter
) -> tuple[DesiredInstance, LiveInstance]:
    """Makes the runtime; returns what it was made to be, and what it is.

    Args:
        client: a client in the plan's project.
        plan: the plan.
        options: the options.
        reporter: takes progress and warnings.

    Raises:
        InstanceExists: there is an instance of that name; nothing was touched.
        RuntimeFailed: it failed, and everything that it had made is gone again (or the message
            names what is not).
        ReconcileError, IncusError: it failed before anything was made.
    """
    if existing := look(client, plan.identity.instance_name):
        raise InstanceExists(_exists(client, existing))
    placement = place(client, plan, options)
    for warning in placement.warnings:
        reporter.warn(warning)
    undo = Undo(reporter)
    try:
        make_volumes(client, placement, undo, reporter)
        live = _make_instance(client, placement.desired, undo, reporter)
    except (IncusError, ReconcileError) as error:
        outcome = undo.run()
        if isinstance(error, InstanceExists) and outcome == "Nothing had been made.":
            raise
        raise RuntimeFailed(f"{_explain(error, placement.desired)} {outcome}") from error
    except BaseException:
        undo.run()
        raise
    return placement.desired, live


def make_volumes(client: IncusClient, placement: Placement, undo: Undo, reporter: Reporter) -> None:
    """Makes the custom volumes that are missing, each with marks that say whose it is."""
    desired = placement.desired
    pool = desired.pool or ""
    attempt = secrets.token_hex(8)
    marks = {
        RUNTIME_ID_KEY: desired.plan.identity.runtime_id,
        ATTEMPT_KEY: attempt,
        **({OWNER_KEY: desired.options.owner} if desired.options.owner else {}),
    }
    for name in placement.missing_volumes:

        def take_back(name: str = name) -> bool:
            volume = get_volume(client, pool, name)
            if volume is None or volume.data.get("config", {}).get(ATTEMPT_KEY) != attempt:
                return False
            delete_volume(client, pool, name)
            return True

        undo.push(f"volume {name} in pool {pool}", take_back)
        # Made by somebody else since it was looked for: then it is there, and theirs.
        with suppress(AlreadyExists):
            create_volume(client, pool, name, description=f"data of {desired.name}", config=marks)
            reporter.info(f"made volume {name} in pool {pool} (project {client.project})")


def _make_instance(
    client: IncusClient, desired: DesiredInstance, undo: Undo, reporter: Reporter
) -> LiveInstance:
    attempt = secrets.token_hex(8)
    name = desired.name
    undo.push(f"instance {name}", lambda: _remove_attempt(client, name, attempt))
    what = f"making {name}"
    progress = Progress(reporter, what)
    try:
        operation = create_instance(client, desired.creation(attempt))
        client.wait(
            operation,
            timeout=desired.options.timeouts.create,
            what=what,
            progress=progress.operation,
        )
    except AlreadyExists:
        other = look(client, name)
        if other is None:
            raise
        raise InstanceExists(_exists(client, other)) from None
    except (IncusUnreachable, OperationLost, UnexpectedResponse) as error:
        # The answer is lost, not the instance: look whether ours is there and as it should be.
        if isinstance(error, IncusUnreachable) and not error.sent:
            raise
        live = _find_attempt(client, name, attempt)
        if live is None:
            raise
        for operation in running_operations(client, name):
            client.wait(
                operation,
                timeout=desired.options.timeouts.create,
                what=what,
                progress=progress.operation,
            )
        live = look(client, name)
        if live is None or (desired.options.running and not live.running):
            raise
    waited = wait_for(client, desired, reporter) if desired.options.running else None
    live = waited or look(client, name)
    if live is None:
        raise ReconcileError(f"{name} was made, and is gone again: somebody removed it meanwhile")
    return live


def _find_attempt(client: IncusClient, name: str, attempt: str) -> LiveInstance | None:
    """The instance that this attempt made, which may take a moment to appear."""
    deadline = time.monotonic() + _APPEARS_WITHIN
    while True:
        live = look(client, name)
        if live is not None:
            return live if live.config.get(ATTEMPT_KEY) == attempt else None
        if time.monotonic() > deadline:
            return None
        time.sleep(0.2)


def _remove_attempt(client: IncusClient, name: str, attempt: str) -> bool:
    """Removes the instance if this attempt made it, and no other of that name."""
    live = look(client, name)
    if live is None or live.config.get(ATTEMPT_KEY) != attempt:
        return False
    if live.running:
        kill(client, name)
    remove(client, name, timeout=120)
    return True


def _exists(client: IncusClient, live: LiveInstance) -> str:
    owner = live.config.get(OWNER_KEY)
    return (
        f"an instance {live.name} exists in project {live.project or client.project} at "
        f"{client.host} ({live.instance_type}, {live.status}, made {live.raw.get('created_at')}"
        f"{f', by {owner}' if owner else ', not by pulumi_pika'}); nothing of it was touched. "
        f"Choose another identity.instance_name, or remove it: "
        f"`incus delete --project {client.project} {live.name}`"
    )


def _explain(error: Exception, desired: DesiredInstance) -> str:
    plan = desired.plan
    text = str(error).rstrip(". ")
    reason = error.reason if isinstance(error, IncusApiError | OperationError) else ""
    if "image" in reason.lower() and "not found" in reason.lower():
        text += (
            f"; is there an image with the alias {plan.incus.image_alias} in project "
            f"{plan.incus.project}? See `incus image list --project {plan.incus.project}`"
        )
    return f"{desired.name} could not be made: {text}."
