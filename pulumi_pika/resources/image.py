"""`IncusImage`: an image on the host, for runtimes and jobs."""

from typing import Unpack

import pulumi
from pulumi.dynamic import Resource

from ..providers.image import IncusImageProvider
from .image_arguments import IncusImageArgs
from .property_inputs import hidden_inputs, to_plain, unknown_arguments

_TYPE = "pulumi-python:dynamic/pika:IncusImage"
_OUTPUTS = (
    "adopted",
    "alias",
    "created_at",
    "expires_at",
    "fingerprint",
    "image_architecture",
    "image_type",
    "newer_fingerprint",
    "on_delete",
    "project",
    "size",
    "uploaded_at",
)


class IncusImage(Resource, module="pika", name="IncusImage"):
    """An image, copied from an image server by the host itself, or uploaded from files.

    Its `alias` or its `fingerprint` is the `image` of an `IncusRuntime` or `IncusJob`. With the
    alias, an instance stays as it is when another image replaces this one. With the fingerprint, it
    is replaced too. Several stacks can share an image; the last one deletes it.
    """

    fingerprint: pulumi.Output[str]
    """The fingerprint: the SHA-256 of the files of the image. A preview shows it if this machine
    can read the files, or reach the image server."""
    alias: pulumi.Output[str]
    """The first of the aliases; empty if there is none."""
    project: pulumi.Output[str]
    """The Incus project of the image."""
    image_type: pulumi.Output[str]
    """The type of instance for which the image is: `container` or `virtual-machine`."""
    image_architecture: pulumi.Output[str]
    """The architecture of the image, such as `x86_64`."""
    size: pulumi.Output[int]
    """The size of its files, in bytes."""
    created_at: pulumi.Output[str]
    """When the image was built, in RFC 3339 format."""
    uploaded_at: pulumi.Output[str]
    """When it was stored on the host, in RFC 3339 format."""
    expires_at: pulumi.Output[str]
    """The end of its support according to its source; the year 1 or 1970 if it has none."""
    newer_fingerprint: pulumi.Output[str]
    """The fingerprint that the source had at the last refresh, if it was another one; else
    empty."""
    adopted: pulumi.Output[bool]
    """Whether the image existed before it was adopted. A delete then releases it."""
    on_delete: pulumi.Output[str]
    """What a delete of the resource does to the image, as a sentence."""

    def __init__(
        self,
        resource_name: str,
        *,
        opts: pulumi.ResourceOptions | None = None,
        **arguments: Unpack[IncusImageArgs],
    ) -> None:
        """Declare an image. Every argument, and every value within one, may be an `Output`.

        Args:
            resource_name: The name of the resource in the Pulumi stack; by default also the alias
                of the image.
            opts: Pulumi's resource options.
            arguments: `source` or `file` is required; see `IncusImageArgs`.

        Raises:
            TypeError: There is no argument of this name.
        """
        unknown_arguments(type(self).__name__, arguments, IncusImageArgs)
        named = {
            "aliases": [resource_name],
            **{k: v for k, v in arguments.items() if v is not None},
        }
        given = to_plain(named)
        props = {
            **dict.fromkeys(_OUTPUTS),
            **given,
            **hidden_inputs(given, resource_name, _TYPE, opts),
        }
        super().__init__(IncusImageProvider(), resource_name, props, opts)
