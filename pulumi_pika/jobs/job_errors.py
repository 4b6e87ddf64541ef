"""Exceptions of jobs. A job that ran and failed is an outcome; only `JobFailed` raises it."""

from ..message_templates import INVALID_VALUE, OTHER_OWNER
from ..reconcile.shared.errors import ReconcileError


class JobError(ReconcileError):
    """The base of the exceptions of jobs. The message is for the user."""


class JobNotBegun(JobError):
    """The guest could not start the command."""


class JobInstanceTaken(JobError):
    """An instance with the job's name exists that this job did not leave behind. It was not
    changed."""

    default_code = OTHER_OWNER


class JobFailed(JobError):
    """The job did not complete, and failures are not allowed."""


class JobRefused(JobError):
    """The arguments of the job are not valid. No request was sent to a server."""

    default_code = INVALID_VALUE


class JobOutputRefused(JobError):
    """The outputs cannot be written to `output_dir`."""
