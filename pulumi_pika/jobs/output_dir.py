"""Write a job's outputs to a folder of the machine that runs the job.

A guest chooses the names of the files. So each name is checked, and each directory on the way to a
file is opened by descriptor, without following symlinks. Even if another process changes the
directories in the meantime, no file is written outside of the folder.

The folder's own path is the user's, and may lead through symlinks.

Only one run uses a folder at a time: `OutputFolder.held` locks it. The files get their names after
all are complete and the manifest that lists them is written (`OutputFolder.commit`). So a run that
is killed at any moment leaves no named file that no manifest lists. The next run deletes its
unfinished files.
"""

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import shlex
import stat
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol, Self

from ..errors import PikaError
from ..message_templates import IN_USE, INVALID_VALUE, MISSING, Message
from ..text_safety import UNSEEN

MANIFEST: Final = "manifest.json"
SCHEMA_VERSION: Final = 1
KINDS: Final = frozenset({"log", "events", "status", "result", "artifact"})
MAX_NAME_BYTES: Final = 255
"""The longest name that Linux's file systems accept."""
MAX_PATH_BYTES: Final = 1024
"""The longest path of a file in the folder. Linux accepts 4096 bytes including the path of the
folder."""
_MAX_MANIFEST_BYTES: Final = 32 * 1024 * 1024
_MAX_MANIFEST_FILES: Final = 20_000
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK: Final = 1024 * 1024
_PART: Final = re.compile(r"\.pika-.*\.part", re.DOTALL)
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


_PROBE: Final = b"\0" * 64 * 1024
"""The bytes that are written to check whether the folder is writable."""
_NO_LOCKS: Final = frozenset({errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EBADF, errno.EINVAL})
"""The errors of flock on file systems without locks, or without locks of directories, as NFS."""


class FolderError(PikaError, OSError):
    """A file could not be written to the folder, or read from it.

    Attributes:
        advice: What to do about the error; empty if the message says it.
    """

    advice: str

    def __init__(self, text: str, advice: str = "") -> None:
        super().__init__(text)
        self.advice = advice


class UnsafePath(FolderError):
    """A path that a guest chose must not be written to.

    Attributes:
        reason: The reason, as a half-sentence.
    """

    default_code = INVALID_VALUE

    reason: str

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path!r}: {reason}")
        self.reason = reason


class Listed(Protocol):
    """The entry of a file in a manifest."""

    @property
    def path(self) -> str:
        """The path relative to the folder, with ``/`` between components."""

    @property
    def kind(self) -> str:
        """The kind of the output, one of `KINDS`."""

    @property
    def size(self) -> int:
        """The size in bytes."""

    @property
    def sha256(self) -> str:
        """The SHA-256 digest in hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was written."""

    path: str
    """The path relative to the folder, with ``/`` between components."""
    size: int
    """The size in bytes."""
    sha256: str
    """The SHA-256 digest in hexadecimal digits."""


def name_reason(name: str) -> str | None:
    """Return why a name must not be used as one component of a path, or None."""
    if not name:
        return "an empty name"
    if name in (".", ".."):
        return f"the name `{name}`"
    if "/" in name:
        return "a slash within a name"
    if "\n" in name or "\t" in name or UNSEEN.search(name):
        return "a control character in its name"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"a name longer than {MAX_NAME_BYTES} bytes"
    if _PART.fullmatch(name):
        return "the name of an unfinished file of pulumi_pika"
    return None


def safe_components(path: str) -> tuple[str, ...]:
    """Return the components of a path relative to the folder.

    Raises:
        UnsafePath: The path is empty, absolute, too long, or has a component that must not be used.
    """
    if path.startswith("/"):
        raise UnsafePath(path, "an absolute path")
    components = tuple(path.split("/"))
    for component in components:
        if reason := name_reason(component):
            raise UnsafePath(path, reason)
    if len(path.encode()) > MAX_PATH_BYTES:
        raise UnsafePath(path, f"a path longer than {MAX_PATH_BYTES} bytes")
    return components


