"""Restore a volume from a snapshot: stop its instances, restore, and start them again.

A config key of the volume records the instances to start again before anything is stopped. So the
next restore finishes an interrupted one.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ...incus.client import IncusClient, url
from ...incus.errors import (
    IncusError,
    IncusUnreachable,
    UnexpectedResponse,
)
from ...incus.storage import (
    NEVER,
    list_snapshots,
    patch_volume,
    pool_driver,
    restore_volume,
)
from ...message_templates import could_not, missing
from ..instances.lifecycle import (
    fetch_instance,
    shut_down,
    start_instance,
)
from ..instances.live_instance import LiveInstance
from ..instances.runtime_options import JOB_KEPT, JOB_KEY
from ..shared.errors import (
    ReconcileError,
    RestoreFailed,
    RestoreRefused,
    SnapshotMissing,
    VolumeGone,
)
from ..shared.ownership import MARK_PREFIX, RUNTIME_ID_KEY
from ..shared.reporter import Progress, Reporter
from .snapshot import take_snapshot
from .volume import (
    RESTORED_KEY,
    SAFETY_KEY,
    LiveVolume,
    fetch_volume,
    retry_on_conflict,
    users,
)
from .volume_options import (
    SnapshotOptions,
    SnapshotTimeouts,
    VolumeOptions,
)

RESTORING_KEY: Final = MARK_PREFIX + "restoring"
"""The key of a JSON value: the steps that a running restore still has to take."""
SAFETY_PREFIX: Final = "pika-before-"

_ONLY_NEWEST: Final = frozenset({"zfs", "linstor", "truenas"})
"""Drivers that can only go back to the newest snapshot.

