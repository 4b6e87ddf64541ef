"""The root of the exceptions of this package.

PikaError
├── RuntimeSpecError (also ValueError)     a spec is not valid; has all its problems
├── IncusError                             a request to Incus failed
│   ├── IncusUnreachable                   no connection, or no reply
│   ├── BadHostSettings                    the host's settings cannot work
│   ├── IncusApiError                      Incus refused: BadRequest, NotFound, ...
│   └── OperationError                     an operation failed, timed out, or was lost
├── ReconcileError                         an instance, volume or snapshot is wrong
│   └── JobError                           a job: JobRefused, JobNotBegun, JobFailed, ...
├── InvalidArguments (also pulumi.RunError, ValueError)   arguments that contradict each other
├── FolderError (also OSError)             an output directory cannot be used
├── NoPreview                              a text is not the JSON of a preview
├── CommandRefused                         a command's arguments or file cannot be used
└── ProviderError                          how a call of Pulumi's ends; its text has no secrets
"""

from typing import ClassVar

from .message_templates import FAILED, Message


class PikaError(Exception):
    """The base of every exception that this package raises on purpose.

    The text is for people and may be reworded; `code` is for programs and stays.
    """

    default_code: ClassVar[str] = FAILED
    """The code of an exception of this class whose text has no code of its own."""

    @property
    def code(self) -> str:
        """The kind of the error, such as ``missing``: one of `message_templates.CODES`."""
        text = self.args[0] if self.args else None
        return text.code if isinstance(text, Message) else self.default_code


def internal_error_message(error: Exception) -> str:
    """Return a sentence on an exception that this package did not raise on purpose.

    The sentence has the place in the code at which the exception was raised.
    """
    where = error.__traceback__
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    at = f"{where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else "?"
    return (
        f"internal error in pulumi_pika ({type(error).__name__} at {at}: {error}). This is a bug; "
        "please report it"
    )
