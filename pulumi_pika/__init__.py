"""Incus instances from Pulumi: one exact plan, shown in preview, applied as shown."""

from typing import TYPE_CHECKING

from ._version import __version__

if TYPE_CHECKING:
    from .choices import (
        ContentType,
        InstanceType,
        MountKind,
        MountMode,
        OutputMode,
        PreflightMode,
        RestartPolicy,
        RetentionPolicy,
        WaitFor,
    )
    from .jobs.api import run_job
    from .jobs.job_errors import JobFailed
    from .jobs.job_run import JobOutcome
    from .planner.plan import INCUS_READ_ONLY_DISK_IO_BUS, IncusMountPlan, IncusRuntimePlan
    from .planner.spec import RuntimeMount, RuntimeSpec, plan_mounts
    from .planner.spec_errors import (
        DeviceNameCollision,
        DuplicateMountGuestPath,
        EmptyField,
        InvalidPath,
        MismatchedGuestRequestPath,
        MismatchedStateRoot,
        RuntimeSpecError,
    )
    from .planner.spec_models import (
        IncusTarget,
        LifecyclePaths,
        OutputCollection,
        RuntimeBootstrap,
        RuntimeIdentity,
        RuntimePolicies,
        RuntimeResources,
    )
    from .reconcile.instances.runtime_options import Timeouts
    from .reconcile.volumes.volume_options import SnapshotTimeouts, VolumeTimeouts
    from .resources.argument_types import (
        BootstrapArgs,
        HostTimeoutsArgs,
        IdentityArgs,
        IncusArgs,
        IncusJobArgs,
        IncusRuntimeArgs,
        MountArgs,
        OutputCollectionArgs,
        PathsArgs,
        PoliciesArgs,
        ResourcesArgs,
        SnapshotTimeoutsArgs,
        TimeoutsArgs,
        VolumeTimeoutsArgs,
    )
    from .resources.errors import InvalidArguments
    from .resources.host import IncusHost
    from .resources.job import IncusJob
    from .resources.runtime import IncusRuntime
    from .resources.snapshot import VolumeSnapshot
    from .resources.volume import PersistentVolume

_HOMES = {
    "choices": (
        "ContentType",
        "InstanceType",
        "MountKind",
        "MountMode",
        "OutputMode",
        "PreflightMode",
        "RestartPolicy",
        "RetentionPolicy",
        "WaitFor",
    ),
    "planner.spec_models": (
        "IncusTarget",
        "LifecyclePaths",
        "OutputCollection",
        "RuntimeBootstrap",
        "RuntimeIdentity",
        "RuntimePolicies",
        "RuntimeResources",
    ),
    "planner.plan": ("INCUS_READ_ONLY_DISK_IO_BUS", "IncusMountPlan", "IncusRuntimePlan"),
    "planner.spec_errors": (
        "DeviceNameCollision",
        "DuplicateMountGuestPath",
        "EmptyField",
        "InvalidPath",
        "MismatchedGuestRequestPath",
        "MismatchedStateRoot",
        "RuntimeSpecError",
    ),
    "planner.spec": ("RuntimeMount", "RuntimeSpec", "plan_mounts"),
    "jobs.api": ("run_job",),
    "jobs.job_errors": ("JobFailed",),
    "jobs.job_run": ("JobOutcome",),
    "reconcile.instances.runtime_options": ("Timeouts",),
    "reconcile.volumes.volume_options": ("SnapshotTimeouts", "VolumeTimeouts"),
    "resources.argument_types": (
        "BootstrapArgs",
        "HostTimeoutsArgs",
        "IdentityArgs",
        "IncusArgs",
        "IncusJobArgs",
        "IncusRuntimeArgs",
        "MountArgs",
        "OutputCollectionArgs",
        "PathsArgs",
        "PoliciesArgs",
        "ResourcesArgs",
        "SnapshotTimeoutsArgs",
        "TimeoutsArgs",
        "VolumeTimeoutsArgs",
    ),
    "resources.errors": ("InvalidArguments",),
    "resources.host": ("IncusHost",),
    "resources.job": ("IncusJob",),
    "resources.runtime": ("IncusRuntime",),
    "resources.snapshot": ("VolumeSnapshot",),
    "resources.volume": ("PersistentVolume",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "INCUS_READ_ONLY_DISK_IO_BUS",
    "BootstrapArgs",
    "ContentType",
    "DeviceNameCollision",
    "DuplicateMountGuestPath",
    "EmptyField",
    "HostTimeoutsArgs",
    "IdentityArgs",
    "IncusArgs",
    "IncusHost",
    "IncusJob",
    "IncusJobArgs",
    "IncusMountPlan",
    "IncusRuntime",
    "IncusRuntimeArgs",
    "IncusRuntimePlan",
    "IncusTarget",
    "InstanceType",
    "InvalidArguments",
    "InvalidPath",
    "JobFailed",
    "JobOutcome",
    "LifecyclePaths",
    "MismatchedGuestRequestPath",
    "MismatchedStateRoot",
    "MountArgs",
    "MountKind",
    "MountMode",
    "OutputCollection",
    "OutputCollectionArgs",
    "OutputMode",
    "PathsArgs",
    "PersistentVolume",
    "PoliciesArgs",
    "PreflightMode",
    "ResourcesArgs",
    "RestartPolicy",
    "RetentionPolicy",
    "RuntimeBootstrap",
    "RuntimeIdentity",
    "RuntimeMount",
    "RuntimePolicies",
    "RuntimeResources",
    "RuntimeSpec",
    "RuntimeSpecError",
    "SnapshotTimeouts",
    "SnapshotTimeoutsArgs",
    "Timeouts",
    "TimeoutsArgs",
    "VolumeSnapshot",
    "VolumeTimeouts",
    "VolumeTimeoutsArgs",
    "WaitFor",
    "__version__",
    "plan_mounts",
    "run_job",
]

if not TYPE_CHECKING:
    # A type checker that saw this function would accept every name, also a misspelt one.
    def __getattr__(name):
        # A program that declares resources needs no planner, and one that plans needs no Pulumi.
        module = _HOME_OF.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f".{module}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
