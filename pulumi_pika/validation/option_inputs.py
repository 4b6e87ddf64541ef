"""From inputs to options, for the resources that have no plan: volumes and snapshots."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from ..reconcile.instances.runtime_options import OptionProblem
from .lenient_validation import Failure, validate_leniently
from .property_tree import (
    Path,
    normalize,
    paths_overlap,
    unknown_paths,
)

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class ValidatedOptions(Generic[Model]):
    """What the inputs come to; where something is unknown or wrong, options have a stand-in."""

    options: Model
    failures: list[Failure]
    unknown: frozenset[Path]
    open: frozenset[Path]
    """Unknown or wrong: nothing that depends on these can be told."""

    def with_problems(self, problems: Iterable[OptionProblem]) -> "ValidatedOptions[Model]":
        """The same with further problems, as far as they are about what is known and of the right
        type, and not of what has one already."""
        failures = list(self.failures)
        for path, reason in problems:
            said = any(failure.path == path for failure in failures)
            if not said and not any(paths_overlap(path, other) for other in self.open):
                failures.append(Failure(path, reason))
        return ValidatedOptions(self.options, failures, self.unknown, self.open)


def validate_options(
    model: type[Model],
    inputs: dict[str, Any],
    find_problems: Callable[[Model], Iterable[OptionProblem]],
) -> ValidatedOptions[Model]:
    """The options of a plain tree of inputs, and all that is wrong with them.

    Args:
        model: the model of the options; inputs that are none of its fields are passed over.
        inputs: the tree, which is left as it is.
        find_problems: finds what no type can tell.
    """
    tree = {name: normalize(inputs[name]) for name in model.model_fields if name in inputs}
    unknown = frozenset(unknown_paths(tree))
    fitted = validate_leniently(model, tree, unknown)
    given = ValidatedOptions(fitted.model, fitted.failures, unknown, fitted.open)
    return given.with_problems(find_problems(given.options))
