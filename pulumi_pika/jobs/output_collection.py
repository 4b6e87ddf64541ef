"""Collect the outputs of a finished job from its guest.

The guest is not trusted. It may have symlinks that lead elsewhere, special files, dangerous names,
and too much data. Each skipped file is reported with a reason.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final, Literal

from ..incus.client import IncusClient, url
from ..incus.errors import IncusError, IncusUnreachable
from ..incus.guest_files import (
    ANSWER_TIMEOUT,
    GuestEntry,
    NoAnswerInTime,
    directories_above,
    guest_entry,
    list_guest_directory,
    read_chunks,
)
from ..incus.instances import get_instance
from ..planner.plan import IncusRuntimePlan
from ..reconcile.shared.reporter import Progress, Reporter
from ..redaction import redact
from ..text_safety import visible
from .globs import (
    holder,
    matcher,
    unusable,
)
from .output_dir import (
    FolderError,
    OutputFolder,
    UnsafePath,
    name_reason,
)

Kind = Literal["log", "events", "status", "result", "artifact"]
MAX_ARTIFACTS: Final = 10_000
MAX_DEPTH: Final = 32
"""How many directories deep a file may be below the artifacts directory."""
MAX_ENTRIES: Final = 50_000
"""How many names are inspected."""
MAX_SKIPPED: Final = 200
"""How many skipped files are reported individually."""
MAX_HANGS: Final = 5
"""The collection stops after this number of requests that hang, as at a FIFO."""
MAX_UNREACHABLE: Final = 3
"""The collection stops after this number of consecutive files without a reply."""
WITHIN: float = 300.0
"""The time limit of a collection in seconds, plus one second for each downloaded MiB."""
STALLED_FOR: float = 40.0
"""Seconds that all requests together may take beyond `_PROMPT`. A guest can delay each request, for
example by a lease on a file."""
_PROMPT: float = 1.0
"""Seconds that a request may take, plus one second for each MiB that it downloads."""
_TIMEOUT: float = ANSWER_TIMEOUT
"""The time limit of one request in seconds."""
_MIB: Final = 1024 * 1024
_SHOWN: Final = 300
"""How many characters are shown of a path that the guest chose."""
_PROGRESS_EVERY: Final = 600
"""How many characters are shown of a reason."""


@dataclass(frozen=True, slots=True)
class Collected:
    """A file that was downloaded."""

    path: str
    """The path relative to the folder, with ``/`` between components."""
    kind: Kind
    size: int
    """The size in bytes."""
    sha256: str
    """The SHA-256 digest in hexadecimal digits."""

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file of the guest that was not downloaded."""

    path: str
    """The path in the guest. Control characters are escaped, and a long path is shortened."""
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as a JSON object."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Collection:
    """The result of a collection."""

    files: tuple[Collected, ...]
    skipped: tuple[SkippedFile, ...]


def possible_files(plan: IncusRuntimePlan) -> list[str]:
    """Return the names that a run's files may have in the folder; ``artifacts/`` is a directory."""
    wanted = plan.policies.output_collection
    if wanted.mode == "none":
        return []
    names = ["status.json", "events.jsonl"]
    names += ["output.log", "guest.log"] if wanted.include_logs else []
    names += ["result.json"] if wanted.include_result else []
    return names + (["artifacts/"] if wanted.artifact_globs else [])


def collect_outputs(
    client: IncusClient,
    instance: str,
    plan: IncusRuntimePlan,
    folder: OutputFolder,
    *,
    max_bytes: int,
    reporter: Reporter,
) -> Collection:
    """Download the outputs that the plan's `output_collection` names. The caller decides by its
    `mode`.

    The outputs are, in this order, ``status.json``, ``result.json``, ``events.jsonl``,
    ``guest.log`` and ``artifacts/...``, the last sorted by name. A file that the guest does not
    have is not an error, and a problem with one file skips only that file. The total is limited:
    the names, the files, their bytes (`max_bytes`), and the time (`WITHIN`, `STALLED_FOR`). The
    files are finished; the caller gives them their names by `OutputFolder.commit`.

    Args:
        client: A client in the instance's project.
        instance: The name of the instance.
        plan: The plan, which names the outputs and their paths.
        folder: The folder to write the files to.
        max_bytes: The size limit for all files together, in bytes. A file that exceeds it is
            skipped.
        reporter: Receives progress.
    """
    return _Collector(client, instance, plan, folder, max_bytes, reporter).run()


