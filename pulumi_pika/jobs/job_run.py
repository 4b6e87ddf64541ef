"""Run a job: create an instance, follow the command to its end, collect its outputs, and delete or
retain the instance as the plan's policies say."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from ..incus.client import IncusClient
from ..incus.errors import IncusError
from ..incus.guest_files import find_detour, read_small_file
from ..message_templates import IN_USE, Message
from ..planner.plan import IncusRuntimePlan
from ..reconcile.instances.lifecycle import fetch_instance
from ..reconcile.instances.live_instance import LiveInstance
from ..reconcile.instances.runtime_options import RuntimeOptions
from ..reconcile.shared.errors import ReconcileError
from .command_start import start_command
from .guest_script import script_of
from .job_errors import (
    JobFailed,
    JobInstanceTaken,
    JobOutputRefused,
)
from .job_instance import (
    JobInstance,
    create_job_instance,
    find_image,
    remove_dead,
    remove_interrupted,
    remove_job_instance,
    retain_job_instance,
)
from .job_options import JobOptions
from .observer import JobObserver
from .output_capture import OUTPUT_FILE, Capture
from .output_collection import (
    Collected,
    Collection,
    SkippedFile,
    collect_outputs,
    possible_files,
)
from .output_dir import FolderError, OutputFolder
from .retry_transport import retry_transport
from .supervisor import Command, Follower
from .verdict import (
    Ended,
    GuestResult,
    Status,
    Verdict,
    judge,
    parse_result,
)

_STOPS_WITHIN: Final = 1.0
"""Seconds to wait until an instance that the command stopped is reported as stopped."""
_AGAIN: Final[dict[str, frozenset[Status]]] = {
    "never": frozenset(),
    "on_failure": frozenset({"failed", "timed_out"}),
    "always": frozenset({"failed", "timed_out", "lost"}),
}
"""The results after which a job is run again, by restart policy. A completed job is never run
again."""


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """The result of a job.

    Attributes:
        status: `completed`, `failed`, `timed_out` or `lost`.
        exit_code: The exit code of the command; None if it is unknown.
        message: A human-readable explanation in one or two sentences.
        duration_secs: How long the command took in its last attempt, in seconds.
        image_fingerprint: The fingerprint of the image that the instance was created from.
        attempts: How often the command was run.
        collected_files: The files that were downloaded, below `output_dir`.
        skipped_outputs: The outputs that were not downloaded, and the reasons.
        log_tail: The last lines of the command's output.
        retained_instance: The name of the retained instance; empty if there is none.
        retained_uuid: The retained instance's own id (`volatile.uuid`).
        retained_hint: How to open a shell in the retained instance, and how to delete it.
    """

    status: Status
    exit_code: int | None
    message: str
    duration_secs: float
    image_fingerprint: str
    attempts: int
    collected_files: tuple[Collected, ...] = ()
    skipped_outputs: tuple[SkippedFile, ...] = ()
    log_tail: str = ""
    retained_instance: str = ""
    retained_uuid: str = ""
    retained_hint: str = ""

    @property
    def completed(self) -> bool:
        """Return whether the job succeeded."""
        return self.status == "completed"

    def check(self, name: str) -> None:
        """Raise an exception if the job did not complete.

        Args:
            name: The name of the job, for the message.

        Raises:
            JobFailed: The job did not complete. The message has the last lines of its output.
        """
        if self.completed:
            return
        tail = "\n  ".join(self.log_tail.splitlines())
        raise JobFailed(
            f"{_SENTENCES[self.status].format(name)}: {self.message}"
            + (f" (after {self.attempts} attempts)" if self.attempts > 1 else "")
            + (
                f". {self.retained_hint[:1].upper()}{self.retained_hint[1:]}"
                if self.retained_hint
                else ""
            )
            + (f"\nThe last lines of its output:\n  {tail}" if tail else "\nIt wrote no output.")
        )


_SENTENCES: Final[dict[Status, str]] = {
    "completed": "job {} completed",
    "failed": "job {} failed",
    "timed_out": "job {} reached its time limit",
    "lost": "the result of job {} is unknown",
}


def run_attempts(
    client: IncusClient,
    plan: IncusRuntimePlan,
    runtime: RuntimeOptions,
    options: JobOptions,
    watcher: JobObserver,
) -> JobOutcome:
    """Run a job to its end, with as many attempts as its restart policy allows.

    A failed command is an outcome, not an exception. In any case, also after an interruption, the
    instance is deleted unless the retention policy retains it.

    Args:
        client: A client in the plan's project.
        plan: The plan.
        runtime: The options of the instance.
        options: The options of the job.
        watcher: Receives output and progress.

    Returns:
        The outcome of the last attempt.

    Raises:
        JobInstanceTaken: An instance of that name exists that this job did not leave behind.
        PlacementError: The image, or something else that the instance needs, is missing on the
            host.
        JobNotBegun, RuntimeFailed: The instance could not be created, or could not start the
            command.
        JobOutputRefused: `output_dir` is not writable, or another job writes to it.
        OSError: The watcher raised it.
        IncusError: A request to the host failed.
    """
    name = plan.identity.instance_name
    folder = OutputFolder(Path(options.output_dir)) if options.output_dir is not None else None
    with _alone(client, name), _held(folder):
        fingerprint = find_image(client, plan)
        remove_dead(client, plan, options.owner, watcher, backend=runtime.backend)
        attempts = options.attempts(plan)
        for attempt in range(1, attempts + 1):
            if folder:
                _prepare(folder, plan)
            outcome = _attempt(client, plan, runtime, options, fingerprint, folder, watcher)
            outcome = replace(outcome, attempts=attempt)
            again = attempt < attempts and outcome.status in _AGAIN[plan.policies.restart_policy]
            if not again:
                break
            watcher.warn(f"{name}: attempt {attempt} of {attempts} failed: {outcome.message}")
            _remove_retained(client, outcome, watcher)
        return outcome


@contextmanager
def _held(folder: OutputFolder | None) -> Iterator[None]:
    """Lock the folder against other runs.

    Raises:
        JobOutputRefused: Another run has locked the folder, or the folder cannot be created.
    """
    with ExitStack() as stack:
        try:
            if folder:
                stack.enter_context(folder.held())
        except FolderError as error:
            raise _refused(error) from error
        yield


def _prepare(folder: OutputFolder, plan: IncusRuntimePlan) -> None:
    """Prepare the folder for an attempt, before anything is created for the attempt.

    Raises:
        JobOutputRefused: The files that the attempt may download could not be written there.
    """
    wanted = possible_files(plan)
    try:
        if wanted:
            folder.find_obstacle(wanted)
        folder.clear_previous()
        if wanted:
            folder.probe(wanted)
    except FolderError as error:
        raise _refused(error) from error


def _refused(error: FolderError) -> JobOutputRefused:
    advice = error.advice or "use a directory that this user can write to"
    return JobOutputRefused(Message(f"output_dir: {error}; {advice}", error.code))


_active: set[tuple[str, str, str]] = set()
_lock = threading.Lock()


@contextmanager
def _alone(client: IncusClient, name: str) -> Iterator[None]:
    """Keep two runs of this process from using the same instance."""
    key = (client.host, client.project, name)
    is_reserved = False
    try:
        with _lock:
            if key in _active:
                raise JobInstanceTaken(
                    Message(
                        f"job {name} is already running in this process; wait until it ends",
                        IN_USE,
                    )
                )
            is_reserved = True
            _active.add(key)
        yield
    finally:
        if is_reserved:
            with _lock:
                _active.discard(key)


def _attempt(
    client: IncusClient,
    plan: IncusRuntimePlan,
    runtime: RuntimeOptions,
    options: JobOptions,
    fingerprint: str,
    folder: OutputFolder | None,
    watcher: JobObserver,
) -> JobOutcome:
    made, settled, capture = None, False, None
    try:
        made = create_job_instance(client, plan, runtime, fingerprint, watcher)
        collected = plan.policies.output_collection
        # The output is kept until the verdict, which decides whether the output is downloaded.
        wanted = collected.mode != "none" and collected.include_logs
        capture = Capture(folder if wanted else None, options.max_output_mib * 2**20)
        ended = _work(made, plan, runtime, options, capture, watcher)
        # The outputs are not given up because the daemon is restarting. If the follower of a lost
        # job has already waited for the daemon, it is not waited for again.
        there = (
            made if ended.how == "lost" else JobInstance(retry_transport(made.client), made.live)
        )
        verdict = _judge(there, plan, ended, watcher)
        collection = _collect_outputs(
            there, plan, options, ended, verdict, folder, capture, watcher
        )
        outcome = JobOutcome(
            status=verdict.status,
            exit_code=verdict.exit_code,
            message=verdict.message,
            duration_secs=round(ended.seconds, 3),
            image_fingerprint=fingerprint,
            attempts=1,
            collected_files=collection.files,
            skipped_outputs=collection.skipped,
            log_tail=capture.tail(),
        )
        outcome = _apply_retention(there, plan, outcome, watcher)
        settled = True
        return outcome
    except (IncusError, ReconcileError, OSError):
        if made is not None and plan.policies.retention_policy == "debug_keep":
            _retain_after_error(made, watcher)
            settled = True
        raise
    except BaseException:
        if made is None:
            # The signal may have arrived between the end of the create and the next line.
            remove_interrupted(client, plan.identity.instance_name, runtime, watcher)
        raise
    finally:
        # Also after an interruption by the user.
        if capture is not None:
            capture.discard()
        if made is not None and not settled:
            gone = JobInstance(retry_transport(made.client), made.live)
            try:
                _remove(gone, _refetch(gone), watcher)
            except KeyboardInterrupt:
                _remove(gone, _refetch(gone), watcher)
                raise


def _work(
    made: JobInstance,
    plan: IncusRuntimePlan,
    runtime: RuntimeOptions,
    options: JobOptions,
    capture: Capture,
    watcher: JobObserver,
) -> Ended:
    """Start the command, and follow it to its end."""
    name = made.live.name
    is_machine = runtime.instance_type == "virtual-machine"
    script = script_of(plan, options, is_detached=is_machine)
    operation = start_command(
        made.client,
        name,
        script,
        user=options.uid,
        group=options.gid,
        within=runtime.timeouts.wait,
        reporter=watcher,
    )
    uuid = made.live.uuid
    command = Command(
        name,
        uuid,
        operation,
        script.limit,
        plan.paths.events_path,
        plan.lifecycle_root,
        script.output,
    )
    return Follower(made.client, command, watcher, capture.write).to_end()


def _judge(
    made: JobInstance, plan: IncusRuntimePlan, ended: Ended, watcher: JobObserver
) -> Verdict:
    path = plan.paths.result_path
    found: GuestResult | str | None
    try:
        if detour := find_detour(made.client, made.live.name, path, plan.lifecycle_root):
            found = f"the result file {path} was not read: {detour}"
        else:
            content = read_small_file(made.client, made.live.name, path)
            found = parse_result(content, path) if content else None
    except IncusError as error:
        found = f"the result file {path} could not be read ({error})"
    verdict = judge(ended, found, path=path, entry=plan.bootstrap.entry_command is not None)
    if isinstance(found, str):
        watcher.warn(f"{made.live.name}: {found}")
    return verdict


def _collect_outputs(
    made: JobInstance,
    plan: IncusRuntimePlan,
    options: JobOptions,
    ended: Ended,
    verdict: Verdict,
    folder: OutputFolder | None,
    capture: Capture,
    watcher: JobObserver,
) -> Collection:
    mode = plan.policies.output_collection.mode
    wanted = mode == "always" or (mode == "failure_only" and not verdict.completed)
    if folder is None or not wanted:
        return Collection((), ())
    files, skipped = capture.finish()
    if ended.cut:
        skipped.append(SkippedFile(OUTPUT_FILE, ended.cut))
    bound = options.max_output_mib * 2**20 - sum(file.size for file in files)
    if ended.how == "lost" and _refetch(made) is None:
        # Another instance that has this name now is not read.
        found = Collection((), (SkippedFile(plan.lifecycle_root, "the instance was deleted"),))
    else:
        found = collect_outputs(
            made.client, made.live.name, plan, folder, max_bytes=bound, reporter=watcher
        )
    collection = _commit(folder, Collection((*files, *found.files), (*skipped, *found.skipped)))
    for left in collection.skipped:
        watcher.warn(f"{made.live.name}: output skipped: {left.path}: {left.reason}")
    return collection


def _commit(folder: OutputFolder, found: Collection) -> Collection:
    """Give the files their names. A file that cannot be put into the folder is skipped; the job
    does not fail for it."""
    try:
        failed = dict(folder.commit(found.files))
    except FolderError as error:
        failed = {file.path: error for file in found.files}
    files = tuple(file for file in found.files if file.path not in failed)
    skipped = [SkippedFile(path, f"could not be written: {why}") for path, why in failed.items()]
    return Collection(files, (*found.skipped, *skipped))


def _apply_retention(
    made: JobInstance, plan: IncusRuntimePlan, outcome: JobOutcome, watcher: JobObserver
) -> JobOutcome:
    """Delete the instance, or retain it, as the retention policy says."""
    policy, name = plan.policies.retention_policy, made.live.name
    until_stopped = policy == "keep_until_stopped"
    live = _refetch(made)
    if live is not None and (
        (until_stopped and live.running) or (policy == "debug_keep" and not outcome.completed)
    ):
        try:
            retain_job_instance(made.client, live, until_stopped=until_stopped)
        except IncusError as error:
            watcher.warn(
                f"instance {name} is retained, but it could not be labelled as retained: {error}"
            )
        if until_stopped and not outcome.completed:
            # The command may have ended because the instance is stopping, which takes a moment. The
            # server did not know yet that it has to delete the instance when it stops.
            time.sleep(_STOPS_WITHIN)
            live = _refetch(made)
    elif live is not None:
        return outcome if _remove(made, live, watcher) else _still_there(outcome, live)
    if live is None:
        return outcome
    if until_stopped and not live.running:
        return outcome if _remove(made, live, watcher) else _still_there(outcome, live)
    hint = _how_to_use(made, live, policy)
    watcher.info(hint)
    return replace(_still_there(outcome, live), retained_hint=hint)


def _refetch(made: JobInstance) -> LiveInstance | None:
    """Return the instance as it is now, or as it was if it cannot be fetched."""
    try:
        live = fetch_instance(made.client, made.live.name, inside=False)
    except IncusError:
        return made.live
    return live if live is not None and live.uuid == made.live.uuid else None


def _still_there(outcome: JobOutcome, live: LiveInstance) -> JobOutcome:
    return replace(outcome, retained_instance=live.name, retained_uuid=live.uuid)


def _retain_after_error(made: JobInstance, watcher: JobObserver) -> None:
    with suppress(IncusError):
        retain_job_instance(made.client, made.live, until_stopped=False)
    watcher.warn(_how_to_use(made, made.live, "debug_keep"))


def _how_to_use(made: JobInstance, live: LiveInstance, policy: str) -> str:
    where = f"--project {made.client.project} {live.name}"
    enter = f"`incus exec {where} -- sh`"
    if not live.running:
        enter = f"`incus start {where}`, then {enter}"
    until = "until it stops" if policy == "keep_until_stopped" else "for inspection"
    return (
        f"instance {live.name} is retained {until} ({policy}). To open a shell in it: {enter}. To "
        f"delete it: `incus delete --force {where}`; the next run of the job deletes it too"
    )


def _remove(made: JobInstance, live: LiveInstance | None, watcher: JobObserver) -> bool:
    """Delete the instance that was just fetched, if there is one; return whether it is deleted."""
    if live is None:
        return True
    try:
        remove_job_instance(made.client, live, watcher)
    except ReconcileError as error:
        watcher.warn(str(error))
        return False
    return True


def _remove_retained(client: IncusClient, outcome: JobOutcome, watcher: JobObserver) -> None:
    """Delete the retained instance, whose name the next attempt needs."""
    if not outcome.retained_instance:
        return
    live = fetch_instance(client, outcome.retained_instance, inside=False)
    if live is not None and live.uuid == outcome.retained_uuid:
        remove_job_instance(client.on_member(live.location), live, watcher)
