"""Parse the inputs and the state of an `IncusExec`."""

from dataclasses import dataclass
from typing import Final

from ..jobs.exec_options import ExecOptions, find_exec_problems
from ..validation.hidden_property import SECRET_RESULTS
from ..validation.lenient_validation import Failure
from ..validation.option_inputs import ValidatedOptions, validate_options
from .host_connection import default_place
from .properties import HiddenOptions, Properties

RESULTS: Final = ("stdout", "stderr")
"""The outputs that a command wrote."""


@dataclass(frozen=True, slots=True)
class ExecInputs:
    """The inputs of the commands."""

    given: ValidatedOptions[ExecOptions]
    hidden: HiddenOptions

    @classmethod
    def parse(cls, properties: Properties) -> "ExecInputs":
        """Return the inputs in the properties of the resource."""
        given = validate_options(
            ExecOptions, properties.part(ExecOptions.model_fields), find_exec_problems
        )
        return cls(given, properties.hidden)

    @property
    def options(self) -> ExecOptions:
        """Return the options, with a placeholder for each unknown or invalid value."""
        return self.given.options

    @property
    def failures(self) -> list[Failure]:
        """Return everything that is wrong with the inputs by themselves."""
        return self.given.failures


@dataclass(frozen=True, slots=True)
class ExecState:
    """The outputs of an earlier create, update or refresh."""

    options: ExecOptions
    hidden: HiddenOptions
    results: dict[str, str]
    """What the last command wrote, by output."""
    secret_results: tuple[str, ...]
    """The outputs among them that contain a secret."""
    ran_in: str
    """The own id of the instance in which the last command ran."""

    @classmethod
    def parse(cls, properties: Properties) -> "ExecState":
        """Return the state in the properties of the resource."""
        options = validate_options(
            ExecOptions, properties.part(ExecOptions.model_fields), lambda _: ()
        ).options
        secret = properties.at((SECRET_RESULTS,))
        return cls(
            options=options,
            hidden=properties.hidden,
            results={name: properties.text(name) for name in RESULTS},
            secret_results=tuple(secret) if isinstance(secret, list) else (),
            ran_in=properties.text("ran_in"),
        )


def with_project(old: Properties, new: Properties) -> Properties:
    """Return the inputs with the default of the project.

    The default comes from the host and is used at creation only.

    Args:
        old: The old inputs; empty for a new resource.
        new: The new inputs.
    """
    if "project" in new.names():
        return new
    return new.with_values({"project": old.text("project") or default_place()[0]})
