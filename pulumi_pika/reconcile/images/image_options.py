"""Define the arguments of an image, and check them without a server."""

import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit

from pydantic import Field

from ... import message_templates as templates
from ...choices import ImageProtocol, ImageUpdate, InstanceType
from ...incus.catalog import looks_like_fingerprint
from ...planner.spec_models import Part
from ...text_safety import visible
from ..instances.runtime_options import OptionProblem, Seconds
from ..shared.ownership import MARK_PREFIX

_NAME: Final = re.compile(r"[a-zA-Z0-9](?:[^\s$?&+\"'`*]*[a-zA-Z0-9])?")
"""Source: shared/validate IsAPIName of Incus 7.3; Incus 6.0 accepts more."""
_LONGEST_NAME: Final = 64
_OF_SERVER: Final = ("server", "server_certificate", "source_project", "architecture")
_DEFAULT_TYPE: Final = "virtual-machine"

SOURCE_FIELDS: Final = (
    "source",
    "server",
    "protocol",
    "server_certificate",
    "source_project",
    "file",
    "rootfs",
    "instance_type",
    "architecture",
)
"""The arguments that say which image it is."""


class ImageTimeouts(Part):
    """Set the time limits of an image, in seconds."""

    create: Seconds = 3600.0
    """How long the copy or the upload may take, in seconds. Default: 3600."""
    delete: Seconds = 300.0
    """How long Incus may take to delete the image, in seconds. Default: 300."""
    lookup: Seconds = 20.0
    """How long a look-up at the image server may take, in seconds. Default: 20."""


class ImageOptions(Part):
    """Hold the arguments of an `IncusImage`."""

    source: str | None = None
    server: str | None = None
    protocol: ImageProtocol = "simplestreams"
    server_certificate: str | None = None
    source_project: str | None = None
    file: str | None = None
    rootfs: str | None = None
    instance_type: InstanceType | None = None
    architecture: str | None = None
    aliases: list[str] = Field(default_factory=list)
    properties: dict[str, str] = Field(default_factory=dict)
    public: bool | None = None
    update: ImageUpdate = "pin"
    adopt: bool = False
    project: str = "default"
    timeouts: ImageTimeouts = ImageTimeouts()
    fingerprint: str | None = None
    """The fingerprint, which `check` looks up; None if it could not be looked up."""
    owner: str = ""
    backend: str = ""

    @property
    def served_type(self) -> str:
        """Return the type of instance for which an image of a server is looked up."""
        return self.instance_type or _DEFAULT_TYPE

    @property
    def what(self) -> str:
        """Return where the image comes from, for messages."""
        if self.file is not None:
            return f"image of {self.file}"
        at = f" of {self.server}" if self.server else ""
        return f"image {self.source}{at}"


def find_image_problems(options: ImageOptions) -> Iterator[OptionProblem]:
    """Find values that contradict each other or that Incus would refuse. No server is asked."""
    if options.source is None and options.file is None:
        yield ("source",), templates.required()
    if options.source is not None and options.file is not None:
        yield ("source",), templates.conflict("`file`")
    if options.rootfs is not None and options.file is None:
        yield ("rootfs",), "needs `file`, the metadata of the split image"
    if options.file is not None:
        for name in _OF_SERVER:
            if getattr(options, name) is not None:
                yield (name,), templates.conflict("`file`")
    yield from _source_problems(options)
    for index, alias in enumerate(options.aliases):
        where = ("aliases", index)
        if len(alias) > _LONGEST_NAME or not _NAME.fullmatch(alias) or not alias.isprintable():
            rule = (
                f"use 1-{_LONGEST_NAME} characters, without blanks and without $ ? & + \" ' ` *, "
                "and with a letter or digit at both ends"
            )
            yield where, templates.invalid_value(visible(alias)[:80], "image alias", rule)
        elif looks_like_fingerprint(alias):
            rule = "it looks like a fingerprint; use another alias"
            yield where, templates.invalid_value(alias, "image alias", rule)
        elif alias in options.aliases[:index]:
            yield where, f"names the alias {alias} twice"
    for key, value in options.properties.items():
        at = ("properties", key)
        if not key or not key.isprintable() or key != key.strip():
            rule = "use no control characters, and no blanks at its ends"
            yield at, templates.invalid_value(visible(key)[:80], "name of a property", rule)
        elif key.startswith(MARK_PREFIX):
            yield at, templates.reserved("pulumi_pika", "remove it: it is the ownership label")
        elif value == "" or "\0" in value:
            yield at, "must not be empty, and must not contain the character NUL"


def _source_problems(options: ImageOptions) -> Iterator[OptionProblem]:
    source = options.source
    if source is not None:
        remote, colon, image = source.partition(":")
        if not source.isprintable() or source != source.strip() or not (image or not colon):
            rule = "use REMOTE:IMAGE, or IMAGE"
            yield ("source",), templates.invalid_value(visible(source)[:80], "image", rule)
        elif not source:
            yield ("source",), "must not be empty"
        elif options.server is not None and colon:
            yield ("source",), templates.conflict("`server`", f"remove `{remote}:`, or `server`")
    if options.server is not None:
        try:
            parts = urlsplit(options.server)
            valid = parts.scheme in ("https", "http") and bool(parts.hostname)
            valid = valid and parts.username is None and not parts.query and not parts.fragment
        except ValueError:
            valid = False
        if not valid:
            yield ("server",), "is not a valid URL of an image server, such as https://HOST"
    elif options.server_certificate is not None:
        yield ("server_certificate",), "needs `server`"
