"""The folder of the host that takes a job's outputs.

What is written there has names that a guest chose. So each name is looked at, and the way to a file
goes from directory to directory by descriptors, without following a symlink: whatever is put in
the way meanwhile, nothing is written outside of the folder.

The folder's own path is the user's, and may lead through symlinks.

A folder is one run's: `OutputFolder.held` locks it. Files get their names when the run is done
with all of them, after the manifest that lists them was written (`OutputFolder.commit`). So a run
that is killed at any moment leaves no file with a name that no manifest has; what it had begun is
removed by the next run.
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
from ..text_safety import UNSEEN

MANIFEST: Final = "manifest.json"
SCHEMA_VERSION: Final = 1
KINDS: Final = frozenset({"log", "events", "status", "result", "artifact"})
MAX_NAME_BYTES: Final = 255
"""What Linux's file systems take as one name."""
MAX_PATH_BYTES: Final = 1024
"""A path of a file in the folder. Linux takes 4096 with the path of the folder itself."""
_MAX_MANIFEST_BYTES: Final = 32 * 1024 * 1024
_MAX_MANIFEST_FILES: Final = 20_000
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BLOCK: Final = 1024 * 1024
_PART: Final = re.compile(r"\.pika-.*\.part", re.DOTALL)
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


_PROBE: Final = b"\0" * 64 * 1024
"""What is written to see whether anything can be."""
_NO_LOCKS: Final = frozenset({errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK, errno.EBADF, errno.EINVAL})
"""What flock says where a file system has no locks, or none of directories, as NFS."""


class FolderError(PikaError, OSError):
    """Something could not be written into the folder, or read from it. Says what and why.

    Attributes:
        advice: what to do about it; empty where the rest says it.
    """

    advice: str

    def __init__(self, text: str, advice: str = "") -> None:
        super().__init__(text)
        self.advice = advice


class UnsafePath(FolderError):
    """A path that a guest chose is not one to write to.

    Attributes:
        reason: why, as a half-sentence.
    """

    reason: str

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path!r}: {reason}")
        self.reason = reason


class Listed(Protocol):
    """What a manifest says of a file."""

    @property
    def path(self) -> str:
        """Relative to the folder, with ``/`` between components."""

    @property
    def kind(self) -> str:
        """One of `KINDS`."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def sha256(self) -> str:
        """In hexadecimal digits."""


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was written."""

    path: str
    """Relative to the folder, with ``/`` between components."""
    size: int
    """Bytes."""
    sha256: str
    """In hexadecimal digits."""


def name_reason(name: str) -> str | None:
    """Why a name, as one component of a path, is not one to write to, or None."""
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
        return "the name of a file that is only begun"
    return None


