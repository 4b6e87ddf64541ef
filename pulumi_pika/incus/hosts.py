"""Resolve the settings of a host, and connect to it."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from ..message_templates import CONFLICT, Message, conflict, invalid_value
from ..text_safety import one_line
from .address import find_socket
from .client import IncusClient
from .errors import BadHostSettings, CredentialsMissing
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
"""Incus's own port, for addresses without one."""


_NAMING: Final = ("socket", "url", "remote", "trust_token")
"""The settings that name a host. One that is given is never ignored."""
_TLS: Final = (
    "certificate",
    "key",
    "server_certificate",
    "server_fingerprint",
    "ca_certificate",
    "insecure",
)
"""The settings that apply only to an https connection."""
_PINNING: Final = ("server_certificate", "server_fingerprint", "ca_certificate")
"""The settings that say which server certificate is accepted."""


@dataclass(frozen=True, slots=True)
class HostSettings:
    """Hold the settings of a host; see `IncusHost` for each.

    `socket`, `url`, `remote` and `trust_token` name a host, and are None if they are not given: an
    empty one is refused. For the others, an empty string means that the setting is not given.
    """

    socket: str | None = None
    """The path of the unix socket of a local server."""
    url: str | None = None
    """`https://HOST:PORT`, or several of one cluster, separated by commas."""
    remote: str | None = None
    """The name of a remote of the `incus` client."""
    certificate: str = ""
    """The client certificate: PEM, or the path of a file."""
    key: str = field(default="", repr=False)
    """The private key of the client certificate: PEM, or the path of a file."""
    server_certificate: str = ""
    """The server's certificate: PEM, or the path of a file."""
    server_fingerprint: str = ""
    """The SHA-256 fingerprint of the server's certificate."""
    trust_token: str | None = field(default=None, repr=False)
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
        """Return the cluster member, or ``@group``, as Incus's ``?target=`` takes it."""
        if self.target and self.cluster_group:
            raise BadHostSettings(
                conflict(f"cluster_group {self.cluster_group!r}").at(f"target {self.target!r}")
            )
        return f"@{self.cluster_group}" if self.cluster_group else self.target


def resolve(settings: HostSettings, environ: Mapping[str, str] | None = None) -> HostSettings:
    """Return the settings with a socket, a URL or a trust token, whichever setting names the host.

    If no setting names a host, the environment does: INCUS_REMOTE, INCUS_SOCKET, INCUS_DIR, and
    finally the usual sockets. An empty variable counts as not set, as for the `incus` client. A
    host that is named is never replaced by the local one. INCUS_PROJECT is the default of the
    project.

    Raises:
        BadHostSettings: the settings are not valid, or contradict each other.
        IncusUnreachable: no host is named, and no usual socket exists.
    """
    environ = os.environ if environ is None else environ
    _ = settings.placement  # Contradictions are reported first.
    for name in _NAMING:
        value = getattr(settings, name)
        if value is not None and not value.strip(" \t\r\n,"):
            raise BadHostSettings(empty_setting(name))
    if sum(way is not None for way in (settings.socket, settings.url, settings.remote)) > 1:
        raise BadHostSettings(
            Message("socket, url and remote each name a host; set only one of them", CONFLICT)
        )
    named = any(getattr(settings, name) is not None for name in _NAMING)
    if not named and environ.get("INCUS_REMOTE", "local") not in ("", "local"):
        settings = replace(settings, remote=environ["INCUS_REMOTE"])
    origin = f"remote {settings.remote!r}" if settings.remote is not None else "url"
    if settings.remote is not None:
        settings = _with_remote(settings, find_remote(settings.remote, environ))
    if settings.url is not None and settings.url.startswith("unix:"):
        path = settings.url.removeprefix("unix:").removeprefix("//")
        settings = replace(settings, url=None)
        _refuse_tls(settings, f"{origin} is a unix socket")
        # `unix:` alone is the local socket, as in the `incus` client's own config.
        settings = replace(settings, socket=str(find_socket(path or None, environ)))
    elif settings.socket is not None:
        _refuse_tls(settings, "socket is a unix socket")
        settings = replace(settings, socket=str(find_socket(settings.socket, environ)))
    elif settings.url is None and settings.trust_token is None:
        _refuse_tls(settings, "neither url, remote nor trust_token is set")
        settings = replace(settings, socket=str(find_socket(None, environ)))
    return replace(settings, project=settings.project or environ.get("INCUS_PROJECT", ""))


def empty_setting(name: str) -> str:
    """Return the message for a setting that is given but empty."""
    return (
        f"{name} is empty: set a value, or remove it. An empty value is refused, because the "
        "default in its place may be another host, or a connection without verification"
    )


