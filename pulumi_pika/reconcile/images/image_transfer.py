"""Bring an image to the host: by a copy of the host's, or by an upload."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from ...incus.client import IncusClient, url
from ...incus.errors import (
    IncusError,
    IncusUnreachable,
    NotFound,
    OperationFailed,
    OperationLost,
    OperationTimedOut,
    ServerFailure,
    UnexpectedResponse,
)
from ...incus.image_upload import ImageFiles, ImageUpload
from ...incus.images import PullSource, pull_image, upload_image
from ...incus.operations import operations_of
from ...incus.remotes import ImageServer
from ..shared.errors import ObjectRefused
from ..shared.reporter import Progress, Reporter
from .image_label import parse_time

_OPERATION: Final = "Downloading image"
"""The description of the operation of a copy and of an upload (Incus operationtype)."""
_CANCELLED_WITHIN: Final = 60.0
"""How long to wait for the end of a cancelled operation, in seconds."""
_DETOURS: Final = 3
_LATER: Final = timedelta(days=1)
"""After any time of another clock."""
_TAKEN: Final = "Alias already exists"
_OLD_INDEX: Final = "couldn't be found"
_LOST = (IncusUnreachable, UnexpectedResponse, ServerFailure, OperationLost)

Finder = Callable[[], str]
"""Returns the fingerprint of the image if it is on the host; else an empty string."""


@dataclass(frozen=True, slots=True)
class Transferred:
    """Hold the result of a transfer.

    Attributes:
        fingerprint: the fingerprint of the image.
        begun_at: when the transfer began, by the clock of the host; None if it is not known.
    """

    fingerprint: str
    begun_at: datetime | None = None

    def is_older(self, uploaded_at: str) -> bool:
        """Return whether an image was stored before the transfer began.

        Incus does not say that a copy found the image in place. It would be another client's.
        """
        stored = parse_time(uploaded_at)
        return self.begun_at is not None and stored is not None and stored < self.begun_at


def copy_by_host(
    client: IncusClient,
    source: PullSource,
    properties: dict[str, str],
    find: Finder,
    *,
    timeout: float,
    reporter: Reporter,
) -> Transferred:
    """Let the host copy an image.

    A host reads the index of a simplestreams server once an hour. If its index does not have the
    image yet, the server is named in another spelling, for which the host has no index.

    Args:
        client: a client in the image's project.
        source: the image.
        properties: properties of the copy.
        find: finds the copy after a lost reply.
        timeout: how long the copy may take, in seconds.
        reporter: receives progress.

    Raises:
        IncusError: the copy failed, or its end is not known; it was cancelled.
    """
    what = f"copying the image {source.image[:64]}"
    until = time.monotonic() + timeout
    for detour in range(_DETOURS + 1):
        asked = _spelled(source, detour)
        try:
            return _transfer(
                client,
                lambda asked=asked: pull_image(client, asked, properties),  # type: ignore[misc]
                find,
                what=what,
                until=until,
                reporter=reporter,
            )
        except OperationFailed as error:
            if _TAKEN in error.reason and (found := find()):
                # The project has the image already. Incus has changed it, and then fails since it
                # wants to create the aliases of the image once more (`imagesPost`).
                return Transferred(found, datetime.now(UTC) + _LATER)
            streams = source.server is not None and source.server.protocol == "simplestreams"
            if not streams or _OLD_INDEX not in error.reason or detour == _DETOURS:
                raise
    raise AssertionError("unreachable")


def _spelled(source: PullSource, detour: int) -> PullSource:
    server = source.server
    if server is None or not detour:
        return source
    url = server.url.rstrip("/") + "/." * detour
    other = ImageServer(server.name, url, server.protocol, server.certificate, server.remote)
    return PullSource(source.image, other, source.instance_type, source.project, source.secret)


def upload_files(
    client: IncusClient,
    files: ImageFiles,
    fingerprint: str,
    find: Finder,
    *,
    timeout: float,
    reporter: Reporter,
) -> Transferred:
    """Upload the files of an image.

    Args:
        client: a client in the image's project.
        files: the files.
        fingerprint: their fingerprint.
        find: finds the image after a lost reply.
        timeout: how long the upload may take, in seconds.
        reporter: receives progress.

    Raises:
        ObjectRefused: a file cannot be read, or has changed.
        IncusError: the upload failed, or its end is not known.
    """
    progress = Progress(reporter, f"uploading {files.paths[-1].name}")

    def show(sent: int, total: int) -> None:
        if progress.is_due:
            speed = sent / max(progress.elapsed, 0.001) / 2**20
            progress.tick(
                f"{sent / 2**20:.0f} of {total / 2**20:.0f} MiB ({sent * 100 // max(total, 1)}%), "
                f"{speed:.1f} MiB/s"
            )

    until = time.monotonic() + timeout
    try:
        upload = ImageUpload(files, show)
        try:
            return _transfer(
                client,
                lambda: upload_image(client, upload, fingerprint, timeout=timeout),
                find,
                what=f"storing the image {fingerprint[:12]}",
                until=until,
                reporter=reporter,
            )
        finally:
            upload.close()
            if upload.error is not None:
                raise ObjectRefused(f"the upload failed: {upload.error}")
    except OSError as error:
        raise ObjectRefused(
            f"{error.filename or files.metadata} cannot be read: {error.strerror or error}"
        ) from None


def _transfer(
    client: IncusClient,
    start: Callable[[], str],
    find: Finder,
    *,
    what: str,
    until: float,
    reporter: Reporter,
) -> Transferred:
    """Start an operation, and wait for it.

    An interruption cancels the operation, and so does the time limit.
    """
    progress = Progress(reporter, what)
    try:
        operation = start()
    except (IncusUnreachable, UnexpectedResponse) as error:
        if isinstance(error, IncusUnreachable) and not error.sent:
            raise
        return Transferred(_found_after(client, find, until, error))
    begun_at = None
    try:
        begun_at = _begun_at(client, operation)
        left = max(until - time.monotonic(), 1.0)
        metadata = client.wait(operation, timeout=left, what=what, progress=progress.operation)
    except _LOST as error:
        return Transferred(_found_after(client, find, until, error), begun_at)
    except OperationTimedOut:
        _cancel(client, operation)
        raise
    except BaseException as error:
        if not isinstance(error, IncusError):
            _cancel(client, operation)
        raise
    return Transferred(str(metadata.get("fingerprint") or "") or find(), begun_at)


def _begun_at(client: IncusClient, operation: str) -> datetime | None:
    """Return when an operation began; None if the server does not know it any more."""
    with suppress(NotFound):
        return parse_time(str(client.get(url("operations", operation)).data.get("created_at")))
    return None


def _cancel(client: IncusClient, operation: str) -> None:
    """Cancel an operation, and wait for its end, so that it leaves nothing behind later."""
    with suppress(IncusError):
        client.cancel(operation)
        client.wait(operation, timeout=_CANCELLED_WITHIN, what="cancelling")


def _found_after(client: IncusClient, find: Finder, until: float, error: IncusError) -> str:
    """Return the fingerprint of the image if it is on the host after a lost reply.

    The operation is not known, so that the end of all operations of the kind is awaited.

    Raises:
        IncusError: the image is not there: the error of the lost reply.
    """
    for operation in operations_of(client, _OPERATION):
        with suppress(IncusError):
            left = max(until - time.monotonic(), 1.0)
            client.wait(operation, timeout=left, what="waiting for operations on images")
    if found := find():
        return found
    raise error
