"""The arguments of profiles, projects, networks and storage pools as typed dicts."""

from collections.abc import Mapping, Sequence
from typing import Required, TypedDict

import pulumi

from ..choices import NetworkType, StorageDriver


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


class IncusProjectArgs(ObjectArgs, total=False):
    """The optional keyword arguments of `IncusProject`.

    A program can prepare them as a dict and pass them as `**arguments`.
    """

    own_images: pulumi.Input[bool] | None
    """Whether the project has images of its own; if False, it uses those of the project `default`.
    Default: Incus's default at the creation, True. Change: in place while the project is empty."""
    own_profiles: pulumi.Input[bool] | None
    """Whether the project has profiles of its own, among them an empty `default`; if False, it uses
    those of the project `default`. Default: Incus's default at the creation, True. Change: in
    place while the project is empty."""
    own_volumes: pulumi.Input[bool] | None
    """Whether the project has custom volumes of its own. Default: Incus's default at the creation,
    True. Change: in place while the project is empty."""
    own_networks: pulumi.Input[bool] | None
    """Whether the project has networks of its own, which need OVN; if False, it uses those of the
    project `default`. Default: Incus's default at the creation, False. Change: in place while the
    project is empty."""
    restricted: pulumi.Input[bool] | None
    """Whether Incus refuses what could endanger the host, such as mounts of host paths; single
    `restricted.*` keys in `config` allow it again. Default: not restricted. Change: in place."""
    max_instances: pulumi.Input[int] | None
    """How many instances the project can have. Default: no limit. Change: in place; Incus refuses
    less than there are."""
    max_vcpu_count: pulumi.Input[int] | None
    """How many virtual CPUs all instances can have together; each then needs a limit. Default: no
    limit. Change: in place."""
    max_memory_mib: pulumi.Input[int] | None
    """How much memory all instances can have together, in MiB; each then needs a limit. Default:
    no limit. Change: in place."""
    max_disk_gib: pulumi.Input[int] | None
    """How much space all volumes and images can use together, in GiB; each root disk then needs a
    size. Default: no limit. Change: in place."""


class IncusNetworkArgs(ObjectArgs, total=False):
    """The optional keyword arguments of `IncusNetwork`.

    A program can prepare them as a dict and pass them as `**arguments`.
    """

    project: pulumi.Input[str] | None
    """The Incus project. A project without networks of its own uses those of `default`. Default:
    the `project` of the `IncusHost`, else `default`. Change: replaces the network."""
    network_type: pulumi.Input[NetworkType] | None
    """`bridge`, `macvlan`, `sriov`, `physical` or `ovn`. Types other than `bridge` are described by
    `config`. Default: `bridge`. Change: replaces the network."""
    ipv4_address: pulumi.Input[str] | None
    """The bridge's own IPv4 address with the length of the prefix, as `10.20.0.1/24`; `auto` for an
    unused one that Incus chooses, or `none`. Default: `auto` at the creation, and later left as it
    is. Change: in place; running guests renew their addresses later."""
    ipv4_nat: pulumi.Input[bool] | None
    """Whether guests reach other networks through the host's address. Default: True at the
    creation if Incus chooses the address, and later left as it is. Change: in place."""
    ipv4_dhcp: pulumi.Input[bool] | None
    """Whether guests get IPv4 addresses by DHCP. Default: True. Change: in place."""
    ipv4_dhcp_ranges: pulumi.Input[Sequence[pulumi.Input[str]]] | None
    """The ranges of addresses for DHCP, as `["10.20.0.100-10.20.0.199"]`. Default: all addresses of
    the network. Change: in place."""
    ipv6_address: pulumi.Input[str] | None
    """The bridge's own IPv6 address with the length of the prefix, as `fd42:1::1/64`; `auto`, or
    `none`. Default: `auto` at the creation if the host has IPv6, and later left as it is. Change:
    in place."""
    ipv6_nat: pulumi.Input[bool] | None
    """Whether guests reach other networks through the host's IPv6 address. Default: True at the
    creation if Incus chooses the address, and later left as it is. Change: in place."""
    ipv6_dhcp: pulumi.Input[bool] | None
    """Whether guests get further settings by DHCP for IPv6. Default: True. Change: in place."""
    ipv6_dhcp_ranges: pulumi.Input[Sequence[pulumi.Input[str]]] | None
    """The ranges of IPv6 addresses for stateful DHCP, as `["fd42:1::100-fd42:1::1ff"]`. Default:
    all addresses of the network. Change: in place."""
    dns_domain: pulumi.Input[str] | None
    """The domain of the guests' names in the network's DNS. Default: `incus`. Change: in place."""
    mtu: pulumi.Input[int] | None
    """The MTU of the bridge in bytes, 68 to 65535. Default: 1500. Change: in place."""
    member_config: pulumi.Input[Mapping[str, pulumi.Input[Mapping[str, pulumi.Input[str]]]]] | None
    """In a cluster, the keys that each member has for itself, by member, as
    `{"one": {"parent": "eth1"}}`. Default: an empty mapping. Change: refused."""


class StoragePoolArgs(ObjectArgs, total=False):
    """The keyword arguments of `StoragePool`.

    A program can prepare them as a dict and pass them as `**arguments`.
    """

    driver: Required[pulumi.Input[StorageDriver]]
    """`dir`, `btrfs`, `zfs`, `lvm`, `lvmcluster`, `ceph`, `cephfs`, `cephobject`, `linstor` or
    `truenas`, if the host can use it. Change: replaces the pool."""
    source: pulumi.Input[str] | None
    """Where the pool is: a path, a block device, or a name, as the driver needs it. Default: a file
    or a directory that Incus creates. Change: replaces the pool."""
    size: pulumi.Input[str] | None
    """The size of a pool in a file that Incus creates, with its unit, as `50GiB`. Default: Incus
    chooses it at the creation, and later it is left as it is. Change: grows in place; a smaller
    size is refused."""
    member_config: pulumi.Input[Mapping[str, pulumi.Input[Mapping[str, pulumi.Input[str]]]]] | None
    """In a cluster, the keys that each member has for itself, by member, as
    `{"one": {"source": "/dev/sdb"}}`. Default: an empty mapping. Change: refused."""
