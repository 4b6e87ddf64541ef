"""Read the period of validity of an X.509 certificate."""

import re
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

_CERTIFICATE: Final = re.compile(
    r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL
)
_UTC_TIME: Final = 0x17
_GENERALIZED_TIME: Final = 0x18
_VERSION: Final = 0xA0


def validity(pem: str) -> tuple[datetime, datetime]:
    """Return the first and the last moment at which the first certificate of a PEM text is valid.

    Python's `ssl` reads a certificate only within a connection that checks it, so the few fields
    before the dates are read here (RFC 5280, 4.1).

    Raises:
        ValueError: the text has no readable certificate.
    """
    match = _CERTIFICATE.search(pem)
    if match is None:
        raise ValueError("no certificate")
    try:
        _, certificate = next(_fields(ssl.PEM_cert_to_DER_cert(match[0])))
        _, signed = next(_fields(certificate))
        fields = list(_fields(signed))
        if fields[0][0] == _VERSION:
            fields.pop(0)
        # serialNumber, signature, issuer, validity
        first, last = (_moment(kind, value) for kind, value in _fields(fields[3][1]))
    except (IndexError, StopIteration, UnicodeDecodeError) as error:
        raise ValueError("not a certificate") from error
    return first, last


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the tag and the content of each field of a DER sequence."""
    at = 0
    while at < len(data):
        tag, size, at = data[at], data[at + 1], at + 2
        if size & 0x80:
            digits = size & 0x7F
            size, at = int.from_bytes(data[at : at + digits], "big"), at + digits
        if at + size > len(data):
            raise IndexError
        yield tag, data[at : at + size]
        at += size


def _moment(kind: int, value: bytes) -> datetime:
    text = value.decode("ascii")
    if kind == _UTC_TIME:
        # RFC 5280: a year of two digits is between 1950 and 2049.
        text = ("19" if int(text[:2]) >= 50 else "20") + text
    elif kind != _GENERALIZED_TIME:
        raise ValueError("not a time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
