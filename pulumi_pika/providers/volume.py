"""The provider of `PersistentVolume`."""

from .host_provider import HostProvider


class PersistentVolumeProvider(HostProvider):
    """The provider of volumes; see `volume_calls`."""

    calls = "volume_calls"
