"""`AgentPool`: equal runtimes, and the volume that they share."""

from dataclasses import dataclass

import pulumi

from pulumi_pika import (
    IncusRuntime,
    IncusTarget,
    InstanceType,
    PersistentVolume,
)


@dataclass(frozen=True)
class PoolArgs:
    """The arguments that all runtimes of a pool have in common."""

    prefix: str
    count: int
    incus: IncusTarget
    memory_mib: int
    instance_type: InstanceType


class AgentPool(pulumi.ComponentResource):
    """A number of equal runtimes with a cache that they share.

    A larger `count` creates further runtimes; a smaller one deletes the last
    ones. All of them are on the host that is the component's provider.
    """

    cache: pulumi.Output[str]
    """The name of the volume."""
    instances: pulumi.Output[list[str]]
    """The names of the instances."""

    def __init__(
        self,
        name: str,
        args: PoolArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("examples:pika:AgentPool", name, None, opts)
        # The name of a child begins with that of its parent. An alias of the
        # parent then also holds for the child.
        child = pulumi.ResourceOptions(parent=self)
        cache = PersistentVolume(
            f"{name}-cache",
            volume_name=f"{args.prefix}-cache",
            project=args.incus.project,
            opts=child,
        )
        members = [
            IncusRuntime(
                f"{name}-{number}",
                runtime_id=f"{args.prefix}-{number}",
                instance_name=f"{args.prefix}-{number}",
                incus=args.incus,
                vcpu_count=1,
                memory_mib=args.memory_mib,
                mounts=[cache.mount("/cache", required=True)],
                labels={"pool": name},
                instance_type=args.instance_type,
                opts=child,
            )
            for number in range(1, args.count + 1)
        ]
        self.cache = cache.volume_name
        self.instances = pulumi.Output.all(
            *(member.instance_name for member in members)
        )
        self.register_outputs(
            {"cache": self.cache, "instances": self.instances}
        )
