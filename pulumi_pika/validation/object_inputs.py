"""Parse the property trees of a config object, once per call, into typed values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeVar

from ..reconcile.objects.object_kind import ObjectKind
from ..reconcile.objects.object_plan import ObjectOptions, ObjectPlan
from ..reconcile.shared.ownership import Claim
from .hidden_property import CREATE_FIRST, PREVIEWING, RETAINED
from .lenient_validation import Failure
from .option_inputs import ValidatedOptions, validate_options
from .plan_inputs import SECRET_INPUTS
from .property_tree import (
    UNKNOWN,
    Path,
    parse_path,
    set_path,
    without_provider,
)

Options = TypeVar("Options", bound=ObjectOptions)

_AFTER_OTHERS: Final = "after_others"
_REPLACE_ON: Final = "replace_on_changes"
ADOPTED: Final = "adopted"
"""The output that says that the object existed before it was managed."""
RENAMED_TO: Final = "renamed_to"
"""The output with the other name under which a refresh found the object."""
_GENERATION: Final = "generation"


@dataclass(frozen=True, slots=True)
class ObjectInputs(Generic[Options]):
    """Hold the inputs of one call.

    Attributes:
        tree: the inputs as a plain tree, as `check` returns them, without values of `check` only.
        options: the arguments, with a placeholder for each unknown or invalid value.
        plan: the plan of the options.
        failures: everything that is wrong with the arguments.
        unknown: the paths of the unknown arguments.
        secret: the paths of the secret arguments.
        retained: whether the user set Pulumi's option `retain_on_delete`.
        create_first: whether the user set `delete_before_replace=False`.
        after_others: whether the resource depends on others that this preview only plans.
        previewing: whether the program runs for a preview.
        replace_on: the paths of the option `replace_on_changes`.
    """

    tree: dict[str, Any]
    options: Options
    plan: ObjectPlan
    failures: list[Failure]
    unknown: frozenset[Path]
    secret: tuple[Path, ...] = ()
    retained: bool = False
    create_first: bool = False
    after_others: bool = False
    previewing: bool = False
    replace_on: tuple[str, ...] = ()
    _given: ValidatedOptions[Options] | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, kind: ObjectKind[Options], props: Mapping[str, Any]) -> "ObjectInputs[Options]":
        """Return the inputs of a call.

        Args:
            kind: the kind of the object.
            props: the properties with the hidden ones opened.

        Raises:
            RecursionError: the properties are nested too deeply.
        """
        all_ = without_provider(dict(props))
        names = {*kind.model.model_fields, *_KEPT}
        given = validate_options(kind.model, all_, kind.find_problems)
        return cls(
            tree={name: value for name, value in all_.items() if name in names},
            options=given.options,
            plan=kind.plan(given.options),
            failures=given.failures,
            unknown=given.unknown,
            secret=_secret_paths(all_),
            retained=bool(all_.get(RETAINED)),
            create_first=bool(all_.get(CREATE_FIRST)),
            after_others=bool(all_.get(_AFTER_OTHERS)),
            previewing=bool(all_.get(PREVIEWING)),
            replace_on=tuple(text for text in all_.get(_REPLACE_ON) or () if isinstance(text, str)),
        )

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
    """Hold the outputs of an earlier create, update or refresh.

    Attributes:
        tree: the outputs as a plain tree.
        inputs: the arguments that were applied.
        plan: the plan as it was applied, or as a refresh observed it.
        owner: the URN in the ownership label.
        generation: the generation in the ownership label.
        adopted: whether the object existed before it was managed.
        renamed_to: the other name under which a refresh found the object; empty for none.
    """

    tree: dict[str, Any]
    inputs: ObjectInputs[Options]
    plan: ObjectPlan
    owner: str
    generation: str
    adopted: bool
    renamed_to: str

    @classmethod
    def parse(cls, kind: ObjectKind[Options], props: Mapping[str, Any]) -> "ObjectState[Options]":
        """Return the state of a call; see `ObjectInputs.parse`."""
        tree = without_provider(dict(props))
        inputs = ObjectInputs.parse(kind, props)
        plan = ObjectPlan.from_tree(tree["plan"]) if "plan" in tree else inputs.plan
        return cls(
            tree=tree,
            inputs=inputs,
            plan=plan,
            owner=inputs.options.owner,
            generation=str(tree.get(_GENERATION) or ""),
            adopted=tree.get(ADOPTED) is True,
            renamed_to=str(tree.get(RENAMED_TO) or ""),
        )

    @property
    def applied(self) -> ObjectPlan:
        """Return the plan of the arguments in the state, which no refresh changes."""
        return self.inputs.plan

    def claim(self, *owners: str) -> Claim:
        """Return what this state knows of its object; `owners` are further URNs of the resource."""
        return Claim(owners=(self.owner, *owners), generation=self.generation, copies=False)


_KEPT: Final = (SECRET_INPUTS, _REPLACE_ON, RETAINED, CREATE_FIRST, "plan", "on_delete")


def plan_path(kind: ObjectKind[Any], path: Path) -> Path:
    """Return the path in the plan that the argument at a path sets; empty if it sets none."""
    name = str(path[0])
    if name in kind.arguments:
        return kind.arguments[name]
    planned = ("name", "project", "description", "config", "devices", "member_config")
    return path if name in planned else ()


def secret_paths_of(kind: ObjectKind[Any], secret: tuple[Path, ...]) -> list[Path]:
    """Return the paths of the secret arguments, and those of the values that come from them."""
    found = list(secret)
    for path in secret:
        if where := plan_path(kind, path):
            found.append(("plan", *where))
        found += [(output,) for output in kind.revealing.get(str(path[0]), ())]
    return found


def _secret_paths(tree: Mapping[str, Any]) -> tuple[Path, ...]:
    given = tree.get(SECRET_INPUTS)
    if not isinstance(given, list):
        return ()
    return tuple(path for text in given if isinstance(text, str) and (path := parse_path(text)))
