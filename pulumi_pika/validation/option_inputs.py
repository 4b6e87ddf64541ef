"""Turn inputs into options, for the resources without a plan: volumes and snapshots."""

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
    """Hold the options of the inputs, with a placeholder for each unknown or invalid value."""

    options: Model
    failures: list[Failure]
    unknown: frozenset[Path]
    unresolved: frozenset[Path]
    """Unknown or invalid paths: everything that depends on them is undecided."""

    def with_problems(self, problems: Iterable[OptionProblem]) -> "ValidatedOptions[Model]":
        """Return the result with further problems.

        Problems of unknown or invalid values are dropped, and so is a second problem of one value.
        """
        failures = list(self.failures)
        for path, reason in problems:
            reported = any(failure.path == path for failure in failures)
            if not reported and not any(paths_overlap(path, other) for other in self.unresolved):
                failures.append(Failure(path, reason))
        return ValidatedOptions(self.options, failures, self.unknown, self.unresolved)


def validate_options(
    model: type[Model],
    inputs: dict[str, Any],
    find_problems: Callable[[Model], Iterable[OptionProblem]],
) -> ValidatedOptions[Model]:
    """Return the options of a plain tree of inputs, and everything that is wrong with them.

    Args:
        model: the model of the options; inputs that are not fields of it are ignored.
        inputs: the tree, which is not changed.
        find_problems: finds problems that no type expresses.
    """
    tree = {name: normalize(inputs[name]) for name in model.model_fields if name in inputs}
    unknown = frozenset(unknown_paths(tree))
    fitted = validate_leniently(model, tree, unknown)
    given = ValidatedOptions(fitted.model, fitted.failures, unknown, fitted.unresolved)
    return given.with_problems(find_problems(given.options))
