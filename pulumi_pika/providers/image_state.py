"""Parse the inputs and the state of an `IncusImage`, and describe the live image."""

from dataclasses import dataclass, replace
from typing import Any, Final

from ..incus.client import IncusClient
from ..reconcile.images.image_aliases import foreign_aliases
from ..reconcile.images.image_change import KnownImage
from ..reconcile.images.image_options import SOURCE_FIELDS, ImageOptions, find_image_problems
from ..reconcile.images.live_image import LiveImage
from ..reconcile.objects.config_object import Owner
from ..validation.lenient_validation import Failure
from ..validation.option_inputs import ValidatedOptions, validate_options
from .properties import HiddenOptions, Properties
from .schema_version import GENERATION

NEWER: Final = "newer_fingerprint"
"""The output with the fingerprint of a newer image of the same source; see `IncusImage`."""
ADOPTED: Final = "adopted"
"""The output that says that the image existed before it was managed."""
_PLACE: Final = (*SOURCE_FIELDS, "project")


@dataclass(frozen=True, slots=True)
class ImageInputs:
    """The inputs of an image."""

    given: ValidatedOptions[ImageOptions]
    hidden: HiddenOptions

    @classmethod
    def parse(cls, properties: Properties) -> "ImageInputs":
        """Return the inputs in the properties of the resource."""
        given = validate_options(
            ImageOptions, properties.part(ImageOptions.model_fields), find_image_problems
        )
        return cls(given, properties.hidden)

    @property
    def options(self) -> ImageOptions:
        """Return the options, with a placeholder for each unknown or invalid value."""
        return self.given.options

    @property
    def failures(self) -> list[Failure]:
        """Return everything that is wrong with the inputs by themselves, and with their source."""
        return self.given.failures

    @property
    def owner(self) -> Owner:
        """Return the owner that the image gets, and whether it may be adopted."""
        options = self.options
        return Owner(options.owner, options.backend, options.adopt)

    @property
    def is_open(self) -> bool:
        """Return whether it is unknown yet which image this is."""
        return self.is_unknown(*_PLACE)

    def is_unknown(self, *names: str) -> bool:
        """Return whether one of the arguments, or a value in it, is unknown."""
        return any(path[0] in names for path in self.given.unknown)

    def has_source_of(self, old: ImageOptions) -> bool:
        """Return whether the image comes from the same source, and is in the same project."""
        return all(getattr(old, name) == getattr(self.options, name) for name in _PLACE)

    def with_fingerprint(self, fingerprint: str) -> "ImageInputs":
        """Return the inputs with the fingerprint that their source has; empty if unknown."""
        options = self.options.model_copy(update={"fingerprint": fingerprint or None})
        return replace(self, given=replace(self.given, options=options))

    def with_problem(self, argument: str, reason: str) -> "ImageInputs":
        """Return the inputs with a problem of an argument."""
        return replace(self, given=self.given.with_problems([((argument,), reason)]))


@dataclass(frozen=True, slots=True)
class ImageState:
    """The outputs of an earlier create, update or refresh of an image."""

    options: ImageOptions
    hidden: HiddenOptions
    known: KnownImage
    newer: str
    """The fingerprint of a newer image that the last refresh found; empty for none."""

    @classmethod
    def parse(cls, properties: Properties) -> "ImageState":
        """Return the state in the properties of the resource."""
        options = validate_options(
            ImageOptions, properties.part(ImageOptions.model_fields), lambda _: ()
        ).options
        known = KnownImage(
            fingerprint=properties.text("fingerprint"),
            owner=options.owner,
            backend=options.backend,
            generation=properties.hidden.generation,
            existed=properties.at((ADOPTED,)) is True,
        )
        return cls(options, properties.hidden, known, properties.text(NEWER))

    def refreshed(self, live: LiveImage, client: IncusClient) -> dict[str, Any]:
        """Return the outputs that describe the live image; without drift, they are unchanged.

        Args:
            live: The image as last fetched.
            client: A client in its project.

        Raises:
            IncusError: The aliases could not be fetched.
        """
        options, outputs = self.options, describe_image(live)
        foreign = foreign_aliases(client, live.aliases, self.known.owner_id)
        own = [name for name in live.aliases if name not in foreign]
        seen = [name for name in options.aliases if name in own]
        # An alias with this resource's label that the program does not name is removed.
        seen += [name for name in own if name not in options.aliases]
        if seen != options.aliases:
            outputs["aliases"] = seen
        properties = {
            key: live.properties[key] for key in options.properties if key in live.properties
        }
        if properties != options.properties:
            outputs["properties"] = properties
        if options.public is not None and live.public != options.public:
            outputs["public"] = live.public
        if self.known.claim(live) is None:
            outputs["owner"] = ""
        return outputs


def image_outputs(live: LiveImage, generation: str, newer: str = "") -> dict[str, Any]:
    """Return the outputs of a create or an update.

    Args:
        live: The image.
        generation: The generation of the resource's entry in its label.
        newer: The fingerprint of a newer image that a refresh found; empty for none.
    """
    return {
        **describe_image(live),
        "fingerprint": live.fingerprint,
        NEWER: newer,
        ADOPTED: live.existed,
        GENERATION: generation,
    }


def describe_image(live: LiveImage) -> dict[str, Any]:
    """Return the outputs that only the host knows."""
    return {
        "image_type": live.kind,
        "image_architecture": live.architecture,
        "size": live.size,
        "created_at": live.created_at,
        "uploaded_at": live.uploaded_at,
        "expires_at": live.expires_at,
    }
