"""Parse the inputs of a runtime or a job, whose instance has a plan."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Self

from pulumi.runtime.rpc import UNKNOWN

from ..validation.hidden_property import HOST
from ..validation.lenient_validation import Failure
from ..validation.plan_inputs import PlannedInputs, plan_inputs, without_plans_devices
from ..validation.property_tree import Path, get_path
from .host_connection import default_place, host_digest
from .parsed_inputs import CHECK_ONLY, HiddenOptions, Values

_DEFAULT_PROFILE: Final = "default"
_ARGUMENTS: Final[dict[Path, str]] = {
    ("incus", "image_alias"): " (argument `image`, or `incus.image_alias`)",
    ("identity", "instance_name"): " (argument `instance_name`; by default the resource's name)",
}
_NOT_COMPARED: Final = (HOST, "on_delete", *CHECK_ONLY)
"""The inputs whose change is no reason to check anything on the host again."""


@dataclass(frozen=True)
class InstanceInputs:
    """The inputs of a runtime or a job."""

    arguments: Values
    """The inputs as given, for comparison."""
    hidden: HiddenOptions

    @classmethod
    def parse(cls, tree: dict[str, Any]) -> Self:
        """Return the inputs in a property tree."""
        return cls(Values(tree), HiddenOptions.parse(tree))

    @cached_property
    def planned(self) -> PlannedInputs:
        """Return the plan and the options. They are computed when they are first needed: for old
        inputs, that is seldom."""
        return plan_inputs(self.arguments.tree())

    @property
    def failures(self) -> list[Failure]:
        """Return everything that is wrong with the inputs by themselves."""
        return with_argument_names(self.planned.failures)

    def shown(self) -> dict[str, Any]:
        """Return the inputs that `check` adds, so that a preview shows them."""
        plan = self.planned.plan_tree
        name = get_path(plan, ("identity", "instance_name"))
        return {"plan": plan, "instance_name": UNKNOWN if name is None else name}

    def unchanged_since(self, old: "InstanceInputs") -> bool:
        """Return whether `check` returns the same inputs again, and the host is the same.

        Args:
            old: The inputs that an earlier `check` returned.
        """
        complete = Values({**self.arguments.tree(), **self.shown()})
        return complete.equals(old.arguments, besides=_NOT_COMPARED)


@dataclass(frozen=True)
class RuntimeInputs(InstanceInputs):
    """The inputs of a runtime."""

    def shown(self) -> dict[str, Any]:
        """Return the inputs that `check` adds, so that a preview shows them."""
        return {**super().shown(), "devices": self.planned.devices}


def with_argument_names(failures: list[Failure]) -> list[Failure]:
    """Return the failures; those about a default or a flat argument name the argument to set."""
    return [
        Failure(failure.path, failure.reason + _ARGUMENTS.get(failure.path, ""))
        for failure in failures
    ]


def with_host_defaults(olds: dict[str, Any], news: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs with the defaults of project, profile and storage pool.

    The defaults of project and storage pool come from the host and are used at creation only. A new
    default must not replace an existing instance.

    Args:
        olds: The old inputs, with the defaults of that time.
        news: The new inputs, which are not changed.
    """
    target = news.get("incus", {})
    default_project, default_pool = default_place()
    if isinstance(target, dict):
        project = get_path(olds, ("incus", "project")) or default_project
        news = {**news, "incus": {"project": project, "profile": _DEFAULT_PROFILE, **target}}
    if "storage_pool" not in news:
        pool = olds.get("storage_pool") if olds else default_pool
        if pool:
            news = {**news, "storage_pool": pool}
    return news


def filled_runtime_inputs(olds: dict[str, Any], news: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs of a runtime with the host's defaults and the digest of the host, and
    without the devices that an earlier plan created.

    Args:
        olds: The old inputs.
        news: The new inputs, which are not changed.
    """
    news = with_host_defaults(olds, news)
    # Without a host, a change of the host cannot be detected.
    if digest := host_digest() or olds.get(HOST):
        news = {**news, HOST: digest}
    return without_plans_devices(olds, news)
