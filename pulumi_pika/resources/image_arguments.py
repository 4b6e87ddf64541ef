"""The arguments of images as typed dicts."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypedDict

import pulumi

from ..choices import ImageProtocol, ImageUpdate, InstanceType

if TYPE_CHECKING:
    from ..reconcile.images.image_options import ImageTimeouts


class ImageTimeoutsArgs(TypedDict, total=False):
    """Time limits of an image, in seconds."""

    create: pulumi.Input[float]
    """How long the copy or the upload may take. Default: 3600 seconds. Change: in place."""
    delete: pulumi.Input[float]
    """How long Incus may take to delete the image. Default: 300 seconds. Change: in place."""
    lookup: pulumi.Input[float]
    """How long a look-up at the image server may take. Default: 20 seconds. Change: in place."""


class IncusImageArgs(TypedDict, total=False):
    """The optional keyword arguments of `IncusImage`.

    A program can prepare them as a dict and pass them as `**arguments`.
    """

    source: pulumi.Input[str] | None
    """The image, as the `incus` client names it: `REMOTE:ALIAS` or `REMOTE:FINGERPRINT`, such as
    `images:debian/12/cloud`; with `server`, or for an image of the host itself, without `REMOTE:`.
    The host copies it. Either `source` or `file` is required. Default: none. Change: replaces the
    image, if the fingerprint is another one."""
    server: pulumi.Input[str] | None
    """The URL of the image server, in place of a remote of the `incus` client, such as
    `https://images.linuxcontainers.org`. Default: the remote in `source`. Change: as `source`."""
    protocol: pulumi.Input[ImageProtocol] | None
    """The protocol of `server`: `simplestreams` or `incus`. Default: `simplestreams`. Change: as
    `source`."""
    server_certificate: pulumi.Input[str] | None
    """The certificate of `server`, if no well-known CA has signed it: PEM, or the path of a file.
    Default: it is checked against the CAs of the system. Change: as `source`."""
    source_project: pulumi.Input[str] | None
    """The Incus project of the image at its source, if that is an Incus server or the host itself.
    Default: `default` on another server, and `project` on the host. Change: as `source`."""
    file: pulumi.Input[str] | None
    """The path of a file on the machine that runs Pulumi: a unified image, or with `rootfs` the
    metadata of a split image. It is uploaded, unless the host has the image already.
    Default: none. Change: replaces the image, if the contents are others."""
    rootfs: pulumi.Input[str] | None
    """The path of the root file system of a split image: squashfs or a tarball for a container,
    qcow2 for a virtual machine. Default: none. Change: as `file`."""
    instance_type: pulumi.Input[InstanceType] | None
    """The type of instance for which the image is: `virtual-machine` or `container`. Default:
    `virtual-machine` for an image of a server; for files, the type that they are for. Change: as
    `source`."""
    architecture: pulumi.Input[str] | None
    """The architecture, such as `x86_64` or `arm64`. Default: that of the host. Change: as
    `source`."""
    aliases: pulumi.Input[Sequence[pulumi.Input[str]]] | None
    """The aliases that the image has on the host. An alias that exists and has another owner is
    refused. Default: the name of the Pulumi resource. Change: in place."""
    properties: pulumi.Input[Mapping[str, pulumi.Input[str]]] | None
    """Properties, in addition to those of the image itself. Default: an empty mapping. Change: in
    place."""
    public: pulumi.Input[bool] | None
    """Whether clients that the host does not trust may copy the image. Default: not managed; a new
    image is not public. Change: in place."""
    update: pulumi.Input[ImageUpdate] | None
    """What happens if the source has a newer image. `pin`: the image stays, and a refresh reports
    the newer one. `replace`: the next `pulumi up` replaces the image. Default: `pin`. Change: in
    place."""
    adopt: pulumi.Input[bool] | None
    """Whether an image, and an alias of it, that exist without an owner are adopted. A delete of
    the resource then releases them. Default: False. Change: in place."""
    project: pulumi.Input[str] | None
    """The Incus project. Default: the `project` of the `IncusHost`, else `default`. Change:
    replaces the image."""
    timeouts: "pulumi.Input[ImageTimeoutsArgs | ImageTimeouts] | None"
    """Time limits in seconds; see `ImageTimeoutsArgs` for the defaults. Change: in place."""
