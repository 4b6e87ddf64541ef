"""Establish trust with a token, and create the certificate that the server is to trust.

A token (``incus config trust add NAME``) has the server's fingerprint and addresses, and a secret.
The secret is valid for one certificate (Incus doc/authentication.md). This module creates the
certificate and stores it for later runs, when the token is used up and no longer needed.
"""

import base64
import binascii
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from .client import IncusClient
from .errors import BadHostSettings, IncusApiError, Unauthorised
from .tls import ClientIdentity, clean_fingerprint

_DAYS: Final = 3650
"""How many days a certificate is valid: as long as the certificates that Incus itself creates."""
_LONGEST_NAME: Final = 64
"""How many characters a certificate's common name may have (RFC 5280, ub-common-name)."""
_ADDED_WITHIN: Final = 3.0
"""How long a certificate from another process may take to become visible, in seconds."""


@dataclass(frozen=True, slots=True)
class TrustToken:
    """Hold a decoded token."""

    text: str = field(repr=False)
    client_name: str
    fingerprint: str
    """The fingerprint of the server's certificate."""
    addresses: tuple[str, ...]
    """The addresses on which the server listens: ``host:port``."""


def decode_token(text: str) -> TrustToken:
    """Decode a trust token.

    Raises:
        BadHostSettings: it is not a valid token.
    """
    text = "".join(text.split())
    try:
        tree = json.loads(base64.b64decode(text, validate=True))
        return TrustToken(
            text=text,
            client_name=str(tree["client_name"]),
            fingerprint=clean_fingerprint(str(tree["fingerprint"]), "trust_token: fingerprint"),
            addresses=tuple(str(address) for address in tree.get("addresses") or ()),
        )
    except (binascii.Error, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise BadHostSettings(
            "trust_token: this is not a valid trust token: create one on the server with `incus "
            "config trust add NAME` (a join token of `incus cluster add` is not a trust token)"
        ) from None


def identities_directory(environ: Mapping[str, str]) -> Path:
    """Return the directory of the certificates that this module creates."""
    home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    return Path(environ.get("XDG_CONFIG_HOME") or home / ".config") / "pulumi_pika" / "clients"


def identity_for(token: TrustToken, environ: Mapping[str, str]) -> ClientIdentity:
    """Return the certificate for a token, and create it the first time.

    Each pair of server and client name has its own, because certificates differ in their
    restrictions.

    Raises:
        BadHostSettings: it cannot be created or read.
    """
    directory = identities_directory(environ) / token.fingerprint[:16]
    name = _certificate_name(token.client_name)
    certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Several provider processes may start at once.
        with _locked(directory / ".lock"):
            if not (certificate.exists() and key.exists()):
                _make(certificate, key, name)
            key.chmod(0o600)
        return _read(certificate, key)
    except OSError as error:
        raise BadHostSettings(
            f"trust_token: could not store its client certificate in {directory}: "
            f"{error.strerror}. Make the directory writable, or set XDG_CONFIG_HOME, or set "
            "certificate and key"
        ) from None


def known_identity(fingerprint: str, environ: Mapping[str, str]) -> ClientIdentity | None:
    """Return the certificate that an earlier run created for a server, if no token is given.

    Raises:
        BadHostSettings: there are several, and no setting says which to use.
    """
    directory = identities_directory(environ) / fingerprint[:16]
    try:
        keys = sorted(directory.glob("*.key")) if fingerprint else []
        if not keys:
            return None
        if len(keys) > 1:
            raise BadHostSettings(
                f"certificate: {directory} has {len(keys)} client certificates for this server "
                f"({', '.join(key.stem for key in keys)}); set certificate and key to one of them"
            )
        return _read(keys[0].with_suffix(".crt"), keys[0])
    except OSError as error:
        raise BadHostSettings(
            f"certificate: {error.filename} cannot be read ({error.strerror})"
        ) from None


def enrol(client: IncusClient, token: TrustToken) -> None:
    """Make the server trust this client, unless it does already.

    Raises:
        Unauthorised: the token is used up, has expired, or was revoked.
        IncusError: the server cannot be reached, or refuses for another reason.
    """
    if is_trusted(client):
        return
    body = {"type": "client", "trust_token": token.text}
    try:
        client.send_change("POST", "/1.0/certificates", body)
    except IncusApiError as error:
        # Another process of this run may have been first. Incus revokes a token before it has added
        # the certificate that came with it.
        deadline = time.monotonic() + _ADDED_WITHIN
        while not (trusted := is_trusted(client)) and time.monotonic() < deadline:
            time.sleep(0.1)
        if trusted:
            return
        raise Unauthorised(
            f"the server at {client.host} refuses the trust_token for {token.client_name!r} "
            f"({error.reason or error.status}): it was used before, or has expired (a token is "
            "valid for one use; see core.remote_token_expiry). If it was used, it was with "
            f"another client certificate than {client.transport.client_fingerprint[:12]}. Create "
            "a new token on the server: `incus config trust add "
            f"{shlex.quote(token.client_name)}`. If runs do not share a home directory, set "
            "certificate and key instead",
            status=error.status,
            reason=error.reason,
        ) from None


def is_trusted(client: IncusClient) -> bool:
    """Return whether the server trusts this client.

    Any client may send this request. Even so, Incus 6.0 answers a 403 while another process is
    adding the certificate.
    """
    for _ in range(20):
        try:
            return bool(client.get("/1.0").data.get("auth") == "trusted")
        except Unauthorised:
            time.sleep(0.1)
    return bool(client.get("/1.0").data.get("auth") == "trusted")


def _certificate_name(client_name: str) -> str:
    """Return the common name of a client's certificate, which is also the name of its files.

    A long name is cut and ends in a digest of the whole name, so that no two names are equal.
    """
    name = re.sub(r"[^A-Za-z0-9._@-]", "_", client_name).lstrip(".") or "client"
    if len(name) <= _LONGEST_NAME:
        return name
    digest = hashlib.sha256(client_name.encode(errors="replace")).hexdigest()[:12]
    return f"{name[: _LONGEST_NAME - len(digest) - 1]}-{digest}"


def _read(certificate: Path, key: Path) -> ClientIdentity:
    return ClientIdentity(certificate.read_text(), key.read_text(), str(certificate))


def _make(certificate: Path, key: Path, name: str) -> None:
    """Create a key and a self-signed certificate, as `incus remote generate-certificate` does.

    The `openssl` command creates them: Python's own library cannot, and a library that can is too
    large a dependency for something that is done once.
    """
    openssl = shutil.which("openssl")
    if openssl is None:
        raise BadHostSettings(
            "trust_token: the `openssl` command, which creates its client certificate, is not "
            "installed; install it, or set certificate and key (`incus remote "
            "generate-certificate` creates both)"
        )
    with tempfile.TemporaryDirectory(dir=certificate.parent, prefix=".new-") as folder:
        new_key, new_certificate = Path(folder, "key"), Path(folder, "crt")
        command = [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt"),
            *("ec_paramgen_curve:secp384r1", "-sha384", "-nodes", "-days", str(_DAYS)),
            *("-subj", f"/O=pulumi_pika/CN={name}", "-addext", "extendedKeyUsage=clientAuth"),
            *("-keyout", str(new_key), "-out", str(new_certificate)),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise BadHostSettings(
                "trust_token: could not create its client certificate with `openssl req`: "
                f"{done.stderr.strip()[-300:]}"
            )
        new_key.chmod(0o600)
        new_certificate.chmod(0o600)
        new_key.replace(key)
        new_certificate.replace(certificate)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    import fcntl

    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
