"""From inputs to options, for the resources that have no plan: volumes and snapshots."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from ..reconcile.options import OptionProblem
from .errors import ProviderError
from .shape import Failure, fit
from .values import Path, path_text, plain, touches, unknown_paths

Model = TypeVar("Model", bound=BaseModel)

_PROVIDER_KEY = "__provider"


@dataclass(frozen=True, slots=True)
class Given(Generic[Model]):
    """What the inputs come to; where something is unknown or wrong, options have a stand-in."""

    options: Model
    failures: list[Failure]
    unknown: frozenset[Path]
    open: frozenset[Path]
    """Unknown or wrong: nothing that depends on these can be told."""

    def with_problems(self, problems: Iterable[OptionProblem]) -> "Given[Model]":
        """The same with further problems, as far as they are about what is known and of the right
        type, and not of what has one already."""
        failures = list(self.failures)
        for path, reason in problems:
            said = any(failure.path == path for failure in failures)
            if not said and not any(touches(path, other) for other in self.open):
                failures.append(Failure(path, reason))
        return Given(self.options, failures, self.unknown, self.open)

    def refuse(self) -> None:
        """Ends the call where something is wrong: what was unknown to `check` was not looked at.

        Raises:
            ProviderError: all that is wrong.
        """
        if self.failures:
            raise ProviderError(
                "; ".join(f"{path_text(item.path)}: {item.reason}" for item in self.failures)
            )


def give(
    model: type[Model],
    inputs: dict[str, Any],
    find_problems: Callable[[Model], Iterable[OptionProblem]],
) -> Given[Model]:
    """The options of a plain tree of inputs, and all that is wrong with them.

    Args:
        model: the model of the options; inputs that are none of its fields are passed over.
        inputs: the tree, which is left as it is.
        find_problems: finds what no type can tell.
    """
    tree = {name: plain(inputs[name]) for name in model.model_fields if name in inputs}
    unknown = frozenset(unknown_paths(tree))
    fitted = fit(model, tree, unknown)
    given = Given(fitted.model, fitted.failures, unknown, fitted.open)
    return given.with_problems(find_problems(given.options))


def without_provider(props: dict[str, Any]) -> dict[str, Any]:
    """The properties without what Pulumi keeps among them for itself, plain."""
    return {key: plain(value) for key, value in props.items() if key != _PROVIDER_KEY}
