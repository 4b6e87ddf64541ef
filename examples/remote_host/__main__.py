"""Declare an instance on another machine, which is reached over HTTPS.

Once, on your machine:

    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:secp384r1 -nodes \
        -days 3650 -subj /CN=pulumi -keyout client.key -out client.crt

Once, on the server:

    incus config trust add-certificate client.crt

The program names certificate and key by their path, so that the state does not
contain them. The fingerprint of the server pins its certificate: no other
server can take its place.
"""

from typing import cast

import pulumi

from pulumi_pika import IncusHost, IncusRuntime, InstanceType

config = pulumi.Config()
name = config.require("instance_name")

host = IncusHost(
    "remote",
    url=config.require("url"),
    server_fingerprint=config.require("server_fingerprint"),
    certificate=config.require("certificate"),
    project=config.require("project"),
    # If a preview cannot reach the host, that is an error, not a warning.
    preflight="required",
)

agent = IncusRuntime(
    "agent",
    runtime_id=name,
    instance_name=name,
    project=config.require("project"),
    profile=config.require("profile"),
    image=config.require("image"),
    vcpu_count=1,
    memory_mib=512,
    instance_type=cast(InstanceType, config.require("instance_type")),
    opts=pulumi.ResourceOptions(provider=host),
)

pulumi.export("instance_name", agent.instance_name)
pulumi.export("status", agent.status)
pulumi.export("ipv4_address", agent.ipv4_address)
pulumi.export("server_fingerprint", agent.server_fingerprint)
