"""The providers of config objects."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from .host_provider import HostProvider

if TYPE_CHECKING:
    from .resource_kind import Kind


class ConfigObjectProvider(HostProvider):
    """The base of the providers of config objects; see `object_calls`."""

    calls = "object_calls"
    noun: ClassVar[str]
    """The noun of the kind of the objects, such as `profile`."""

    def _kind(self) -> "Kind[Any, Any]":
        kind: Kind[Any, Any] = import_module(f"{__package__}.{self.calls}").KINDS[self.noun]
        return kind


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
