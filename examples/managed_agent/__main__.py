"""A managed agent: a long-lived instance whose data is on a volume of its own."""

from typing import cast

import pulumi

from pulumi_pika import IncusRuntime, InstanceType, WaitFor

config = pulumi.Config()
name = config.get("instance_name") or "pika-agent"

agent = IncusRuntime(
    "agent",
    runtime_id="agent-1",
    instance_name=name,
    project=config.get("project") or "default",
    profile=config.get("profile") or "default",
    image=config.get("image") or "pika-agent/dev",
    vcpu_count=1,
    memory_mib=config.get_int("memory_mib") or 256,
    mounts=[
        {
            "kind": "persistent_volume",
            "source": f"{name}-state",
            "guest_path": "/mnt/pika-state",
            "mode": "read_write",
            "required": True,
        }
    ],
    policies={"restart_policy": "never", "retention_policy": "keep_until_stopped"},
    labels={"role": "agent"},
    # A machine without KVM runs containers only: `pulumi config set instance_type container`.
    instance_type=cast(InstanceType, config.get("instance_type") or "virtual-machine"),
    # With a network, `pulumi config set wait_for ipv4`: then the first `up` shows the address.
    wait_for=cast(WaitFor, config.get("wait_for") or "running"),
    description="Managed agent",
)

pulumi.export("instance_name", agent.instance_name)
pulumi.export("status", agent.status)
pulumi.export("devices", agent.devices)
pulumi.export("image_fingerprint", agent.image_fingerprint)
pulumi.export("ipv4_address", agent.ipv4_address)
