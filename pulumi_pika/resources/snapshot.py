"""`VolumeSnapshot`: what a custom volume held at one time."""

from typing import TYPE_CHECKING

import pulumi
from pulumi.dynamic import Resource

from ..providers.snapshot import VolumeSnapshotProvider
from .args import SnapshotTimeoutsArgs, Tree
from .inputs import hidden, tree_of

if TYPE_CHECKING:
    from ..reconcile.volume_options import SnapshotTimeouts

_TYPE = "pulumi-python:dynamic/pika:VolumeSnapshot"
_OUTPUTS = ("volume_name", "snapshot_name", "created_at")


class VolumeSnapshot(Resource, module="pika", name="VolumeSnapshot"):
    """A snapshot of a custom volume, as `restore_from` of a `PersistentVolume` takes it.

    Deleting the resource removes the snapshot; `retain_on_delete` keeps it.
    """

    volume_name: pulumi.Output[str]
    """The volume that it was taken of."""
    snapshot_name: pulumi.Output[str]
    """Its name in Incus, which `restore_from` takes."""
    storage_pool: pulumi.Output[str]
    """The storage pool of the volume."""
    project: pulumi.Output[str]
    """The Incus project of the volume."""
    created_at: pulumi.Output[str]
    """When it was taken, as RFC 3339."""

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
        """Declares a snapshot.

        It is taken as it is declared, while instances may write: what a program has not yet
        written is not in it. Every argument may be an `Output`.

        Args:
            resource_name: its name in the stack.
            volume_name: the volume; the `volume_name` of a `PersistentVolume` makes it come first.
            snapshot_name: its name in Incus, by default the resource's: 64 characters at most, no
                blanks and no slash, a letter or digit at both ends (Incus's rule for API names).
            storage_pool: the volume's storage pool.
            project: the volume's Incus project.
            description: by default what Incus takes, the volume's own. Changes in place.
            expires_at: when Incus removes it: RFC 3339 with an offset, as `2030-01-31T00:00:00Z`,
                or `never`. By default what the volume's `snapshots_expiry` says. Changes in place.
            triggers: any value; when it changes, the snapshot is removed and taken anew. So it is
                where volume, name, pool or project change, the new one being taken first.
            timeouts: seconds, for `create` (3600) and `delete` (600).
            opts: Pulumi's resource options.
        """
        given = tree_of(
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
        props = {
            **dict.fromkeys(_OUTPUTS),
            **given,
            **hidden(given, resource_name, _TYPE, opts),
        }
        super().__init__(VolumeSnapshotProvider(), resource_name, props, opts)
