"""Programs that are wrong: a type checker finds each line that ends with `# wrong`, and no other.

What follows the colon has to be in what mypy says of it. They are not run.
"""

import pulumi

import pulumi_pika
from pulumi_pika import (
    IncusTargetArgs,
    IncusHost,
    IncusImage,
    IncusJob,
    IncusNetwork,
    IncusProfile,
    IncusRuntime,
    IncusRuntimeArgs,
    MountArgs,
)
from pulumi_pika import PersistentVolume, StoragePool, VolumeSnapshot, run_job
from pulumi_pika import IncusRuntim  # wrong: maybe "IncusRuntime"

pulumi_pika.JobFaild  # wrong: maybe "JobFailed"

volume = PersistentVolume("data")
agent = IncusRuntime("right", image="i")

agent.guest_state  # wrong: maybe "guest_status"
IncusRuntime("nothing")  # wrong: No overload variant
IncusRuntime("none", running=True)  # wrong: No overload variant
IncusRuntime("twice", image="i", incus={"image_alias": "i"})  # wrong: No overload variant
IncusRuntime("name", image="i", memory=3)  # wrong: No overload variant
IncusRuntime("optional", image=pulumi.Config().get("i"))  # wrong: Argument "image"
IncusRuntime("kind", image="i", instance_type="virtual_machine")  # wrong: No overload variant
IncusRuntime("wait", image="i", wait_for="agnet")  # wrong: No overload variant
IncusRuntime("size", image="i", memory_mib="64MiB")  # wrong: No overload variant
IncusRuntime("incus", incus={"project": "p"})  # wrong: No overload variant
IncusRuntime("resources", image="i", resources={"memory": 1})  # wrong: No overload variant
IncusRuntime("mounts", image="i", mounts=[{"kind": "cache"}])  # wrong: MountArgs
IncusJob("no command", image="i")  # wrong: No overload variant
IncusJob("not a job's", image="i", command="x", wait_for="agent")  # wrong: No overload variant

run_job(command="true")  # wrong: No overload variant
run_job(command="true", image="i", memory_mib="64MiB")  # wrong: No overload variant
run_job({}, "true", image="i")  # wrong: No overload variant
run_job(command="true", image="i", instance_type="jail")  # wrong: No overload variant

# With the typed dicts, the message names the key.
IncusTargetArgs(image_alas="i")  # wrong: "image_alas"
IncusRuntimeArgs(memory=1)  # wrong: "memory"
MountArgs(kind="persistant_volume", guest_path="/a", source="s", mode="read_only")  # wrong: "kind"
MountArgs(kind="cache", guest_path="/a", source="s", mode="rw")  # wrong: "mode"
MountArgs(kind="cache", guest_path="/a", mode="read_only")  # wrong: "source"

volume.mount("/data", mode="rw")  # wrong: "mode"
volume.mount("/data", kind="persistant_volume")  # wrong: "kind"
PersistentVolume("v", content_type="blok")  # wrong: "content_type"
PersistentVolume("v", size=10)  # wrong: "size"
VolumeSnapshot("s")  # wrong: "volume_name"
IncusHost("h", preflight="never")  # wrong: "preflight"
IncusHost("h", timeouts={"conect": 1})  # wrong: "timeouts"

StoragePool("p")  # wrong: "driver"
StoragePool("p", driver="zsf")  # wrong: "driver"
IncusProfile("p", memory=1)  # wrong: "memory"
IncusProfile("p", vcpu_count="2")  # wrong: "vcpu_count"
IncusNetwork("n", network_type="brdge")  # wrong: "network_type"
IncusNetwork("n").ipv4_adress  # wrong: has no attribute

IncusImage("i", sorce="images:debian/12")  # wrong: "sorce"
IncusImage("i", source="x", update="latest")  # wrong: "update"
IncusImage("i", source="x", protocol="oci")  # wrong: "protocol"
IncusImage("i", source="x").finger_print  # wrong: has no attribute
