"""The provider of `IncusRuntime`."""

from .host_provider import HostProvider


class IncusRuntimeProvider(HostProvider):
    """The provider of runtimes; see `runtime_calls`."""

    calls = "runtime_calls"