class Pending:
    """A file that is being written; it has no name in the folder until `commit`.

    Attributes:
        size: The bytes that were written so far.
        written: The entry of the file; None until the file is finished.
    """

    size: int
    written: Written | None

    def __init__(self, folder: "OutputFolder", components: tuple[str, ...]) -> None:
        self._folder, self._components = folder, components
        self._part = _part_name()
        self._hash = hashlib.sha256()
        self._settled = False
        self.size, self.written = 0, None
        with _wrap_os_errors(folder.root), folder._opened() as root:
            self._place = _place_of_part(root, components, folder.root)
            with _descended(root, self._place, folder.root, make=False) as directory:
                self._file: IO[bytes] = _made(directory, self._part)
        folder._pending[self.path] = self

    @property
    def path(self) -> str:
        """The path that the file gets, relative to the folder."""
        return "/".join(self._components)

    def write(self, data: bytes) -> None:
        """Append bytes to the file.

        Raises:
            FolderError: The bytes could not be written, for example because the disk is full.
        """
        with _wrap_os_errors(self._folder.root / self.path):
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        self._hash.update(data)
        self.size += len(data)

    def finish(self) -> Written:
        """Finish the file, without giving it its name yet.

        Raises:
            FolderError: The file cannot get its name (see `commit`). The file is deleted then.
        """
        if self.written is not None:
            return self.written
        try:
            *directories, name = self._components
            with _wrap_os_errors(self._folder.root / self.path), self._folder._opened() as root:
                self._file.close()
                # An obstacle may appear later.
                with (
                    contextlib.suppress(FileNotFoundError),
                    _descended(root, directories, self._folder.root, make=False) as directory,
                ):
                    _refuse_in_place(directory, name, self._folder.root / self.path)
        except BaseException:
            self.discard()
            raise
        self.written = Written(self.path, self.size, self._hash.hexdigest())
        return self.written

    def commit(self) -> Written:
        """Finish the file and give it its name; an existing file of that name is replaced.

        Raises:
            FolderError: The file could not get its name: a symlink or a directory has the name, or
                a part of the path is not a directory. The file is deleted then.
        """
        written = self.finish()
        try:
            with _wrap_os_errors(self._folder.root / self.path), self._folder._opened() as root:
                *directories, name = self._components
                with (
                    _descended(root, self._place, self._folder.root, make=False) as here,
                    _descended(root, directories, self._folder.root, make=True) as there,
                ):
                    _refuse_in_place(there, name, self._folder.root / self.path)
                    _rename(here, self._part, there, name)
        except BaseException:
            self.discard()
            raise
        self._settle()
        return written

    def discard(self) -> None:
        """Delete what was written. After `commit`, nothing is deleted."""
        self._file.close()
        if not self._settled:
            # If the file is left behind, the next run deletes it.
            with (
                contextlib.suppress(OSError),
                self._folder._opened() as root,
                _descended(root, self._place, self._folder.root, make=False) as here,
            ):
                os.unlink(self._part, dir_fd=here)
            self._settle()

    def _settle(self) -> None:
        self._settled = True
        if self._folder._pending.get(self.path) is self:
            del self._folder._pending[self.path]


