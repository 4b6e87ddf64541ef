"""The provider of `VolumeSnapshot`."""

from typing import Any

from pulumi.dynamic import (
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    UpdateResult,
)

from .host_provider import HostProvider

# `snapshot_calls` and the layers below come with the first call; see `runtime`.


class VolumeSnapshotProvider(HostProvider):
    """Takes and removes snapshots of custom volumes.

    Thread-safe, and without attributes, so that it pickles to a reference that never changes.
    """

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Validates the inputs."""
        from . import snapshot_calls

        return snapshot_calls.check(news, _olds)

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Compares options with options."""
        from . import snapshot_calls

        return snapshot_calls.diff(_olds, _news)

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Takes the snapshot."""
        from . import snapshot_calls

        return snapshot_calls.create(props)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Reads the snapshot back; one that is gone reads as a resource that is gone."""
        from . import snapshot_calls

        return snapshot_calls.read(id_, props)

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Changes description and expiry."""
        from . import snapshot_calls

        return snapshot_calls.update(_olds, _news)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Removes the snapshot."""
        from . import snapshot_calls

        snapshot_calls.delete(_props)
