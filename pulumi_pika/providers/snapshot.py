"""The provider of `VolumeSnapshot`."""

from .host_provider import HostProvider


class VolumeSnapshotProvider(HostProvider):
    """Provides snapshots; see `snapshot_calls`."""

    calls = "snapshot_calls"
