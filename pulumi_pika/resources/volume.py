"""`PersistentVolume`: a custom Incus volume, independent of instances."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pulumi
from pulumi.dynamic import Resource

from ..choices import ContentType, MountKind, MountMode
from ..providers.volume import PersistentVolumeProvider
from .argument_types import MountArgs, VolumeTimeoutsArgs
from .property_inputs import resource_properties, to_plain

if TYPE_CHECKING:
    from ..reconcile.volumes.volume_options import VolumeTimeouts

_TYPE = "pulumi-python:dynamic/pika:PersistentVolume"


class PersistentVolume(Resource, module="pika", name="PersistentVolume"):
    """A custom storage volume that outlives the instances that use it.

    Its `volume_name` output is the `source` of a mount of an `IncusRuntime`. A delete of the
    resource keeps the volume and its data unless `delete_data` is on. The same resource then
    resumes managing the volume.
    """

    volume_name: pulumi.Output[str]
    """The name of the volume in Incus."""
    storage_pool: pulumi.Output[str]
    """The storage pool of the volume."""
    project: pulumi.Output[str]
    """The Incus project of the volume."""
    on_delete: pulumi.Output[str]
    """What a delete or a replacement does to the data, as a sentence."""
    location: pulumi.Output[str]
    """The cluster member that the volume is on; `none` on a server that is not clustered."""
    created_at: pulumi.Output[str]
    """When the volume was created, in RFC 3339 format."""
    restored_from: pulumi.Output[str]
    """The snapshot that `restore_from` restored last; empty if there is none."""
    safety_snapshot: pulumi.Output[str]
    """The snapshot that was created before that restore, for `restore_from` to go back to; empty if
    there is none."""

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
        """Declare a volume.

        Every argument, and every value within one, may be an `Output`.

        Args:
            resource_name: The name of the resource in the Pulumi stack.
            volume_name: The name of the volume in Incus: at most 64 characters, no blanks and no
                slash, a letter or digit at both ends (Incus's rule for API names). Default: the
                name of the resource. Change: another volume is created, and `delete_data` decides
                about the present one.
            storage_pool: The storage pool. Default: `default`. Change: as `volume_name`.
            project: The Incus project. Default: `default`. Change: as `volume_name`.
            content_type: `filesystem`, or `block` for a disk of one virtual machine. Default:
                `filesystem`. Change: replaces the volume, and is refused without `delete_data`.
            size: The size with its unit, as `10GiB` or `500MB` (Incus doc/reference/units.md).
                Default: that of the storage pool, which is then not managed. Change: grows in
                place; a smaller size is refused, since data beyond the new end would be lost.
            config: Further volume options (Incus doc/reference/storage_drivers.md), as
                `security.shifted`. Keys that have an argument of their own are refused; other keys
                of the volume are left as they are. Default: an empty mapping. Change: in place.
            labels: Labels of the volume, which Incus shows as `user.pika.label.KEY`. Default: an
                empty mapping. Change: in place.
            description: The description that `incus storage volume list` shows. Default: left as
                it is on the host. Change: in place.
            snapshots_schedule: When Incus creates snapshots: `@hourly`, `@daily`, `@weekly`, ...,
                or five cron fields. Default: never. Change: in place.
            snapshots_expiry: After how long Incus deletes snapshots, as `2w` or `1m 12H`. Default:
                never. Change: in place.
            snapshots_pattern: How Incus names them. Default: `snap%d`. Change: in place.
            restore_from: The name of a snapshot of this volume. After the argument was removed and
                set again, the same name is restored again. Default: nothing is restored. Change:
                to restore another snapshot, the instances that use the volume are stopped, and
                those that ran are started again, also if the restore fails.
            snapshot_before_restore: Whether a snapshot `pika-before-NAME-TIME` is created before a
                restore, so that it can be undone. It never expires. Default: True. Change: in
                place.
            adopt: Whether an existing volume of that name is adopted with its data, if no resource
                and no runtime owns it. Default: False. Change: in place.
            delete_data: Whether the volume is deleted WITH ALL ITS DATA AND SNAPSHOTS when the
                resource is deleted or replaced. If False, it is kept. Default: False. Change: in
                place.
            timeouts: Time limits in seconds; see `VolumeTimeoutsArgs` for the defaults. Change: in
                place.
            opts: Pulumi's resource options.
        """
        given = to_plain(
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
        props = resource_properties(PersistentVolume, given, resource_name, _TYPE, opts)
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
