"""Distribute workers over several hosts.

    pulumi config set --path hosts.local.remote local
    pulumi config set --path hosts.east.url https://east.example:8443
    pulumi config set --path hosts.east.server_fingerprint 57bb0ff4...
    pulumi config set --path hosts.east.certificate client.crt

Hosts of the stack configuration replace the default host, so that the first
line names the local host, too.

The host of a worker follows from the names of both (rendezvous hashing). A new
worker moves none of the others. A new host moves only workers to itself, and a
removed host moves only its own. To move is to create the worker on the new
host and to delete it on the old one: these workers keep no data.
"""

from hashlib import sha256
from typing import cast

import pulumi

from pulumi_pika import IncusHost, IncusRuntime, InstanceType

config = pulumi.Config()

hosts: dict[str, IncusHost] = {
    name: IncusHost(name, **arguments)
    for name, arguments in config.require_object("hosts").items()
}


def host_of(worker: str) -> str:
    """Return the host with the highest hash of both names."""
    return max(
        hosts, key=lambda host: sha256(f"{host}/{worker}".encode()).digest()
    )


where = {}
workers = {}
for number in range(1, config.require_int("workers") + 1):
    worker = f"worker-{number}"
    where[worker] = host_of(worker)
    instance = config.require("prefix") + worker
    workers[worker] = IncusRuntime(
        # The name contains the host: Pulumi does not replace a resource if its
        # provider changes.
        f"{worker}-{where[worker]}",
        runtime_id=instance,
        instance_name=instance,
        project=config.require("project"),
        profile=config.require("profile"),
        image=config.require("image"),
        vcpu_count=1,
        memory_mib=512,
        labels={"host": where[worker]},
        instance_type=cast(InstanceType, config.require("instance_type")),
        opts=pulumi.ResourceOptions(provider=hosts[where[worker]]),
    )

pulumi.export("where", where)
pulumi.export(
    "workers",
    {
        name: {
            "instance": worker.instance_name,
            "status": worker.status,
            "ipv4": worker.ipv4_address,
        }
        for name, worker in workers.items()
    },
)
