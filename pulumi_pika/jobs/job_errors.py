"""What can keep a job from running; that it ran and failed is an outcome, not an error."""

from ..reconcile.shared.errors import ReconcileError


class JobError(ReconcileError):
    """Base of what this package raises. The message is for the user."""


class JobNotBegun(JobError):
    """The guest could not begin the work."""


class JobInstanceTaken(JobError):
    """There is an instance of the job's name that is not a dead one of this job's; nothing of it
    was touched."""


class JobFailed(JobError):
    """The job ran and did not complete, and no failure was allowed."""


class JobRefused(JobError):
    """What was asked for cannot work; nothing was asked of any server."""


class JobOutputRefused(JobError):
    """The outputs cannot be put where they are to be."""
