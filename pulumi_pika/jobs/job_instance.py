"""Create and delete the temporary instance of a job, and find it again after a killed run."""

import os
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ..incus.catalog import image_fingerprint
from ..incus.client import IncusClient
from ..incus.errors import IncusError, NotFound
from ..incus.instances import patch_instance, running_operations
from ..message_templates import IN_USE, Message, could_not, exists, missing, other_owner
from ..planner.plan import IncusRuntimePlan
from ..reconcile.instances.create import create_and_start, explain_failure
from ..reconcile.instances.data_volumes import claim_volumes, create_volumes
from ..reconcile.instances.lifecycle import (
    fetch_instance,
    kill_instance,
    remove_instance,
    wait_for_pending_operations,
)
from ..reconcile.instances.live_instance import LiveInstance
from ..reconcile.instances.location import select_member_for_volumes
from ..reconcile.instances.placement import resolve_placement
from ..reconcile.instances.runtime_options import (
    JOB_KEPT,
    JOB_KEY,
    RuntimeOptions,
)
from ..reconcile.shared.errors import (
    InstanceExists,
    PlacementError,
    ReconcileError,
    RuntimeFailed,
)
from ..reconcile.shared.ownership import (
    OWNER_KEY,
    relation,
    renamed_hint,
)
from ..reconcile.shared.reporter import Progress, Reporter
from ..reconcile.shared.undo import Undo
from .job_errors import JobInstanceTaken
from .retry_transport import retry_transport

_PAUSES: Final = (0.5, 2.0)
"""Seconds before a failed delete is tried again."""
_APPEARS_WITHIN: Final = 1.0
"""Seconds for which an instance is searched for if its create was interrupted."""


@dataclass(frozen=True, slots=True)
class JobInstance:
    """An instance that was created for one attempt."""

    client: IncusClient
    """A client for the cluster member of the instance."""
    live: LiveInstance


def find_image(client: IncusClient, plan: IncusRuntimePlan) -> str:
    """Return the fingerprint of the image that the plan's image alias points to.

    Args:
        client: A client in the plan's project.
        plan: The plan.

    Raises:
        PlacementError: The image does not exist; nothing was created.
    """
    alias = plan.incus.image_alias
    try:
        return image_fingerprint(client, alias)
    except NotFound as error:
        raise PlacementError(
            missing(
                f"incus.image_alias: image {alias}",
                f"in project {client.project} at {client.host}",
                f"`incus image list --project {client.project}` lists the images",
            )
        ) from error


def remove_dead(
    client: IncusClient,
    plan: IncusRuntimePlan,
    owner: str,
    reporter: Reporter,
    *,
    backend: str = "",
) -> None:
    """Delete the instance that an earlier run of the job left behind.

    Args:
        client: A client in the plan's project.
        plan: The plan, which has the name of the instance.
        owner: The owner of the job's instance.
        reporter: Receives progress.
        backend: The digest of the Pulumi backend; empty without one.

    Raises:
        JobInstanceTaken: The instance has another owner, or its run is still active. It was not
            changed.
    """
    name = plan.identity.instance_name
    live = fetch_instance(client, name, inside=False)
    if live is None:
        return
    if reason := refuse_existing(client, live, owner, backend):
        raise JobInstanceTaken(reason)
    reporter.info(f"deleting instance {name}, which an earlier run of this job left behind")
    remove_job_instance(client, live, reporter)


def refuse_existing(client: IncusClient, live: LiveInstance, owner: str, backend: str = "") -> str:
    """Return why an instance with the job's name is not deleted; empty if the job left it behind.

    Args:
        client: A client in the instance's project.
        live: The instance.
        owner: The owner of the job's instance.
        backend: The digest of the Pulumi backend; empty without one.
    """
    name = live.name
    if not belongs_to(live, owner, backend):
        holder = live.config.get(OWNER_KEY, "")
        hint = renamed_hint(owner, holder)
        where = f"in project {client.project} at {client.host}"
        advice = (
            "it was not changed. Use another instance name. If the instance and its data are not "
            f"needed, delete it: `incus delete --force --project {client.project} {name}`"
            + (f". {hint}" if hint else "")
        )
        if holder:
            return other_owner(f"identity.instance_name: instance {name} {where}", holder, advice)
        return exists(f"identity.instance_name: instance {name}", where, advice)
    runner = live.config.get(JOB_KEY, "")
    if _runs_still(runner):
        return Message(
            f"job {name} is already running in process {runner.split()[1]} on this machine; "
            "nothing was changed. Wait until it ends, or end that process",
            IN_USE,
        )
    return ""


def belongs_to(live: LiveInstance, owner: str, backend: str = "") -> bool:
    """Return whether the ownership label of an instance names the job of this owner."""
    return JOB_KEY in live.config and relation(live.config, owner, backend) == "ours"