def safe_components(path: str) -> tuple[str, ...]:
    """The components of a path relative to the folder.

    Raises:
        UnsafePath: it is empty, absolute, too long, or has a component that is not in order.
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
    """A file that is being written; it has no name in the folder until it is kept.

    Attributes:
        size: the bytes so far.
        written: what was written; None until it is finished.
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
        """Where it will be, relative to the folder."""
        return "/".join(self._components)

    def write(self, data: bytes) -> None:
        """Adds to the file.

        Raises:
            FolderError: the host could not take it, as a disk that is full.
        """
        with _wrap_os_errors(self._folder.root / self.path):
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        self._hash.update(data)
        self.size += len(data)

    def finish(self) -> Written:
        """End the file, of which nothing more is written; it still has no name.

        Raises:
            FolderError: it cannot have its name (see `keep`). Then the file is gone.
        """
        if self.written is not None:
            return self.written
        try:
            *directories, name = self._components
            with _wrap_os_errors(self._folder.root / self.path), self._folder._opened() as root:
                self._file.close()
                # It may still come to be in the way.
                with (
                    contextlib.suppress(FileNotFoundError),
                    _descended(root, directories, self._folder.root, make=False) as directory,
                ):
                    _refuse_in_place(directory, name, self._folder.root / self.path)
        except BaseException:
            self.drop()
            raise
        self.written = Written(self.path, self.size, self._hash.hexdigest())
        return self.written

    def keep(self) -> Written:
        """Ends the file and gives it its name, in place of a file that has it.

        Raises:
            FolderError: it could not have it: a symlink or a directory has the name, or something
                that is no directory is in the way. Then the file is gone.
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
            self.drop()
            raise
        self._settle()
        return written

    def drop(self) -> None:
        """Removes what was written. After `keep` there is nothing to remove."""
        self._file.close()
        if not self._settled:
            # Left behind, it would be removed by the next run.
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
        root: the folder. It is made where it is missing, when something is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._pending: dict[str, Pending] = {}
        self._descriptor: int | None = None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Has the folder for one run, which is the only one that writes to it.

        It is made where it is missing, and removed at the end if nothing was put there. What was
        begun and not kept by then is dropped.

        Raises:
            FolderError: it cannot be made or opened, or another run has it.
        """
        made: list[Path] = []
        locks = contextlib.ExitStack()
        try:
            while self._descriptor is None:
                with _wrap_os_errors(self.root, _OTHER_DIRECTORY):
                    _make_directories(self.root, made)
                    self._descriptor = locks.enter_context(_locked_directory(self.root))
            yield
        finally:
            for pending in list(self._pending.values()):
                pending.drop()
            # While it is locked: another run that waits for nothing sees that it is gone.
            for directory in reversed(made):
                with contextlib.suppress(OSError):
                    directory.rmdir()
            self._descriptor = None
            locks.close()

    def begin(self, path: str) -> Pending:
        """Begins a file of which it is not known yet whether it is to be kept.

        The caller has to end it by `keep` or `drop`, or by `finish` and `commit`.

        Args:
            path: relative to the folder, with ``/`` between components.

        Raises:
            UnsafePath: `path` is not one to write to.
            FolderError: nothing can be written to the folder.
        """
        components = safe_components(path)
        if components == (MANIFEST,):
            raise UnsafePath(path, "the name of the folder's own list of files")
        return Pending(self, components)

    @contextlib.contextmanager
    def writing(self, path: str) -> Iterator[Pending]:
        """Writes a file, which is finished once the block ended well; see `begin`.

        If anything is raised in the block, there is no such file, nor a part of it.
        """
        pending = self.begin(path)
        try:
            yield pending
        except BaseException:
            pending.drop()
            raise
        pending.finish()

    def commit(self, files: Collection[Listed]) -> list[tuple[str, FolderError]]:
        """Gives the files of a run their names, after the manifest that lists them was written.

        Args:
            files: the run's files, each of which was finished.

        Returns:
            the paths of files that could not have their names, and why.

        Raises:
            FolderError: the manifest could not be written; then no file has its name.
        """
        self.write_manifest(files)
        kept: set[str] = set()
        failed: list[tuple[str, FolderError]] = []
        try:
            for file in files:
                try:
                    self._pending[file.path].keep()
                    kept.add(file.path)
                except FolderError as error:
                    failed.append((file.path, error))
        finally:
            if len(kept) < len(files):
                # The first one does no harm: what it lists and is not there is not looked for.
                with contextlib.suppress(FolderError):
                    self.write_manifest(file for file in files if file.path in kept)
        return failed

    def write_manifest(self, files: Iterable[Listed]) -> None:
        """Writes the list of all files that this run brought, by which the next removes them.

        Raises:
            FolderError: it could not be written.
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
            pending.drop()
            raise
        pending.keep()

    def find_obstacle(self, paths: Iterable[str]) -> None:
        """Look whether a run's files could be put into the folder, which exists.

        Args:
            paths: the names that the run's files may have; ``artifacts/`` is a directory.

        Raises:
            FolderError: something of another kind has one of the names.
        """
        with _wrap_os_errors(self.root), self._opened() as root:
            for path in (MANIFEST, *paths):
                name, slash, _ = path.partition("/")
                shown = self.root / name
                advice = f"move {shown} away, or name another directory"
                if _mode(root, name, stat.S_ISLNK):
                    raise FolderError(f"{shown} is a symlink, which is not followed", advice)
                if slash and _mode(root, name, lambda mode: not stat.S_ISDIR(mode)):
                    raise FolderError(f"{shown} is not a directory", advice)
                if not slash and _mode(root, name, lambda mode: not stat.S_ISREG(mode)):
                    raise FolderError(f"{shown} is not a file", advice)

    def probe(self, paths: Iterable[str]) -> None:
        """Write a little, and remove it, where a run's files are put.

        Args:
            paths: see `find_obstacle`.

        Raises:
            FolderError: nothing can be written there.
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
        """Removes what an earlier run brought, as far as it is still what that run brought.

        A file that is not in that run's manifest, or was changed, stays, and so does everything
        where the manifest is not one that we wrote. Directories that got empty by it are removed,
        and so are files that a run which was killed had only begun.

        Returns:
            the paths of the files that were removed, relative to the folder.

        Raises:
            FolderError: the folder could not be read.
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
                    # What it lists and is there still is somebody else's from now on.
                    os.unlink(MANIFEST, dir_fd=root)
            finally:
                os.close(root)
        return removed

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        """A descriptor of the folder, which is made where it is missing."""
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
    """What a manifest says of a file, each value looked at."""

    components: tuple[str, ...]
    size: int
    sha256: str

    @property
    def path(self) -> str:
        return "/".join(self.components)

    @classmethod
    def of(cls, given: Any) -> Self:
        """The entry; ValueError where it is none, or its path leads outside."""
        if not isinstance(given, dict) or set(given) != {"path", "kind", "size", "sha256"}:
            raise ValueError("no entry of ours")
        path, size, digest = given["path"], given["size"], given["sha256"]
        if not isinstance(path, str) or not isinstance(given["kind"], str):
            raise ValueError("no path, or no kind")
        if given["kind"] not in KINDS or type(size) is not int or size < 0:
            raise ValueError("no kind or size of ours")
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            raise ValueError("no hash")
        try:
            return cls(safe_components(path), size, digest)
        except UnsafePath as error:
            raise ValueError(str(error)) from error


def _read_manifest(root: int) -> list[_Entry] | None:
    """What the manifest lists; None where there is none that we can have written."""
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
    """Removes a file if it is the one of the entry, and the directories that got empty by that."""
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
        # A run that was killed may have made the directories, and not got to the file.
        _remove_empty(root, directories, shown)
        return False
    except OSError:
        # Something else is in its place or on the way, or we may not read it or remove it: not ours
        # any more.
        return False
    _remove_empty(root, directories, shown)
    return True


def _remove_empty(root: int, directories: list[str], shown: Path) -> None:
    """Removes a directory and those above it, as far as they are empty."""
    for depth in range(len(directories), 0, -1):
        try:
            with _descended(root, directories[: depth - 1], shown, make=False) as parent:
                os.rmdir(directories[depth - 1], dir_fd=parent)
        except FileNotFoundError:
            continue
        except OSError:
            # Somebody's file is in it; then it stays, and what is above it as well.
            break


def _remove_parts(root: int, place: tuple[str, ...], shown: Path) -> None:
    """Removes what killed runs had begun in a directory of the folder, which need not be there.

    Raises:
        OSError: one of the folder's own could not be removed.
    """
    try:
        with _descended(root, place, shown, make=False) as directory:
            if place and _is_locked(directory):
                # It is the folder of another run, which goes on.
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
    """A file, opened to read; neither a symlink nor a FIFO, which would hang.

    Raises:
        OSError: it cannot be read, or is no file.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(name, flags, dir_fd=directory)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "no file", name)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _descended(root: int, names: Iterable[str], shown: Path, *, make: bool) -> Iterator[int]:
    """A descriptor of a directory below the folder; no symlink is followed on the way.

    Raises:
        FolderError: something on the way is no directory.
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
                # O_NOFOLLOW with O_DIRECTORY says ENOTDIR of a symlink (open(2)).
                if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                    raise
                link = _mode(current, name, stat.S_ISLNK)
                what = "a symlink, which is not followed" if link else "no directory"
                raise FolderError(f"{path} is {what}; nothing was written there") from error
            os.close(current)
            current = below
        yield current
    finally:
        os.close(current)


def _refuse_in_place(directory: int, name: str, shown: Path) -> None:
    """Raises FolderError where something has a name that a file of ours does not replace."""
    if _mode(directory, name, stat.S_ISLNK):
        raise FolderError(f"{shown} is a symlink, which is not followed; nothing was written there")
    if _mode(directory, name, stat.S_ISDIR):
        raise FolderError(f"{shown} is a directory; nothing was written there")


def _mode(directory: int, name: str, test: Callable[[int], bool]) -> bool:
    """Whether what has the name is of a kind, by a test of `stat`."""
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return test(found.st_mode)


def _part_name() -> str:
    return f".pika-{secrets.token_hex(8)}.part"


def _made(directory: int, name: str) -> IO[bytes]:
    """A new file, opened to write."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(name, flags, 0o644, dir_fd=directory), "wb", buffering=0)


