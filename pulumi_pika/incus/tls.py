"""Set up TLS as Incus uses it: version 1.3, a certificate on both sides, the server's pinned.

A server's certificate is usually self-signed, and has the name that the host had at the time. So
the fingerprint is checked; names are compared only if a CA signs them.
"""

import contextlib
import hashlib
import os
import re
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from requests.adapters import HTTPAdapter
from urllib3 import HTTPSConnectionPool
from urllib3.connection import HTTPSConnection

from ..message_templates import invalid_value
from ..text_safety import one_line
from .errors import BadHostSettings, CredentialsMissing, ServerCertificateChanged
from .reply_bounds import BoundedConnection, ReplyBounds

_CERTIFICATE: Final = re.compile(
    r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL
)
_KEPT_CONNECTIONS: Final = 2
"""How many connections of a session, and so of a thread, are kept.

One is in use, and one may wait for an operation.
"""


@dataclass(frozen=True, slots=True)
class ServerTrust:
    """Describe how a server proves its identity, in one of four ways.

    Attributes:
        fingerprint: the SHA-256 of its certificate, as 64 lower-case hex digits.
        ca: certificates, as PEM, one of which has signed its certificate.
        system: whether one of the system's own CAs has signed it.
        insecure: whether any server is accepted.
    """

    fingerprint: str = ""
    ca: str = ""
    system: bool = False
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class ClientIdentity:
    """Hold this client's certificate and private key, as PEM."""

    certificate: str
    key: str = field(repr=False)
    origin: str = ""
    """Where the certificate comes from, for messages."""

    @property
    def fingerprint(self) -> str:
        """Return the fingerprint by which the server knows this client.

        `incus config trust list` shows it.
        """
        return certificate_fingerprint(self.certificate, self.origin)


def certificate_fingerprint(pem: str, origin: str) -> str:
    """Return the SHA-256 of the first certificate in a PEM string, in hex digits.

    Raises:
        BadHostSettings: the string has no certificate.
    """
    match = _CERTIFICATE.search(pem)
    try:
        if match is None:
            raise ValueError
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(match[0])).hexdigest()
    except ValueError:
        raise BadHostSettings(
            f"{origin}: this is not a valid certificate: use PEM (-----BEGIN CERTIFICATE-----)"
        ) from None


def clean_fingerprint(text: str, origin: str) -> str:
    """Return a SHA-256 fingerprint in Incus's spelling.

    Colons, spaces and capitals are accepted.

    Raises:
        BadHostSettings: it is not a valid fingerprint.
    """
    digits = re.sub(r"[\s:]", "", text).lower().removeprefix("sha256")
    if not re.fullmatch(r"[0-9a-f]{64}", digits):
        raise BadHostSettings(
            invalid_value(
                one_line(text),
                "SHA-256 fingerprint",
                "use 64 hex digits, as `incus info` shows them as certificate_fingerprint",
            ).at(f"{origin}:")
        )
    return digits


def read_pem(value: str, origin: str, *, secret: bool = False) -> str:
    """Return PEM text, given directly or as the path of a file with it.

    Args:
        value: the text or the path.
        origin: where the value comes from, for messages.
        secret: whether to keep it out of messages, because an invalid path may be a damaged key.

    Raises:
        CredentialsMissing: the file does not exist, or this user may not read it.
    """
    if "-----BEGIN" in value:
        return value
    path = Path(value).expanduser()
    try:
        return path.read_text()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        shown = f"{len(value)} characters" if secret or len(value) > 255 else repr(value)
        raise CredentialsMissing(
            f"{origin}: {shown} is neither PEM (-----BEGIN ...) nor a readable file ({reason})"
        ) from None


def client_context(trust: ServerTrust, identity: ClientIdentity | None) -> ssl.SSLContext:
    """Return the TLS settings of a connection.

    Raises:
        BadHostSettings: certificate and key do not match, or cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if trust.ca:
        try:
            context.load_verify_locations(cadata=trust.ca)
        except (ssl.SSLError, ValueError) as error:
            raise BadHostSettings(
                f"ca_certificate: this is not a valid CA certificate: use PEM ({error})"
            ) from None
    elif trust.system:
        context.load_default_certs()
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if identity is not None:
        with _as_file(identity.certificate + "\n" + identity.key) as file:
            try:
                context.load_cert_chain(file, password=_no_password)
            except _Encrypted:
                raise BadHostSettings(
                    f"{identity.origin}: the private key is encrypted, and pulumi_pika cannot ask "
                    "for its password; decrypt it (`openssl pkey -in client.key -out plain.key`), "
                    "and set key to the new file"
                ) from None
            except (ssl.SSLError, OSError, ValueError) as error:
                reason = getattr(error, "reason", None) or str(error)
                raise BadHostSettings(
                    f"{identity.origin}: certificate and private key cannot be used together "
                    f"({reason}); both must be PEM, and the key must belong to the certificate"
                ) from None
    return context


class _Encrypted(Exception):
    """Signal that OpenSSL would ask for a password at the terminal."""


def _no_password() -> str:
    raise _Encrypted


@contextlib.contextmanager
def _as_file(text: str) -> Iterator[str]:
    """Provide a file with this text for the duration of the block.

    The file is in memory if the system supports it. Python's ssl reads certificates and keys from
    files only.
    """
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("pulumi_pika")
        try:
            os.write(descriptor, text.encode())
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile(mode="w") as file:
        file.write(text)
        file.flush()
        yield file.name


class TlsAdapter(HTTPAdapter):
    """Make connections of `requests` with the settings of `client_context`, and no others."""

    def __init__(self, context: ssl.SSLContext, trust: ServerTrust, bounds: ReplyBounds) -> None:
        self._context, self._trust, self._bounds = context, trust, bounds
        super().__init__(pool_connections=1, pool_maxsize=_KEPT_CONNECTIONS)

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make every pool of this adapter use the context, and check the certificate."""
        super().init_poolmanager(*arguments, ssl_context=self._context, **options)
        pool = type("_Pool", (HTTPSConnectionPool,), {"ConnectionCls": self._connection_class()})
        self.poolmanager.pool_classes_by_scheme = {"https": pool}

    def build_connection_pool_key_attributes(
        self, request: Any, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        """Return the destination of a request; TLS settings of `requests` itself are ignored."""
        host, _ = super().build_connection_pool_key_attributes(request, True, None)
        return host, {"cert_reqs": self._context.verify_mode}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Do not add a CA of `requests`."""

    def _connection_class(self) -> type[HTTPSConnection]:
        pinned = self._trust.fingerprint
        of_session = self._bounds

        class Connection(BoundedConnection, HTTPSConnection):  # type: ignore[misc]
            bounds = of_session

            def connect(self) -> None:
                super().connect()
                if pinned:
                    sock: Any = self.sock
                    shown = hashlib.sha256(sock.getpeercert(True) or b"").hexdigest()
                    if shown != pinned:
                        self.close()
                        where = f"https://{self.host}:{self.port}"
                        raise ServerCertificateChanged(where, expected=pinned, shown=shown)
                # Otherwise, urllib3 warns at each request that nothing was verified.
                self.is_verified = True

        return Connection
