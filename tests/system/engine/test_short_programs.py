"""Programs that say little: names and places by default, flat arguments, mounts of volumes."""

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance

from ...conftest import IMAGE
from ...support.stack import Stack

SMALLEST = """
import pulumi
from pulumi_pika import IncusRuntime

box = IncusRuntime({name!r}, image={image!r}, instance_type="container")
pulumi.export("plan", box.plan)
"""

EVERYTHING = """
import pulumi
from pulumi_pika import IncusJob, IncusRuntime, PersistentVolume

size = pulumi.Output.from_input({{"vcpu_count": 1}})
image = pulumi.Output.from_input({image!r})
data = PersistentVolume("{name}-data")
box = IncusRuntime(
    "box",
    instance_name="{name}",
    image=image,
    resources=size,
    memory_mib=data.volume_name.apply(lambda _: 64),
    instance_type="container",
    mounts=[data.mount("/data"), data.mount("/again", mode="read_only", kind="cache")],
)
job = IncusJob(
    "{name}-job",
    command="echo done",
    image={image!r},
    instance_type="container",
    vcpu_count=1,
    memory_mib=64,
    opts=pulumi.ResourceOptions(depends_on=[box]),
)
pulumi.export("plan", box.plan)
pulumi.export("on_delete", box.on_delete)
pulumi.export("job", job.plan)
"""

ERRORS = """
from pulumi_pika import IncusRuntime

IncusRuntime({arguments})
"""


def test_an_image_is_enough(stack: Stack, client: IncusClient, name: str) -> None:
    stack.program(SMALLEST.format(name=name, image=IMAGE))
    stack.up()
    plan = stack.outputs()["plan"]
    assert plan["identity"] == {"runtime_id": name, "instance_name": name}
    assert plan["incus"] == {"project": "default", "profile": "default", "image_alias": IMAGE}
    live = fetch_instance(client, name)
    assert live is not None
    stack.settled()
    stack.refresh("--expect-no-changes")
    # The long form of the same is no change.
    stack.program(
        SMALLEST.format(name=name, image=IMAGE).replace(
            "image=",
            f"identity={{'runtime_id': {name!r}}}, project='default', profile='default', image=",
        )
    )
    stack.preview("--expect-no-changes")
    stack.destroy()


def test_flat_arguments_outputs_and_mounts(stack: Stack, client: IncusClient, name: str) -> None:
    stack.program(EVERYTHING.format(name=name, image=IMAGE))
    shown = stack.preview()
    assert '"/data"' in shown
    stack.up()
    outputs = stack.outputs()
    plan = outputs["plan"]
    assert plan["identity"] == {"runtime_id": "box", "instance_name": name}
    assert plan["resources"] == {"vcpu_count": 1, "memory_mib": 64}
    assert [(m["source"], m["guest_path"], m["read_only"]) for m in plan["mounts"]] == [
        (f"{name}-data", "/data", False),
        (f"{name}-data", "/again", True),
    ]
    assert outputs["job"]["resources"] == {"vcpu_count": 1, "memory_mib": 64}
    assert outputs["job"]["identity"]["instance_name"] == f"{name}-job"
    live = fetch_instance(client, name)
    assert live is not None
    assert live.config["limits.memory"] == "64MiB"
    stack.settled()
    stack.destroy()


def test_errors_say_what_to_set(stack: Stack) -> None:
    cases = {
        "'a_b', image='x', instance_type='container'": (
            "identity.instance_name",
            "(argument `instance_name`; by default the resource's name)",
        ),
        "'box', instance_type='container'": (
            "incus.image_alias",
            "is required (argument `image`, or `incus.image_alias`)",
        ),
        "'box', image='x', incus={'image_alias': 'x'}": (
            "IncusRuntime 'box': image and incus.image_alias are the same value",
        ),
        "'box', image='x', memory=64": ("did you mean 'memory_mib'?",),
    }
    for arguments, wanted in cases.items():
        stack.program(ERRORS.format(arguments=arguments))
        said = stack.preview(fails=True)
        for text in wanted:
            assert text in said, said
        if "memory=" not in arguments:
            assert "Traceback" not in said, said


def test_a_value_of_an_output_that_is_given_twice(stack: Stack) -> None:
    stack.program(
        "import pulumi\n"
        + ERRORS.format(
            arguments="'box', image='x', memory_mib=1, "
            "resources=pulumi.Output.from_input({'memory_mib': 1})"
        )
    )
    said = stack.preview(fails=True)
    assert "memory_mib and resources.memory_mib are the same value" in said, said
