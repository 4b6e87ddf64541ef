"""Define what a kind of resource consists of: its parsers, its calls, and what they return."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from pulumi.dynamic import DiffResult

from ..validation.lenient_validation import Failure
from ..validation.property_tree import Path
from .engine_log import PulumiReporter
from .properties import Properties

Tree = dict[str, Any]


class ParsedInputs(Protocol):
    """The inputs of a resource, parsed and validated."""

    @property
    def failures(self) -> list[Failure]:
        """Everything that is wrong with the inputs by themselves."""
        ...


@dataclass(frozen=True, slots=True)
class Created:
    """The result of a create."""

    id: str
    """The id of the resource, which is in plain text in the state."""
    outputs: Mapping[str, Any]
    """The outputs beside the inputs."""


@dataclass(frozen=True, slots=True)
class Updated:
    """The result of an update."""

    outputs: Mapping[str, Any]
    """The outputs beside the inputs."""
    kept: Collection[str] = ()
    """The names of the outputs that stay as the state has them."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """The result of a read that found the object."""

    outputs: Mapping[str, Any]
    """The outputs that are set, beside the others of the state."""
    removed: Collection[str] = ()
    """The names of the outputs that the state has and the object has not."""
    inputs: Mapping[str, Any] | None = field(default_factory=dict)
    """The inputs that differ from the outputs of the same name; None if Pulumi keeps the inputs
    that it has."""
    secret: Iterable[Path] | None = None
    """The paths of the secret inputs; None if they are those of the state."""


InputsT = TypeVar("InputsT", bound=ParsedInputs)
StateT = TypeVar("StateT")


def _as_given(_old: Properties, new: Properties) -> Properties:
    return new


@dataclass(frozen=True)
class Kind(Generic[InputsT, StateT]):
    """One kind of resource: how its properties are parsed and sealed, and its calls."""

    input_names: tuple[str, ...]
    """The names of the inputs that `check` returns."""
    parse_inputs: Callable[[Properties], InputsT]
    parse_state: Callable[[Properties], StateT]
    mark_secrets: Callable[[Tree, Iterable[Path], Tree], Tree]
    """Mark what is secret, and what is derived from it, in a property tree that goes out. The
    arguments are the tree, the paths of the secret inputs, and the inputs of the program."""
    check: Callable[[InputsT, InputsT | None, PulumiReporter], Iterable[Failure]]
    """Return everything that is wrong with the new inputs: by themselves, compared with the old
    inputs (None for a new resource), and on the host."""
    diff: Callable[[StateT, InputsT, PulumiReporter], DiffResult]
    create: Callable[[InputsT, PulumiReporter], Created]
    read: Callable[[StateT, PulumiReporter], Refreshed | None]
    """Return the state of the object; None if it is deleted."""
    update: Callable[[StateT, InputsT, PulumiReporter], Updated]
    delete: Callable[[StateT, PulumiReporter], None]
    fill_inputs: Callable[[Properties, Properties], Properties] = _as_given
    """Return the new inputs with the host's defaults; arguments: the old and the new inputs."""
    look_up: Callable[[InputsT, InputsT | None, PulumiReporter], InputsT] = lambda new, *_: new
    """Return the new inputs with what only a server knows, before they are shown and checked;
    arguments: those of `check`."""
    shown: Callable[[InputsT], Mapping[str, Any]] = lambda _: {}
    """Return the inputs that `check` adds, so that a preview shows them."""
    older_names: frozenset[str] = frozenset()
    """Names that only the state of a development version before 0.1.0 has; see
    `schema_version.older`."""
    undoable: bool = False
    """Whether an interrupted create deletes what it created."""
