"""Declare builders that share a cache, as one component.

    pulumi config set count 4 && pulumi up

The component gets an `IncusHost`, and passes it on to all resources in it. If
the component gets another name, an alias keeps its resources:
`opts=pulumi.ResourceOptions(aliases=[pulumi.Alias(name="builders")])`.
"""

from typing import cast

import pulumi
from agent_pool import AgentPool, PoolArgs

from pulumi_pika import IncusHost, IncusTarget, InstanceType

config = pulumi.Config()

host = IncusHost("host")

pool = AgentPool(
    "builders",
    PoolArgs(
        prefix=config.require("prefix"),
        count=config.require_int("count"),
        incus=IncusTarget(
            project=config.require("project"),
            profile=config.require("profile"),
            image_alias=config.require("image"),
        ),
        memory_mib=config.require_int("memory_mib"),
        instance_type=cast(InstanceType, config.require("instance_type")),
    ),
    opts=pulumi.ResourceOptions(providers=[host]),
)

pulumi.export("instances", pool.instances)
pulumi.export("cache", pool.cache)
