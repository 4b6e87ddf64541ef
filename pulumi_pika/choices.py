"""Define the allowed values of every argument that is a choice.

Models, arguments and docs read them here. Pure: the module needs neither pydantic nor Pulumi.
"""

from typing import Literal

MountKind = Literal["persistent_volume", "read_only_snapshot", "artifact_output", "cache"]
"""What a mount is for: data of the runtime (`persistent_volume`), data that is only read
(`read_only_snapshot`), results (`artifact_output`), or data that can be created again (`cache`)."""

MountMode = Literal["read_only", "read_write"]
"""Whether the guest can write to a mount."""

RestartPolicy = Literal["never", "on_failure", "always"]
"""Whether Incus restarts an instance that stopped by itself, and whether a job runs again."""

RetentionPolicy = Literal["destroy_on_completion", "keep_until_stopped", "debug_keep"]
"""What happens to the instance of a job after the job has ended."""

OutputMode = Literal["none", "failure_only", "always"]
"""When the outputs of a job are collected."""

InstanceType = Literal["virtual-machine", "container"]
"""What kind of instance Incus creates."""

WaitFor = Literal["running", "agent", "ipv4", "ready", "guest_status", "cloud_init"]
"""The state that a create, or a start, waits for."""

FileEncoding = Literal["text", "base64"]
"""How the content of a file is given."""

Propagation = Literal[
    "private", "shared", "slave", "unbindable", "rprivate", "rshared", "rslave", "runbindable"
]
"""How mounts below a mounted directory are shared between host and guest (mount(8))."""

ContentType = Literal["filesystem", "block"]
"""What a volume holds: files, or one disk of a virtual machine."""

NetworkType = Literal["bridge", "macvlan", "sriov", "physical", "ovn"]
"""What an Incus network is: a bridge of the host, or one of the other types of Incus."""

StorageDriver = Literal[
    "dir", "btrfs", "zfs", "lvm", "lvmcluster", "ceph", "cephfs", "cephobject", "linstor", "truenas"
]
"""How a storage pool stores its volumes (Incus doc/reference/storage_drivers.md)."""

PreflightMode = Literal["auto", "required", "off"]
"""Whether the host is checked before anything is created."""

ImageProtocol = Literal["simplestreams", "incus"]
"""The protocol of a server from which an image is copied."""

ImageUpdate = Literal["pin", "replace"]
"""What happens if the source of an image has a newer one: the image stays (`pin`), or the next
`pulumi up` replaces it (`replace`)."""
