"""Print steps, progress with elapsed times, and failures with advice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

# Seconds after which a step shows progress, one line from time to time.
_QUIET = 2.0
_INTERVAL = 10.0
_TAIL = 15


class Failure(Exception):
    """An operation failed. The message is for the user and has the reason."""


class StepFailed(Failure):
    """A step failed. The message has the step, the reason and the advice."""

    def __init__(self, step: str, why: str, todo: str) -> None:
        super().__init__(why)
        self.step = step
        self.why = why
        self.todo = todo

    def __str__(self) -> str:
        why = "\n".join("    " + line for line in self.why.strip().splitlines())
        return f"FAILED: {self.step}\n  Why:\n{why}\n  What to do:\n    {self.todo}"


def say(text: str = "") -> None:
    """Print a line without buffering, so that it stays in order with the output of commands."""
    print(text, flush=True)


def elapsed(seconds: float) -> str:
    """Return a number of seconds in human-readable form."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


@contextmanager
def step(title: str, todo: str) -> Iterator[None]:
    """Print the title and the duration of a step; turn each failure in it into a `StepFailed`."""
    say(f"==> {title}")
    begun = time.monotonic()
    try:
        yield
    except StepFailed:
        raise
    except (Failure, OSError, subprocess.SubprocessError) as error:
        raise StepFailed(title, str(error) or repr(error), todo) from error
    taken = time.monotonic() - begun
    if taken >= _QUIET:
        say(f"    done in {elapsed(taken)}")


class CommandFailed(Failure):
    """A command failed, or was ended because it took too long."""

    def __init__(self, argv: Sequence[str], reason: str, output: str) -> None:
        tail = "\n".join(output.splitlines()[-_TAIL:])
        super().__init__(f"`{' '.join(argv)}` {reason}" + (f":\n{tail}" if tail else ""))


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    limit: float | None = None,
    stalled: Callable[[], bool] | None = None,
    progress: Callable[[int], str] | None = None,
) -> str:
    """Run a command without showing its output, with progress lines if it takes long; return its
    output.

    `limit` is the time limit in seconds. `stalled` ends the command as soon as it returns True.
    `progress` receives the number of lines so far, and returns what a progress line shows in place
    of the last line.
    """
    begun = time.monotonic()
    lines: list[str] = []
    process = subprocess.Popen(
        argv,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        # The command has a process group of its own, so that its child processes can be ended with
        # it.
        start_new_session=True,
    )

    def read() -> None:
        assert process.stdout is not None
        with process.stdout as output:
            for line in output:
                lines.append(line.rstrip())

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reason = ""
    due = begun + _QUIET
    try:
        while process.poll() is None and not reason:
            now = time.monotonic()
            if now >= due:
                due = now + _INTERVAL
                shown = progress(len(lines)) if progress else (lines[-1] if lines else "")
                say(f"    {elapsed(now - begun):>12}  {shown[:100]}".rstrip())
            if limit is not None and now - begun > limit:
                reason = f"was ended after {elapsed(limit)}"
            elif stalled is not None and stalled():
                reason = f"made no progress and was ended after {elapsed(now - begun)}"
            time.sleep(0.05)
    finally:
        if process.poll() is None:
            _end(process)
        # A process in the background may hold the pipe open forever.
        reader.join(timeout=2)
    if not reason and process.returncode != 0:
        reason = f"ended with exit code {process.returncode}"
    if reason:
        raise CommandFailed(argv, reason, "\n".join(lines))
    return "\n".join(lines)


def without_growth(watched: Path, limit: float) -> Callable[[], bool]:
    """Return a function for the argument `stalled` of `run`: whether a folder has not grown for
    `limit` seconds."""
    size, since = -1, time.monotonic()

    def stalled() -> bool:
        nonlocal size, since
        now = _size(watched)
        if now != size:
            size, since = now, time.monotonic()
        return time.monotonic() - since > limit

    return stalled


def follow(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    interactive: bool = False,
) -> int:
    """Run a command whose output the user sees; return its exit code."""
    sys.stdout.flush()
    stdin = None if interactive else subprocess.DEVNULL
    with subprocess.Popen(argv, cwd=cwd, env=env, stdin=stdin) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                # The terminal interrupts the command too, which cleans up and exits by itself.
                continue


def _size(directory: Path) -> int:
    total = 0
    for path in directory.rglob("*"):
        try:
            total += path.lstat().st_size
        except OSError:
            # The file was deleted in the meantime.
            continue
    return total


def _end(process: subprocess.Popen[str]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            return
        except PermissionError:
            # This process may not signal a command under sudo; sudo forwards the signal to its
            # group.
            process.terminate()
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            continue
        return
