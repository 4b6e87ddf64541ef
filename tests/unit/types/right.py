"""Programs that are right: a type checker finds nothing in them. They are not run."""

import pulumi

from pulumi_pika import (
    IncusExec,
    IncusHost,
    IncusImage,
    IncusImageArgs,
    IncusJob,
    IncusNetwork,
    IncusProfile,
    IncusProfileArgs,
    IncusProject,
    IncusRuntime,
    IncusRuntimeArgs,
    IncusTargetArgs,
    InstanceType,
    MountArgs,
    PersistentVolume,
    RuntimeResources,
    RuntimeSpec,
    StoragePool,
    Timeouts,
    VolumeSnapshot,
    WaitFor,
    run_job,
)

config = pulumi.Config()

# The smallest, and everything in the flat form.
IncusRuntime("smallest", image="pika-agent/dev")
IncusRuntime(
    "flat",
    image=config.require("image"),
    project=config.get("project"),
    profile="default",
    instance_name="box",
    runtime_id="box-1",
    vcpu_count=2,
    memory_mib=config.get_int("memory"),
    root_disk_gib=None,
    instance_type="container",
    wait_for="agent",
    running=None,
    timeouts={"wait": 600},
    opts=pulumi.ResourceOptions(protect=True),
)

# Parts as dicts; a runtime may name no project.
volume = PersistentVolume("data", size="1GiB", content_type="filesystem")
IncusRuntime(
    "parts",
    identity={"runtime_id": "agent-1", "instance_name": "pika-agent"},
    incus={"profile": "default", "image_alias": "pika-agent/dev"},
    resources={"vcpu_count": 2},
    mounts=[
        {
            "kind": "persistent_volume",
            "source": "data",
            "guest_path": "/data",
            "mode": "read_write",
        },
        {"kind": "cache", "source": volume, "guest_path": "/cache", "mode": "read_only"},
        volume.mount("/more", mode="read_only", directory="logs", required=True),
    ],
    policies={
        "restart_policy": "on_failure",
        "retention_policy": "debug_keep",
        "output_collection": {"mode": "always", "artifact_globs": ["*.txt"]},
    },
)

# Outputs for anything, models, and arguments that are prepared apart.
image = pulumi.Output.from_input("pika-agent/dev")
incus: IncusTargetArgs = {"image_alias": image, "project": "default"}
mounts: list[MountArgs] = [volume.mount("/data")]
common: IncusRuntimeArgs = {"instance_type": "container", "mounts": mounts}
IncusRuntime("outputs", incus=incus, **common)
IncusRuntime("models", image=image, resources=RuntimeResources(vcpu_count=1), timeouts=Timeouts())


def runtime(name: str, kind: InstanceType, wait: WaitFor) -> IncusRuntime:
    """The choices are types for a program's own functions."""
    return IncusRuntime(name, image=image, instance_type=kind, wait_for=wait)


# A whole spec, with a part and a flat argument beside it.
spec = RuntimeSpec.model_validate({})
IncusRuntime("whole", spec=spec)
IncusRuntime("json", spec={"provider": "incus"}, incus=incus, memory_mib=64)

job = IncusJob("job", command="make test", image="i", timeout_secs=60, triggers=[1])
IncusJob("list", command=["make", image], incus=incus, allow_failure=True)
IncusJob("spec", command="true", spec=spec)
VolumeSnapshot("before", volume_name=volume.volume_name, timeouts={"create": 60})
IncusHost("host", url="https://host:8443", preflight="required", timeouts={"connect": 5})
outcome = run_job(command=["make", "test"], image="i", memory_mib=64, output_dir=None)
run_job(spec, "true", instance_type="container", vcpu_count=1)
run_job({"provider": "incus"}, "true")
pulumi.export("outcome", outcome.status)
pulumi.export("status", job.status)
pulumi.export("address", runtime("a", "container", "ipv4").ipv4_address)
IncusExec("exec", instance=job.instance_name, create=["true"], timeout_secs=60, triggers=[1])

# The host's own objects, whose outputs are arguments of others.
project = IncusProject("agents", own_images=False, max_memory_mib=config.get_int("memory"))
pool = StoragePool("fast", driver="zfs", size="50GiB", member_config={"one": {"source": "/dev/b"}})
network = IncusNetwork("lan", ipv4_address="10.20.0.1/24", ipv4_dhcp_ranges=[config.require("r")])
parts: IncusProfileArgs = {
    "project": project.name,
    "memory_mib": None,
    "storage_pool": pool.name,
    "network": network.name,
    "devices": {"gpu": {"type": "gpu"}},
}
profile = IncusProfile("agent", opts=pulumi.ResourceOptions(protect=True), **parts)
IncusProfile("flat", vcpu_count=2, adopt=True, config={"boot.autostart": "true"})
IncusRuntime("of them", image="i", project=project.name, profile=profile.name)
PersistentVolume("there", project=project.name, storage_pool=pool.name)
pulumi.export("gateway", network.ipv4_gateway)

# Images, and the runtimes that name them.
given: IncusImageArgs = {"file": "app.tar", "properties": {"os": volume.project}, "public": True}
debian = IncusImage(
    "debian",
    source="images:debian/12/cloud",
    aliases=["debian-12", volume.volume_name],
    instance_type="container",
    update="replace",
    timeouts={"create": 60},
)
IncusRuntime("of-alias", image=debian.alias)
IncusRuntime("of-fingerprint", image=IncusImage("app", **given).fingerprint)
