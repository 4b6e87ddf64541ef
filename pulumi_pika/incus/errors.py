"""What can go wrong between us and an Incus server.

Every message says what was tried, where, why it failed and, where there is one, what to do next.
"""

import re
from typing import Final

from ..errors import PikaError
from ..redaction import cut
from ..text_safety import one_line

MOST_SAID: Final = 4000
"""Characters of a server's reason that a message has."""


class IncusError(PikaError):
    """Base of all that this package raises about a server."""


class IncusUnreachable(IncusError):
    """No answer came: no socket, no permission, a connection cut off, or no reply in time.

    Attributes:
        sent: whether the request may have reached the server, so that it may have been carried
            out though no reply came. The caller has to look before it repeats anything.
    """

    sent: bool

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class ServerCertificateChanged(IncusUnreachable):
    """The server shows another certificate than the one that it is known by; nothing was sent.

    Attributes:
        expected: the fingerprint of the certificate that it is known by.
        shown: that of the certificate that it shows.
    """

    expected: str
    shown: str

    def __init__(self, where: str, *, expected: str, shown: str) -> None:
        super().__init__(
            f"{where}: the server's certificate is not the one that it is known by: expected "
            f"SHA-256 {expected}, shown {shown}; nothing was sent. Somebody may be in between. "
            "Where the server was given a new certificate, compare it there (`incus info`, "
            "certificate_fingerprint), and only then give the new one here",
            sent=False,
        )
        self.expected, self.shown = expected, shown


class BadHostSettings(IncusError):
    """What was said of the host cannot be so; nothing was sent anywhere."""


class CredentialsMissing(BadHostSettings):
    """A file of certificates or keys that the settings name is not on this machine.

    Another machine may have it: with `preflight="off"`, a preview does without.
    """


class MemberOffline(IncusError):
    """A cluster member that is needed does not answer.

    Attributes:
        member: its name.
    """

    member: str

    def __init__(self, message: str, *, member: str) -> None:
        super().__init__(message)
        self.member = member


class UnexpectedResponse(IncusError):
    """An answer that is not Incus's: no JSON, another shape, or larger than we read."""


class AnswerTooLong(UnexpectedResponse):
    """An answer that has more bytes than are read of it."""


class IncusApiError(IncusError):
    """The server answered with an error.

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
    """The server refuses what was asked (400)."""


class Unauthorised(IncusApiError):
    """The server does not let this client do that (401, 403)."""


class NotFound(IncusApiError):
    """There is no such thing (404)."""


class PlaceMissing(NotFound):
    """The project or the storage pool itself is missing, with all that was in it (404)."""


class AlreadyExists(IncusApiError):
    """There is such a thing already (409, or a 500 that says so, as for instances)."""


class PreconditionFailed(IncusApiError):
    """The thing was changed meanwhile: its ETag is no longer the one sent (412)."""


class ServerFailure(IncusApiError):
    """The server failed (5xx)."""


class OperationError(IncusError):
    """Base of what can become of an operation, other than success.

    Attributes:
        operation: its id.
        reason: its own error text, where there is one.
    """

    operation: str
    reason: str

    def __init__(self, message: str, *, operation: str, reason: str = "") -> None:
        super().__init__(message)
        self.operation = operation
        self.reason = reason


class OperationFailed(OperationError):
    """The operation ended in failure; `reason` is its text."""


class OperationTimedOut(OperationError):
    """The operation was still going on when our time was up. It goes on at the server."""


class OperationLost(OperationError):
    """The server no longer knows the operation (it keeps a finished one for 5 s only).

    What became of it can only be seen at the thing that it worked on.
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
    Unauthorised: "check that this user or certificate may use the server and the project",
    PreconditionFailed: "somebody changed it meanwhile: run `pulumi refresh`, then `pulumi up`",
}


def not_trusted(host: str, client_fingerprint: str) -> Unauthorised:
    """The exception for a server that does not know this client."""
    shown = f"certificate {client_fingerprint[:12]}" if client_fingerprint else "no certificate"
    return Unauthorised(
        f"the server at {host} does not trust this client ({shown}): add the certificate there "
        "(`incus config trust add-certificate client.crt`), or give a trust_token "
        "(`incus config trust add NAME` there shows one)",
        status=403,
        reason="not trusted",
    )


def api_error(
    status: int, reason: str, where: str, *, client_fingerprint: str = ""
) -> IncusApiError:
    """The exception for an error answer.

    Args:
        status: the HTTP status.
        reason: the server's text.
        where: what was asked for, as ``GET /1.0/instances/x (project p)``.
        client_fingerprint: that of the certificate that was shown; empty without one.
    """
    reason = one_line(reason)
    kind = _BY_STATUS.get(status, ServerFailure if status >= 500 else IncusApiError)
    # POST /1.0/instances answers 500 for a name that is taken, and so does the loser of two
    # requests at once that make a volume (6.0.4: the text of its database).
    if kind is ServerFailure and any(sign in reason.lower() for sign in _TAKEN):
        kind = AlreadyExists
    # Collections answer 500 to a certificate that is restricted to other projects.
    if kind is ServerFailure and _RESTRICTED.search(reason):
        kind = Unauthorised
    message = f"{where}: Incus answered {status}: {cut(reason, MOST_SAID) or 'no reason given'}"
    if kind is Unauthorised and client_fingerprint:
        message += (
            f"; the client certificate {client_fingerprint[:12]} may not do that: see on the "
            f"server `incus config trust show {client_fingerprint[:12]}` for the projects that it "
            "is restricted to"
        )
    elif hint := _HINTS.get(kind):
        message = f"{message}; {hint}"
    return kind(message, status=status, reason=reason)
