"""Brings the outputs of a finished job home from its guest.

The guest is not trusted: it may hold links that lead elsewhere, things that are no files, names
that no host should have, and more than anybody wants. What is not brought is told with a reason.
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
"""How many directories deep below the artifacts directory files may be."""
MAX_ENTRIES: Final = 50_000
"""How many names are looked at."""
MAX_LEFT_OUT: Final = 200
"""How many of the things that are left out are told one by one."""
MAX_HANGS: Final = 5
"""After so many requests that hang, as at a FIFO, no more is collected."""
MAX_UNREACHABLE: Final = 3
"""After so many files in a row that no answer came for, no more is collected."""
WITHIN: float = 300.0
"""Seconds for all of a collection, and a second more for each MiB that was brought."""
STALLED_FOR: float = 40.0
"""Seconds that requests may take beyond `_PROMPT`, all together. A guest can make each take long,
as by holding a lease on a file."""
_PROMPT: float = 1.0
"""Seconds that a request may take, and a second more for each MiB that it brings."""
_TIMEOUT: float = ANSWER_TIMEOUT
"""Seconds for one request."""
_MIB: Final = 1024 * 1024
_SHOWN: Final = 300
"""How many characters of a path that the guest chose are shown."""
_PROGRESS_EVERY: Final = 600
"""How many of a reason."""


@dataclass(frozen=True, slots=True)
class Collected:
    """A file that was brought."""

    path: str
    """Relative to the folder, with ``/`` between components."""
    kind: Kind
    size: int
    """Bytes."""
    sha256: str
    """In hexadecimal digits."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """Something that is in the guest and was not brought."""

    path: str
    """In the guest; control characters are shown as escapes, and a long path is cut."""
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Collection:
    """What came of a collection."""

    files: tuple[Collected, ...]
    left_out: tuple[SkippedFile, ...]


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
    """Brings what the plan's `output_collection` names, apart from when (its `mode`).

    These are, in this order, ``status.json``, ``result.json``, ``events.jsonl``, ``guest.log`` and
    ``artifacts/...``, the last sorted by name. What the guest does not have is simply not there;
    whatever is wrong with one file leaves out that file only. All of it together is bounded: the
    names, the files, their bytes (`max_bytes`), and the time (`WITHIN`, `STALLED_FOR`). The files
    are finished; to give them their names (`OutputFolder.commit`) is the caller's.

    Args:
        client: for the instance's project.
        instance: its name.
        plan: says what to bring and where it is.
        folder: takes the files.
        max_bytes: of all of them together; what would exceed it is left out.
        reporter: told how far it is.
    """
    return _Collector(client, instance, plan, folder, max_bytes, reporter).run()


class _Stopped(Exception):
    """No more is collected; the text says why."""


class _TooLong(Exception):
    """A file is longer than it may be; the text says by what."""


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
        self._untold = 0
        self._used = self._wasted = 0
        self._artifacts = self._listed = self._hangs = self._unreachable = 0
        self._begun = time.monotonic()
        self._stalled = 0.0
        self._pending: list[list[str]] = []
        """The names that are still to be looked at, of the directories that it is in."""
        self._types: dict[str, str] = {}
        """What the directories on the way are."""

    def run(self) -> Collection:
        """All of it."""
        jobs = list(self._jobs())
        for index, (_, job) in enumerate(jobs):
            try:
                if index == 0:
                    self._look()
                job()
            except _Stopped as stopped:
                for path, _ in jobs[index:]:
                    # Where it stopped at a single file, that is told already.
                    if all(one.path != path for one in self._left):
                        self._leave(path, f"not looked at further: {stopped}", always=True)
                break
        if self._untold:
            more = f"{self._untold} more were left out"
            self._left.append(SkippedFile(self._plan.lifecycle_root, more))
        return Collection(tuple(self._files), tuple(self._left))

    def _jobs(self) -> Iterator[tuple[str, Callable[[], None]]]:
        """The paths in the guest, and how each is brought; the small and telling first."""
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
        """Whether the instance runs; it has to be there."""
        try:
            with self._on_time():
                entity = get_instance(self._client, self._instance, state=False)
        except IncusError as error:
            raise _Stopped(str(error)) from error
        if entity is None:
            raise _Stopped(f"there is no instance {self._instance} any more")
        return bool(entity.data["status"] == "Running")

    # One file

    def _single(self, path: str, target: str, kind: Kind) -> None:
        """A file that has a place of its own."""
        entry = self._entry(path) if self._way_is_clear(path) else None
        if entry is not None:
            if entry.type == "file":
                self._take(path, target, kind, entry)
            else:
                self._leave(path, _invalid_reason(entry))

    def _way_is_clear(self, path: str) -> bool:
        """Whether all that is above a path, from the lifecycle root on, are directories.

        Who may write there is not, as a rule, root, whose files a symlink could lead to.
        """
        for above in directories_above(path, self._plan.lifecycle_root):
            if above not in self._types:
                found = self._entry(above)
                self._types[above] = found.type if found else ""
            if self._types[above] != "directory":
                if self._types[above]:
                    self._leave(path, f"{above} is a {self._types[above]}, which is not followed")
                return False
        return True

    def _entry(self, path: str) -> GuestEntry | None:
        """What is at a path; None where nothing is, or where that could not be told."""
        with self._leaving(path):
            return self._ask_entry(path)
        return None

    def _ask_entry(self, path: str) -> GuestEntry | None:
        with self._on_time():
            return guest_entry(self._client, self._instance, path, timeout=self._timeout)

    def _take(self, path: str, target: str, kind: Kind, entry: GuestEntry) -> None:
        """Brings one file, whole or not at all."""
        left = self._max_bytes - self._used
        size = entry.size or 0
        if size > left:
            self._leave(path, self._too_long(f"has {_figure(size)}"))
            return
        # It may be a FIFO, to open which in an instance that does not run would block its deletion.
        # It is asked each time, since a guest may end at any time.
        closed = size == 0 and not self._look()
        if closed and entry.size is None:
            self._leave(path, "the server does not say how long it is, and the guest does not run")
            return
        written, got = None, 0
        with self._leaving(path):
            with self._folder.writing(target) as out:
                for chunk in () if closed else self._chunks(path):
                    got += len(chunk)
                    if got > left:
                        raise _TooLong(self._too_long("became longer meanwhile"))
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
            # A guest that says less of its files than they have could go on like this for long.
            raise _Stopped(f"{_figure(self._wasted)} were read of files that could not be kept")
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
            f"{what}, of the {_figure(self._max_bytes)} that may be collected "
            f"{_figure(left)} are left"
        )

    # Artifacts

    def _all_artifacts(self) -> None:
        """What the patterns mean, directory by directory."""
        globs = self._plan.policies.output_collection.artifact_globs
        root = self._plan.paths.artifacts_dir
        for glob in globs:
            if reason := unusable(glob):
                self._leave(root, f"the pattern `{glob}` {reason}")
        entry = self._entry(root) if self._way_is_clear(root) else None
        if entry is not None and entry.type != "directory":
            self._leave(root, _invalid_reason(entry, wanted="directory"))
        elif entry is not None:
            self._walk(root, "", matcher(globs), holder(globs))

    def _walk(
        self, root: str, within: str, meant: Callable[[str], bool], holds: Callable[[str], bool]
    ) -> None:
        """The files of a directory, whose path relative to the artifacts directory is given."""
        names: list[str] | None = None
        place = f"{root}/{within}" if within else root
        with self._leaving(place):
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
                raise _Stopped(f"there are more than {MAX_ENTRIES} names")
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
                        self._leave(f"{root}/{below}", f"more than {MAX_DEPTH} directories deep")
                        continue
                    self._walk(root, below, meant, holds)
                elif matches:
                    self._artifact(f"{root}/{below}", below, entry)
        self._pending.pop()

    def _hold(self, names: Iterable[str]) -> list[str]:
        """Keep a directory's names until each is looked at, the first one last; only as many, with
        those of the directories above, as are looked at in all."""
        pending = sorted(set(names), reverse=True)
        self._pending.append(pending)
        room = MAX_ENTRIES - self._listed + 1
        for held in reversed(self._pending):
            del held[: max(0, len(held) - room)]
            room -= len(held)
        return pending

    def _seen(self, path: str, name: str, below: str, *, meant: bool) -> GuestEntry | None:
        """What is at a path that a listing named, unless it is left out."""
        if reason := name_reason(name):
            # With a slash within, it may be any path, so that it is not even asked for.
            self._leave(path, reason)
            return None
        with self._leaving(path):
            entry = self._ask_entry(path)
            if entry is None:
                if "\ufffd" in name:
                    self._leave(path, "its name is not UTF-8")
                elif meant:
                    self._leave(path, "a socket or the like, or not there any more")
            elif entry.type not in ("file", "directory"):
                self._leave(path, _invalid_reason(entry))
            else:
                return entry
        return None

    def _artifact(self, path: str, below: str, entry: GuestEntry) -> None:
        if self._artifacts >= MAX_ARTIFACTS:
            raise _Stopped(f"there are more than {MAX_ARTIFACTS} artifacts")
        before = len(self._files)
        self._take(path, f"artifacts/{below}", "artifact", entry)
        self._artifacts += len(self._files) - before

    # Time

    @property
    def _timeout(self) -> float:
        """The seconds that the next request may take."""
        return min(_TIMEOUT, self._seconds_left())

    def _seconds_left(self) -> float:
        """The seconds that are left; a moment at least, in which it is seen that none are."""
        return max(self._begun + WITHIN + self._used / _MIB - time.monotonic(), 0.1)

    @contextlib.contextmanager
    def _on_time(self) -> Iterator[Callable[[int], None]]:
        """Counts the time of a request, which may say how many bytes it brought.

        Raises:
            _Stopped: all the time that there is was taken.
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
                f"{WITHIN:g} s are over, and a second for each MiB of the {_figure(self._used)} "
                "that were brought"
            )
        if self._stalled > STALLED_FOR:
            raise _Stopped(
                f"the guest's answers took {self._stalled:.0f} s longer than they should"
            )

    # What is left out

    @contextlib.contextmanager
    def _leaving(self, path: str) -> Iterator[None]:
        """Leaves out a path whose block fails, and stops where the next would fail too."""
        try:
            yield
        except NoAnswerInTime:
            self._unreachable = 0
            self._hangs += 1
            self._leave(
                path, f"no answer within {_TIMEOUT:g} s: a FIFO, or else a server that hangs"
            )
            if self._hangs >= MAX_HANGS:
                raise _Stopped(f"{self._hangs} requests got no answer in time") from None
        except IncusUnreachable as error:
            self._unreachable += 1
            self._leave(path, str(error))
            if not error.sent or self._unreachable >= MAX_UNREACHABLE:
                raise _Stopped(f"the server cannot be reached: {error}") from error
        except (IncusError, FolderError, _TooLong) as error:
            self._unreachable = 0
            self._leave(path, error.reason if isinstance(error, UnsafePath) else str(error))

    def _leave(self, path: str, reason: str, *, always: bool = False) -> None:
        """Notes what is left out, as long as there is room, or in another's place."""
        if len(self._left) >= MAX_LEFT_OUT:
            self._untold += 1
            if not always:
                return
            self._left.pop()
        self._left.append(SkippedFile(_cut(path, _SHOWN), _cut(reason, _PROGRESS_EVERY)))

    def _tick(self, further: int = 0) -> None:
        amount = (self._used + further) / _MIB
        self._progress.tick(f"{len(self._files)} files, {amount:.1f} MiB")


def _invalid_reason(entry: GuestEntry, wanted: str = "file") -> str:
    """Why something that is not what it should be is left out."""
    if entry.type == "symlink":
        return "a symlink, which is not followed"
    return f"a {entry.type}, where a {wanted} should be"


def _figure(size: int) -> str:
    return f"{size} bytes" if size < _MIB else f"{size / _MIB:.1f} MiB"


def _cut(text: str, limit: int) -> str:
    # A secret is looked for in the whole text, as the guest wrote it.
    text = visible(redact(text))
    return text if len(text) <= limit else text[: limit - 1] + "…"
