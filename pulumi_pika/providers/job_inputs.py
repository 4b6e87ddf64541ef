"""Parse the inputs and the state of an `IncusJob`."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from ..jobs.job_options import DEFAULT_RESOURCES, EXEC_WITHIN, JobOptions, find_job_problems
from ..reconcile.instances.live_instance import RUNNING
from ..validation.lenient_validation import Failure
from ..validation.option_inputs import ValidatedOptions, validate_options
from ..validation.plan_inputs import SPEC_FIELDS, PlannedInputs, plan_inputs
from ..validation.property_tree import Path
from .instance_inputs import InstanceInputs, with_argument_names
from .properties import Values

REPLACING_OPTIONS: Final = (
    "instance_type",
    "storage_pool",
    "mount_storage_pools",
    "config",
    "devices",
    "extra_profiles",
    "cloud_init_user_data",
)
"""The options of the instance that can change the result of the job."""
INSTANCE_OPTIONS: Final = (*REPLACING_OPTIONS, "description", "timeouts", "owner", "backend")


@dataclass(frozen=True)
class JobInputs(InstanceInputs):
    """The inputs of a job: its plan, the options of its instance, and its work."""

    @cached_property
    def planned(self) -> PlannedInputs:
        """Return the plan and the options of the instance, with the defaults of jobs."""
        taken = self.properties.part((*SPEC_FIELDS, *INSTANCE_OPTIONS))
        defaults: dict[str, dict[str, Any]] = {
            "resources": DEFAULT_RESOURCES.model_dump(exclude_none=True),
            "timeouts": {"wait": EXEC_WITHIN},
        }
        for name, values in defaults.items():
            given: Any = taken.get(name)
            if given is None or isinstance(given, dict):
                taken[name] = {**values, **(given or {})}
        return plan_inputs({**taken, "running": True})

    @cached_property
    def work(self) -> ValidatedOptions[JobOptions]:
        """Return the options of the work."""
        return validate_options(
            JobOptions, self.properties.part(JobOptions.model_fields), find_job_problems
        )

    @property
    def failures(self) -> list[Failure]:
        """Return everything that is wrong with the inputs by themselves."""
        return with_argument_names([*self.planned.failures, *self.work.failures])

    @property
    def name(self) -> str:
        """Return the name of the instance."""
        return self.planned.plan.identity.instance_name

    @property
    def project(self) -> str:
        """Return the Incus project."""
        return self.planned.plan.incus.project

    @property
    def unknown(self) -> frozenset[Path]:
        """Return the paths of the unknown inputs."""
        return self.planned.unknown | self.work.unknown

    def values(self) -> Values:
        """Return all planned and validated values, for comparison."""
        planned = self.planned
        return Values(
            {
                **planned.options.model_dump(),
                **self.work.options.model_dump(),
                **planned.plan.to_dict(),
            }
        )


@dataclass(frozen=True)
class JobState(JobInputs):
    """The outputs of an earlier create, update or refresh of a job."""

    @property
    def retained_instance(self) -> str:
        """Return the name of the retained instance; empty if there is none."""
        return self.properties.text("retained_instance")

    @property
    def retained_status(self) -> str:
        """Return the status of the retained instance at the last refresh; empty if it is
        deleted."""
        return self.properties.text("retained_status")

    @property
    def retained_uuid(self) -> str:
        """Return the own id of the retained instance."""
        return self.properties.text("retained_uuid")

    @property
    def applied_project(self) -> str:
        """Return the Incus project of the plan that was applied."""
        return str(self.properties.at(("plan", "incus", "project")) or "default")

    @property
    def is_kept_until_stopped(self) -> bool:
        """Return whether a retained instance is deleted when it stops."""
        return self.planned.plan.policies.retention_policy == "keep_until_stopped"

    @property
    def is_over(self) -> bool:
        """Return whether a retained instance must be deleted, or was deleted according to a
        refresh."""
        if not self.retained_instance:
            return False
        status = self.retained_status
        return not status or (self.is_kept_until_stopped and status not in RUNNING)