def create_job_instance(
    client: IncusClient,
    plan: IncusRuntimePlan,
    runtime: RuntimeOptions,
    fingerprint: str,
    reporter: Reporter,
) -> JobInstance:
    """Create and start the instance from exactly the image with that fingerprint.

    Args:
        client: A client in the plan's project.
        plan: The plan.
        runtime: The options of the instance.
        fingerprint: The fingerprint of the image.
        reporter: Receives progress.

    Raises:
        JobInstanceTaken: Another client created an instance of that name in the meantime.
        RuntimeFailed: The create failed. What was created is deleted again, or the message names
            what is left.
        ReconcileError, IncusError: The create failed before anything was created.
    """
    placement = resolve_placement(client, plan, runtime)
    for warning in placement.warnings:
        reporter.warn(warning)
    client = select_member_for_volumes(client, placement)
    desired = placement.desired
    # Restarts are decided by the job, which uses a new instance for each attempt.
    config = {**desired.config, "boot.autorestart": "false", JOB_KEY: _this_process()}
    config.pop("boot.autostart", None)
    desired = replace(desired, config=config, image=fingerprint)
    undo = Undo(reporter)
    waiting = retry_transport(client)
    try:
        create_volumes(waiting, desired, placement.missing_volumes, undo, reporter)
        claim_volumes(waiting, desired, placement.claimed_volumes)
        try:
            live = create_and_start(waiting, desired, undo, reporter)
        except InstanceExists:
            # A killed run may have requested this instance, which appeared only now.
            remove_dead(waiting, plan, runtime.owner, reporter, backend=runtime.backend)
            live = create_and_start(waiting, desired, undo, reporter)
        return JobInstance(client, live)
    except JobInstanceTaken:
        undo.run()
        raise
    except (IncusError, ReconcileError) as error:
        outcome = undo.run()
        raise RuntimeFailed(explain_failure(error, desired, outcome)) from error
    except BaseException:
        # If the reply was not waited for, the caller deletes what the request created.
        undo.run()
        raise


def remove_interrupted(
    client: IncusClient, name: str, runtime: RuntimeOptions, reporter: Reporter
) -> None:
    """Delete the instance of a `create_job_instance` that was interrupted, or had just ended then.

    The request may not have been answered yet, so the instance is waited for briefly. Only an
    instance whose ownership label names this job and this process is deleted.
    """
    with suppress(IncusError, ReconcileError):
        deadline = time.monotonic() + _APPEARS_WITHIN
        while time.monotonic() < deadline or running_operations(client, name):
            live = fetch_instance(client, name, inside=False)
            if live is not None:
                if (
                    belongs_to(live, runtime.owner, runtime.backend)
                    and live.config[JOB_KEY] == _this_process()
                ):
                    remove_job_instance(client, live, reporter)
                return
            time.sleep(0.1)


def remove_job_instance(client: IncusClient, live: LiveInstance, reporter: Reporter) -> None:
    """Kill and delete the instance of a job, and no other instance of that name.

    Args:
        client: The client.
        live: The instance as it was just fetched.
        reporter: Takes progress.

    Raises:
        RuntimeFailed: The instance could not be deleted.
    """
    name = live.name
    progress = Progress(reporter, f"deleting {name}")
    here: LiveInstance | None = live
    for pause in (*_PAUSES, None):
        try:
            here = here or fetch_instance(client, name, inside=False)
            if here is None or here.uuid != live.uuid:
                return
            with suppress(ReconcileError):
                _stop(client, here, progress)
            here = fetch_instance(client, name, inside=False)
            if here is not None and here.uuid == live.uuid:
                remove_instance(client, name, timeout=300)
            return
        except IncusError as error:
            # Each step can be repeated, and no failure is a reason to leave the instance behind.
            if pause is None:
                raise RuntimeFailed(
                    could_not(
                        f"delete instance {name} in project {client.project}",
                        str(error),
                        advice="The next run of the job deletes it. To delete it now: "
                        f"`incus delete --force --project {client.project} {name}`",
                    )
                ) from error
            progress.tick(f"retrying after: {error}")
            time.sleep(pause)
            here = None


def retain_job_instance(client: IncusClient, live: LiveInstance, *, until_stopped: bool) -> None:
    """Retain the instance of a job that has ended.

    Args:
        client: The client.
        live: The instance.
        until_stopped: Whether the server itself deletes the instance as soon as it stops (Incus
            doc/explanation/instances.md: ephemeral).

    Raises:
        IncusError: The instance could not be changed.
    """
    body = {"description": live.description, "config": {JOB_KEY: JOB_KEPT}}
    patch_instance(client, live.name, {**body, "ephemeral": until_stopped}, "")


def pass_on(client: IncusClient, live: LiveInstance, owner: str) -> None:
    """Write the URN of a job's resource to its retained instance, if the resource was renamed.

    Args:
        client: A client in the instance's project.
        live: The instance, which the resource owns.
        owner: The URN.

    Raises:
        IncusError: The URN could not be written.
    """
    if owner and live.config.get(OWNER_KEY) != owner:
        body = {"description": live.description, "config": {OWNER_KEY: owner}}
        patch_instance(client, live.name, body, "")


def _stop(client: IncusClient, live: LiveInstance, progress: Progress) -> None:
    if live.status != "Stopped":
        kill_instance(client, live.name)
    elif JOB_KEY in live.config:
        # A killed run may have left an instance that is still being created.
        wait_for_pending_operations(client, live.name, progress=progress.operation)


def _this_process() -> str:
    """Return a string by which another process on this machine can tell whether this process
    runs."""
    return f"{socket.gethostname()} {os.getpid()} {_started(os.getpid())}"


def _runs_still(runner: str) -> bool:
    host, _, rest = runner.partition(" ")
    pid, _, started = rest.partition(" ")
    if host != socket.gethostname() or not pid.isdigit():
        return False
    return int(pid) != os.getpid() and bool(started) and _started(int(pid)) == started


def _started(pid: int) -> str:
    """Return when a process started, in ticks since boot; empty if there is none (proc(5), stat).

    A process that has ended but was not reaped by its parent counts as no process.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state in ("Z", "X") else fields[18]