class _Stopped(Exception):
    """The collection stops; the text has the reason."""


class _TooLong(Exception):
    """A file exceeds a size limit; the text has the reason."""


class _Collector:
    """One collection."""

    def __init__(
        self,
        client: IncusClient,
        instance: str,
        plan: IncusRuntimePlan,
        folder: OutputFolder,
        max_bytes: int,
        reporter: Reporter,
    ) -> None:
        self._client, self._instance, self._plan = client, instance, plan
        self._folder, self._max_bytes = folder, max_bytes
        self._progress = Progress(reporter, f"collecting the outputs of {instance}")
        self._files: list[Collected] = []
        self._left: list[SkippedFile] = []
        self._uncounted = 0
        self._used = self._wasted = 0
        self._artifacts = self._listed = self._hangs = self._unreachable = 0
        self._begun = time.monotonic()
        self._stalled = 0.0
        self._pending: list[list[str]] = []
        """The names that are not yet inspected, of each directory on the present path."""
        self._types: dict[str, str] = {}
        """The types of the entries on the way to a file, by path."""

    def run(self) -> Collection:
        """Collect everything, and return the result."""
        jobs = list(self._jobs())
        for index, (_, job) in enumerate(jobs):
            try:
                if index == 0:
                    self._look()
                job()
            except _Stopped as stopped:
                for path, _ in jobs[index:]:
                    # If the collection stopped at a single file, that file is reported already.
                    if all(one.path != path for one in self._left):
                        self._skip(path, f"the collection stopped: {stopped}", always=True)
                break
        if self._uncounted:
            more = f"{self._uncounted} more files were skipped"
            self._left.append(SkippedFile(self._plan.lifecycle_root, more))
        return Collection(tuple(self._files), tuple(self._left))

    def _jobs(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield the paths in the guest, and how to download each; small and important files
        first."""
        paths, wanted = self._plan.paths, self._plan.policies.output_collection
        singles: list[tuple[str, str, Kind]] = [(paths.status_path, "status.json", "status")]
        if wanted.include_result:
            singles.append((paths.result_path, "result.json", "result"))
        singles.append((paths.events_path, "events.jsonl", "events"))
        if wanted.include_logs:
            singles.append((paths.guest_log_path, "guest.log", "log"))
        for path, target, kind in singles:
            yield path, partial(self._single, path, target, kind)
        if wanted.artifact_globs:
            yield paths.artifacts_dir, self._all_artifacts

    def _look(self) -> bool:
        """Return whether the instance runs; the instance must exist."""
        try:
            with self._on_time():
                entity = get_instance(self._client, self._instance, state=False)
        except IncusError as error:
            raise _Stopped(str(error)) from error
        if entity is None:
            raise _Stopped(f"instance {self._instance} does not exist any more")
        return bool(entity.data["status"] == "Running")

    # One file

    def _single(self, path: str, target: str, kind: Kind) -> None:
        """Download a file with a fixed path."""
        entry = self._entry(path) if self._way_is_clear(path) else None
        if entry is not None:
            if entry.type == "file":
                self._take(path, target, kind, entry)
            else:
                self._skip(path, _invalid_reason(entry))

    def _way_is_clear(self, path: str) -> bool:
        """Return whether everything above a path, from the lifecycle root on, is a directory.

        The users who can write there are usually not root, and a symlink could lead to root's
        files.
        """
        for above in directories_above(path, self._plan.lifecycle_root):
            if above not in self._types:
                found = self._entry(above)
                self._types[above] = found.type if found else ""
            if self._types[above] != "directory":
                if self._types[above]:
                    self._skip(path, f"{above} is a {self._types[above]}, which is not followed")
                return False
        return True

    def _entry(self, path: str) -> GuestEntry | None:
        """Return the entry at a path; None if there is none, or if that could not be found out."""
        with self._skip_on_error(path):
            return self._ask_entry(path)
        return None

    def _ask_entry(self, path: str) -> GuestEntry | None:
        with self._on_time():
            return guest_entry(self._client, self._instance, path, timeout=self._timeout)

    def _take(self, path: str, target: str, kind: Kind, entry: GuestEntry) -> None:
        """Download one file, completely or not at all."""
        left = self._max_bytes - self._used
        size = entry.size or 0
        if size > left:
            self._skip(path, self._too_long(f"is {_figure(size)} long"))
            return
        # The entry may be a FIFO. Opening a FIFO in an instance that does not run would block the
        # delete of the instance. The state is fetched each time, since a guest can stop at any
        # time.
        closed = size == 0 and not self._look()
        if closed and entry.size is None:
            self._skip(path, "the server does not report its size, and the guest does not run")
            return
        written, got = None, 0
        with self._skip_on_error(path):
            with self._folder.writing(target) as out:
                for chunk in () if closed else self._chunks(path):
                    got += len(chunk)
                    if got > left:
                        raise _TooLong(self._too_long("became longer while it was read"))
                    out.write(chunk)
                    self._tick(got)
            written = out.written
        if written is not None:
            self._unreachable = 0
            self._used += written.size
            self._files.append(Collected(written.path, kind, written.size, written.sha256))
        else:
            self._wasted += got
        if self._wasted > self._max_bytes:
            # A guest that reports too small sizes could otherwise delay the collection for a long
            # time.
            raise _Stopped(f"{_figure(self._wasted)} were read of files that could not be saved")
        self._tick()

    def _chunks(self, path: str) -> Iterator[bytes]:
        files = url("instances", self._instance, "files")
        chunks = read_chunks(
            self._client, files, {"path": path}, timeout=self._timeout, within=self._seconds_left
        )
        chunk: bytes | None = b""
        while chunk is not None:
            with self._on_time() as bring:
                chunk = next(chunks, None)
                bring(len(chunk or b""))
            if chunk is not None:
                yield chunk

    def _too_long(self, what: str) -> str:
        left = self._max_bytes - self._used
        return (
            f"{what}, and only {_figure(left)} of the {_figure(self._max_bytes)} that may be "
            "collected are left"
        )

    # Artifacts

    def _all_artifacts(self) -> None:
        """Download the files that match the patterns, directory by directory."""
        globs = self._plan.policies.output_collection.artifact_globs
        root = self._plan.paths.artifacts_dir
        for glob in globs:
            if reason := unusable(glob):
                self._skip(root, f"the pattern `{glob}` {reason}")
        entry = self._entry(root) if self._way_is_clear(root) else None
        if entry is not None and entry.type != "directory":
            self._skip(root, _invalid_reason(entry, wanted="directory"))
        elif entry is not None:
            self._walk(root, "", matcher(globs), holder(globs))

    def _walk(
        self, root: str, within: str, meant: Callable[[str], bool], holds: Callable[[str], bool]
    ) -> None:
        """Download the files of a directory; `within` is its path relative to the artifacts
        directory."""
        names: list[str] | None = None
        place = f"{root}/{within}" if within else root
        with self._skip_on_error(place):
            with self._on_time():
                names = list_guest_directory(
                    self._client, self._instance, place, timeout=self._timeout
                )
            self._unreachable = 0
        pending = self._hold(names or ())
        while pending:
            name = pending.pop()
            self._listed += 1
            if self._listed > MAX_ENTRIES:
                raise _Stopped(f"the guest has more than {MAX_ENTRIES} names")
            below = f"{within}/{name}" if within else name
            matches, may_hold = meant(below), holds(below)
            if matches or may_hold:
                entry = self._seen(f"{root}/{below}", name, below, meant=matches)
                if entry is None:
                    continue
                if entry.type == "directory":
                    if not may_hold:
                        continue
                    if below.count("/") + 1 > MAX_DEPTH:
                        self._skip(f"{root}/{below}", f"more than {MAX_DEPTH} directories deep")
                        continue
                    self._walk(root, below, meant, holds)
                elif matches:
                    self._artifact(f"{root}/{below}", below, entry)
        self._pending.pop()

    def _hold(self, names: Iterable[str]) -> list[str]:
        """Keep a directory's names until each is inspected, in reverse order. Together with those
        of the directories above, no more names are kept than can be inspected."""
        pending = sorted(set(names), reverse=True)
        self._pending.append(pending)
        room = MAX_ENTRIES - self._listed + 1
        for held in reversed(self._pending):
            del held[: max(0, len(held) - room)]
            room -= len(held)
        return pending

    def _seen(self, path: str, name: str, below: str, *, meant: bool) -> GuestEntry | None:
        """Return the entry at a path that a listing named, unless it is skipped."""
        if reason := name_reason(name):
            # A name with a slash could be any path, so no request is sent for it.
            self._skip(path, reason)
            return None
        with self._skip_on_error(path):
            entry = self._ask_entry(path)
            if entry is None:
                if "\ufffd" in name:
                    self._skip(path, "its name is not UTF-8")
                elif meant:
                    self._skip(path, "a special file such as a socket, or deleted meanwhile")
            elif entry.type not in ("file", "directory"):
                self._skip(path, _invalid_reason(entry))
            else:
                return entry
        return None

    def _artifact(self, path: str, below: str, entry: GuestEntry) -> None:
        if self._artifacts >= MAX_ARTIFACTS:
            raise _Stopped(f"the guest has more than {MAX_ARTIFACTS} artifacts")
        before = len(self._files)
        self._take(path, f"artifacts/{below}", "artifact", entry)
        self._artifacts += len(self._files) - before

    # Time

    @property
    def _timeout(self) -> float:
        """Return the time limit of the next request in seconds."""
        return min(_TIMEOUT, self._seconds_left())

    def _seconds_left(self) -> float:
        """Return the seconds that are left; at least a moment, after which the time limit is
        detected."""
        return max(self._begun + WITHIN + self._used / _MIB - time.monotonic(), 0.1)

    @contextlib.contextmanager
    def _on_time(self) -> Iterator[Callable[[int], None]]:
        """Count the time of a request, which may report how many bytes it downloaded.

        Raises:
            _Stopped: The time limit is exceeded.
        """
        brought = 0

        def bring(size: int) -> None:
            nonlocal brought
            brought += size

        self._stop_if_late()
        begun = time.monotonic()
        try:
            yield bring
        finally:
            took = time.monotonic() - begun
            self._stalled += max(0.0, took - _PROMPT - brought / _MIB)
        self._stop_if_late()

    def _stop_if_late(self) -> None:
        if self._seconds_left() <= 0.1:
            raise _Stopped(
                f"the time limit is over: {WITHIN:g} s, and one second for each MiB of the "
                f"{_figure(self._used)} that were downloaded"
            )
        if self._stalled > STALLED_FOR:
            raise _Stopped(f"the guest delayed its replies by {self._stalled:.0f} s in total")

    # Skipped files

    @contextlib.contextmanager
    def _skip_on_error(self, path: str) -> Iterator[None]:
        """Skip a path whose block fails, and stop the collection if the next path would fail
        too."""
        try:
            yield
        except NoAnswerInTime:
            self._unreachable = 0
            self._hangs += 1
            self._skip(path, f"no reply within {_TIMEOUT:g} s: it is a FIFO, or the server hangs")
            if self._hangs >= MAX_HANGS:
                raise _Stopped(f"{self._hangs} requests got no reply in time") from None
        except IncusUnreachable as error:
            self._unreachable += 1
            self._skip(path, str(error))
            if not error.sent or self._unreachable >= MAX_UNREACHABLE:
                raise _Stopped(f"the server cannot be reached: {error}") from error
        except (IncusError, FolderError, _TooLong) as error:
            self._unreachable = 0
            self._skip(path, error.reason if isinstance(error, UnsafePath) else str(error))

    def _skip(self, path: str, reason: str, *, always: bool = False) -> None:
        """Record a skipped file, if there is room for it, or in place of another one."""
        if len(self._left) >= MAX_SKIPPED:
            self._uncounted += 1
            if not always:
                return
            self._left.pop()
        self._left.append(SkippedFile(_cut(path, _SHOWN), _cut(reason, _PROGRESS_EVERY)))

    def _tick(self, further: int = 0) -> None:
        amount = (self._used + further) / _MIB
        self._progress.tick(f"{len(self._files)} files, {amount:.1f} MiB")


def _invalid_reason(entry: GuestEntry, wanted: str = "file") -> str:
    """Return why an entry of an unexpected type is skipped."""
    if entry.type == "symlink":
        return "a symlink, which is not followed"
    return f"a {entry.type} in place of a {wanted}"


def _figure(size: int) -> str:
    return f"{size} bytes" if size < _MIB else f"{size / _MIB:.1f} MiB"


def _cut(text: str, limit: int) -> str:
    # Secrets are searched for in the complete text, as the guest wrote it.
    text = visible(redact(text))
    return text if len(text) <= limit else text[: limit - 1] + "…"
