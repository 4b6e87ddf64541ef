"""Files of an instance, of any size, and the logs that Incus keeps of what ran in it.

What a guest holds is the guest's own doing: a file may be a link or a FIFO, may have any name, and
may change while it is read. A virtual machine's files are told of by a program in the guest.

Incus 6.0.4 shows a FIFO as a file of length 0, and to read it hangs until somebody writes into it.
In a container that runs, the process that hangs ends with the container; in one that is stopped it
stays, and the instance can be deleted no more. So a file of length 0 of an instance that does not
run is not to be read.
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
"""How much of a file is in memory at a time."""
MAX_LISTING_BYTES: Final = 16 * 1024 * 1024
"""How long the list of a directory may be."""
SMALL: Final = 1024 * 1024
"""The bytes of a file that is read at once."""
ANSWER_TIMEOUT: Final = 10.0
"""Seconds to wait for an answer, or for more of it. The server has the file at hand."""
CHUNK_WITHIN: Final = 120.0
"""Seconds until all of a chunk is there: 70 KiB a second."""
_PAUSES: Final = (0.05, 0.3)
"""Seconds before a request that failed is sent again; none of those here changes anything."""
_LENGTH: Final = re.compile(r"[0-9]{1,18}")
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,18})-([0-9]{1,18})/([0-9]{1,18})")


class NoAnswerInTime(IncusUnreachable):
    """A request for a file was not answered in time: it is a FIFO, or the server hangs."""


class NotAFile(IncusError):
    """What was to be read is a directory, or a symlink, which is not followed."""


class TooLarge(UnexpectedResponse):
    """A file of the guest is larger than it may be."""


@dataclass(frozen=True, slots=True)
class GuestEntry:
    """What is at a path of a guest, which is not followed if it is a symlink."""

    type: str
    """``file`` (also of a FIFO or a device), ``directory`` or ``symlink``."""
    size: int | None
    """The bytes of a file, as far as the guest says; None for all else."""


def guest_entry(
    client: IncusClient, instance: str, path: str, *, timeout: float = ANSWER_TIMEOUT
) -> GuestEntry | None:
    """What is at a path of the guest, or None.

    None stands also for a socket and for an instance that is not there: the server answers 404 to
    both. A FIFO, a device and most of ``/proc`` look like files of length 0.

    Raises:
        NoAnswerInTime: no answer came within `timeout` seconds.
        IncusUnreachable: no answer came.
        IncusApiError: the server answered with an error.
        UnexpectedResponse: the answer is not Incus's.
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
    """Return the directories on the way to a path of the guest, from `root` on, which comes first.

    Empty where the path is not below `root`.
    """
    root = root.rstrip("/")
    if not path.startswith(f"{root}/"):
        return []
    names = path[len(root) + 1 :].split("/")[:-1]
    found = ["/".join([root, *names[:end]]) for end in range(len(names) + 1)]
    return [above for above in found if above]


def find_detour(client: IncusClient, instance: str, path: str, root: str) -> str:
    """Return why a path of the guest may lead elsewhere, as a half-sentence; empty if it does not.

    Whoever may write below `root` is not always the guest's root, whose files a symlink in place of
    a directory could lead to.

    Args:
        client: for the instance's project.
        instance: its name.
        path: absolute.
        root: the directory below which others may write.

    Raises:
        IncusError: it could not be told.
    """
    for above in directories_above(path, root):
        entry = guest_entry(client, instance, above)
        if entry is not None and entry.type != "directory":
            return f"{above} is a {entry.type}, which is not followed"
    return ""


def read_small_file(client: IncusClient, instance: str, path: str) -> bytes | None:
    """A file of the guest, of 1 MiB at most; None where there is none.

    It is looked at first: to read a FIFO, which shows as an empty file, would never end. So a FIFO
    and a device are empty here, and cost no more than that.

    Raises:
        TooLarge: it is larger.
        NotAFile: it became something else while it was looked at.
        IncusError: it cannot be read.
    """
    entry = guest_entry(client, instance, path)
    if entry is None or entry.type != "file":
        return None
    if not entry.size:
        return b""
    if entry.size > SMALL:
        raise TooLarge(f"the file {path} of {instance} has {entry.size:,} bytes")
    files = url("instances", instance, "files")
    # It may have grown since.
    content = next(iter(read_chunks(client, files, {"path": path}, chunk=SMALL + 1)), b"")
    if len(content) > SMALL:
        raise TooLarge(f"the file {path} of {instance} has more than {SMALL:,} bytes")
    return content


