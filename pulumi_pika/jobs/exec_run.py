"""Run one command of an `IncusExec` in an existing instance, and follow it to its end.

The instance is never stopped or changed. Its files in the guest are removed afterwards.
"""

import re
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from ..incus.client import IncusClient, url
from ..incus.errors import (
    IncusApiError,
    IncusError,
    IncusUnreachable,
    NotFound,
    OperationError,
    ServerFailure,
    UnexpectedResponse,
)
from ..incus.guest_files import NotAFile, TooLarge, guest_entry, read_small_file
from ..incus.instances import exec_text, make_guest_directory, push_guest_file
from ..message_templates import could_not
from ..reconcile.instances.lifecycle import fetch_instance
from ..reconcile.instances.live_instance import LiveInstance
from ..reconcile.shared.reporter import Progress
from ..redaction import cut
from .command_start import until_reached
from .exec_options import ExecOptions
from .exec_script import ROOT, run_folder, script_text
from .guest_script import KILL_AFTER, TIMED_OUT
from .job_errors import JobError, JobNotBegun
from .observer import JobObserver, JobProgress, size_text
from .output_tail import Tail

MOST_OUTPUT: Final = 256 * 1024
"""How many bytes of each of the two outputs are kept: the last ones."""
_PAUSES: Final = (0.05, 0.1, 0.2, 0.4)
_LONGEST_PAUSE: Final = 1.0
_INSTANCE_EVERY: Final = 5.0
"""How often it is checked that the instance and the script still run, in seconds."""
_OVERDUE: Final = KILL_AFTER + 15.0
"""Seconds beyond the time limit after which the command is ended from outside."""
_AWAY_FOR: Final = 600.0
"""Seconds for which a host, or the agent of a virtual machine, may not answer."""
_STARTS: Final = 5
_STEP_WITHIN: Final = 60.0
_LINES: Final = 20
"""How many lines of each output an error shows."""
_LONGEST_LINE: Final = 500
_CODE: Final = re.compile(r"([0-9]{1,3})( [a-z-]+)?\s*")
_NO_ANSWER: Final = (IncusUnreachable, ServerFailure, UnexpectedResponse)


class ExecFailed(JobError):
    """The command of an `IncusExec` failed. The message has the end of its output."""


@dataclass(frozen=True, slots=True)
class ExecResult:
    """The result of a command that succeeded.

    Attributes:
        stdout: The standard output, or its end if it is longer than `MOST_OUTPUT`.
        stderr: The error output, likewise.
        seconds: How long the command took, in seconds.
    """

    stdout: str
    stderr: str
    seconds: float


def run_command(
    client: IncusClient,
    live: LiveInstance,
    options: ExecOptions,
    command: str,
    watcher: JobObserver,
    *,
    variables: Mapping[str, str] | None = None,
) -> ExecResult:
    """Run a command in a running instance.

    After an interruption, the command is ended too.

    Args:
        client: A client in the instance's project.
        live: The instance, as just fetched.
        options: The options.
        command: The command for the guest's shell.
        watcher: Receives output and progress.
        variables: Further environment variables. Default: none.

    Raises:
        ExecFailed: The command did not end with exit code 0, or its end is unknown.
        JobNotBegun: The command could not be started.
        IncusError: A request to the host failed.
    """
    run = secrets.token_hex(8)
    text = script_text(options, command, variables or {}, run)
    following = _Following(client, live, options, run, watcher)
    try:
        _prepare(client, live.name, options, run, text, watcher)
        _start(client, live.name, options, run)
        return following.to_end()
    except BaseException as error:
        if not following.ended:
            _stop(client, live.name, run)
        if isinstance(error, IncusError):
            raise JobNotBegun(could_not(f"run a command in {live.name}", str(error))) from error
        raise
    finally:
        with suppress(IncusError):
            exec_text(client, live.name, ["rm", "-rf", run_folder(run)], timeout=_STEP_WITHIN)


