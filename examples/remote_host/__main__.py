"""An instance on another machine, reached over https, both sides known by their certificates.

Once, on your machine and on the server:

    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:secp384r1 -nodes -days 3650 \
        -subj /CN=pulumi -keyout client.key -out client.crt
    incus config trust add-certificate client.crt

The certificate and its key are given by path: their content is in no state. The server is pinned by
its fingerprint, so that no other can take its place.
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
    # A preview that cannot look at the host is an error, not a warning.
    preflight="required",
)

box = IncusRuntime(
    "box",
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

pulumi.export("instance_name", box.instance_name)
pulumi.export("status", box.status)
pulumi.export("ipv4_address", box.ipv4_address)
pulumi.export("server_fingerprint", box.server_fingerprint)
