"""Declare an agent: a long-lived instance whose data is on its own volume."""

from typing import cast

import pulumi

from pulumi_pika import IncusRuntime, InstanceType, WaitFor

config = pulumi.Config()
name = config.require("instance_name")

agent = IncusRuntime(
    "agent",
    runtime_id="agent-1",
    instance_name=name,
    project=config.require("project"),
    profile=config.require("profile"),
    image=config.require("image"),
    vcpu_count=1,
    memory_mib=config.require_int("memory_mib"),
    mounts=[
        {
            "kind": "persistent_volume",
            "source": f"{name}-state",
            "guest_path": "/mnt/pika-state",
            "mode": "read_write",
            "required": True,
        }
    ],
    policies={
        "restart_policy": "never",
        "retention_policy": "keep_until_stopped",
    },
    labels={"role": "agent"},
    # For a host without KVM: `pulumi config set instance_type container`.
    instance_type=cast(InstanceType, config.require("instance_type")),
    # On a host with a network, `pulumi config set wait_for ipv4` makes the
    # first `up` show the address.
    wait_for=cast(WaitFor, config.require("wait_for")),
    description="Managed agent",
)

pulumi.export("instance_name", agent.instance_name)
pulumi.export("status", agent.status)
pulumi.export("devices", agent.devices)
pulumi.export("image_fingerprint", agent.image_fingerprint)
pulumi.export("ipv4_address", agent.ipv4_address)
