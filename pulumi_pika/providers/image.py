"""The provider of `IncusImage`."""

from .host_provider import HostProvider


class IncusImageProvider(HostProvider):
    """The provider of images; see `image_calls`."""

    calls = "image_calls"