def _refuse_tls(settings: HostSettings, why: str) -> None:
    """Refuse settings of an https connection for a host that is a unix socket.

    Raises:
        BadHostSettings: one is given, so the program means another host.
    """
    given = [name for name in (*_TLS, "trust_token") if getattr(settings, name)]
    if given:
        verb = "is" if len(given) == 1 else "are"
        raise BadHostSettings(
            f"{', '.join(given)} {verb} only valid for an https server, and {why}; set url to the "
            f"server, or remove {', '.join(given)}"
        )


def connect(settings: HostSettings, environ: Mapping[str, str] | None = None) -> IncusClient:
    """Return a client of the host. No request is sent yet.

    Args:
        settings: the result of `resolve`.
        environ: the environment.

    Raises:
        BadHostSettings: the settings of the host are not valid.
    """
    environ = os.environ if environ is None else environ
    limits = TimeLimits(settings.connect_timeout, settings.reply_timeout)
    transport: Transport
    if settings.url is not None or settings.trust_token is not None:
        transport = _https(settings, limits, environ)
    elif settings.socket:
        transport = UnixTransport(Path(settings.socket), limits)
    else:
        raise BadHostSettings("the settings name no host: pass them through `resolve` first")
    project = settings.project or "default"
    return IncusClient(transport=transport, project=project, target=settings.placement)


def _with_remote(settings: HostSettings, remote: Remote) -> HostSettings:
    """Return the settings, completed with what the user's `incus` client knows of the remote.

    Raises:
        BadHostSettings: the remote has no address.
    """
    if not remote.addresses:
        raise BadHostSettings(
            f"remote {remote.name!r}: the incus client's config ({remote.origin}) has no address "
            f"for it; set one with `incus remote set-url {shlex.quote(remote.name)} "
            f"https://HOST:{_PORT}`"
        )
    if remote.addresses[0].startswith("unix:"):
        return replace(
            settings,
            remote=None,
            url=remote.addresses[0],
            project=settings.project or remote.project,
        )
    pinned = settings.server_certificate or settings.server_fingerprint or settings.ca_certificate
    return replace(
        settings,
        remote=None,
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
    token = decode_token(settings.trust_token) if settings.trust_token is not None else None
    if settings.url is not None:
        urls = [clean_url(url) for url in settings.url.split(",") if url.strip()]
    else:
        urls = [clean_url(f"https://{address}") for address in token.addresses] if token else []
    if not urls:
        raise BadHostSettings("trust_token: it has no addresses; set url")
    pinned = [name for name in _PINNING if getattr(settings, name)]
    if settings.insecure and pinned:
        raise BadHostSettings(
            conflict(" and ".join(pinned)).at("insecure=True, which accepts any server,")
        )
    fingerprint = _pinned(settings)
    if token and not fingerprint and not settings.ca_certificate and not settings.insecure:
        fingerprint = token.fingerprint
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
            raise CredentialsMissing(
                f"{', '.join(urls)}: no client certificate is set; set certificate and key, or a "
                "trust_token for the first connection, or a remote of the incus client"
            )
    return HttpsTransport(urls, trust, identity, limits)


def _pinned(settings: HostSettings) -> str:
    by_certificate = by_name = ""
    if settings.server_fingerprint:
        by_name = clean_fingerprint(settings.server_fingerprint, "server_fingerprint")
    if settings.server_certificate:
        pem = read_pem(settings.server_certificate, "server_certificate")
        by_certificate = certificate_fingerprint(pem, "server_certificate")
    if by_certificate and by_name and by_certificate != by_name:
        raise BadHostSettings(
            conflict(
                f"server_fingerprint {by_name}",
                "keep the one that `incus info` shows on the server as certificate_fingerprint",
            ).at(f"server_certificate, which has the fingerprint {by_certificate},")
        )
    return by_certificate or by_name


def _given_identity(settings: HostSettings) -> ClientIdentity:
    certificate, key = settings.certificate, settings.key
    if not certificate:
        raise BadHostSettings("key is set, but certificate is not; set both")
    if not key and "-----BEGIN" not in certificate:
        # `incus remote generate-certificate` creates a .crt and a .key.
        key = str(Path(certificate).with_suffix(".key"))
    if not key:
        raise BadHostSettings("certificate is set, but key is not; set both")
    origin = "certificate" if "-----BEGIN" in certificate else certificate
    identity = ClientIdentity(
        read_pem(certificate, "certificate"),
        read_pem(key, "key", secret="-----BEGIN" in certificate or bool(settings.key)),
        origin,
    )
    certificate_fingerprint(identity.certificate, "certificate")
    return identity


def clean_url(url: str) -> str:
    """Return ``https://host:port``, with Incus's own port if none is named.

    Raises:
        BadHostSettings: it is not a valid URL of that kind.
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
        # The text before an `@` may be a password.
        shown = url.rpartition("@")[2]
        raise BadHostSettings(
            invalid_value(
                one_line(shown), "address of an Incus server", f"use https://HOST:{_PORT}"
            ).at("url:")
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"https://{host}:{port}"
