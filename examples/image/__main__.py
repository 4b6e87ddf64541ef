"""An image of an image server that the host copies, and an instance of it.

    pulumi config set follow true

By default the image stays as it was copied; `pulumi refresh` shows whether a
newer one exists. With `follow`, the next `pulumi up` copies the newer one and
replaces the instance, because it names the image by its fingerprint. To keep
the instance, name the image by its alias: `image=debian.alias`.
"""

from typing import cast

import pulumi

from pulumi_pika import IncusImage, IncusRuntime, InstanceType

config = pulumi.Config()
name = config.require("name")
project = config.require("project")
instance_type = cast(InstanceType, config.require("instance_type"))

debian = IncusImage(
    "debian",
    source=config.require("source"),
    aliases=[name],
    instance_type=instance_type,
    update="replace" if config.require_bool("follow") else "pin",
    project=project,
)

box = IncusRuntime(
    "box",
    instance_name=name,
    image=debian.fingerprint,
    project=project,
    profile=config.require("profile"),
    instance_type=instance_type,
)

pulumi.export("fingerprint", debian.fingerprint)
pulumi.export("newer_fingerprint", debian.newer_fingerprint)
pulumi.export("status", box.status)
