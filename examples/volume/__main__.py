"""Declare a volume with daily snapshots, named snapshots and restores.

    pulumi config set --path 'snapshots[0]' before-upgrade && pulumi up
    pulumi config set restore_from before-upgrade && pulumi up

The preview names the instances that a restore stops. A snapshot is taken before
the restore, and the output `safety_snapshot` has its name: with that name as
`restore_from`, the restore is undone. `pulumi destroy` keeps the volume with
its data, and deletes the named snapshots.

ZFS, LINSTOR and TrueNAS restore only the newest snapshot. There, remove the
schedule and set `snapshot_before_restore=False`.
"""

from typing import cast

import pulumi

from pulumi_pika import (
    IncusRuntime,
    InstanceType,
    PersistentVolume,
    VolumeSnapshot,
)

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
        # Daily snapshots expire after two weeks. These stay until they are
        # removed from the list.
        expires_at="never",
    )

agent = IncusRuntime(
    "agent",
    runtime_id=f"{name}-agent",
    instance_name=f"{name}-agent",
    project=project,
    profile=config.require("profile"),
    image=config.require("image"),
    vcpu_count=1,
    memory_mib=512,
    mounts=[data.mount("/data", required=True)],
    instance_type=cast(InstanceType, config.require("instance_type")),
)

pulumi.export("instance_name", agent.instance_name)
pulumi.export("volume_name", data.volume_name)
pulumi.export("on_delete", data.on_delete)
pulumi.export("restored_from", data.restored_from)
pulumi.export("safety_snapshot", data.safety_snapshot)