def read_kernel_file(client: IncusClient, instance: str, path: str) -> bytes:
    """A file below ``/proc`` or ``/sys``, which shows as empty and is not looked at first.

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
    """The names in a directory of the guest, in no order; None where there is no directory.

    The names are as the guest gives them: one may hold a slash, or be ``..``. What is no UTF-8 in
    a name comes as U+FFFD, and by that name nothing is found.

    Raises:
        NoAnswerInTime: no answer came within `timeout` seconds.
        IncusUnreachable: no answer came.
        IncusApiError: the server answered with an error.
        UnexpectedResponse: the answer is not Incus's, or longer than `MAX_LISTING_BYTES`.
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
        # How an empty list may come, too.
        names = [] if names is None else names
        if not isinstance(names, list):
            raise TypeError("no list")
        for name in names:
            # Half a character, which could be written nowhere, is an error here; so is no text.
            str.encode(name)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UnexpectedResponse(
            f"{where} ({client.host}): the answer is no list of names"
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
    """Reads a file of a guest, or a log, from `start` to where it ended when that was begun.

    What is added meanwhile is not read, so that there is an end. That nothing is changed meanwhile
    is not made sure of. Nothing comes where the file is not longer than `start`.

    Args:
        client: the client.
        path: ``/1.0/instances/NAME/files``, or that of a log (``.../logs/exec-output/...``).
        params: the query, for a file of a guest its ``path``.
        start: the offset of the first byte to read.
        chunk: how many bytes are asked for at a time, and are in memory.
        timeout: seconds to wait for an answer, and again for each further part of it.
        within: gives the seconds until a whole chunk has to be there; at most, and by default,
            `CHUNK_WITHIN`.

    Raises:
        NotFound: there is no such file.
        NotAFile: it is a symlink or a directory, or became one.
        NoAnswerInTime: no answer came in time.
        IncusUnreachable: no answer came.
        IncusApiError: the server answered with another error.
        UnexpectedResponse: the answer is not what was asked for, or the file became shorter.
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
        # Not on a log's answer, which always is a file.
        kind = reply.headers.get("X-Incus-Type", "file")
        if kind != "file":
            raise NotAFile(f"{where}: it is a {kind}")
        if reply.status == 200:
            # The server does not do ranges, or the file is empty: this is all of it.
            for first in range(offset, min(len(reply.body), total or len(reply.body)), chunk):
                yield reply.body[first : first + chunk]
            return
        if reply.status == 416:
            if total is None:
                return
            raise UnexpectedResponse(f"{where}: it became shorter while it was read")
        now = _checked_total(reply, where, offset, end)
        total = now if total is None else total
        if now < total:
            raise UnexpectedResponse(f"{where}: it became shorter while it was read")
        yield reply.body
        offset += len(reply.body)


def _checked_total(reply: Reply, where: str, offset: int, end: int) -> int:
    """The length of the whole file; the part has to be that which was asked for."""
    content_range = reply.headers.get("Content-Range", "")
    found = _CONTENT_RANGE.fullmatch(content_range)
    if found:
        first, last, total = map(int, found.groups())
        if first == offset and 0 < len(reply.body) == last - first + 1 and last < min(end, total):
            return total
    raise UnexpectedResponse(
        f"{where}: bytes {offset} to {end - 1} were asked for; the answer has "
        f"{len(reply.body)} bytes and says {content_range!r}"
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
    """Asks, and again where the connection broke off or the server failed."""
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
                # Once more would take as long, and leave one more process hanging.
                raise NoAnswerInTime(str(error), sent=True) from error
            if not error.sent or pause is None:
                raise
        else:
            if reply.status < 500 or pause is None:
                return reply
        time.sleep(pause)
    raise AssertionError("the last try returns or raises")


def _refusal(client: IncusClient, reply: Reply, where: str) -> IncusError:
    """The exception for an answer that is not what was asked for."""
    where = f"{where} (project {client.project}, {client.host})"
    if reply.status < 400:
        return UnexpectedResponse(f"{where}: the answer ({reply.status}) is not Incus's")
    try:
        reason = str(json.loads(reply.body)["error"])
    except (ValueError, KeyError, TypeError, RecursionError):
        # The answer to a HEAD has no text.
        reason = ""
    return api_error(
        reply.status, reason, where, client_fingerprint=client.transport.client_fingerprint
    )
