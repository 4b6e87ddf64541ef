"""The argument `cloud_init` as typed dicts: any value may be an `Output`."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

import pulumi

from ..choices import FileEncoding


class CloudInitUserArgs(TypedDict):
    """A user that cloud-init creates in the guest. A job is run again if it changes."""

    name: pulumi.Input[str]
    """The login name: 1 to 32 small letters, digits, `_` and `-`. Change: in place, without any
    effect on a guest that has booted."""
    uid: NotRequired[pulumi.Input[int]]
    """The numeric user id. Default: chosen by the guest. Change: as for `name`."""
    gecos: NotRequired[pulumi.Input[str]]
    """The full name. Default: none. Change: as for `name`."""
    groups: NotRequired[pulumi.Input[Sequence[pulumi.Input[str]]]]
    """Further groups of the user. Default: an empty list. Change: as for `name`."""
    shell: NotRequired[pulumi.Input[str]]
    """The absolute path of the login shell. Default: that of the guest. Change: as for `name`."""
    sudo: NotRequired[pulumi.Input[str]]
    """A rule for sudo, as `ALL=(ALL) NOPASSWD:ALL`. Default: no rule. Change: as for `name`."""
    ssh_authorized_keys: NotRequired[pulumi.Input[Sequence[pulumi.Input[str]]]]
    """Public SSH keys that may log in. Default: an empty list. Change: as for `name`."""
    hashed_password: NotRequired[pulumi.Input[str]]
    """The hash of the password, as `openssl passwd -6` prints it. Default: the password is locked.
    Change: as for `name`."""


class CloudInitFileArgs(TypedDict):
    """A file that cloud-init writes in the guest. A job is run again if it changes."""

    path: pulumi.Input[str]
    """The absolute path. Missing directories are created. Change: in place, without any effect on
    a guest that has booted."""
    content: pulumi.Input[str]
    """The content of the file. Change: as for `path`."""
    encoding: NotRequired[pulumi.Input[FileEncoding]]
    """How `content` is given: `text`, or `base64` for any bytes. Default: `text`. Change: as for
    `path`."""
    permissions: NotRequired[pulumi.Input[str]]
    """The file mode in octal digits, as `0600`. Default: `0644`. Change: as for `path`."""
    owner: NotRequired[pulumi.Input[str]]
    """The owner, as `USER:GROUP`. Default: `root:root`. Change: as for `path`."""
    append: NotRequired[pulumi.Input[bool]]
    """Whether the content is appended to an existing file. Default: False. Change: as for
    `path`."""
    defer: NotRequired[pulumi.Input[bool]]
    """Whether the file is written after users and packages exist. Default: False. Change: as for
    `path`."""


class CloudInitRouteArgs(TypedDict):
    """A static route of an interface. A job is run again if it changes."""

    to: pulumi.Input[str]
    """The destination, as `10.0.0.0/8` or `default`. Change: in place, without any effect on a
    guest that has booted."""
    via: pulumi.Input[str]
    """The address of the gateway. Change: as for `to`."""


class CloudInitInterfaceArgs(TypedDict, total=False):
    """How cloud-init configures a network interface. A job is run again if it changes."""

    dhcp4: pulumi.Input[bool]
    """Whether an IPv4 address is requested by DHCP. Default: False. Change: in place, without any
    effect on a guest that has booted."""
    dhcp6: pulumi.Input[bool]
    """Whether an IPv6 address is requested by DHCP. Default: False. Change: as for `dhcp4`."""
    addresses: pulumi.Input[Sequence[pulumi.Input[str]]]
    """Static addresses, as `192.0.2.7/24`. Default: an empty list. Change: as for `dhcp4`."""
    routes: pulumi.Input[Sequence[pulumi.Input[CloudInitRouteArgs]]]
    """Static routes; see `CloudInitRouteArgs`. Default: an empty list. Change: as for `dhcp4`."""
    nameservers: pulumi.Input[Sequence[pulumi.Input[str]]]
    """The addresses of name servers. Default: an empty list. Change: as for `dhcp4`."""
    search: pulumi.Input[Sequence[pulumi.Input[str]]]
    """The search domains. Default: an empty list. Change: as for `dhcp4`."""
    mtu: pulumi.Input[int]
    """The MTU in bytes, 68 to 65535. Default: that of the network. Change: as for `dhcp4`."""


class CloudInitArgs(TypedDict, total=False):
    """What cloud-init does in the guest at its first boot. A job is run again if it changes.

    pulumi_pika writes it as `cloud-init.user-data` and `cloud-init.network-config`. The image must
    have cloud-init.
    """

    default_user: pulumi.Input[bool]
    """Whether the image's own user is created besides `users`. Default: True. Change: in place,
    without any effect on a guest that has booted."""
    users: pulumi.Input[Sequence[pulumi.Input[CloudInitUserArgs]]]
    """Users to create; see `CloudInitUserArgs`. Default: an empty list. Change: as for
    `default_user`."""
    ssh_authorized_keys: pulumi.Input[Sequence[pulumi.Input[str]]]
    """Public SSH keys of the image's own user. Default: an empty list. Change: as for
    `default_user`."""
    packages: pulumi.Input[Sequence[pulumi.Input[str]]]
    """Packages to install. Default: an empty list. Change: as for `default_user`."""
    package_update: pulumi.Input[bool]
    """Whether the list of packages is updated first. Default: that of the image. Change: as for
    `default_user`."""
    package_upgrade: pulumi.Input[bool]
    """Whether the installed packages are upgraded. Default: that of the image. Change: as for
    `default_user`."""
    files: pulumi.Input[Sequence[pulumi.Input[CloudInitFileArgs]]]
    """Files to write; see `CloudInitFileArgs`. Default: an empty list. Change: as for
    `default_user`."""
    runcmd: pulumi.Input[Sequence[pulumi.Input[str]]]
    """Commands for the guest's shell, run in this order as root at the end of the first boot.
    Default: an empty list. Change: as for `default_user`."""
    network: pulumi.Input[Mapping[str, pulumi.Input[CloudInitInterfaceArgs]]]
    """How the network is configured, by the name of the interface, as `eth0`; see
    `CloudInitInterfaceArgs`. Default: as the image does it. Change: as for `default_user`."""
    extra: pulumi.Input[Mapping[str, Any]]
    """Further keys of the cloud-config, as `{"timezone": "Etc/UTC"}`. Default: an empty mapping.
    Change: as for `default_user`."""
