"""Parse the inputs of a runtime or a job, whose instance has a plan."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from pulumi.runtime.rpc import UNKNOWN

from ..message_templates import Message
from ..planner.flat_arguments import DEFAULT_PROFILE
from ..validation.hidden_property import HOST
from ..validation.lenient_validation import Failure
from ..validation.plan_inputs import (
    PLANNED_FIELDS,
    PlannedInputs,
    plan_inputs,
    without_plans_devices,
)
from ..validation.property_tree import Path, get_path
from .host_connection import default_place, host_digest
from .properties import CHECK_ONLY, HiddenOptions, Properties

_ARGUMENTS: Final[dict[Path, str]] = {
    ("incus", "image_alias"): " (argument `image`, or `incus.image_alias`)",
    ("identity", "instance_name"): " (argument `instance_name`; by default the resource's name)",
}
_NOT_COMPARED: Final = {HOST, "on_delete", *CHECK_ONLY}
"""The inputs whose change is no reason to check anything on the host again."""


@dataclass(frozen=True)
class InstanceInputs:
    """The inputs of a runtime or a job."""

    properties: Properties
    """The inputs as given, for comparison."""

    @property
    def hidden(self) -> HiddenOptions:
        """Return what the resource passes beside its arguments."""
        return self.properties.hidden

    @cached_property
    def planned(self) -> PlannedInputs:
        """Return the plan and the options. They are computed when they are first needed: for old
        inputs, that is seldom."""
        return plan_inputs(self.properties.part(PLANNED_FIELDS))

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
        complete = self.properties.with_values(self.shown())
        return set(complete.names_that_differ(old.properties)) <= _NOT_COMPARED


@dataclass(frozen=True)
class RuntimeInputs(InstanceInputs):
    """The inputs of a runtime."""

    def shown(self) -> dict[str, Any]:
        """Return the inputs that `check` adds, so that a preview shows them."""
        return {**super().shown(), "devices": self.planned.devices}


def with_argument_names(failures: list[Failure]) -> list[Failure]:
    """Return the failures; those about a default or a flat argument name the argument to set."""
    return [
        Failure(
            failure.path, Message(failure.reason + _ARGUMENTS.get(failure.path, ""), failure.code)
        )
        for failure in failures
    ]


def with_host_defaults(old: Properties, new: Properties) -> Properties:
    """Return the inputs with the defaults of project, profile and storage pool.

    The defaults of project and storage pool come from the host and are used at creation only. A new
    default must not replace an existing instance.

    Args:
        old: The old inputs, with the defaults of that time; empty for a new instance.
        new: The new inputs.
    """
    defaults: dict[str, Any] = {}
    given, old_names = new.names(), old.names()
    default_project, default_pool = default_place()
    target = new.at(("incus",)) if "incus" in given else {}
    if isinstance(target, dict):
        project = old.at(("incus", "project")) or default_project
        defaults["incus"] = {"project": project, "profile": DEFAULT_PROFILE, **target}
    if "storage_pool" not in given:
        pool = old.at(("storage_pool",)) if old_names else default_pool
        if pool:
            defaults["storage_pool"] = pool
    return new.with_values(defaults)


def filled_runtime_inputs(old: Properties, new: Properties) -> Properties:
    """Return the inputs of a runtime with the host's defaults and the digest of the host, and
    without the devices that an earlier plan created.

    Args:
        old: The old inputs; empty for a new instance.
        new: The new inputs.
    """
    new = with_host_defaults(old, new)
    values: dict[str, Any] = {}
    # Without a host, a change of the host cannot be detected.
    if digest := host_digest() or old.hidden.host_digest:
        values[HOST] = digest
    shown, given = old.at(("devices",)), new.at(("devices",))
    if isinstance(shown, dict) and isinstance(given, dict):
        own_root = old.at(("resources", "root_disk_gib")) is not None
        values["devices"] = without_plans_devices(shown, given, own_root=own_root)
    return new.with_values(values)
