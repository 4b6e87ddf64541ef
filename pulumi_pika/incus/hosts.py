"""A host and how it is reached, from what was said of it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from .address import find_socket
from .client import IncusClient
from .errors import BadHostSettings
from .remotes import Remote, find_remote
from .tls import (
    ClientIdentity,
    ServerTrust,
    certificate_fingerprint,
    clean_fingerprint,
    read_pem,
)
from .transport import (
    CONNECT_TIMEOUT,
    REPLY_TIMEOUT,
    HttpsTransport,
    TimeLimits,
    Transport,
    UnixTransport,
)
from .trust import decode_token, identity_for, known_identity

_PORT: Final = 8443
"""Incus's own, where an address names none."""


@dataclass(frozen=True, slots=True)
class HostSettings:
    """What was said of a host; empty is not said. See `IncusHost` for each."""

    socket: str = ""
    """The path of the unix socket of a local server."""
    url: str = ""
    """`https://HOST:PORT`, or several of one cluster, separated by commas."""
    remote: str = ""
    """The name of a remote of the `incus` client."""
    certificate: str = ""
    """The client certificate: PEM, or the path of a file."""
    key: str = field(default="", repr=False)
    """The private key of the client certificate: PEM, or the path of a file."""
    server_certificate: str = ""
    """The server's certificate: PEM, or the path of a file."""
    server_fingerprint: str = ""
    """The SHA-256 fingerprint of the server's certificate."""
    trust_token: str = field(default="", repr=False)
    """A token of `incus config trust add`."""
    ca_certificate: str = ""
    """The CA that signed the server's certificate: PEM, or the path of a file."""
    insecure: bool = False
    """Whether any server certificate is accepted. Default: False."""
    project: str = ""
    """The Incus project of instances that name none."""
    storage_pool: str = ""
    """The storage pool of instances that name none."""
    target: str = ""
    """The cluster member that new instances and volumes are created on."""
    cluster_group: str = ""
    """The group of cluster members that new instances and volumes are created on."""
    connect_timeout: float = CONNECT_TIMEOUT
    """How long to wait for a connection, in seconds. Default: 10."""
    reply_timeout: float = REPLY_TIMEOUT
    """How long to wait for the reply to a request, in seconds. Default: 60."""
    preflight: str = "auto"
    """`auto`, `required` or `off`: whether the host is checked before anything is created. Default:
    `auto`."""

    @property
    def placement(self) -> str:
        """The cluster member, or ``@group``, as Incus's ``?target=`` takes it."""
        if self.target and self.cluster_group:
            raise BadHostSettings(
                f"target {self.target!r} and cluster_group {self.cluster_group!r}: give one of "
                "them, a member or a group"
            )
        return f"@{self.cluster_group}" if self.cluster_group else self.target


def resolve(settings: HostSettings, environ: Mapping[str, str] | None = None) -> HostSettings:
    """The settings with a socket or a url, whatever way the host was named.

    Where nothing names one, the environment does: INCUS_REMOTE, INCUS_SOCKET, INCUS_DIR, and at
    last the usual sockets. INCUS_PROJECT is the project where none is said.

    Raises:
        BadHostSettings: what was said of the host cannot be so.
        IncusUnreachable: no host was named, and there is no usual socket.
    """
    environ = os.environ if environ is None else environ
    if len([way for way in (settings.socket, settings.url, settings.remote) if way]) > 1:
        raise BadHostSettings("socket, url and remote name a host each; give one of them")
    named = settings.socket or settings.url or settings.remote or settings.trust_token
    if not named and environ.get("INCUS_REMOTE", "local") not in ("", "local"):
        settings = replace(settings, remote=environ["INCUS_REMOTE"])
    if settings.remote:
        settings = _with_remote(settings, find_remote(settings.remote, environ))
    if settings.url.startswith("unix:"):
        path = settings.url.removeprefix("unix:").removeprefix("//")
        settings = replace(settings, url="", socket=path)
    if not settings.url and not settings.trust_token:
        settings = replace(settings, socket=str(find_socket(settings.socket or None, environ)))
    return replace(settings, project=settings.project or environ.get("INCUS_PROJECT", ""))


def connect(settings: HostSettings, environ: Mapping[str, str] | None = None) -> IncusClient:
    """A client of the host. Nothing is sent yet.

    Args:
        settings: what `resolve` returned.
        environ: the environment.

    Raises:
        BadHostSettings: what was said of the host cannot be so.
    """
    environ = os.environ if environ is None else environ
    limits = TimeLimits(settings.connect_timeout, settings.reply_timeout)
    transport: Transport
    if settings.url or settings.trust_token:
        transport = _https(settings, limits, environ)
    else:
        transport = UnixTransport(Path(settings.socket), limits)
    project = settings.project or "default"
    return IncusClient(transport=transport, project=project, target=settings.placement)


