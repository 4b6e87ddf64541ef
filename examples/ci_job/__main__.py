"""Run a build as a job: read-only sources, a cache that is kept, and reports.

`pulumi up` runs the build when the revision changes, and fails if it fails.
"""

from typing import cast

import pulumi

from pulumi_pika import IncusJob, InstanceType

config = pulumi.Config()
name = config.require("instance_name")

build = IncusJob(
    "build",
    runtime_id="build",
    instance_name=name,
    project=config.require("project"),
    profile=config.require("profile"),
    image=config.require("image"),
    mounts=[
        {
            "kind": "read_only_snapshot",
            "source": config.require("sources"),
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
        "output_collection": {
            "mode": "always",
            "artifact_globs": ["reports/**"],
        },
    },
    command=config.require("command"),
    environment={
        "CACHE": "/workspace/cache",
        "REPORTS": "/run/pika-cloud/artifacts/reports",
    },
    timeout_secs=1800,
    output_dir="outputs",
    triggers=[config.require("revision")],
    instance_type=cast(InstanceType, config.require("instance_type")),
)

pulumi.export("status", build.status)
pulumi.export("duration_secs", build.duration_secs)
pulumi.export(
    "collected_files",
    build.collected_files.apply(lambda files: [file["path"] for file in files]),
)
