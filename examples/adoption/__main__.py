"""Takes over an instance that was made by hand, and lets it go again as it is.

    incus launch pika-agent/dev web --vm
    pulumi config set instance_name web
    pulumi up         # it is ours: shown in previews, its drift in refreshes
    pulumi destroy    # it is on its own again, and runs on

Its label and marks stay on it.
`incus config unset web user.pika.owner` lets another stack adopt it.

Nothing restarts it: a change that would need that is an error. For many instances, or for what has
mounts and devices, `python -m pulumi_pika import` writes the program.
"""

from typing import cast

import pulumi

from pulumi_pika import IncusRuntime, InstanceType

config = pulumi.Config()
name = config.require("instance_name")

adopted = IncusRuntime(
    "adopted",
    identity={"runtime_id": name, "instance_name": name},
    incus={
        "project": config.require("project"),
        "profile": config.require("profile"),
        # The one that it was made of: another image is another instance.
        "image_alias": config.require("image"),
    },
    labels={"managed": "yes"},
    instance_type=cast(InstanceType, config.require("instance_type")),
    adopt=True,
    # Whether it runs is left to others.
    running=None,
    allow_restart=False,
    # To delete it for good, take this out and run `pulumi up` before the `pulumi destroy`.
    opts=pulumi.ResourceOptions(retain_on_delete=True),
)

pulumi.export("instance_name", adopted.instance_name)
pulumi.export("status", adopted.status)
pulumi.export("uuid", adopted.uuid)