def _with_remote(settings: HostSettings, remote: Remote) -> HostSettings:
    """The settings with what the user's `incus` client knows where nothing else was said."""
    if remote.addresses and remote.addresses[0].startswith("unix:"):
        return replace(
            settings,
            remote="",
            url=remote.addresses[0],
            project=settings.project or remote.project,
        )
    pinned = settings.server_certificate or settings.server_fingerprint or settings.ca_certificate
    return replace(
        settings,
        remote="",
        url=",".join(remote.addresses),
        project=settings.project or remote.project,
        server_certificate=settings.server_certificate
        or ("" if pinned else str(remote.server_certificate or "")),
        ca_certificate=settings.ca_certificate or ("" if pinned else str(remote.ca or "")),
        certificate=settings.certificate or str(remote.client_certificate),
        key=settings.key or str(remote.client_key),
    )


def _https(
    settings: HostSettings, limits: TimeLimits, environ: Mapping[str, str]
) -> HttpsTransport:
    token = decode_token(settings.trust_token) if settings.trust_token else None
    fingerprint = _pinned(settings)
    if token and not fingerprint and not settings.ca_certificate and not settings.insecure:
        fingerprint = token.fingerprint
    if settings.insecure and (fingerprint or settings.ca_certificate):
        raise BadHostSettings(
            "insecure takes any server for the right one; with server_certificate, "
            "server_fingerprint or ca_certificate it makes no sense: leave one out"
        )
    trust = ServerTrust(
        fingerprint=fingerprint,
        ca=read_pem(settings.ca_certificate, "ca_certificate")
        if settings.ca_certificate and not fingerprint
        else "",
        system=not (fingerprint or settings.ca_certificate or settings.insecure),
        insecure=settings.insecure,
    )
    identity: ClientIdentity | None
    if settings.certificate or settings.key:
        identity = _given_identity(settings)
    elif token:
        identity = identity_for(token, environ)
    else:
        identity = known_identity(fingerprint, environ)
        if identity is None:
            raise BadHostSettings(
                f"{settings.url}: no client certificate to show there; give certificate and key, "
                "or a trust_token for first contact, or name a remote of the incus client"
            )
    urls = [clean_url(url) for url in settings.url.split(",") if url.strip()]
    if not urls and token:
        urls = [clean_url(f"https://{address}") for address in token.addresses]
    if not urls:
        raise BadHostSettings("trust_token: it has no addresses; give url")
    return HttpsTransport(urls, trust, identity, limits)


def _pinned(settings: HostSettings) -> str:
    by_certificate = by_name = ""
    if settings.server_certificate:
        pem = read_pem(settings.server_certificate, "server_certificate")
        by_certificate = certificate_fingerprint(pem, "server_certificate")
    if settings.server_fingerprint:
        by_name = clean_fingerprint(settings.server_fingerprint, "server_fingerprint")
    if by_certificate and by_name and by_certificate != by_name:
        raise BadHostSettings(
            f"server_certificate has the fingerprint {by_certificate}, and server_fingerprint is "
            f"{by_name}; give the one that is the server's"
        )
    return by_certificate or by_name


def _given_identity(settings: HostSettings) -> ClientIdentity:
    certificate, key = settings.certificate, settings.key
    if not certificate:
        raise BadHostSettings("key is given, and certificate is not; they go together")
    if not key and "-----BEGIN" not in certificate:
        # `incus remote generate-certificate` makes a .crt and a .key.
        key = str(Path(certificate).with_suffix(".key"))
    if not key:
        raise BadHostSettings("certificate is given, and key is not; they go together")
    origin = "certificate" if "-----BEGIN" in certificate else certificate
    identity = ClientIdentity(
        read_pem(certificate, "certificate"),
        read_pem(key, "key", secret="-----BEGIN" in certificate or bool(settings.key)),
        origin,
    )
    certificate_fingerprint(identity.certificate, "certificate")
    return identity


def clean_url(url: str) -> str:
    """``https://host:port`` with Incus's own port where none is named.

    Raises:
        BadHostSettings: it is no such URL.
    """
    url = url.strip()
    try:
        parts = urlsplit(url)
        port = parts.port or _PORT
    except ValueError:
        parts, port = urlsplit(""), 0
    if (
        parts.scheme != "https"
        or not parts.hostname
        or parts.username is not None
        or parts.path not in ("", "/")
        or parts.query
        or parts.fragment
    ):
        # What precedes an `@` may be a password.
        shown = url.rpartition("@")[2]
        raise BadHostSettings(
            f"url: {shown!r} is no address of an Incus server; it looks like https://host:{_PORT}"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"https://{host}:{port}"
