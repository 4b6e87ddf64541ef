"""Look up which image the arguments mean: its fingerprint, and how it gets to the host."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ...incus.catalog import image_fingerprint
from ...incus.client import IncusClient, url
from ...incus.errors import BadHostSettings, IncusApiError, IncusUnreachable, NotFound
from ...incus.hosts import HostSettings, connect, resolve
from ...incus.image_upload import ImageFiles, OnBytes, fingerprint_of
from ...incus.images import PullSource, image_secret
from ...incus.remotes import ImageServer, find_image_server
from ...incus.simplestreams import (
    ImageServerError,
    ImageServerUnreachable,
    ServedImage,
    architecture_name,
    choose_image,
    list_streamed_images,
)
from ...incus.tls import ServerTrust, certificate_fingerprint, read_pem
from ...incus.transport import HttpsTransport, TimeLimits
from ...message_templates import could_not, missing
from ..shared.errors import ObjectRefused
from .image_options import ImageOptions

_KEPT_FOR: Final = 60.0
"""How long the index of a server is reused, in seconds."""

_lock = threading.Lock()
_indexes: dict[tuple[str, str], tuple[float, list[ServedImage]]] = {}
_digests: dict[tuple[Any, ...], str] = {}


@dataclass(frozen=True, slots=True)
class ResolvedImage:
    """Describe an image before it is on the host.

    Attributes:
        fingerprint: its fingerprint; empty if this machine cannot look it up.
        files: its files, if it is uploaded.
        pull: where the host copies it from; None for files, and for an image that the project has.
        reason: why the fingerprint is not known; empty if it is.
    """

    fingerprint: str
    files: ImageFiles | None = None
    pull: PullSource | None = None
    reason: str = ""

    @property
    def in_place(self) -> bool:
        """Return whether the project has the image, so that nothing is transferred."""
        return self.files is None and self.pull is None


def forget_lookups() -> None:
    """Drop what earlier look-ups found."""
    with _lock:
        _indexes.clear()
        _digests.clear()


def image_files(options: ImageOptions) -> ImageFiles:
    """Return the files of an image; `~` is the home directory of this user."""
    rootfs = Path(options.rootfs).expanduser() if options.rootfs is not None else None
    return ImageFiles(Path(options.file or "").expanduser(), rootfs)


def image_server(options: ImageOptions) -> ImageServer | None:
    """Return the server of an image; None if the host itself has it.

    Raises:
        BadHostSettings: the remote does not exist, or the certificate cannot be read.
    """
    if options.server is not None:
        pem = options.server_certificate
        certificate = read_pem(pem, "server_certificate") if pem else ""
        return ImageServer(
            options.server, options.server.rstrip("/"), options.protocol, certificate
        )
    remote, colon, _ = (options.source or "").partition(":")
    return find_image_server(remote) if colon and remote != "local" else None


def resolve_image(
    options: ImageOptions, client: IncusClient, on_bytes: OnBytes | None = None
) -> ResolvedImage:
    """Look up an image.

    Args:
        options: the arguments.
        client: a client of the host, in the project of the image.
        on_bytes: called while files are read.

    Raises:
        ObjectRefused: the image does not exist, or its files cannot be read.
        BadHostSettings: the image server is not valid.
        IncusUnreachable: the host does not answer, and has to be asked.
    """
    if options.file is not None:
        files = image_files(options)
        return ResolvedImage(_digest(files, on_bytes), files)
    server = image_server(options)
    name = (options.source or "").rpartition(":")[2] if server is None else _served_name(options)
    if server is None:
        return _of_host(options, client, name)
    try:
        if server.protocol == "simplestreams":
            return _of_streams(options, client, server, name)
        return _of_incus(options, client, server, name)
    except (ImageServerUnreachable, IncusUnreachable) as error:
        pull = PullSource(name, server, options.served_type, options.source_project or "")
        return ResolvedImage("", pull=pull, reason=str(error))
    except ImageServerError as error:
        raise ObjectRefused(str(error)) from None


def _served_name(options: ImageOptions) -> str:
    source = options.source or ""
    return source if options.server is not None else source.partition(":")[2]


def _of_host(options: ImageOptions, client: IncusClient, name: str) -> ResolvedImage:
    project = options.source_project or client.project
    try:
        fingerprint = image_fingerprint(client.in_project(project), name)
    except NotFound as error:
        place = f"in project {project} at {client.host}"
        advice = f"see `incus image list --project {project}`"
        raise ObjectRefused(missing(f"image {name}", place, advice)) from error
    if project == client.project:
        return ResolvedImage(fingerprint)
    return ResolvedImage(fingerprint, pull=PullSource(fingerprint, project=project))


def _of_streams(
    options: ImageOptions, client: IncusClient, server: ImageServer, name: str
) -> ResolvedImage:
    key = (server.url, server.certificate)
    with _lock:
        asked, images = _indexes.get(key, (0.0, []))
        if not asked or time.monotonic() - asked > _KEPT_FOR:
            asked = time.monotonic()
            images = list_streamed_images(
                server.url, certificate=server.certificate, timeout=options.timeouts.lookup
            )
            _indexes[key] = asked, images
    found = choose_image(
        images,
        name,
        server=server.url,
        instance_type=options.served_type,
        architecture=_architecture(options, client),
    )
    pull = PullSource(found.fingerprint, server, options.served_type)
    return ResolvedImage(found.fingerprint, pull=pull)


def _of_incus(
    options: ImageOptions, client: IncusClient, server: ImageServer, name: str
) -> ResolvedImage:
    project = options.source_project or "default"
    there = _client_of(server, options.timeouts.lookup).in_project(project)
    try:
        fingerprint = image_fingerprint(there, name)
        image = there.get(url("images", fingerprint)).data
    except IncusApiError as error:
        place = f"in project {project} at {server.url}"
        advice = (
            f"the server answered: {error.reason}"
            if server.remote
            else "only public images can be copied from this server"
        )
        raise ObjectRefused(missing(f"image {name}", place, advice)) from error
    wanted, seen = _architecture(options, client), str(image.get("architecture") or "")
    kind = str(image.get("type") or "container")
    if options.architecture and seen != wanted:
        raise ObjectRefused(f"the image {name} at {server.url} is for {seen}, not {wanted}")
    if options.instance_type and kind != options.instance_type:
        raise ObjectRefused(
            f"the image {name} at {server.url} is for a {kind}, not a {options.instance_type}"
        )
    return ResolvedImage(fingerprint, pull=PullSource(fingerprint, server, kind, project=project))


def with_secret(pull: PullSource, options: ImageOptions) -> PullSource:
    """Return a source with the one-time secret that the copy of an image needs, if it needs one.

    Raises:
        IncusError: the server of the image does not answer, or refuses.
    """
    server = pull.server
    if server is None or server.remote is None:
        return pull
    there = _client_of(server, options.timeouts.lookup).in_project(pull.project or "default")
    if there.get(url("images", pull.image)).data.get("public"):
        return pull
    secret = image_secret(there, pull.image)
    return PullSource(pull.image, server, pull.instance_type, pull.project, secret)


def _client_of(server: ImageServer, timeout: float) -> IncusClient:
    if server.remote is not None:
        return connect(resolve(HostSettings(remote=server.remote, reply_timeout=timeout)))
    if not server.url.startswith("https://"):
        raise BadHostSettings(f"server: {server.url} is not the URL of an Incus server (https)")
    pinned = certificate_fingerprint(server.certificate, "server") if server.certificate else ""
    trust = ServerTrust(fingerprint=pinned, system=not pinned)
    limits = TimeLimits(connect=min(timeout, 10.0), reply=timeout)
    return IncusClient(transport=HttpsTransport([server.url], trust, None, limits))


def _architecture(options: ImageOptions, client: IncusClient) -> str:
    """Return the architecture of the image: the host's own if none is given."""
    if options.architecture is not None:
        return architecture_name(options.architecture)
    return client.server().architectures[0] if client.server().architectures else ""


def _digest(files: ImageFiles, on_bytes: OnBytes | None) -> str:
    """Return the fingerprint of files, which is computed once for each version of them.

    Raises:
        ObjectRefused: a file cannot be read.
    """
    try:
        stats = [path.stat() for path in files.paths]
        key = tuple((s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns) for s in stats)
        with _lock:
            known = _digests.get(key)
        if known is None:
            known = fingerprint_of(files, on_bytes)
            with _lock:
                _digests[key] = known
    except OSError as error:
        what = f"read {error.filename or 'a file of the image'}"
        raise ObjectRefused(could_not(what, str(error.strerror or error))) from error
    return known
