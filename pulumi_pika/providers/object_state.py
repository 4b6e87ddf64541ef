"""Parse the inputs and the state of a config object, and describe the live object."""

from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from pulumi.runtime.rpc import UNKNOWN

from ..reconcile.objects.config_object import Owner
from ..reconcile.objects.live_object import LiveObject
from ..reconcile.objects.object_changes import changed_parts, observe, unmanaged_parts
from ..reconcile.objects.object_kind import ObjectKind
from ..reconcile.objects.object_plan import ObjectOptions, ObjectPlan
from ..reconcile.shared.ownership import Claim
from ..validation.lenient_validation import Failure
from ..validation.option_inputs import ValidatedOptions, validate_options
from ..validation.property_tree import Path, set_path
from .properties import HiddenOptions, Properties
from .resource_kind import Refreshed
from .schema_version import GENERATION

ADOPTED: Final = "adopted"
"""The output that says that the object existed before it was managed."""
RENAMED_TO: Final = "renamed_to"
"""The output with the other name under which a refresh found the object."""
DRIFT: Final = "drift"
"""The output with the names of the parts that a refresh found changed."""
UNMANAGED: Final = "unmanaged"
"""The output with the names of what the object has beside the plan."""

Options = TypeVar("Options", bound=ObjectOptions)


@dataclass(frozen=True, slots=True)
class ObjectInputs(Generic[Options]):
    """The inputs of a config object."""

    kind: ObjectKind[Options]
    given: ValidatedOptions[Options]
    plan: ObjectPlan
    """The plan of the options."""
    hidden: HiddenOptions

    @classmethod
    def parse(cls, kind: ObjectKind[Options], properties: Properties) -> "ObjectInputs[Options]":
        """Return the inputs in the properties of the resource.

        Args:
            kind: The kind of the object.
            properties: The properties.
        """
        fields = kind.model.model_fields
        given = validate_options(kind.model, properties.part(fields), kind.find_problems)
        return cls(kind, given, kind.plan(given.options), properties.hidden)

    @property
    def options(self) -> Options:
        """Return the options, with a placeholder for each unknown or invalid value."""
        return self.given.options

    @property
    def failures(self) -> list[Failure]:
        """Return everything that is wrong with the inputs by themselves."""
        return self.given.failures

    @property
    def owner(self) -> Owner:
        """Return the owner that the object gets, and whether it may be adopted."""
        options = self.options
        return Owner(options.owner, options.backend, options.adopt)

    def is_unknown(self, *names: str) -> bool:
        """Return whether one of the arguments, or a value in it, is unknown."""
        return any(path[0] in names for path in self.given.unknown)

    def plan_tree(self) -> dict[str, Any]:
        """Return the plan as a tree, in which everything that depends on an unknown is unknown."""
        tree = self.plan.to_tree()
        for path in self.given.unknown:
            if where := plan_path(self.kind, path):
                set_path(tree, where, UNKNOWN)
        return tree

    def outputs(self, live: LiveObject) -> dict[str, Any]:
        """Return the outputs that describe the live object after a create or an update."""
        return {
            "plan": observe(self.kind, self.plan, live).to_tree(),
            **self.kind.outputs(live),
            UNMANAGED: unmanaged_parts(self.kind, self.plan, live),
            DRIFT: [],
            ADOPTED: live.adopted,
            GENERATION: live.generation,
        }


@dataclass(frozen=True, slots=True)
class ObjectState(Generic[Options]):
    """The outputs of an earlier create, update or refresh of a config object."""

    kind: ObjectKind[Options]
    options: Options
    hidden: HiddenOptions
    applied: ObjectPlan
    """The plan of the arguments in the state, which no refresh changes."""
    plan: ObjectPlan
    """The plan as it was applied, or as a refresh observed it."""
    adopted: bool
    """Whether the object existed before it was managed."""
    renamed: bool
    """Whether a refresh found the object under another name."""

    @classmethod
    def parse(cls, kind: ObjectKind[Options], properties: Properties) -> "ObjectState[Options]":
        """Return the state in the properties of the resource.

        Args:
            kind: The kind of the object.
            properties: The properties.
        """
        fields = kind.model.model_fields
        options = validate_options(kind.model, properties.part(fields), lambda _: ()).options
        applied, seen = kind.plan(options), properties.at(("plan",))
        return cls(
            kind=kind,
            options=options,
            hidden=properties.hidden,
            applied=applied,
            plan=applied if seen is None else ObjectPlan.from_tree(seen),
            adopted=properties.at((ADOPTED,)) is True,
            renamed=bool(properties.text(RENAMED_TO)),
        )

    @property
    def is_released(self) -> bool:
        """Return whether a delete releases the object."""
        return self.adopted or self.plan.name in self.kind.permanent

    def claim(self, *owners: str) -> Claim:
        """Return what this state knows about its object; `owners` are further URNs of the
        resource."""
        return Claim(
            owners=(self.options.owner, *owners), generation=self.hidden.generation, copies=False
        )

    def refreshed(self, live: LiveObject) -> Refreshed:
        """Return the outputs that describe the live object; without drift, they are unchanged."""
        kind = self.kind
        seen = observe(kind, self.applied, live)
        outputs = {
            "plan": seen.to_tree(),
            **kind.outputs(live),
            UNMANAGED: unmanaged_parts(kind, self.applied, live),
            DRIFT: changed_parts(kind, seen, self.applied),
            GENERATION: self.hidden.generation or live.generation,
        }
        if self.options.owner and live.owner != self.options.owner:
            outputs["owner"] = live.owner
        if live.name != self.applied.name:
            outputs[RENAMED_TO] = live.name
        return Refreshed(outputs, removed=(RENAMED_TO,))


def plan_path(kind: ObjectKind[Any], path: Path) -> Path:
    """Return the path in the plan that the argument at a path sets; empty if it sets none."""
    name = str(path[0])
    if name in kind.arguments:
        return kind.arguments[name]
    planned = ("name", "project", "description", "config", "devices", "member_config")
    return path if name in planned else ()
