"""The providers of config objects."""

from importlib import import_module
from typing import Any, ClassVar

from .host_provider import HostProvider


class ConfigObjectProvider(HostProvider):
    """The base of the providers of config objects; see `object_calls`."""

    calls = "object_calls"
    noun: ClassVar[str]
    """The noun of the kind of the objects, such as `profile`."""

    def _calls(self) -> Any:
        return import_module(f"{__package__}.{self.calls}").calls_of(self.noun)


class IncusProfileProvider(ConfigObjectProvider):
    """The provider of profiles."""

    noun = "profile"


class IncusProjectProvider(ConfigObjectProvider):
    """The provider of projects."""

    noun = "project"


class IncusNetworkProvider(ConfigObjectProvider):
    """The provider of networks."""

    noun = "network"


class StoragePoolProvider(ConfigObjectProvider):
    """The provider of storage pools."""

    noun = "storage pool"
