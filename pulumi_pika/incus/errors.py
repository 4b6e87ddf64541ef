"""Define the errors of requests to an Incus server.

Each message has the request, the server, the reason and, if possible, what to do next.
"""

import re
from typing import ClassVar, Final

from ..errors import PikaError
from ..message_templates import (
    EXISTS,
    FAILED,
    INVALID_VALUE,
    MISSING,
    NOT_ALLOWED,
    TIMED_OUT,
    UNREACHABLE,
)
from ..redaction import redact
from ..text_safety import one_line

LONGEST_REASON: Final = 4000
"""How many characters of a server's reason a message has at most."""


class IncusError(PikaError):
    """Signal a problem with a server. The base of all errors of this package."""


class IncusUnreachable(IncusError):
    """Signal that no reply came: no socket, no permission, a broken connection, or a timeout.

    Attributes:
        sent: whether the request may have reached the server. If so, it may have been carried out
            although no reply came, and the caller must check before it repeats anything.
    """

    default_code: ClassVar[str] = UNREACHABLE
    sent: bool

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class ServerCertificateChanged(IncusUnreachable):
    """Signal that the server's certificate is not the expected one; no request was sent.

    Attributes:
        expected: the fingerprint of the expected certificate.
        shown: the fingerprint of the certificate that the server shows.
    """

    default_code: ClassVar[str] = FAILED
    expected: str
    shown: str

    def __init__(self, where: str, *, expected: str, shown: str) -> None:
        super().__init__(
            f"{where}: the server's certificate does not match the pinned one: expected SHA-256 "
            f"{expected}, got {shown}; no request was sent. Another machine may intercept the "
            "connection. If the server has a new certificate, compare the fingerprint on the "
            "server itself (`incus info`, certificate_fingerprint), and set the new one only if "
            "they are equal",
            sent=False,
        )
        self.expected, self.shown = expected, shown


class BadHostSettings(IncusError):
    """Signal that the settings of the host are not valid; no request was sent."""

    default_code: ClassVar[str] = INVALID_VALUE


class CredentialsMissing(BadHostSettings):
    """Signal that a file of certificates or keys in the settings does not exist on this machine.

    Another machine may have it. With `preflight="off"`, a preview works without it.
    """

    default_code: ClassVar[str] = MISSING


class MemberOffline(IncusError):
    """Signal that a cluster member that is needed does not reply.

    Attributes:
        member: the name of the member.
    """

    default_code: ClassVar[str] = UNREACHABLE
    member: str

    def __init__(self, message: str, *, member: str) -> None:
        super().__init__(message)
        self.member = member


class UnexpectedResponse(IncusError):
    """Signal a reply that is not Incus's: not JSON, of another shape, or too long."""


class AnswerTooLong(UnexpectedResponse):
    """Signal a reply that is longer than the limit."""


class IncusApiError(IncusError):
    """Signal that the server answered with an error.

    Attributes:
        status: the HTTP status.
        reason: the server's own text.
    """

    status: int
    reason: str

    def __init__(self, message: str, *, status: int, reason: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class BadRequest(IncusApiError):
    """Signal that the server refuses the request (400)."""


class Unauthorised(IncusApiError):
    """Signal that the server does not allow this client to do that (401, 403)."""

    default_code: ClassVar[str] = NOT_ALLOWED


class NotFound(IncusApiError):
    """Signal that the object does not exist (404)."""

    default_code: ClassVar[str] = MISSING


class PlaceMissing(NotFound):
    """Signal that the project or the storage pool itself is missing, with its contents (404)."""


class AlreadyExists(IncusApiError):
    """Signal that an object of that name exists already.

    The status is 409, or 500 with such a text, as for instances.
    """

    default_code: ClassVar[str] = EXISTS


class PreconditionFailed(IncusApiError):
    """Signal that the object was changed in the meantime: its ETag is not the one sent (412)."""


class ServerFailure(IncusApiError):
    """Signal that the server failed (5xx)."""


class OperationError(IncusError):
    """Signal that an operation did not succeed. The base of the errors below.

    Attributes:
        operation: the id of the operation.
        reason: the operation's own error text, if there is one.
    """

    operation: str
    reason: str

    def __init__(self, message: str, *, operation: str, reason: str = "") -> None:
        super().__init__(message)
        self.operation = operation
        self.reason = reason


class OperationFailed(OperationError):
    """Signal that the operation failed; `reason` is its text."""


class OperationTimedOut(OperationError):
    """Signal that the operation was still running at the time limit. The server continues it."""

    default_code: ClassVar[str] = TIMED_OUT


class OperationLost(OperationError):
    """Signal that the server no longer knows the operation; it keeps a finished one for 5 s only.

    The result is visible only in the object that the operation worked on.
    """


_BY_STATUS: dict[int, type[IncusApiError]] = {
    400: BadRequest,
    401: Unauthorised,
    403: Unauthorised,
    404: NotFound,
    409: AlreadyExists,
    412: PreconditionFailed,
}
_TAKEN = ("already exists", "unique constraint failed")
_RESTRICTED = re.compile(r"Certificate is restricted|does not have permission")
_HINTS: dict[type[IncusApiError], str] = {
    Unauthorised: "check that this user may use the server and the project",
    PreconditionFailed: "another client changed it at the same time: run `pulumi refresh`, then "
    "`pulumi up`",
}


def not_trusted(host: str, client_fingerprint: str) -> Unauthorised:
    """Return the error for a server that does not trust this client."""
    shown = f"certificate {client_fingerprint[:12]}" if client_fingerprint else "no certificate"
    return Unauthorised(
        f"the server at {host} does not trust this client ({shown}): on the server, add the "
        "certificate (`incus config trust add-certificate client.crt`), or create a trust_token "
        "(`incus config trust add NAME`) and set it here",
        status=403,
        reason="not trusted",
    )


def clean_reason(text: str) -> str:
    """Return a server's text as one line without secrets.

    Secrets are redacted first: their white space is part of them.
    """
    return one_line(redact(text))


def short_reason(reason: str) -> str:
    """Return the result of `clean_reason` in a length for a message."""
    return one_line(reason, LONGEST_REASON) or "no reason given"


def api_error(
    status: int, reason: str, where: str, *, client_fingerprint: str = ""
) -> IncusApiError:
    """Return the error for an error reply.

    Args:
        status: the HTTP status.
        reason: the server's text.
        where: what was requested, such as ``GET /1.0/instances/x (project p)``.
        client_fingerprint: the fingerprint of the client certificate; empty without one.
    """
    reason = clean_reason(reason)
    kind = _BY_STATUS.get(status, ServerFailure if status >= 500 else IncusApiError)
    # POST /1.0/instances answers 500 for a name that is in use. So does the slower of two requests
    # that create the same volume at once (6.0.4: the text of its database).
    if kind is ServerFailure and any(sign in reason.lower() for sign in _TAKEN):
        kind = AlreadyExists
    # Collections answer 500 to a certificate that is restricted to other projects.
    if kind is ServerFailure and _RESTRICTED.search(reason):
        kind = Unauthorised
    message = f"{where}: Incus answered {status}: {short_reason(reason)}"
    if kind is Unauthorised and client_fingerprint:
        shown = client_fingerprint[:12]
        message += (
            f"; the client certificate {shown} may not do that: `incus config trust show {shown}` "
            "on the server shows the projects that it may use"
        )
    elif hint := _HINTS.get(kind):
        message = f"{message}; {hint}"
    return kind(message, status=status, reason=reason)
