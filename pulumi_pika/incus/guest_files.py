"""Read files of an instance, of any size, and the logs that Incus keeps of its commands.

The guest controls its files: a file may be a link or a FIFO, may have any name, and may change
while it is read. A program in the guest reports the files of a virtual machine.

Incus 6.0.4 shows a FIFO as a file of length 0. A request to read it hangs until a process writes
into the FIFO. In a running container, the hanging process ends with the container. In a stopped one
it stays, and the instance can no longer be deleted. So a file of length 0 of a stopped instance
must not be read.
"""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from .client import IncusClient, url
from .errors import IncusError, IncusUnreachable, UnexpectedResponse, api_error
from .transport import MAX_RESPONSE_BYTES, Reply

CHUNK_BYTES: Final = 8 * 1024 * 1024
"""How much of a file is in memory at a time, in bytes."""
MAX_LISTING_BYTES: Final = 16 * 1024 * 1024
"""How long the list of a directory may be, in bytes."""
SMALL: Final = 1024 * 1024
"""The largest file that is read at once, in bytes."""
ANSWER_TIMEOUT: Final = 10.0
"""How long to wait for a reply, or for more of it, in seconds. The server has the file at hand."""
CHUNK_WITHIN: Final = 120.0
"""How long a whole chunk may take, in seconds: this allows 70 KiB a second."""
_PAUSES: Final = (0.05, 0.3)
"""The pauses before a failed request is sent again, in seconds; these requests change nothing."""
_LENGTH: Final = re.compile(r"[0-9]{1,18}")
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")


class NoAnswerInTime(IncusUnreachable):
    """Signal that a request for a file got no reply in time: it is a FIFO, or the server hangs."""


class NotAFile(IncusError):
    """Signal that the path is a directory, or a symlink, which is not followed."""


class TooLarge(UnexpectedResponse):
    """Signal that a file of the guest is larger than allowed."""


@dataclass(frozen=True, slots=True)
class GuestEntry:
    """Describe the entry at a path of a guest; a symlink is not followed."""

    type: str
    """``file`` (also of a FIFO or a device), ``directory`` or ``symlink``."""
    size: int | None
    """The size of a file in bytes, as the guest reports it; None for all other entries."""


def guest_entry(
    client: IncusClient, instance: str, path: str, *, timeout: float = ANSWER_TIMEOUT
) -> GuestEntry | None:
    """Return the entry at a path of the guest, or None.

    None also stands for a socket and for a missing instance: the server answers 404 to all of
    these. A FIFO, a device and most of ``/proc`` look like files of length 0.

    Args:
        client: a client in the object's project.
        instance: the instance's name.
        path: the absolute path in the guest.
        timeout: how long to wait for the reply, in seconds. Default: 10.

    Raises:
        NoAnswerInTime: no reply came within `timeout` seconds.
        IncusUnreachable: no reply came.
        IncusApiError: the server answered with an error.
        UnexpectedResponse: the reply is not Incus's.
    """
    files = url("instances", instance, "files")
    reply = _ask(client, "HEAD", files, {"path": path}, timeout=timeout)
    if reply.status == 404:
        return None
    where = f"HEAD {files} of {path!r}"
    kind = reply.headers.get("X-Incus-Type", "")
    if reply.status != 200 or not kind:
        raise _refusal(client, reply, where)
    length = _LENGTH.fullmatch(reply.headers.get("Content-Length", ""))
    return GuestEntry(kind, int(length[0]) if length and kind == "file" else None)


def directories_above(path: str, root: str) -> list[str]:
    """Return the directories on the way to a path of the guest, starting with `root`.

    The result is empty if the path is not below `root`.
    """
    root = root.rstrip("/")
    if not path.startswith(f"{root}/"):
        return []
    names = path[len(root) + 1 :].split("/")[:-1]
    found = ["/".join([root, *names[:end]]) for end in range(len(names) + 1)]
    return [above for above in found if above]


