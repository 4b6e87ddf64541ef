"""The arguments of profiles, projects, networks and storage pools as typed dicts."""

from collections.abc import Mapping
from typing import TypedDict

import pulumi


class ObjectArgs(TypedDict, total=False):
    """The optional arguments that all config objects of Incus have."""

    name: pulumi.Input[str] | None
    """The name in Incus. Default: the name of the Pulumi resource. Change: renamed in place, if
    Incus can rename it; a storage pool and an adopted object are replaced."""
    description: pulumi.Input[str] | None
    """The description that the Incus client shows. Default: left as it is on the host. Change: in
    place."""
    config: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None
    """Further config keys, as strings. Keys that have an argument of their own are refused if that
    is set too, and so are keys below `user.pika.`. Values of keys such as `...password` are
    secrets in any case. Keys that another client set are left as they are. Default: an empty
    mapping. Change: in place, except for keys that Incus reads only at the creation."""
    adopt: pulumi.Input[bool] | None
    """Whether an existing object of that name is adopted if no other resource owns it. Only the
    keys and devices that the program names are then managed, and a delete of the resource releases
    the object: it stays as it is. Default: False. Change: in place."""


class IncusProfileArgs(ObjectArgs, total=False):
    """The optional keyword arguments of `IncusProfile`.

    A program can prepare them as a dict and pass them as `**arguments`.
    """

    project: pulumi.Input[str] | None
    """The Incus project. Default: the `project` of the `IncusHost`, else `default`. Change:
    replaces the profile."""
    vcpu_count: pulumi.Input[int] | None
    """The number of virtual CPUs, at least 1; for a set of CPUs, set `limits.cpu` in `config`.
    Default: no limit. Change: in place."""
    memory_mib: pulumi.Input[int] | None
    """The memory in MiB, at least 1; for a share of the host, set `limits.memory` in `config`.
    Default: no limit. Change: in place."""
    storage_pool: pulumi.Input[str] | None
    """The storage pool of a root disk, which becomes the device `root`. Default: the profile has
    no root disk. Change: in place; Incus refuses it while an instance uses this root disk."""
    root_disk_gib: pulumi.Input[int] | None
    """The size of that root disk in GiB, at least 1; needs `storage_pool`. Default: the size that
    the storage pool chooses. Change: in place."""
    network: pulumi.Input[str] | None
    """A network of Incus for a nic, which becomes the device `eth0`. Default: the profile has no
    nic. Change: in place."""
    cloud_init_user_data: pulumi.Input[str] | None
    """The user-data of cloud-init, which a guest reads at its first boot. Default: none. Change:
    in place, without any effect on guests that have booted."""
    devices: pulumi.Input[Mapping[str, pulumi.Input[Mapping[str, pulumi.Input[str]]]]] | None
    """Further devices by name, as `{"gpu": {"type": "gpu"}}`, each as a whole. Devices that
    another client added are left as they are. Default: an empty mapping. Change: in place."""
