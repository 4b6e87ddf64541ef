"""What can go wrong between us and an Incus server.

Every message says what was tried, where, why it failed and, where there is one, what to do next.
"""


class IncusError(Exception):
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


class UnexpectedResponse(IncusError):
    """An answer that is not Incus's: no JSON, another shape, or larger than we read."""


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
_HINTS: dict[type[IncusApiError], str] = {
    Unauthorised: "check that this user or certificate may use the server and the project",
    PreconditionFailed: "somebody changed it meanwhile: run `pulumi refresh`, then `pulumi up`",
}


def api_error(status: int, reason: str, where: str) -> IncusApiError:
    """The exception for an error answer.

    Args:
        status: the HTTP status.
        reason: the server's text.
        where: what was asked for, as ``GET /1.0/instances/x (project p)``.
    """
    kind = _BY_STATUS.get(status, ServerFailure if status >= 500 else IncusApiError)
    # POST /1.0/instances answers 500 for a name that is taken.
    if kind is ServerFailure and "already exists" in reason.lower():
        kind = AlreadyExists
    message = f"{where}: Incus answered {status}: {reason or 'no reason given'}"
    if hint := _HINTS.get(kind):
        message = f"{message}; {hint}"
    return kind(message, status=status, reason=reason)
