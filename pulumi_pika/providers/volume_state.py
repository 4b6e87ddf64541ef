"""Parse the inputs and the state of a `PersistentVolume`, and describe the live volume."""

from dataclasses import dataclass
from typing import Any, Final

from ..reconcile.instances.desired import LABEL_PREFIX
from ..reconcile.shared.ownership import Claim
from ..reconcile.volumes.volume import LiveVolume, volume_outputs
from ..reconcile.volumes.volume_options import VolumeOptions, find_volume_problems, same_size
from ..validation.lenient_validation import Failure
from ..validation.option_inputs import ValidatedOptions, validate_options
from .properties import HiddenOptions, Properties
from .resource_kind import Refreshed
from .schema_version import GENERATION

RENAMED_TO: Final = "renamed_to"
"""The output with the other name under which a refresh found the volume."""


@dataclass(frozen=True, slots=True)
class VolumeInputs:
    """The inputs of a volume."""

    given: ValidatedOptions[VolumeOptions]
    hidden: HiddenOptions

    @classmethod
    def parse(cls, properties: Properties) -> "VolumeInputs":
        """Return the inputs in the properties of the resource."""
        given = validate_options(
            VolumeOptions, properties.part(VolumeOptions.model_fields), find_volume_problems
        )
        return cls(given, properties.hidden)

    @property
    def options(self) -> VolumeOptions:
        """Return the options, with a placeholder for each unknown or invalid value."""
        return self.given.options

    @property
    def failures(self) -> list[Failure]:
        """Return everything that is wrong with the inputs by themselves."""
        return self.given.failures


@dataclass(frozen=True, slots=True)
class VolumeState:
    """The outputs of an earlier create, update or refresh of a volume."""

    options: VolumeOptions
    hidden: HiddenOptions
    created_at: str
    location: str
    """The cluster member that the volume is on."""
    renamed: bool
    """Whether a refresh found the volume under another name."""

    @classmethod
    def parse(cls, properties: Properties) -> "VolumeState":
        """Return the state in the properties of the resource."""
        return cls(
            options=validate_options(
                VolumeOptions, properties.part(VolumeOptions.model_fields), lambda _: ()
            ).options,
            hidden=properties.hidden,
            created_at=properties.text("created_at"),
            location=properties.text("location"),
            renamed=RENAMED_TO in properties.names(),
        )

    def claim(self, *owners: str) -> Claim:
        """Return what this state knows about its volume; `owners` are further URNs of the
        resource."""
        return Claim(
            owners=(self.options.owner, *owners),
            generation=self.hidden.generation,
            identity=self.created_at,
            copies=False,
        )

    def refreshed(self, live: LiveVolume) -> Refreshed:
        """Return the outputs that describe the live volume; without drift, they are unchanged."""
        options, desired = self.options, self.options.desired_config()
        seen: dict[str, Any] = {
            "config": {
                key: live.config[key]
                for key, value in options.config.items()
                if key in live.config or value == ""
            },
            "labels": _seen_labels(live, options),
            "content_type": live.content_type,
            "owner": live.owner if options.owner else "",
        }
        for field, key in (
            ("size", "size"),
            ("snapshots_schedule", "snapshots.schedule"),
            ("snapshots_expiry", "snapshots.expiry"),
            ("snapshots_pattern", "snapshots.pattern"),
        ):
            if key in desired:
                seen[field] = live.config.get(key)
        if options.description is not None:
            seen["description"] = live.description
        if same_size(seen.get("size"), options.size):
            seen["size"] = options.size
        outputs = {**volume_outputs(live), GENERATION: self.hidden.generation or live.generation}
        removed = [RENAMED_TO]
        if live.name != options.volume_name:
            outputs[RENAMED_TO] = live.name
        for field, value in seen.items():
            if value is None and getattr(options, field) is not None:
                removed.append(field)
            elif value != getattr(options, field):
                outputs[field] = value
        return Refreshed(outputs, removed)


def _seen_labels(live: LiveVolume, options: VolumeOptions) -> dict[str, str]:
    labels = {
        key.removeprefix(LABEL_PREFIX): value
        for key, value in live.config.items()
        if key.startswith(LABEL_PREFIX)
    }
    # Incus does not store empty values, so that an empty label is the same as a missing one.
    empty = {key: "" for key, value in options.labels.items() if value == "" and key not in labels}
    return {**labels, **empty}
