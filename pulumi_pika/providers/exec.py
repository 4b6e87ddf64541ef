"""The provider of `IncusExec`."""

from .host_provider import HostProvider


class IncusExecProvider(HostProvider):
    """The provider of commands in an instance; see `exec_calls`."""

    calls = "exec_calls"
