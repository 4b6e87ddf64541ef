"""A build as a job: sources read-only, a cache that stays, reports brought home.

`pulumi up` runs it when the revision changes, and fails with the build.
"""

from typing import cast

import pulumi

from pulumi_pika import IncusJob, InstanceType

config = pulumi.Config()
name = config.get("instance_name") or "pika-build"

build = IncusJob(
    "build",
    runtime_id="build",
    instance_name=name,
    project=config.get("project") or "default",
    profile=config.get("profile") or "default",
    image=config.get("image") or "pika-agent/dev",
    mounts=[
        {
            "kind": "read_only_snapshot",
            "source": config.get("sources") or "/var/tmp/pika-ci/sources",
            "guest_path": "/workspace/sources",
            "mode": "read_only",
        },
        {
            "kind": "persistent_volume",
            "source": f"{name}-cache",
            "guest_path": "/workspace/cache",
            "mode": "read_write",
        },
    ],
    policies={
        "restart_policy": "never",
        "retention_policy": "debug_keep",
        "output_collection": {"mode": "always", "artifact_globs": ["reports/**"]},
    },
    command=config.get("command") or "/workspace/sources/build.sh",
    environment={"CACHE": "/workspace/cache", "REPORTS": "/run/pika-cloud/artifacts/reports"},
    timeout_secs=1800,
    output_dir="outputs",
    triggers=[config.get("revision") or "main"],
    instance_type=cast(InstanceType, config.get("instance_type") or "virtual-machine"),
)

pulumi.export("status", build.status)
pulumi.export("duration_secs", build.duration_secs)
pulumi.export(
    "collected_files", build.collected_files.apply(lambda files: [file["path"] for file in files])
)
