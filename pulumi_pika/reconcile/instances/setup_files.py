"""Define the option `files`, and write the files into a container, before its first start.

The state has only a digest of a content, so that a changed content shows, and no content is stored.
A content that the program gives is kept in the memory of this process between the check and the
create. A content that a file of this machine has is read again.

Incus writes into a container whether it runs or not, and into a virtual machine only through the
agent of a running guest (its `FileSFTPConn`). So a virtual machine cannot get files before its
first start.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import Field

from ...incus.client import IncusClient
from ...incus.errors import IncusError, IncusUnreachable
from ...incus.guest_files import guest_entry
from ...incus.instances import delete_guest_file, make_guest_directory, push_guest_file
from ...message_templates import could_not, invalid_value, unsupported
from ...planner.plan import IncusRuntimePlan
from ...planner.spec_models import Part
from ..shared.errors import ReconcileError
from ..shared.reporter import Reporter

if TYPE_CHECKING:
    from .runtime_options import OptionProblem, RuntimeOptions

MOST_BYTES: Final = 64 * 1024 * 1024
"""The largest content, in bytes. It is in memory as a whole."""
_MODE: Final = re.compile(r"0?[0-7]{3,4}")
_HIDDEN: Final = ("/dev", "/proc", "/run", "/sys", "/var/run")
"""Directories over which a guest mounts an empty file system at each start."""

_contents: dict[str, bytes] = {}
"""By digest: the contents that programs gave to this process."""


class SetupFile(Part):
    """One file, with the digest of its content in place of the content."""

    path: str
    digest: str
    source: str | None = None
    mode: str = "0644"
    uid: int = Field(default=0, ge=0, le=2**32 - 2)
    gid: int = Field(default=0, ge=0, le=2**32 - 2)


class FileNotWritten(ReconcileError):
    """Signal that a file could not be written into an instance."""


def remember_content(content: bytes) -> str:
    """Keep a content for a later create in this process; return its digest."""
    digest = hashlib.sha256(content).hexdigest()
    _contents[digest] = content
    return digest


def source_digest(source: str) -> str:
    """Return the digest of a file of this machine.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is too large.
    """
    return hashlib.sha256(_read_source(source)).hexdigest()


def write_files(
    client: IncusClient, name: str, files: Iterable[SetupFile], reporter: Reporter
) -> None:
    """Write files into a container, with mode and owner; missing directories are created.

    Args:
        client: a client in the instance's project.
        name: the container.
        files: the files.
        reporter: receives progress.

    Raises:
        FileNotWritten: a file could not be written; earlier ones are.
    """
    files = list(files)
    if files:
        reporter.info(f"writing {len(files)} files into {name}")
    for file in files:
        content = _content_of(file, name)
        for again in (True, False):
            try:
                _write(client, name, file, content)
            except IncusUnreachable as error:
                # A write is the same if it is repeated.
                if not again:
                    raise _not_written(name, file, str(error)) from error
            except IncusError as error:
                raise _not_written(name, file, str(error)) from error
            else:
                break


def changed_files(old: Iterable[SetupFile], new: Iterable[SetupFile]) -> list[SetupFile]:
    """Return the files of `new` that differ from the file of the same path in `old`."""
    before = {file.path: file for file in old}
    return [
        file
        for file in new
        if (was := before.get(file.path)) is None
        or (was.digest, int(was.mode, 8), was.uid, was.gid)
        != (file.digest, int(file.mode, 8), file.uid, file.gid)
    ]


def find_file_problems(
    plan: IncusRuntimePlan, options: "RuntimeOptions"
) -> "Iterator[OptionProblem]":
    """Yield what is wrong with the option `files`, without asking a server."""
    if options.files and options.instance_type == "virtual-machine":
        yield (
            ("files",),
            unsupported(
                "files of a virtual machine before its first start are",
                "by Incus",
                "it writes files through the agent of a running guest",
                "set `cloud_init.files` instead",
            ),
        )
    seen: set[str] = set()
    for i, file in enumerate(options.files):
        path = file.path
        where = ("files", i, "path")
        if not path.startswith("/") or not path.isprintable() or _is_unclear(path):
            rule = "use an absolute path without `.`, `..`, empty parts and control characters"
            yield where, invalid_value(path, "path of a file", rule)
        elif hidden := next((it for it in _HIDDEN if path.startswith(f"{it}/")), ""):
            rule = f"{hidden} is empty after each start; use another directory"
            yield where, invalid_value(path, "path of a file", rule)
        elif mount := next((m for m in plan.mounts if path.startswith(f"{m.guest_path}/")), None):
            rule = f"the mount at {mount.guest_path} would hide it; write it into the volume"
            yield where, invalid_value(path, "path of a file", rule)
        elif path in seen:
            yield where, invalid_value(path, "further path", "name each file once")
        seen.add(path)
        if not _MODE.fullmatch(file.mode):
            rule = 'use octal digits, as in "0644"'
            yield ("files", i, "mode"), invalid_value(file.mode, "file mode", rule)


def _is_unclear(path: str) -> bool:
    return any(part in ("", ".", "..") for part in path.split("/")[1:])


def _write(client: IncusClient, name: str, file: SetupFile, content: bytes) -> None:
    missing = []
    parent = file.path.rpartition("/")[0]
    while parent and guest_entry(client, name, parent) is None:
        missing.append(parent)
        parent = parent.rpartition("/")[0]
    for folder in reversed(missing):
        make_guest_directory(client, name, folder)
    # Incus sets mode and owner of new files only, and follows a link.
    entry = guest_entry(client, name, file.path)
    if entry is not None and entry.type != "directory":
        delete_guest_file(client, name, file.path)
    mode = f"{int(file.mode, 8):04o}"
    push_guest_file(client, name, file.path, content, mode=mode, user=file.uid, group=file.gid)


def _content_of(file: SetupFile, name: str) -> bytes:
    """Return the content of a file.

    Raises:
        FileNotWritten: it is not known to this process, or was changed since the preview.
    """
    if file.source is None:
        if (content := _contents.get(file.digest)) is not None:
            return content
        raise _not_written(
            name,
            file,
            "its content is not in the program's input: the state has only its digest",
            "Remove `files` from `ignore_changes`, and run `pulumi up` again",
        )
    try:
        content = _read_source(file.source)
    except (OSError, ValueError) as error:
        raise _not_written(name, file, f"{file.source}: {_why(error)}") from error
    if hashlib.sha256(content).hexdigest() != file.digest:
        raise _not_written(
            name, file, f"{file.source} was changed after the preview", "Run `pulumi up` again"
        )
    return content


def _read_source(source: str) -> bytes:
    with Path(source).open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"is larger than {MOST_BYTES // 2**20} MiB")
    return content


def _why(error: Exception) -> str:
    return str(error.strerror if isinstance(error, OSError) and error.strerror else error)


def _not_written(name: str, file: SetupFile, reason: str, advice: str = "") -> FileNotWritten:
    return FileNotWritten(could_not(f"write {file.path} into {name}", reason, advice=advice))
