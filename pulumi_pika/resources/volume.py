"""`PersistentVolume`: a custom volume of Incus with a life of its own."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pulumi
from pulumi.dynamic import Resource

from ..choices import ContentType, MountKind, MountMode
from ..providers.volume import PersistentVolumeProvider
from .args import MountArgs, VolumeTimeoutsArgs
from .inputs import hidden, tree_of

if TYPE_CHECKING:
    from ..reconcile.volume_options import VolumeTimeouts

_TYPE = "pulumi-python:dynamic/pika:PersistentVolume"
_OUTPUTS = (
    "volume_name",
    "on_delete",
    "location",
    "created_at",
    "restored_from",
    "safety_snapshot",
)


class PersistentVolume(Resource, module="pika", name="PersistentVolume"):
    """A custom storage volume that outlives the instances that use it.

    Its `volume_name` output is the `source` of a mount of an `IncusRuntime`. Deleting the resource
    keeps the volume and its data unless `delete_data` is on; the same resource takes it up again.
    """

    volume_name: pulumi.Output[str]
    """The volume's name in Incus."""
    storage_pool: pulumi.Output[str]
    """The storage pool that it is in."""
    project: pulumi.Output[str]
    """The Incus project that it is in."""
    on_delete: pulumi.Output[str]
    """In words, what a delete or a replacement does to the data."""
    location: pulumi.Output[str]
    """The cluster member that it is on; `none` on a server that is no cluster."""
    created_at: pulumi.Output[str]
    """When it was made, as RFC 3339."""
    restored_from: pulumi.Output[str]
    """The snapshot that `restore_from` restored last; empty without one."""
    safety_snapshot: pulumi.Output[str]
    """The snapshot that was taken before that restore, to which `restore_from` can go back; empty
    without one."""

    def __init__(
        self,
        resource_name: str,
        *,
        volume_name: pulumi.Input[str] | None = None,
        storage_pool: pulumi.Input[str] = "default",
        project: pulumi.Input[str] = "default",
        content_type: pulumi.Input[ContentType] = "filesystem",
        size: pulumi.Input[str] | None = None,
        config: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None,
        labels: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None = None,
        description: pulumi.Input[str] | None = None,
        snapshots_schedule: pulumi.Input[str] | None = None,
        snapshots_expiry: pulumi.Input[str] | None = None,
        snapshots_pattern: pulumi.Input[str] | None = None,
        restore_from: pulumi.Input[str] | None = None,
        snapshot_before_restore: pulumi.Input[bool] = True,
        adopt: pulumi.Input[bool] = False,
        delete_data: pulumi.Input[bool] = False,
        timeouts: "pulumi.Input[VolumeTimeoutsArgs | VolumeTimeouts] | None" = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declares a volume.

        Every argument, and every value within one, may be an `Output`.

        Args:
            resource_name: its name in the stack.
            volume_name: its name in Incus, by default the resource's: 64 characters at most, no
                blanks and no slash, a letter or digit at both ends (Incus's rule for API names).
                Another name, pool or project is another volume: it is made empty, and what becomes
                of the present one is what `delete_data` says.
            storage_pool: the storage pool.
            project: the Incus project.
            content_type: `filesystem`, or `block` for a disk of one virtual machine. It cannot
                change without `delete_data`, since another volume would take this one's place.
            size: as Incus writes it, `10GiB` or `500MB` (Incus doc/reference/units.md); a unit is
                required. Left out, it is not looked after: a pool's own default counts. Grows in
                place; a smaller one is refused, since what lies beyond its end would be lost.
            config: further volume config (Incus doc/reference/storage_drivers.md), as
                `security.shifted`. Keys that have an argument here are refused. Keys that others
                set are left alone.
            labels: shown as `user.pika.label.<key>` of the volume.
            description: shown by `incus storage volume list`; left out, it is left to others.
            snapshots_schedule: when Incus takes snapshots: `@hourly`, `@daily`, `@weekly`, ...,
                or five cron fields.
            snapshots_expiry: after how long snapshots are removed, as `2w` or `1m 12H`.
            snapshots_pattern: how they are named, by default `snap%d`.
            restore_from: the name of a snapshot of this volume. When this changes to another name,
                the instances that use the volume are stopped, the snapshot is restored, and those
                that ran are started again, also where the restore fails. Left out, nothing is
                done; given again after that, it is restored again.
            snapshot_before_restore: whether a snapshot `pika-before-<name>-<time>` is taken before
                a restore, so that it can be undone. It never expires by itself.
            adopt: take over an existing volume of that name, with its data, that no resource and
                no runtime is marked to own.
            delete_data: delete the volume WITH ALL ITS DATA AND SNAPSHOTS when the resource is
                deleted or replaced. By default it is kept.
            timeouts: seconds, for `restore` (3600), `stop` (60, for each instance that a restore
                stops) and `delete` (600).
            opts: Pulumi's resource options.
        """
        given = tree_of(
            {
                "volume_name": resource_name if volume_name is None else volume_name,
                "storage_pool": storage_pool,
                "project": project,
                "content_type": content_type,
                "size": size,
                "config": config,
                "labels": labels,
                "description": description,
                "snapshots_schedule": snapshots_schedule,
                "snapshots_expiry": snapshots_expiry,
                "snapshots_pattern": snapshots_pattern,
                "restore_from": restore_from,
                "snapshot_before_restore": snapshot_before_restore,
                "adopt": adopt,
                "delete_data": delete_data,
                "timeouts": timeouts,
            }
        )
        props = {
            **dict.fromkeys(_OUTPUTS),
            **given,
            **hidden(given, resource_name, _TYPE, opts),
        }
        super().__init__(PersistentVolumeProvider(), resource_name, props, opts)

    def mount(
        self,
        guest_path: pulumi.Input[str],
        *,
        mode: pulumi.Input[MountMode] = "read_write",
        kind: pulumi.Input[MountKind] = "persistent_volume",
        directory: pulumi.Input[str] | None = None,
        required: pulumi.Input[bool] | None = None,
    ) -> MountArgs:
        """Return a mount of this volume, for the argument `mounts` of a runtime or a job.

        The mount has the volume's storage pool, and Pulumi creates the volume before the instance
        and deletes it after the instance.

        Args:
            guest_path: The absolute path in the guest.
            mode: `read_write` or `read_only`. Default: `read_write`.
            kind: See `MountArgs.kind`. Default: `persistent_volume`.
            directory: A directory of the volume, as `logs` or `logs/today`, which must exist.
                Default: the whole volume.
            required: See `MountArgs.required`. Default: False.
        """
        mount: MountArgs = {
            "kind": kind,
            "guest_path": guest_path,
            "source": self,
            "mode": mode,
        }
        if directory is not None:
            mount["source"] = pulumi.Output.concat(self.volume_name, "/", directory)
            mount["storage_pool"] = self.storage_pool
        if required is not None:
            mount["required"] = required
        return mount
