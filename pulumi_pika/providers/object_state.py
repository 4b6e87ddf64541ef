"""Parse the inputs and the state of a config object."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from ..reconcile.objects.object_kind import ObjectKind
from ..reconcile.objects.object_plan import ObjectOptions, ObjectPlan
from ..reconcile.shared.ownership import Claim
from ..validation.lenient_validation import Failure
from ..validation.option_inputs import ValidatedOptions, validate_options
from ..validation.property_tree import UNKNOWN, Path, set_path
from .properties import HiddenOptions, Properties

Options = TypeVar("Options", bound=ObjectOptions)

ADOPTED: Final = "adopted"
"""The output that says that the object existed before it was managed."""
RENAMED_TO: Final = "renamed_to"
"""The output with the other name under which a refresh found the object."""


@dataclass(frozen=True, slots=True)
class ObjectInputs(Generic[Options]):
    """The inputs of a config object."""

    given: ValidatedOptions[Options]
    plan: ObjectPlan
    """The plan of the options."""
    hidden: HiddenOptions

    @classmethod
    def parse(cls, kind: ObjectKind[Options], properties: Properties) -> "ObjectInputs[Options]":
        """Return the inputs in the properties of the resource."""
        tree = properties.part(kind.model.model_fields)
        given = validate_options(kind.model, tree, kind.find_problems)
        return cls(given, kind.plan(given.options), properties.hidden)

    @property
    def options(self) -> Options:
        """Return the options, with a placeholder for each unknown or invalid value."""
        return self.given.options

    @property
    def failures(self) -> list[Failure]:
        """Return everything that is wrong with the inputs by themselves."""
        return self.given.failures

    @property
    def unknown(self) -> frozenset[Path]:
        """Return the paths of the unknown inputs."""
        return self.given.unknown

    def plan_tree(self, kind: ObjectKind[Options]) -> dict[str, Any]:
        """Return the plan as a tree, in which everything that depends on an unknown is unknown."""
        tree = self.plan.to_tree()
        for path in self.unknown:
            where = plan_path(kind, path)
            if where:
                set_path(tree, where, UNKNOWN)
        return tree

    def is_unknown(self, *names: str) -> bool:
        """Return whether one of the arguments, or a value in it, is unknown."""
        return any(path[0] in names for path in self.unknown)


@dataclass(frozen=True, slots=True)
class ObjectState(Generic[Options]):
    """The outputs of an earlier create, update or refresh of a config object."""

    inputs: ObjectInputs[Options]
    """The arguments that were applied."""
    plan: ObjectPlan
    """The plan as it was applied, or as a refresh observed it."""
    adopted: bool
    """Whether the object existed before it was managed."""
    renamed_to: str
    """The other name under which a refresh found the object; empty for none."""

    @classmethod
    def parse(cls, kind: ObjectKind[Options], properties: Properties) -> "ObjectState[Options]":
        """Return the state in the properties of the resource."""
        inputs = ObjectInputs.parse(kind, properties)
        plan = properties.at(("plan",))
        return cls(
            inputs=inputs,
            plan=inputs.plan if plan is None else ObjectPlan.from_tree(plan),
            adopted=properties.at((ADOPTED,)) is True,
            renamed_to=properties.text(RENAMED_TO),
        )

    @property
    def hidden(self) -> HiddenOptions:
        """Return what the resource passes beside its arguments."""
        return self.inputs.hidden

    @property
    def applied(self) -> ObjectPlan:
        """Return the plan of the arguments in the state, which no refresh changes."""
        return self.inputs.plan

    def claim(self, *owners: str) -> Claim:
        """Return what this state knows of its object; `owners` are further URNs of the resource."""
        return Claim(
            owners=(self.hidden.owner, *owners), generation=self.hidden.generation, copies=False
        )


def plan_path(kind: ObjectKind[Any], path: Path) -> Path:
    """Return the path in the plan that the argument at a path sets; empty if it sets none."""
    name = str(path[0])
    if name in kind.arguments:
        return kind.arguments[name]
    planned = ("name", "project", "description", "config", "devices", "member_config")
    return path if name in planned else ()


def revealed_paths(kind: ObjectKind[Any], secret: Iterable[Path]) -> list[Path]:
    """Return the paths of the secret arguments, and those of the values that come from them.

    Args:
        kind: the kind of the object.
        secret: the paths of the secret arguments.
    """
    found = list(secret)
    for path in tuple(found):
        if where := plan_path(kind, path):
            found.append(("plan", *where))
        found += [(output,) for output in kind.revealing.get(str(path[0]), ())]
    return found
