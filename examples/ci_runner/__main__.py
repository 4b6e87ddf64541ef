"""Declare a CI runner with read-only sources and a directory for artifacts.

The spec is plain JSON, as another program might have written it.
"""

from typing import cast

import pulumi

from pulumi_pika import IncusRuntime, InstanceType

config = pulumi.Config()
name = config.require("instance_name")

spec = {
    "identity": {"runtime_id": "ci-1", "instance_name": name},
    "provider": "incus",
    "incus": {
        "project": config.require("project"),
        "profile": config.require("profile"),
        "image_alias": config.require("image"),
    },
    "resources": {"vcpu_count": 2, "memory_mib": 512, "root_disk_gib": 8},
    "mounts": [
        {
            "kind": "read_only_snapshot",
            "source": config.require("snapshot"),
            "guest_path": "/workspace/snapshot",
            "mode": "read_only",
        },
        {
            "kind": "artifact_output",
            "source": config.require("artifacts"),
            "guest_path": "/artifacts",
            "mode": "read_write",
            "required": True,
        },
        # Skipped with a warning if the directory does not exist.
        {
            "kind": "cache",
            "source": config.require("cache"),
            "guest_path": "/cache",
            "mode": "read_write",
        },
    ],
    "bootstrap": {"entry_command": "/usr/bin/pika-ci-run"},
}

runner = IncusRuntime(
    "runner",
    spec=spec,
    instance_type=cast(InstanceType, config.require("instance_type")),
    timeouts={"create": 300, "wait": 120},
)

pulumi.export("instance_name", runner.instance_name)
pulumi.export("plan", runner.plan)
pulumi.export("skipped_mounts", runner.skipped_mounts)
