"""The provider of `PersistentVolume`."""

from typing import Any

from pulumi.dynamic import (
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    UpdateResult,
)

from .host_provider import HostProvider

# `volume_calls` and the layers below come with the first call; see `runtime`.


class PersistentVolumeProvider(HostProvider):
    """Makes, changes, restores and, where that is asked for in so many words, deletes volumes.

    Thread-safe, and without attributes, so that it pickles to a reference that never changes.
    """

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Validates the inputs, also against the volume's present ones, and adds `on_delete`."""
        from . import volume_calls

        return volume_calls.check(_olds, news)

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Compares options with options, and says what becomes of data."""
        from . import volume_calls

        return volume_calls.diff(_olds, _news)

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Makes the volume, or takes up the one that is there."""
        from . import volume_calls

        return volume_calls.create(props)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Reads the live volume back; one that is gone reads as a resource that is gone."""
        from . import volume_calls

        return volume_calls.read(id_, props)

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Changes the volume in place, and restores a snapshot of it."""
        from . import volume_calls

        return volume_calls.update(_olds, _news)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Deletes the volume where `delete_data` is on; else it is kept."""
        from . import volume_calls

        volume_calls.delete(_props)
