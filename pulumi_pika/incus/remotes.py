"""Read the config of the user's own `incus` client: its remotes and its client certificate.

The config is never written. See Incus doc/remotes.md and shared/cliconfig.
"""

import os
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..message_templates import missing
from .errors import BadHostSettings


@dataclass(frozen=True, slots=True)
class Remote:
    """Hold an entry of the `incus` client's config."""

    name: str
    addresses: tuple[str, ...]
    """The addresses: ``https://host:port``, or ``unix:PATH``.

    ``unix:`` alone is the usual socket. Empty if the config has none.
    """
    project: str
    server_certificate: Path | None
    """The server's certificate as the client saw it first; None if CAs sign it."""
    client_certificate: Path
    client_key: Path
    ca: Path | None
    """The CA of a PKI setup (``client.ca``)."""
    origin: Path
    """The config file that has the entry."""


@dataclass(frozen=True, slots=True)
class ImageServer:
    """Describe a server from which the Incus server copies images.

    Attributes:
        name: its name in messages: that of the remote, or its URL.
        url: its address, as the Incus server reaches it.
        protocol: `simplestreams` or `incus`.
        certificate: its certificate as PEM, if CAs do not sign it; otherwise empty.
        remote: the remote of the `incus` client behind it, if this client may read images there
            that are not public; None for a public server.
    """

    name: str
    url: str
    protocol: str
    certificate: str = ""
    remote: str | None = None


_PUBLIC_IMAGES: Final = ImageServer("images", "https://images.linuxcontainers.org", "simplestreams")
"""The remote that every `incus` client has (Incus shared/cliconfig/default.go)."""


def find_image_server(name: str, environ: Mapping[str, str] | None = None) -> ImageServer:
    """Return the image server behind a remote of the `incus` client.

    Raises:
        BadHostSettings: the remote does not exist, or no image can be copied from it.
    """
    environ = os.environ if environ is None else environ
    found = _entries(environ)
    if name not in found:
        if name == _PUBLIC_IMAGES.name:
            return _PUBLIC_IMAGES
        listed = ", ".join(sorted({*found, _PUBLIC_IMAGES.name}))
        raise BadHostSettings(
            f"remote {name!r} is not a remote of the incus client (there: {listed}); add it with "
            f"`incus remote add {name} URL --protocol simplestreams --public`, or give server"
        )
    directory, entry = found[name]
    address = str(entry.get("addr") or "").split(",")[0].strip()
    protocol = str(entry.get("protocol") or "incus")
    if protocol not in ("incus", "simplestreams") or not address.startswith(("https:", "http:")):
        raise BadHostSettings(
            f"remote {name!r} ({protocol} at {address or 'no address'}) is not an image server: "
            "images are copied from servers of the protocols simplestreams and incus, by https"
        )
    pinned = directory / "servercerts" / f"{name}.crt"
    private = protocol == "incus" and not entry.get("public")
    return ImageServer(
        name=name,
        url=address,
        protocol=protocol,
        certificate=pinned.read_text() if pinned.exists() else "",
        remote=name if private else None,
    )


def config_directory(environ: Mapping[str, str]) -> Path:
    """Return the `incus` client's own directory: INCUS_CONF, or the platform's usual path."""
    if given := environ.get("INCUS_CONF"):
        return Path(given)
    home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    if sys.platform == "darwin":
        current = home / "Library" / "Application Support" / "incus"
        return current if current.exists() else home / ".config" / "incus"
    return Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "incus"


def find_remote(name: str, environ: Mapping[str, str] | None = None) -> Remote:
    """Return the remote of a name.

    Raises:
        BadHostSettings: it does not exist, is not an Incus server, or does not use a client
            certificate.
    """
    environ = os.environ if environ is None else environ
    user = config_directory(environ)
    if name == "local":
        return _remote(name, {"addr": "unix:"}, user, user)
    known = {entry: directory for entry, (directory, _) in _entries(environ).items()}
    if name not in known:
        listed = ", ".join(sorted(known)) or "none"
        raise BadHostSettings(
            missing(
                f"remote {name!r}",
                f"in the incus client's config {user / 'config.yml'} (it has: {listed})",
                f"add it with `incus remote add {shlex.quote(name)} ADDRESS`, or set INCUS_CONF to "
                "the directory of another config",
            )
        )
    directory = known[name]
    return _remote(name, _remotes(directory)[name], directory, user)


def _remote(name: str, entry: Mapping[str, Any], directory: Path, user: Path) -> Remote:
    if entry.get("public") or (entry.get("protocol") or "incus") != "incus":
        raise BadHostSettings(
            f"remote {name!r} is an image server "
            f"({'public' if entry.get('public') else entry.get('protocol')}), which runs no "
            "instances; set a remote that is an Incus server"
        )
    if (entry.get("auth_type") or "tls") != "tls":
        raise BadHostSettings(
            f"remote {name!r} signs in with {entry['auth_type']}, which needs a browser; use a "
            "remote with a TLS client certificate (`incus remote add --auth-type tls NAME URL`)"
        )
    addresses = tuple(a.strip() for a in str(entry.get("addr") or "").split(",") if a.strip())
    last = entry.get("last_working_address")
    if last in addresses:
        addresses = (last, *(a for a in addresses if a != last))
    pinned = directory / "servercerts" / f"{name}.crt"
    own = user / "clientcerts" / f"{name}.crt"
    certificate = own if own.exists() else user / "client.crt"
    ca = certificate.with_suffix(".ca")
    return Remote(
        name=name,
        addresses=addresses,
        project=str(entry.get("project") or ""),
        server_certificate=pinned if pinned.exists() else None,
        client_certificate=certificate,
        client_key=certificate.with_suffix(".key"),
        ca=ca if ca.exists() else None,
        origin=directory / "config.yml",
    )


def _entries(environ: Mapping[str, str]) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Return the directory and the entry of each remote by name; the user's own take precedence."""
    shared = Path(environ.get("INCUS_GLOBAL_CONF") or "/etc/incus")
    return {
        name: (directory, entry)
        for directory in (shared, config_directory(environ))
        for name, entry in _remotes(directory).items()
    }


def _remotes(directory: Path) -> dict[str, Any]:
    import yaml  # comes with pulumi

    file = directory / "config.yml"
    try:
        tree = yaml.safe_load(file.read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise BadHostSettings(f"{file} cannot be read: {reason}") from None
    remotes = tree.get("remotes") if isinstance(tree, dict) else None
    if not isinstance(remotes, dict):
        return {}
    return {str(name): entry for name, entry in remotes.items() if isinstance(entry, dict)}
