"""The provider of `VolumeSnapshot`."""

from .host_provider import HostProvider


class VolumeSnapshotProvider(HostProvider):
    """The provider of snapshots; see `snapshot_calls`."""

    calls = "snapshot_calls"
