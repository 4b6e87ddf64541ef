"""A volume with a life of its own: snapshots each day, snapshots by name, and the way back.

    pulumi config set --path 'snapshots[0]' before-upgrade && pulumi up
    pulumi config set restore_from before-upgrade && pulumi up

The preview says which instances stop for a restore. Before it another snapshot is taken, whose name
is the output `safety_snapshot`: with that as `restore_from` the restore is undone. `pulumi destroy`
keeps the volume with its data, and deletes the snapshots of the list; `retain_on_delete` keeps one.

On ZFS, LINSTOR and TrueNAS only the newest snapshot can be restored: take out the schedule there,
and set `snapshot_before_restore=False`.
"""

from typing import cast

import pulumi

from pulumi_pika import IncusRuntime, InstanceType, PersistentVolume, VolumeSnapshot

config = pulumi.Config()
name = config.require("name")
project = config.require("project")

data = PersistentVolume(
    "data",
    volume_name=name,
    project=project,
    size=config.require("size"),
    snapshots_schedule="@daily",
    snapshots_expiry="2w",
    restore_from=config.get("restore_from") or None,
)

for snapshot in config.require_object("snapshots"):
    VolumeSnapshot(
        snapshot,
        volume_name=data.volume_name,
        project=project,
        # The scheduled ones go after two weeks; these stay until they are taken off the list.
        expires_at="never",
    )

box = IncusRuntime(
    "box",
    runtime_id=f"{name}-box",
    instance_name=f"{name}-box",
    project=project,
    profile=config.require("profile"),
    image=config.require("image"),
    vcpu_count=1,
    memory_mib=512,
    mounts=[data.mount("/data", required=True)],
    instance_type=cast(InstanceType, config.require("instance_type")),
)

pulumi.export("instance_name", box.instance_name)
pulumi.export("volume_name", data.volume_name)
pulumi.export("on_delete", data.on_delete)
pulumi.export("restored_from", data.restored_from)
pulumi.export("safety_snapshot", data.safety_snapshot)