def _prepare(
    client: IncusClient, name: str, options: ExecOptions, run: str, text: str, watcher: JobObserver
) -> None:
    """Write the script, and the standard input, as soon as the guest can be reached."""
    progress = Progress(watcher, f"{name}: waiting until commands can be run in it")
    folder, user, group = run_folder(run), options.uid, options.gid

    def write() -> None:
        # The guest may have no /var/lib; each step does nothing if the directory exists.
        for parent in ("/var", "/var/lib", ROOT):
            make_guest_directory(client, name, parent)
        # Script and outputs may contain secrets: no other user of the guest may read them.
        make_guest_directory(client, name, folder, mode="0700", user=user, group=group)
        owner = {"user": user, "group": group}
        push_guest_file(client, name, f"{folder}/run.sh", text.encode(), mode="0700", **owner)
        if options.stdin is not None:
            data = options.stdin.encode()
            push_guest_file(client, name, f"{folder}/stdin", data, mode="0600", **owner)

    until_reached(client, name, write, progress, options.wait_secs)


def _start(client: IncusClient, name: str, options: ExecOptions, run: str) -> None:
    """Start the command; a start whose outcome is unknown is repeated, which starts nothing twice.

    Raises:
        JobNotBegun: The guest could not run the script.
    """
    command = ["/bin/sh", f"{run_folder(run)}/run.sh", "start"]
    error: Exception | None = None
    for _ in range(_STARTS):
        try:
            exec_text(
                client, name, command, timeout=_STEP_WITHIN, user=options.uid, group=options.gid
            )
        except (*_NO_ANSWER, OperationError) as failure:
            error = failure
        else:
            return
        time.sleep(_LONGEST_PAUSE)
    raise JobNotBegun(could_not(f"start a command in {name}", str(error))) from error


def _stop(client: IncusClient, name: str, run: str) -> None:
    """End the command of a run, if it was started."""
    with suppress(IncusError):
        # A shell of its own, since a script that was never written cannot be run.
        script = f"{run_folder(run)}/run.sh"
        step = ["/bin/sh", "-c", f"[ ! -e {script} ] || exec /bin/sh {script} stop"]
        exec_text(client, name, step, timeout=_STEP_WITHIN)


