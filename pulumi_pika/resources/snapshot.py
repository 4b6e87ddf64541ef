"""`VolumeSnapshot`: a snapshot of a custom volume."""

from typing import TYPE_CHECKING

import pulumi
from pulumi.dynamic import Resource

from ..providers.snapshot import VolumeSnapshotProvider
from .argument_types import SnapshotTimeoutsArgs, Tree
from .property_inputs import resource_properties, to_plain

if TYPE_CHECKING:
    from ..reconcile.volumes.volume_options import SnapshotTimeouts

_TYPE = "pulumi-python:dynamic/pika:VolumeSnapshot"


class VolumeSnapshot(Resource, module="pika", name="VolumeSnapshot"):
    """A snapshot of a custom volume, as `restore_from` of a `PersistentVolume` takes it.

    A delete of the resource deletes the snapshot; `retain_on_delete` keeps it.
    """

    volume_name: pulumi.Output[str]
    """The name of the volume."""
    snapshot_name: pulumi.Output[str]
    """The name of the snapshot in Incus, for `restore_from`."""
    storage_pool: pulumi.Output[str]
    """The storage pool of the volume."""
    project: pulumi.Output[str]
    """The Incus project of the volume."""
    created_at: pulumi.Output[str]
    """When the snapshot was created, in RFC 3339 format."""

    def __init__(
        self,
        resource_name: str,
        *,
        volume_name: pulumi.Input[str],
        snapshot_name: pulumi.Input[str] | None = None,
        storage_pool: pulumi.Input[str] = "default",
        project: pulumi.Input[str] = "default",
        description: pulumi.Input[str] | None = None,
        expires_at: pulumi.Input[str] | None = None,
        triggers: pulumi.Input[Tree] | None = None,
        timeouts: "pulumi.Input[SnapshotTimeoutsArgs | SnapshotTimeouts] | None" = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare a snapshot.

        The snapshot is created while instances may write to the volume. Data that a program has not
        written yet is not in the snapshot. Every argument may be an `Output`.

        Args:
            resource_name: The name of the resource in the Pulumi stack.
            volume_name: The name of the volume. With the output `volume_name` of a
                `PersistentVolume`, the volume is created first. Change: another snapshot is
                created, and then this one is deleted.
            snapshot_name: The name of the snapshot in Incus: at most 64 characters, no blanks and
                no slash, a letter or digit at both ends (Incus's rule for API names). Default: the
                name of the resource. Change: as `volume_name`.
            storage_pool: The storage pool of the volume. Default: `default`. Change: as
                `volume_name`.
            project: The Incus project of the volume. Default: `default`. Change: as `volume_name`.
            description: The description of the snapshot. Default: the description of the volume.
                Change: in place.
            expires_at: When Incus deletes the snapshot: RFC 3339 with an offset, as
                `2030-01-31T00:00:00Z`, or `never`. Default: after the volume's `snapshots_expiry`.
                Change: in place.
            triggers: Any value. Default: none. Change: the snapshot is deleted and created again.
            timeouts: Time limits in seconds; see `SnapshotTimeoutsArgs` for the defaults. Change:
                in place.
            opts: Pulumi's resource options.
        """
        given = to_plain(
            {
                "volume_name": volume_name,
                "snapshot_name": resource_name if snapshot_name is None else snapshot_name,
                "storage_pool": storage_pool,
                "project": project,
                "description": description,
                "expires_at": expires_at,
                "triggers": triggers,
                "timeouts": timeouts,
            }
        )
        props = resource_properties(VolumeSnapshot, given, resource_name, _TYPE, opts)
        super().__init__(VolumeSnapshotProvider(), resource_name, props, opts)