They refuse an older one, or delete the snapshots after it (`CanRestoreVolume` in Incus's storage
drivers).
"""
_START_TIMEOUT: Final = 120.0
_POLL: Final = 0.2

InstanceRef = tuple[str, str]
"""The project and the name of an instance."""


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """Describe a restore that can start."""

    snapshot: str
    safety_snapshot: str
    """The name of the snapshot to take first; empty for none."""
    stop: list[InstanceRef] = field(default_factory=list)
    """The running instances that use the volume."""
    start: list[InstanceRef] = field(default_factory=list)
    """The instances to start afterwards.

    They are the same, and those that an interrupted restore stopped.
    """

    def text(self, options: VolumeOptions) -> str:
        """Return a human-readable description of the steps."""
        steps = [f"the {options.where} will be restored from its snapshot {self.snapshot}"]
        if self.stop:
            steps.append(f"stops {_names(self.stop)} first")
        else:
            steps.append("no running instance uses it")
        if self.safety_snapshot:
            steps.append(
                f"takes snapshot {SAFETY_PREFIX}{_core(self.snapshot)}-<time> before, so that "
                "restore_from can undo it"
            )
        else:
            steps.append(
                "takes NO snapshot before (snapshot_before_restore is off): all data written "
                f"since {self.snapshot} is LOST"
            )
        if self.start:
            steps.append(f"starts {_names(self.start)} again afterwards")
        return "; ".join(steps)


def plan_restore(
    client: IncusClient, live: LiveVolume, options: VolumeOptions
) -> RestorePlan | None:
    """Return the steps for `restore_from`; None if it is already restored. Nothing is changed.

    Args:
        client: a client in the volume's project.
        live: the volume as last fetched.
        options: the desired volume.

    Raises:
        SnapshotMissing: the snapshot does not exist.
        RestoreRefused: an instance that uses the volume cannot be stopped and started, or the
            storage driver would delete other snapshots.
        IncusError: the server could not be asked.
    """
    snapshot = options.restore_from
    if snapshot is None or live.restored == snapshot:
        return None
    snapshots = list_snapshots(client, live.pool, live.name)
    names = [str(data["name"]) for data in snapshots]
    if snapshot not in names:
        raise SnapshotMissing(
            missing(
                f"snapshot {snapshot} of {options.where}",
                f"at {client.host}",
                f"it has these snapshots: {', '.join(names) or 'none'}. Nothing was changed",
            )
        )
    safety = ""
    if options.snapshot_before_restore:
        # A new safety snapshot is taken even if an interrupted restore has taken one: data may have
        # been written since.
        safety = safety_name(snapshot, datetime.now(UTC), names)
    _refuse_lossy(client, live, options, snapshot, names)
    problems, running = [], []
    for ref, instance in find_users(client, live):
        if instance.status != "Stopped" and instance.config.get(JOB_KEY, JOB_KEPT) != JOB_KEPT:
            problems.append(
                f"{_name(ref)} runs the job of runtime "
                f"{instance.config.get(RUNTIME_ID_KEY, 'unknown')}, which a stop would end: wait "
                "until the job has ended"
            )
        elif instance.raw.get("ephemeral") and instance.status != "Stopped":
            problems.append(f"{_name(ref)} is ephemeral: a stop would delete it")
        elif instance.running:
            running.append(ref)
        elif instance.status != "Stopped":
            problems.append(f"{_name(ref)} is {instance.status}: start or stop it first")
    if problems:
        raise RestoreRefused(
            could_not(
                f"restore the {options.where} now",
                "; ".join(problems),
                undone="Nothing was changed",
            )
        )
    interrupted = _interrupted_restore(live)
    earlier = [ref for ref in (interrupted.start if interrupted else []) if ref not in running]
    return RestorePlan(snapshot, safety, stop=running, start=running + earlier)


def find_users(client: IncusClient, live: LiveVolume) -> list[tuple[InstanceRef, LiveInstance]]:
    """Return the instances that use a volume, directly or through a profile."""
    refs: dict[InstanceRef, None] = {}
    for kind, name, project in users(live.used_by):
        if kind == "instance":
            refs[project, name] = None
        elif kind == "profile":
            profile = client.in_project(project).get(url("profiles", name)).data
            for inner, user, where in users(tuple(profile.get("used_by") or ())):
                if inner == "instance":
                    refs[where, user] = None
    found = []
    for ref in refs:
        instance = fetch_instance(client.in_project(ref[0]), ref[1])
        if instance is not None:
            found.append((ref, instance))
    return found


def restore_volume_data(
    client: IncusClient,
    live: LiveVolume,
    options: VolumeOptions,
    plan: RestorePlan,
    reporter: Reporter,
) -> LiveVolume:
    """Stop the instances, take the safety snapshot, restore, and start the instances again.

    They are started again whatever fails. The safety snapshot is taken after the stop, so that it
    has everything that they wrote.

    Args:
        client: a client in the volume's project.
        live: the volume as last fetched.
        options: the desired volume.
        plan: the steps, from `plan_restore`.
        reporter: receives progress and warnings.

    Raises:
        RestoreFailed: the restore failed; the message says what became of data and instances.
    """
    if text := describe_interrupted_restore(live):
        reporter.warn(f"{text}; restoring again")
    _save_restore_plan(client, live, plan)
    data = "No instance was stopped, and the data was not changed"
    taken = ""
    try:
        for ref in plan.stop:
            reporter.info(f"stopping {_name(ref)} to restore {live.name}")
            shut_down(
                client.in_project(ref[0]),
                ref[1],
                grace=options.timeouts.stop,
                timeout=options.timeouts.stop + 30,
                reporter=reporter,
            )
            data = "The data was not changed"
        if plan.safety_snapshot:
            _take_safety(client, options, plan.safety_snapshot, reporter)
            taken = f"; snapshot {plan.safety_snapshot} has the data from before"
        data = f"It is unknown whether the data was changed{taken}"
        _restore_snapshot(client, options, plan, reporter)
    except (IncusError, ReconcileError) as error:
        failed = _start_again(client, plan.start, reporter)
        if not failed:
            with suppress(IncusError, ReconcileError):
                _clear_restore_plan(client, options)
        raise RestoreFailed(
            could_not(
                f"restore the {options.where} from {plan.snapshot}",
                str(error),
                undone=data,
                advice=_outcome(plan.start, failed),
            )
        ) from error
    except BaseException:
        _start_again(client, plan.start, reporter)
        raise
    failed = _start_again(client, plan.start, reporter)
    if failed:
        raise RestoreFailed(
            f"the {options.where} was restored from {plan.snapshot}{taken}. "
            f"{_outcome(plan.start, failed)}. `pulumi up` tries to start them again"
        )
    _clear_restore_plan(client, options)
    reporter.info(f"restored the {options.where} from {plan.snapshot}{taken}")
    after = fetch_volume(client, options.storage_pool, options.volume_name)
    if after is None:
        raise VolumeGone(f"another client deleted the {options.where} after it was restored")
    return after


def resume_interrupted_restore(
    client: IncusClient, live: LiveVolume, options: VolumeOptions, reporter: Reporter
) -> None:
    """Start the instances that an interrupted restore left stopped.

    Args:
        client: a client in the volume's project.
        live: the volume as last fetched.
        options: the desired volume.
        reporter: receives progress and warnings.

    Raises:
        RestoreFailed: one does not start.
    """
    interrupted = _interrupted_restore(live)
    if interrupted is None:
        return
    reporter.warn(
        f"a restore of the {options.where} from {interrupted.snapshot} was interrupted; starting "
        f"{_names(interrupted.start) or 'no instance'} again"
    )
    failed = _start_again(client, interrupted.start, reporter)
    if failed:
        raise RestoreFailed(f"{options.where}: {_outcome(interrupted.start, failed)}")
    _clear_restore_plan(client, options)


def describe_interrupted_restore(live: LiveVolume) -> str:
    """Return, human-readable, the steps that an interrupted restore left to do; empty for none."""
    interrupted = _interrupted_restore(live)
    if interrupted is None:
        return ""
    return (
        f"a restore of volume {live.name} in pool {live.pool} (project {live.project}) from "
        f"{interrupted.snapshot} was interrupted"
        + (f", and may have left {_names(interrupted.start)} stopped" if interrupted.start else "")
        + (
            f"; its snapshot {interrupted.safety_snapshot}, if it was taken, has the data from "
            "before"
            if interrupted.safety_snapshot
            else ""
        )
    )


def safety_name(snapshot: str, now: datetime, taken: Collection[str] = ()) -> str:
    """Return the name of the safety snapshot that is taken before another one is restored.

    The name has the time in seconds. If an earlier restore in the same second has taken it, the
    next free second is used.

    Args:
        snapshot: the name of the snapshot that is restored.
        now: the current time.
        taken: the names of the existing snapshots.
    """
    while (name := f"{SAFETY_PREFIX}{_core(snapshot)}-{now:%Y%m%d-%H%M%S}") in taken:
        now += timedelta(seconds=1)
    return name


def _core(snapshot: str) -> str:
    """Return the part of a snapshot's name that the safety snapshot's name repeats.

    It is short enough for 64 characters, and appears only once.
    """
    core = re.sub(rf"^{SAFETY_PREFIX}|-\d{{8}}-\d{{6}}$", "", snapshot)
    return core.encode()[:36].decode(errors="ignore") or "restore"


def _refuse_lossy(
    client: IncusClient, live: LiveVolume, options: VolumeOptions, snapshot: str, names: list[str]
) -> None:
    newer = names[names.index(snapshot) + 1 :]
    if not newer and not options.snapshot_before_restore:
        return
    driver = pool_driver(client, options.storage_pool)
    # Block volumes of lvmcluster pools may be qcow2 files, which also have a chain of snapshots.
    if driver not in _ONLY_NEWEST and live.config.get("block.type") != "qcow2":
        return
    raise RestoreRefused(
        could_not(
            f"restore the {options.where} from {snapshot}",
            f"pool {options.storage_pool} has the driver {driver}, which can only restore the "
            "newest snapshot of a volume"
            + (f"; newer than {snapshot} are: {', '.join(newer)}" if newer else ""),
            undone="Nothing was changed",
            advice=". ".join(
                [
                    *(["Delete the newer snapshots, if you do not need them"] if newer else []),
                    *(
                        [
                            "The safety snapshot would be newer too: copy the volume if you need "
                            "its present data, and set snapshot_before_restore=False"
                        ]
                        if options.snapshot_before_restore
                        else []
                    ),
                ]
            ),
        )
    )


def _take_safety(
    client: IncusClient, options: VolumeOptions, name: str, reporter: Reporter
) -> None:
    wanted = SnapshotOptions(
        volume_name=options.volume_name,
        snapshot_name=name,
        storage_pool=options.storage_pool,
        project=options.project,
        timeouts=SnapshotTimeouts(create=options.timeouts.restore),
    )
    # The volume's own `snapshots.expiry` is for scheduled snapshots, not for this one.
    take_snapshot(client, wanted, NEVER, reporter)


def _restore_snapshot(
    client: IncusClient, options: VolumeOptions, plan: RestorePlan, reporter: Reporter
) -> None:
    live = fetch_volume(client, options.storage_pool, options.volume_name)
    if live is None:
        raise VolumeGone(f"another client deleted the {options.where} before it was restored")
    timeout = options.timeouts.restore
    progress = Progress(reporter, f"restoring {live.name} from {plan.snapshot}")
    before = _server_process(client)

    def send(now: LiveVolume) -> None:
        config = {**now.config, RESTORED_KEY: plan.snapshot, SAFETY_KEY: plan.safety_snapshot}
        _ticking(
            progress,
            lambda: restore_volume(
                client,
                now.pool,
                now.name,
                plan.snapshot,
                description=now.description,
                config={key: value for key, value in config.items() if value != ""},
                etag=now.etag,
                timeout=timeout,
            ),
        )

    try:
        retry_on_conflict(client, live, send)
    except (IncusUnreachable, UnexpectedResponse) as error:
        if isinstance(error, IncusUnreachable) and not error.sent:
            raise
        # The reply is lost and the restore may still run: an instance must not run meanwhile.
        if not _is_completed(client, options, plan, progress, before):
            raise


def _is_completed(
    client: IncusClient,
    options: VolumeOptions,
    plan: RestorePlan,
    progress: Progress,
    process: Any,
) -> bool:
    """Return whether a restore whose reply was lost is completed.

    It waits until the time limit, or until the server process that worked on it has ended.
    """
    while True:
        ended = False
        try:
            ended = _server_process(client) != process
            live = fetch_volume(client, options.storage_pool, options.volume_name)
            if live is not None and live.restored == plan.snapshot:
                return True
        except IncusUnreachable:
            pass
        if ended or progress.elapsed > options.timeouts.restore:
            return False
        progress.tick("the reply was lost; checking whether it completes")
        time.sleep(_POLL)


def _server_process(client: IncusClient) -> Any:
    return (client.get("/1.0").data.get("environment") or {}).get("server_pid")


def _ticking(progress: Progress, work: Callable[[], None]) -> None:
    """Run work that returns only at its end, and report progress meanwhile."""
    raised: list[BaseException] = []

    def do() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=do, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.5)
        progress.tick()
    if raised:
        raise raised[0]


def _start_again(
    client: IncusClient, refs: list[InstanceRef], reporter: Reporter
) -> dict[InstanceRef, str]:
    """Start all instances that ran; return the reason for each that does not start."""
    failed: dict[InstanceRef, str] = {}
    for ref in refs:
        inner = client.in_project(ref[0])
        try:
            instance = fetch_instance(inner, ref[1])
            if instance is None:
                reporter.warn(f"{_name(ref)} no longer exists, and is not started again")
            elif not instance.running:
                reporter.info(f"starting {_name(ref)} again")
                start_instance(inner, ref[1], timeout=_START_TIMEOUT, reporter=reporter)
        except (IncusError, ReconcileError) as error:
            failed[ref] = str(error).rstrip(". ")
    return failed


def _outcome(refs: list[InstanceRef], failed: dict[InstanceRef, str]) -> str:
    started = [ref for ref in refs if ref not in failed]
    parts = [f"{_names(started)} run again"] if started else []
    parts += [
        f"{_name(ref)} could NOT be started ({reason}): `incus start --project {ref[0]} {ref[1]}`"
        for ref, reason in failed.items()
    ]
    return ". ".join(parts) or "No instance was running before"


def _save_restore_plan(client: IncusClient, live: LiveVolume, plan: RestorePlan) -> None:
    text = json.dumps(
        {
            "snapshot": plan.snapshot,
            "safety_snapshot": plan.safety_snapshot,
            "start": [list(ref) for ref in plan.start],
        }
    )
    _set_restoring_key(client, live, text)


def _clear_restore_plan(client: IncusClient, options: VolumeOptions) -> None:
    live = fetch_volume(client, options.storage_pool, options.volume_name)
    if live is not None and RESTORING_KEY in live.config:
        _set_restoring_key(client, live, "")


def _set_restoring_key(client: IncusClient, live: LiveVolume, text: str) -> None:
    def send(now: LiveVolume) -> None:
        patch_volume(
            client,
            now.pool,
            now.name,
            description=now.description,
            config={RESTORING_KEY: text},
            etag=now.etag,
        )

    retry_on_conflict(client, live, send)


def _interrupted_restore(live: LiveVolume) -> RestorePlan | None:
    text = live.config.get(RESTORING_KEY)
    if not text:
        return None
    try:
        data = json.loads(text)
        return RestorePlan(
            snapshot=str(data["snapshot"]),
            safety_snapshot=str(data["safety_snapshot"]),
            start=[(str(project), str(name)) for project, name in data["start"]],
        )
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _name(ref: InstanceRef) -> str:
    return f"{ref[1]} (project {ref[0]})"


def _names(refs: list[InstanceRef]) -> str:
    return ", ".join(_name(ref) for ref in refs)
