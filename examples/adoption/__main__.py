"""Adopt an instance that was created without Pulumi, and release it.

    incus launch pika-agent/dev web --vm
    pulumi config set instance_name web
    pulumi up         # previews and refreshes now include the instance
    pulumi destroy    # the instance is released, and runs on

The ownership label stays on the released instance.
`incus config unset web user.pika.owner` lets another stack adopt it.

The instance is never restarted: a change that needs a restart is an error. For
many instances, or for instances with mounts and devices,
`python -m pulumi_pika import` writes the program.
"""

from typing import cast

import pulumi

from pulumi_pika import IncusRuntime, InstanceType

config = pulumi.Config()
name = config.require("instance_name")

adopted = IncusRuntime(
    "adopted",
    runtime_id=name,
    instance_name=name,
    project=config.require("project"),
    profile=config.require("profile"),
    # The image that the instance was created from. Another image would need a
    # new instance.
    image=config.require("image"),
    labels={"managed": "yes"},
    instance_type=cast(InstanceType, config.require("instance_type")),
    adopt=True,
    # Other clients start and stop the instance.
    running=None,
    allow_restart=False,
    # To delete the instance, remove this option and run `pulumi up` before
    # `pulumi destroy`.
    opts=pulumi.ResourceOptions(retain_on_delete=True),
)

pulumi.export("instance_name", adopted.instance_name)
pulumi.export("status", adopted.status)
pulumi.export("uuid", adopted.uuid)
