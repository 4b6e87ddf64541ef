"""The folder of the host that takes a job's outputs.

What is written there has names that a guest chose. So each name is looked at, and the way to a file
goes from directory to directory by descriptors, without following a symlink: whatever is put in
the way meanwhile, nothing is written outside of the folder.

The folder's own path is the user's, and may lead through symlinks.
"""

import contextlib
import errno
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Protocol, Self

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


class FolderError(OSError):
    """Something could not be written into the folder, or read from it. Says what and why."""


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
        written: what became of it; None until it is kept.
    """

    size: int
    written: Written | None

    def __init__(self, folder: "OutputFolder", components: tuple[str, ...]) -> None:
        self._folder, self._components = folder, components
        self._part = f".pika-{secrets.token_hex(8)}.part"
        self._hash = hashlib.sha256()
        self.size, self.written = 0, None
        with _told(folder.root), folder._opened() as root:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file: IO[bytes] = os.fdopen(
                os.open(self._part, flags, 0o644, dir_fd=root), "wb", buffering=0
            )

    @property
    def path(self) -> str:
        """Where it will be, relative to the folder."""
        return "/".join(self._components)

    def write(self, data: bytes) -> None:
        """Adds to the file.

        Raises:
            FolderError: the host could not take it, as a disk that is full.
        """
        with _told(self._folder.root / self.path):
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        self._hash.update(data)
        self.size += len(data)

    def keep(self) -> Written:
        """Ends the file and gives it its name, in place of a file that has it.

        Raises:
            FolderError: it could not have it: a symlink or a directory has the name, or something
                that is no directory is in the way. Then the file is gone.
        """
        try:
            with _told(self._folder.root / self.path), self._folder._opened() as root:
                self._file.close()
                *directories, name = self._components
                with _descended(root, directories, self._folder.root, make=True) as directory:
                    _refuse_in_place(directory, name, self._folder.root / self.path)
                    os.replace(self._part, name, src_dir_fd=root, dst_dir_fd=directory)
        except BaseException:
            self.drop()
            raise
        self.written = Written(self.path, self.size, self._hash.hexdigest())
        return self.written

    def drop(self) -> None:
        """Removes what was written. After `keep` there is nothing to remove."""
        self._file.close()
        if self.written is None:
            # Left behind, it would be removed by the next run.
            with contextlib.suppress(OSError), self._folder._opened() as root:
                os.unlink(self._part, dir_fd=root)


class OutputFolder:
    """A folder for the outputs of one run at a time.

    Args:
        root: the folder. It is made where it is missing, when something is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def begin(self, path: str) -> Pending:
        """Begins a file of which it is not known yet whether it is to be kept.

        The caller has to end it by `keep` or `drop`.

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
        """Writes a file, which has its name once the block ended well; see `begin`.

        If anything is raised in the block, there is no such file, nor a part of it.
        """
        pending = self.begin(path)
        try:
            yield pending
        except BaseException:
            pending.drop()
            raise
        pending.keep()

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
        with _told(self.root):
            try:
                root = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            except FileNotFoundError:
                return removed
            try:
                with os.scandir(root) as entries:
                    names = [entry.name for entry in entries]
                for name in names:
                    if _PART.fullmatch(name) and _mode(root, name, stat.S_ISREG):
                        os.unlink(name, dir_fd=root)
                files = _read_manifest(root)
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
    except OSError:
        # It is not there, or something else is in its place or on the way, or we may not read it or
        # remove it: not ours any more.
        return False
    for depth in range(len(directories), 0, -1):
        try:
            with _descended(root, directories[: depth - 1], shown, make=False) as parent:
                os.rmdir(directories[depth - 1], dir_fd=parent)
        except OSError:
            # Somebody's file is in it; then it stays, and what is above it as well.
            break
    return True


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


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    """Errors of the operating system as FolderError that name the path."""
    try:
        yield
    except FolderError:
        raise
    except OSError as error:
        raise FolderError(f"{path}: {error.strerror or error}") from error
