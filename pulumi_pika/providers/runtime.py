"""The provider of `IncusRuntime`."""

from .host_provider import HostProvider


class IncusRuntimeProvider(HostProvider):
    """Provides instances; see `runtime_calls`."""

    calls = "runtime_calls"