def _place_of_part(root: int, components: tuple[str, ...], shown: Path) -> tuple[str, ...]:
    """The directory in which a file is begun, relative to the folder.

    A directory in the folder may be a mount of its own, with room of its own.
    """
    first = components[:-1][:1]
    try:
        with _descended(root, first, shown, make=False):
            return first
    except FileNotFoundError:
        return ()


def _rename(here: int, part: str, there: int, name: str) -> None:
    """Gives a file its name, also where that is on another file system."""
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


_OTHER_DIRECTORY: Final = "make it a directory that this user can write to, or name another"
_held: set[tuple[int, int]] = set()
"""The directories of this process's runs, by device and inode."""
_holding = threading.Lock()


def _make_directories(path: Path, made: list[Path]) -> None:
    """Makes a directory and those above it; adds to `made` those that were missing."""
    missing: list[Path] = []
    while not path.is_dir():
        if path.is_symlink() and not path.exists():
            target = path.readlink()
            raise FolderError(
                f"{path} is a symlink to {target}, which is not there",
                f"make that a directory, or remove the symlink: `rm {shlex.quote(str(path))}`",
            )
        if path.exists():
            raise FolderError(f"{path} is not a directory", _OTHER_DIRECTORY)
        missing.append(path)
        path = path.parent
    for path in reversed(missing):
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o755)
            made.append(path)


@contextlib.contextmanager
def _locked_directory(path: Path) -> Iterator[int | None]:
    """A descriptor of a directory that no other run has; None where it was just removed.

    Raises:
        FolderError: another run has it.
        OSError: it cannot be opened.
    """
    descriptor, key = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), None
    try:
        found = os.fstat(descriptor)
        taken = FolderError(
            f"{path}: another job is writing to it",
            "give each job a directory of its own, or wait for that one",
        )
        with _holding:
            # Not all file systems have the lock below.
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
    """Whether a directory that was opened is the one that the path leads to."""
    try:
        now = path.stat()
    except OSError:
        return False
    return (now.st_dev, now.st_ino) == (found.st_dev, found.st_ino)


def _is_locked(directory: int) -> bool:
    """Whether a directory is the folder of a run."""
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
def _wrap_os_errors(path: Path, advice: str = "") -> Iterator[None]:
    """Errors of the operating system as FolderError that name the path."""
    try:
        yield
    except FolderError:
        raise
    except OSError as error:
        raise FolderError(f"{path}: {error.strerror or error}", advice) from error