class _Following:
    """Follow one run to its end."""

    def __init__(
        self,
        client: IncusClient,
        live: LiveInstance,
        options: ExecOptions,
        run: str,
        watcher: JobObserver,
    ) -> None:
        self.ended = False
        self._client = client
        self._live = live
        self._options = options
        self._folder = run_folder(run)
        self._watcher = watcher
        files = url("instances", live.name, "files")
        self._tails = {
            name: Tail(client, files, {"path": f"{self._folder}/{name}"})
            for name in ("stdout", "stderr")
        }
        self._kept = {"stdout": b"", "stderr": b""}
        self._cut: set[str] = set()
        self._begun = self._heard = self._inspected = time.monotonic()
        self._silent_since: float | None = None
        self._stopped = False

    def to_end(self) -> ExecResult:
        """Follow the command; return its result.

        Raises:
            ExecFailed: It did not end with exit code 0, or its end is unknown.
        """
        pauses = [*_PAUSES]
        while True:
            try:
                end = self._look()
                self._silent_since = None
            except (IncusApiError, *_NO_ANSWER) as error:
                self._without_answer(error)
                end = None
            if end is not None:
                return self._result(*end)
            self._watcher.alive(self._standing())
            time.sleep(pauses.pop(0) if pauses else _LONGEST_PAUSE)

    def _look(self) -> tuple[int, bool] | None:
        """Read new output; return exit code and whether the time limit ended the command, or
        None."""
        end = self._exit_file()
        self._read_output(all_of_it=end is not None)
        if end is not None:
            return end
        now = time.monotonic()
        if now - self._inspected > _INSTANCE_EVERY:
            self._inspected = now
            self._check_instance()
            self._check_script()
        if now - self._begun > self._options.timeout_secs + _OVERDUE:
            if self._stopped:
                raise self._failed(f"exceeded {self._options.timeout_secs} s, and did not end")
            self._stopped = True
            self._begun = now - self._options.timeout_secs
            _stop(self._client, self._live.name, self._folder.rpartition("/")[2])
        return None

    def _exit_file(self) -> tuple[int, bool] | None:
        try:
            word = read_small_file(self._client, self._live.name, f"{self._folder}/exit") or b""
        except (NotAFile, TooLarge):
            word = b""
        found = _CODE.fullmatch(word.decode(errors="replace"))
        return (int(found[1]), TIMED_OUT in (found[2] or "")) if found else None

    def _read_output(self, *, all_of_it: bool) -> None:
        for name, tail in self._tails.items():
            entry = guest_entry(self._client, self._live.name, f"{self._folder}/{name}")
            # A read of anything but a file may never end.
            if entry is None or entry.type != "file" or not entry.size:
                continue
            while tail.offset < entry.size and (data := tail.read()):
                self._heard = time.monotonic()
                kept = self._kept[name] + data
                if len(kept) > MOST_OUTPUT:
                    self._cut.add(name)
                self._kept[name] = kept[-MOST_OUTPUT:]
                self._watcher.output(data)
                if not all_of_it:
                    break

    def _check_instance(self) -> None:
        name = self._live.name
        # The state is fetched too: without it, an instance that is stopping would count as running.
        live = fetch_instance(self._client, name)
        if live is None or live.uuid != self._live.uuid:
            raise self._lost(f"instance {name} no longer exists")
        if not live.running and live.status != "Frozen":
            raise self._lost(f"instance {name} is {live.status}")

    def _check_script(self) -> None:
        """Raise an error if the script no longer runs and left no exit file, as after a reboot."""
        try:
            pid = read_small_file(self._client, self._live.name, f"{self._folder}/script") or b""
        except (NotAFile, TooLarge):
            return
        text = pid.decode(errors="replace").strip()
        if not text.isdecimal() or guest_entry(self._client, self._live.name, "/proc/1") is None:
            return
        gone = guest_entry(self._client, self._live.name, f"/proc/{text}") is None
        # The script writes the exit file before it ends.
        if gone and self._exit_file() is None:
            raise self._lost("what ran it was ended, and left no exit code")

    def _without_answer(self, error: Exception) -> None:
        if isinstance(error, NotFound):
            self._check_instance()
        now = time.monotonic()
        self._silent_since = self._silent_since or now
        if now - self._silent_since > _AWAY_FOR:
            raise self._lost(f"no answer for {now - self._silent_since:.0f} s ({error})")
        # An instance that stops answers with errors.
        if now - self._inspected > _INSTANCE_EVERY:
            self._inspected = now
            with suppress(*_NO_ANSWER):
                self._check_instance()

    def _standing(self) -> JobProgress:
        now = time.monotonic()
        return JobProgress(
            elapsed=now - self._begun,
            limit=self._options.timeout_secs,
            silent=now - self._heard,
            output=sum(tail.offset for tail in self._tails.values()),
            away=now - self._silent_since if self._silent_since else 0.0,
        )

    def _result(self, code: int, timed_out: bool) -> ExecResult:
        self.ended = True
        if timed_out:
            raise self._failed(f"was ended after {self._options.timeout_secs} s (timeout_secs)")
        if code:
            raise self._failed(f"ended with exit code {code}")
        for name in sorted(self._cut):
            self._watcher.warn(
                f"{self._live.name}: {name} has more than {size_text(MOST_OUTPUT)}; its output has "
                "only the end"
            )
        return ExecResult(
            stdout=self._text("stdout"),
            stderr=self._text("stderr"),
            seconds=time.monotonic() - self._begun,
        )

    def _lost(self, reason: str) -> ExecFailed:
        # Nothing is left that could be ended.
        self.ended = True
        return self._failed(f"has an unknown result: {reason}")

    def _failed(self, how: str) -> ExecFailed:
        said = ""
        for name in self._kept:
            lines = [cut(line, _LONGEST_LINE) for line in self._text(name).splitlines()[-_LINES:]]
            if lines:
                said += f"\nThe last lines of its {name}:\n  " + "\n  ".join(lines)
        said = said or "\nIt wrote no output."
        return ExecFailed(f"the command in {self._live.name} {how}{said}")

    def _text(self, name: str) -> str:
        data = self._kept[name]
        if name in self._cut:
            # The first line may be the rest of one, and begin within a secret.
            data = data.partition(b"\n")[2]
        return data.decode(errors="replace")