class OutputFolder:
    """A folder for the outputs of one run at a time.

    Args:
        root: The folder. If it is missing, it is created by the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._pending: dict[str, Pending] = {}
        self._descriptor: int | None = None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Lock the folder for one run, which is then the only one that writes to it.

        A missing folder is created, and deleted at the end if it is empty. Files that are
        unfinished at the end are deleted.

        Raises:
            FolderError: The folder cannot be created or opened, or another run has locked it.
        """
        made: list[Path] = []
        locks = contextlib.ExitStack()
        try:
            while self._descriptor is None:
                with _wrap_os_errors(self.root):
                    _make_directories(self.root, made)
                    self._descriptor = locks.enter_context(_locked_directory(self.root))
            yield
        finally:
            for pending in list(self._pending.values()):
                pending.discard()
            # The folder is deleted while it is locked, so that another run notices the delete.
            for directory in reversed(made):
                with contextlib.suppress(OSError):
                    directory.rmdir()
            self._descriptor = None
            locks.close()

    def open_file(self, path: str) -> Pending:
        """Start a file that may be discarded later.

        The caller must end the file by `Pending.commit` or `Pending.discard`, or by
        `Pending.finish` and `OutputFolder.commit`.

        Args:
            path: Relative to the folder, with ``/`` between components.

        Raises:
            UnsafePath: `path` must not be written to.
            FolderError: The folder is not writable.
        """
        components = safe_components(path)
        if components == (MANIFEST,):
            raise UnsafePath(path, "the name of the manifest")
        return Pending(self, components)

    @contextlib.contextmanager
    def writing(self, path: str) -> Iterator[Pending]:
        """Write a file, which is finished if the block ends without an exception; see `open_file`.

        If the block raises an exception, neither the file nor a part of it is left.
        """
        pending = self.open_file(path)
        try:
            yield pending
        except BaseException:
            pending.discard()
            raise
        pending.finish()

    def commit(self, files: Collection[Listed]) -> list[tuple[str, FolderError]]:
        """Write the manifest of a run's files, then give the files their names.

        Args:
            files: The run's files, each of which is finished.

        Returns:
            The paths of files that could not get their names, and the reasons.

        Raises:
            FolderError: The manifest could not be written; then no file gets its name.
        """
        self.write_manifest(files)
        kept: set[str] = set()
        failed: list[tuple[str, FolderError]] = []
        try:
            for file in files:
                try:
                    self._pending[file.path].commit()
                    kept.add(file.path)
                except FolderError as error:
                    failed.append((file.path, error))
        finally:
            if len(kept) < len(files):
                # The first manifest is harmless: the next run ignores listed files that do not
                # exist.
                with contextlib.suppress(FolderError):
                    self.write_manifest(file for file in files if file.path in kept)
        return failed

    def write_manifest(self, files: Iterable[Listed]) -> None:
        """Write the list of all files of this run, by which the next run deletes them.

        Raises:
            FolderError: The manifest could not be written.
        """
        listed = [
            {"path": file.path, "kind": file.kind, "size": file.size, "sha256": file.sha256}
            for file in files
        ]
        content = {"schema_version": SCHEMA_VERSION, "files": listed}
        pending = Pending(self, (MANIFEST,))
        try:
            pending.write(json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n")
        except BaseException:
            pending.discard()
            raise
        pending.commit()

    def find_obstacle(self, paths: Iterable[str]) -> None:
        """Check whether a run's files can get their names in the folder, which exists.

        Args:
            paths: The names that the run's files may have; ``artifacts/`` is a directory.

        Raises:
            FolderError: A file of another type has one of the names.
        """
        with _wrap_os_errors(self.root), self._opened() as root:
            for path in (MANIFEST, *paths):
                name, slash, _ = path.partition("/")
                shown = self.root / name
                advice = f"move {shown} to another place, or use another directory"
                if _mode(root, name, stat.S_ISLNK):
                    raise FolderError(f"{shown} is a symlink, which is not followed", advice)
                if slash and _mode(root, name, lambda mode: not stat.S_ISDIR(mode)):
                    raise FolderError(f"{shown} is not a directory", advice)
                if not slash and _mode(root, name, lambda mode: not stat.S_ISREG(mode)):
                    raise FolderError(f"{shown} is not a file", advice)

    def probe(self, paths: Iterable[str]) -> None:
        """Check that the folder is writable: write a small file, and delete it.

        Args:
            paths: See `find_obstacle`.

        Raises:
            FolderError: The folder is not writable.
        """
        for path in ("", *(path for path in paths if path.endswith("/"))):
            with _wrap_os_errors(self.root / path), self._opened() as root:
                place = tuple(path.split("/")[:-1])
                if place and not _mode(root, place[0], stat.S_ISDIR):
                    continue
                with _descended(root, place, self.root, make=False) as directory:
                    name = _part_name()
                    with _made(directory, name) as file:
                        try:
                            file.write(_PROBE)
                        finally:
                            os.unlink(name, dir_fd=directory)

    def clear_previous(self) -> list[str]:
        """Delete the files of an earlier run that are unchanged.

        A file that is not in that run's manifest, or was changed, is kept. If pulumi_pika did not
        write the manifest, all files are kept. Directories that become empty are deleted, and so
        are unfinished files of a killed run.

        Returns:
            The paths of the deleted files, relative to the folder.

        Raises:
            FolderError: The folder could not be read.
        """
        removed: list[str] = []
        with _wrap_os_errors(self.root):
            try:
                root = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:
                return removed
            try:
                files = _read_manifest(root)
                places = {entry.components[:-1] for entry in files or ()}
                for place in {(), ("artifacts",), *places}:
                    _remove_parts(root, place, self.root)
                for file in files or ():
                    if _remove_same(root, file, self.root):
                        removed.append(file.path)
                if files is not None:
                    # Listed files that still exist belong to the user from now on.
                    os.unlink(MANIFEST, dir_fd=root)
            finally:
                os.close(root)
        return removed

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        """Yield a descriptor of the folder; create the folder if it is missing."""
        if self._descriptor is not None:
            yield self._descriptor
            return
        self.root.mkdir(mode=0o755, parents=True, exist_ok=True)
        root = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield root
        finally:
            os.close(root)


@dataclass(frozen=True, slots=True)
class _Entry:
    """The entry of a file in a manifest, with each value checked."""

    components: tuple[str, ...]
    size: int
    sha256: str

    @property
    def path(self) -> str:
        return "/".join(self.components)

    @classmethod
    def of(cls, given: Any) -> Self:
        """Return the entry.

        Raises:
            ValueError: The data is not a valid entry, or its path leads outside of the folder.
        """
        if not isinstance(given, dict) or set(given) != {"path", "kind", "size", "sha256"}:
            raise ValueError("not an entry of a manifest")
        path, size, digest = given["path"], given["size"], given["sha256"]
        if not isinstance(path, str) or not isinstance(given["kind"], str):
            raise ValueError("the path or the kind is not a string")
        if given["kind"] not in KINDS or type(size) is not int or size < 0:
            raise ValueError("the kind or the size is not valid")
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            raise ValueError("the digest is not valid")
        try:
            return cls(safe_components(path), size, digest)
        except UnsafePath as error:
            raise ValueError(str(error)) from error


def _read_manifest(root: int) -> list[_Entry] | None:
    """Return the entries of the manifest; None if there is no manifest that pulumi_pika can have
    written."""
    try:
        with _regular(root, MANIFEST) as file:
            content = file.read(_MAX_MANIFEST_BYTES + 1)
        if len(content) > _MAX_MANIFEST_BYTES:
            return None
        read = json.loads(content)
        if not isinstance(read, dict) or set(read) != {"schema_version", "files"}:
            return None
        files = read["files"]
        if type(read["schema_version"]) is not int or read["schema_version"] != SCHEMA_VERSION:
            return None
        if not isinstance(files, list) or len(files) > _MAX_MANIFEST_FILES:
            return None
        return [_Entry.of(file) for file in files]
    except (OSError, ValueError, RecursionError):
        return None


def _remove_same(root: int, entry: _Entry, shown: Path) -> bool:
    """Delete a file if it matches the entry, and the directories that become empty; return whether
    it did."""
    *directories, name = entry.components
    try:
        with _descended(root, directories, shown, make=False) as directory:
            with _regular(directory, name) as file:
                if os.fstat(file.fileno()).st_size != entry.size:
                    return False
                digest = hashlib.sha256()
                while block := file.read(_BLOCK):
                    digest.update(block)
            if digest.hexdigest() != entry.sha256:
                return False
            os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        # A killed run may have created the directories but not the file.
        _remove_empty(root, directories, shown)
        return False
    except OSError:
        # Another file has its place or is on the way, or the file may not be read or deleted. In
        # each case it is no longer managed by pulumi_pika.
        return False
    _remove_empty(root, directories, shown)
    return True


def _remove_empty(root: int, directories: list[str], shown: Path) -> None:
    """Delete a directory and those above it, as long as they are empty."""
    for depth in range(len(directories), 0, -1):
        try:
            with _descended(root, directories[: depth - 1], shown, make=False) as parent:
                os.rmdir(directories[depth - 1], dir_fd=parent)
        except FileNotFoundError:
            continue
        except OSError:
            # The directory has a file of the user. The directory and those above it are kept.
            break


def _remove_parts(root: int, place: tuple[str, ...], shown: Path) -> None:
    """Delete the unfinished files of killed runs in a directory of the folder, which may be
    missing.

    Raises:
        OSError: An unfinished file could not be deleted.
    """
    try:
        with _descended(root, place, shown, make=False) as directory:
            if place and _is_locked(directory):
                # The directory is the folder of another run, which is still active.
                return
            with os.scandir(directory) as entries:
                names = [entry.name for entry in entries if _PART.fullmatch(entry.name)]
            for name in names:
                if _mode(directory, name, stat.S_ISREG):
                    os.unlink(name, dir_fd=directory)
    except OSError:
        if not place:
            raise


@contextlib.contextmanager
def _regular(directory: int, name: str) -> Iterator[IO[bytes]]:
    """Yield a regular file, opened for reading. A symlink is not followed; a FIFO would hang.

    Raises:
        OSError: The file cannot be read, or is not a regular file.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(name, flags, dir_fd=directory)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", name)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _descended(root: int, names: Iterable[str], shown: Path, *, make: bool) -> Iterator[int]:
    """Yield a descriptor of a directory below the folder; no symlink is followed on the way.

    Raises:
        FolderError: A part of the path is not a directory.
    """
    current, path = os.dup(root), shown
    try:
        for name in names:
            path = path / name
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o755, dir_fd=current)
            try:
                below = os.open(name, _DIRECTORY, dir_fd=current)
            except OSError as error:
                # For a symlink, O_NOFOLLOW with O_DIRECTORY fails with ENOTDIR (open(2)).
                if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                    raise
                link = _mode(current, name, stat.S_ISLNK)
                what = "a symlink, which is not followed" if link else "not a directory"
                raise FolderError(f"{path} is {what}; nothing was written there") from error
            os.close(current)
            current = below
        yield current
    finally:
        os.close(current)


def _refuse_in_place(directory: int, name: str, shown: Path) -> None:
    """Raise FolderError if the entry that has a name is not one that an output file may replace."""
    if _mode(directory, name, stat.S_ISLNK):
        raise FolderError(f"{shown} is a symlink, which is not followed; nothing was written there")
    if _mode(directory, name, stat.S_ISDIR):
        raise FolderError(f"{shown} is a directory; nothing was written there")


def _mode(directory: int, name: str, test: Callable[[int], bool]) -> bool:
    """Return whether the entry that has a name passes a test of `stat`."""
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return test(found.st_mode)


def _part_name() -> str:
    return f".pika-{secrets.token_hex(8)}.part"


def _made(directory: int, name: str) -> IO[bytes]:
    """Return a new file, opened for writing."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(name, flags, 0o644, dir_fd=directory), "wb", buffering=0)


def _place_of_part(root: int, components: tuple[str, ...], shown: Path) -> tuple[str, ...]:
    """Return the directory in which a file is started, relative to the folder.

    A directory in the folder may be a separate mount with free space of its own.
    """
    first = components[:-1][:1]
    try:
        with _descended(root, first, shown, make=False):
            return first
    except FileNotFoundError:
        return ()


def _rename(here: int, part: str, there: int, name: str) -> None:
    """Give a file its name, also on another file system."""
    try:
        os.replace(part, name, src_dir_fd=here, dst_dir_fd=there)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        copy = _part_name()
        try:
            with _regular(here, part) as source, _made(there, copy) as target:
                while block := source.read(_BLOCK):
                    rest = memoryview(block)
                    while rest:
                        rest = rest[target.write(rest) :]
            os.replace(copy, name, src_dir_fd=there, dst_dir_fd=there)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(copy, dir_fd=there)
            raise
        os.unlink(part, dir_fd=here)


_held: set[tuple[int, int]] = set()
"""The directories that runs of this process have locked, by device and inode."""
_holding = threading.Lock()


def _make_directories(path: Path, made: list[Path]) -> None:
    """Create a directory and those above it; add the created ones to `made`."""
    absent: list[Path] = []
    while not path.is_dir():
        if path.is_symlink() and not path.exists():
            target = path.readlink()
            raise FolderError(
                Message(f"{path} is a symlink, and its target {target} does not exist", MISSING),
                f"create that directory, or delete the symlink: `rm -- {shlex.quote(str(path))}`",
            )
        if path.exists():
            raise FolderError(f"{path} is not a directory")
        absent.append(path)
        path = path.parent
    for path in reversed(absent):
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o755)
            made.append(path)


