"""Parse the inputs and the state of a `VolumeSnapshot`."""

from dataclasses import dataclass

from ..reconcile.volumes.volume_options import SnapshotOptions, find_snapshot_problems
from ..validation.lenient_validation import Failure
from ..validation.option_inputs import ValidatedOptions, validate_options
from .properties import HiddenOptions, Properties


@dataclass(frozen=True, slots=True)
class SnapshotInputs:
    """The inputs of a snapshot."""

    given: ValidatedOptions[SnapshotOptions]
    hidden: HiddenOptions

    @classmethod
    def parse(cls, properties: Properties) -> "SnapshotInputs":
        """Return the inputs in the properties of the resource."""
        given = validate_options(
            SnapshotOptions, properties.part(SnapshotOptions.model_fields), find_snapshot_problems
        )
        return cls(given, properties.hidden)

    @property
    def options(self) -> SnapshotOptions:
        """Return the options, with a placeholder for each unknown or invalid value."""
        return self.given.options

    @property
    def failures(self) -> list[Failure]:
        """Return everything that is wrong with the inputs by themselves."""
        return self.given.failures


@dataclass(frozen=True, slots=True)
class SnapshotState:
    """The outputs of an earlier create, update or refresh of a snapshot."""

    options: SnapshotOptions
    hidden: HiddenOptions
    created_at: str
    """When the snapshot was created, as Incus reports it; another snapshot of the name has another
    time."""

    @classmethod
    def parse(cls, properties: Properties) -> "SnapshotState":
        """Return the state in the properties of the resource."""
        options = validate_options(
            SnapshotOptions, properties.part(SnapshotOptions.model_fields), lambda _: ()
        ).options
        return cls(options, properties.hidden, properties.text("created_at"))
