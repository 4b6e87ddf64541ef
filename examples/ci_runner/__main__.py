"""A CI runner: a throw-away instance with the sources read-only and a place for artifacts.

The spec is plain JSON here, as another program may have written it.
"""

from typing import cast

import pulumi

from pulumi_pika import IncusRuntime, InstanceType

config = pulumi.Config()
name = config.get("instance_name") or "pika-ci-1"

spec = {
    "identity": {"runtime_id": "ci-1", "instance_name": name},
    "provider": "incus",
    "incus": {
        "project": config.get("project") or "default",
        "profile": config.get("profile") or "default",
        "image_alias": config.get("image") or "pika-agent/dev",
    },
    "resources": {"vcpu_count": 2, "memory_mib": 512, "root_disk_gib": 8},
    "mounts": [
        {
            "kind": "read_only_snapshot",
            "source": config.get("snapshot") or "/var/tmp/pika-ci/snapshot",
            "guest_path": "/workspace/snapshot",
            "mode": "read_only",
        },
        {
            "kind": "artifact_output",
            "source": config.get("artifacts") or "/var/tmp/pika-ci/artifacts",
            "guest_path": "/artifacts",
            "mode": "read_write",
            "required": True,
        },
        # Used where it is there, left out (with a warning) where it is not.
        {
            "kind": "cache",
            "source": config.get("cache") or "/var/tmp/pika-ci/cache",
            "guest_path": "/cache",
            "mode": "read_write",
        },
    ],
    "bootstrap": {"entry_command": "/usr/bin/pika-ci-run"},
}

runner = IncusRuntime(
    "runner",
    spec=spec,
    instance_type=cast(InstanceType, config.get("instance_type") or "virtual-machine"),
    timeouts={"create": 300, "wait": 120},
)

pulumi.export("instance_name", runner.instance_name)
pulumi.export("plan", runner.plan)
pulumi.export("skipped_mounts", runner.skipped_mounts)