@contextlib.contextmanager
def _locked_directory(path: Path) -> Iterator[int | None]:
    """Yield a descriptor of a directory, locked for this run; None if it was just deleted.

    Raises:
        FolderError: Another run has locked the directory.
        OSError: The directory cannot be opened.
    """
    descriptor, key = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), None
    try:
        found = os.fstat(descriptor)
        taken = FolderError(
            Message(f"{path} is used by another job", IN_USE),
            "use a separate directory for each job, or wait until the other job ends",
        )
        with _holding:
            # Not all file systems support the lock below.
            if (found.st_dev, found.st_ino) in _held:
                raise taken
            key = found.st_dev, found.st_ino
            _held.add(key)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise (taken if isinstance(error, BlockingIOError) else error) from error
        yield descriptor if _is_still(path, found) else None
    finally:
        if key:
            _held.discard(key)
        os.close(descriptor)


def _is_still(path: Path, found: os.stat_result) -> bool:
    """Return whether an open directory is still the one that the path leads to."""
    try:
        now = path.stat()
    except OSError:
        return False
    return (now.st_dev, now.st_ino) == (found.st_dev, found.st_ino)


def _is_locked(directory: int) -> bool:
    """Return whether a run has locked a directory."""
    found = os.fstat(directory)
    if (found.st_dev, found.st_ino) in _held:
        return True
    again = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return isinstance(error, BlockingIOError)
    finally:
        os.close(again)
    return False


@contextlib.contextmanager
def _wrap_os_errors(path: Path) -> Iterator[None]:
    """Raise errors of the operating system as FolderError with the path."""
    try:
        yield
    except FolderError:
        raise
    except OSError as error:
        raise FolderError(f"{path}: {error.strerror or error}") from error
