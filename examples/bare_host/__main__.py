"""A bare Incus host to three agents behind a network, in one program.

    pulumi config set driver zfs && pulumi up

The host needs Incus, and an image with the alias that `image` names. The
program declares a storage pool, a bridge with NAT and DHCP, a project with
limits, and a profile that joins them. The agents are created last, and deleted
first. `pulumi destroy` leaves the host as it was.
"""

from typing import cast

import pulumi

from pulumi_pika import (
    IncusNetwork,
    IncusProfile,
    IncusProject,
    IncusRuntime,
    InstanceType,
    StorageDriver,
    StoragePool,
)

config = pulumi.Config()
name = config.require("name")
agents = config.require_int("agents")
most_agents = config.require_int("most_agents")
subnet = config.require("subnet")

pool = StoragePool(
    "pool", name=name, driver=cast(StorageDriver, config.require("driver"))
)

# A bridge is an interface of the host: its name has 15 characters at most.
network = IncusNetwork(
    "network",
    name=config.require("bridge"),
    project="default",
    ipv4_address=f"{subnet}.1/24",
    ipv4_nat=True,
    ipv4_dhcp_ranges=[f"{subnet}.100-{subnet}.199"],
    ipv6_address="none",
)

project = IncusProject(
    "project",
    name=name,
    own_images=False,  # It uses the images of `default`.
    max_instances=most_agents,
    max_memory_mib=most_agents * 512,
)

profile = IncusProfile(
    "agent",
    name="agent",
    project=project.name,
    vcpu_count=1,
    memory_mib=512,
    storage_pool=pool.name,
    network=network.name,
)

for number in range(1, agents + 1):
    IncusRuntime(
        f"agent-{number}",
        instance_name=f"{name}-{number}",
        project=project.name,
        profile=profile.name,
        image=config.require("image"),
        memory_mib=512,
        instance_type=cast(InstanceType, config.require("instance_type")),
    )

pulumi.export("gateway", network.ipv4_gateway)
pulumi.export("profile", profile.plan)