def find_detour(client: IncusClient, instance: str, path: str, root: str) -> str:
    """Return why a path of the guest may lead elsewhere, as a half-sentence; empty if it does not.

    A user who may write below `root` is not always root in the guest. A symlink in place of a
    directory could lead to files of root.

    Args:
        client: a client in the instance's project.
        instance: the instance's name.
        path: the absolute path.
        root: the directory below which other users may write.

    Raises:
        IncusError: the path could not be checked.
    """
    for above in directories_above(path, root):
        entry = guest_entry(client, instance, above)
        if entry is not None and entry.type != "directory":
            return f"{above} is a {entry.type}, which is not followed"
    return ""


def read_small_file(client: IncusClient, instance: str, path: str) -> bytes | None:
    """Return a file of the guest, of at most 1 MiB; None if it does not exist.

    The entry is fetched first: a read of a FIFO, which shows as an empty file, would never end. So
    a FIFO and a device are empty here, and need no further request.

    Raises:
        TooLarge: it is larger.
        NotAFile: it became something else in the meantime.
        IncusError: it cannot be read.
    """
    entry = guest_entry(client, instance, path)
    if entry is None or entry.type != "file":
        return None
    if not entry.size:
        return b""
    if entry.size > SMALL:
        raise TooLarge(
            f"the file {path} of {instance} has {entry.size:,} bytes; the limit is {SMALL:,}"
        )
    files = url("instances", instance, "files")
    # It may have grown since its entry was fetched.
    content = next(iter(read_chunks(client, files, {"path": path}, chunk=SMALL + 1)), b"")
    if len(content) > SMALL:
        raise TooLarge(
            f"the file {path} of {instance} has more than {SMALL:,} bytes, which is the limit"
        )
    return content


def read_kernel_file(client: IncusClient, instance: str, path: str) -> bytes:
    """Return a file below ``/proc`` or ``/sys``, which shows as empty, without fetching its entry.

    Raises:
        IncusError: it cannot be read.
    """
    files = url("instances", instance, "files")
    reply = _ask(client, "GET", files, {"path": path}, timeout=ANSWER_TIMEOUT, max_bytes=SMALL)
    if reply.status != 200:
        raise _refusal(client, reply, f"GET {files} of {path!r}")
    return reply.body


def list_guest_directory(
    client: IncusClient, instance: str, path: str, *, timeout: float = ANSWER_TIMEOUT
) -> list[str] | None:
    """Return the names in a directory of the guest, in no order; None if it does not exist.

    The names are as the guest reports them: one may contain a slash, or be ``..``. Bytes of a name
    that are not UTF-8 come as U+FFFD, and a path with that name finds nothing.

    Args:
        client: a client in the object's project.
        instance: the instance's name.
        path: the absolute path in the guest.
        timeout: how long to wait for the reply, in seconds. Default: 10.

    Raises:
        NoAnswerInTime: no reply came within `timeout` seconds.
        IncusUnreachable: no reply came.
        IncusApiError: the server answered with an error.
        UnexpectedResponse: the reply is not Incus's, or longer than `MAX_LISTING_BYTES`.
    """
    files = url("instances", instance, "files")
    where = f"GET {files} of {path!r}"
    reply = _ask(client, "GET", files, {"path": path}, timeout=timeout, max_bytes=MAX_LISTING_BYTES)
    if reply.status == 404:
        return None
    if reply.status != 200:
        raise _refusal(client, reply, where)
    if reply.headers.get("X-Incus-Type") != "directory":
        return None
    try:
        names = json.loads(reply.body)["metadata"]
        # An empty list may also come as null.
        names = [] if names is None else names
        if not isinstance(names, list):
            raise TypeError("not a list")
        for name in names:
            # A lone surrogate, which cannot be encoded, is an error here; so is a name that is not
            # a string.
            str.encode(name)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnexpectedResponse(
            f"{where} ({client.host}): the reply is not a list of names"
        ) from error
    return names


