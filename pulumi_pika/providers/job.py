"""The provider of `IncusJob`."""

from .host_provider import HostProvider


class IncusJobProvider(HostProvider):
    """The provider of jobs; see `job_calls`."""

    calls = "job_calls"