def read_chunks(
    client: IncusClient,
    path: str,
    params: Mapping[str, str] | None = None,
    *,
    start: int = 0,
    chunk: int = CHUNK_BYTES,
    timeout: float = ANSWER_TIMEOUT,
    within: Callable[[], float] | None = None,
) -> Iterator[bytes]:
    """Yield a file of a guest, or a log, from `start` to its end at the time of the first request.

    Later additions are not read, so that the read ends. Changes during the read are not detected.
    Nothing is yielded if the file is not longer than `start`.

    Args:
        client: the client.
        path: ``/1.0/instances/NAME/files``, or the path of a log (``.../logs/exec-output/...``).
        params: the query; for a file of a guest, its ``path``.
        start: the offset of the first byte to read.
        chunk: how many bytes are requested at a time, and are in memory.
        timeout: how long to wait for a reply, and again for each further part of it, in seconds.
        within: returns how long a whole chunk may take, in seconds; at most, and by default,
            `CHUNK_WITHIN`.

    Raises:
        NotFound: the file does not exist.
        NotAFile: it is, or became, a symlink or a directory.
        NoAnswerInTime: no reply came in time.
        IncusUnreachable: no reply came.
        IncusApiError: the server answered with another error.
        UnexpectedResponse: the reply is not what was requested, or the file became shorter.
    """
    params = params or {}
    where = f"GET {path}" + (f" of {params['path']!r}" if "path" in params else "")
    offset = start
    total: int | None = None
    while total is None or offset < total:
        end = offset + chunk if total is None else min(offset + chunk, total)
        headers = {"Range": f"bytes={offset}-{end - 1}"}
        whole = min(within(), CHUNK_WITHIN) if within else CHUNK_WITHIN
        wait = min(timeout, whole)
        reply = _ask(client, "GET", path, params, timeout=wait, headers=headers, within=whole)
        if reply.status not in (200, 206, 416):
            raise _refusal(client, reply, where)
        # The reply for a log does not have the header; a log is always a file.
        kind = reply.headers.get("X-Incus-Type", "file")
        if kind != "file":
            raise NotAFile(f"{where}: it is a {kind}")
        if reply.status == 200:
            # The server does not support ranges, or the file is empty: this is the whole file.
            for first in range(offset, min(len(reply.body), total or len(reply.body)), chunk):
                yield reply.body[first : first + chunk]
            return
        if reply.status == 416:
            if total is None:
                return
            raise UnexpectedResponse(f"{where}: the file became shorter during the read")
        now = _checked_total(reply, where, offset, end)
        total = now if total is None else total
        if now < total:
            raise UnexpectedResponse(f"{where}: the file became shorter during the read")
        yield reply.body
        offset += len(reply.body)


def _checked_total(reply: Reply, where: str, offset: int, end: int) -> int:
    """Return the length of the whole file; check that the part is the requested one."""
    content_range = reply.headers.get("Content-Range", "")
    found = _CONTENT_RANGE.fullmatch(content_range)
    if found:
        first, last, total = map(int, found.groups())
        if first == offset and 0 < len(reply.body) == last - first + 1 and last < min(end, total):
            return total
    raise UnexpectedResponse(
        f"{where}: bytes {offset} to {end - 1} were requested; the reply has "
        f"{len(reply.body)} bytes and the range {content_range!r}"
    )


def _ask(
    client: IncusClient,
    method: str,
    path: str,
    params: Mapping[str, str],
    *,
    timeout: float,
    within: float | None = None,
    headers: Mapping[str, str] | None = None,
    max_bytes: int = MAX_RESPONSE_BYTES,
) -> Reply:
    """Send a request, and again if the connection broke or the server failed."""
    for pause in (*_PAUSES, None):
        begun = time.monotonic()
        try:
            if method == "HEAD":
                reply = client.head(path, timeout=timeout, **params)
            else:
                reply = client.get_raw(
                    path,
                    max_bytes=max_bytes,
                    headers=headers,
                    timeout=timeout,
                    within=within,
                    **params,
                )
        except IncusUnreachable as error:
            if error.sent and time.monotonic() - begun >= timeout:
                # Another attempt would take as long, and leave one more hanging process.
                raise NoAnswerInTime(str(error), sent=True) from error
            if not error.sent or pause is None:
                raise
        else:
            if reply.status < 500 or pause is None:
                return reply
        time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def _refusal(client: IncusClient, reply: Reply, where: str) -> IncusError:
    """Return the error for a reply that is not what was requested."""
    where = f"{where} (project {client.project}, {client.host})"
    if reply.status < 400:
        return UnexpectedResponse(f"{where}: the reply ({reply.status}) is not valid")
    try:
        reason = str(json.loads(reply.body)["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        # The reply to a HEAD has no text.
        reason = ""
    return api_error(
        reply.status, reason, where, client_fingerprint=client.transport.client_fingerprint
    )
