"""Manage Incus instances with Pulumi: a preview shows the exact plan, and `up` applies it."""

from typing import TYPE_CHECKING

from ._version import __version__

if TYPE_CHECKING:
    from .choices import (
        ContentType,
        FileEncoding,
        ImageProtocol,
        ImageUpdate,
        InstanceType,
        MountKind,
        MountMode,
        NetworkType,
        OutputMode,
        PreflightMode,
        Propagation,
        RestartPolicy,
        RetentionPolicy,
        StorageDriver,
        WaitFor,
    )
    from .errors import PikaError
    from .incus.errors import IncusError
    from .jobs.api import RunJobOptions, run_job
    from .jobs.job_errors import (
        JobError,
        JobFailed,
        JobInstanceTaken,
        JobNotBegun,
        JobOutputRefused,
        JobRefused,
    )
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
    from .reconcile.images.image_options import ImageTimeouts
    from .reconcile.instances.runtime_options import Timeouts
    from .reconcile.shared.errors import ReconcileError
    from .reconcile.volumes.volume_options import SnapshotTimeouts, VolumeTimeouts
    from .resources.argument_types import (
        BootstrapArgs,
        GuestFileArgs,
        HostTimeoutsArgs,
        IdentityArgs,
        IncusJobArgs,
        IncusRuntimeArgs,
        IncusTargetArgs,
        LifecyclePathsArgs,
        MountArgs,
        OutputCollectionArgs,
        PoliciesArgs,
        ResourcesArgs,
        SnapshotTimeoutsArgs,
        TimeoutsArgs,
        VolumeTimeoutsArgs,
    )
    from .resources.cloud_init_types import (
        CloudInitArgs,
        CloudInitFileArgs,
        CloudInitInterfaceArgs,
        CloudInitRouteArgs,
        CloudInitUserArgs,
    )
    from .resources.errors import InvalidArguments
    from .resources.exec import IncusExec
    from .resources.host import IncusHost
    from .resources.image import IncusImage
    from .resources.image_arguments import ImageTimeoutsArgs, IncusImageArgs
    from .resources.job import IncusJob
    from .resources.network import IncusNetwork
    from .resources.object_arguments import (
        IncusNetworkArgs,
        IncusProfileArgs,
        IncusProjectArgs,
        StoragePoolArgs,
    )
    from .resources.pool import StoragePool
    from .resources.profile import IncusProfile
    from .resources.project import IncusProject
    from .resources.runtime import IncusRuntime
    from .resources.snapshot import VolumeSnapshot
    from .resources.volume import PersistentVolume

_HOMES = {
    "choices": (
        "ContentType",
        "FileEncoding",
        "ImageProtocol",
        "ImageUpdate",
        "InstanceType",
        "MountKind",
        "MountMode",
        "NetworkType",
        "OutputMode",
        "PreflightMode",
        "Propagation",
        "RestartPolicy",
        "RetentionPolicy",
        "StorageDriver",
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
    "errors": ("PikaError",),
    "incus.errors": ("IncusError",),
    "jobs.api": ("RunJobOptions", "run_job"),
    "jobs.job_errors": (
        "JobError",
        "JobFailed",
        "JobInstanceTaken",
        "JobNotBegun",
        "JobOutputRefused",
        "JobRefused",
    ),
    "jobs.job_run": ("JobOutcome",),
    "reconcile.images.image_options": ("ImageTimeouts",),
    "reconcile.instances.runtime_options": ("Timeouts",),
    "reconcile.shared.errors": ("ReconcileError",),
    "reconcile.volumes.volume_options": ("SnapshotTimeouts", "VolumeTimeouts"),
    "resources.argument_types": (
        "BootstrapArgs",
        "GuestFileArgs",
        "HostTimeoutsArgs",
        "IdentityArgs",
        "IncusTargetArgs",
        "IncusJobArgs",
        "IncusRuntimeArgs",
        "MountArgs",
        "OutputCollectionArgs",
        "LifecyclePathsArgs",
        "PoliciesArgs",
        "ResourcesArgs",
        "SnapshotTimeoutsArgs",
        "TimeoutsArgs",
        "VolumeTimeoutsArgs",
    ),
    "resources.cloud_init_types": (
        "CloudInitArgs",
        "CloudInitFileArgs",
        "CloudInitInterfaceArgs",
        "CloudInitRouteArgs",
        "CloudInitUserArgs",
    ),
    "resources.errors": ("InvalidArguments",),
    "resources.exec": ("IncusExec",),
    "resources.host": ("IncusHost",),
    "resources.image": ("IncusImage",),
    "resources.image_arguments": ("ImageTimeoutsArgs", "IncusImageArgs"),
    "resources.job": ("IncusJob",),
    "resources.network": ("IncusNetwork",),
    "resources.object_arguments": (
        "IncusNetworkArgs",
        "IncusProfileArgs",
        "IncusProjectArgs",
        "StoragePoolArgs",
    ),
    "resources.pool": ("StoragePool",),
    "resources.profile": ("IncusProfile",),
    "resources.project": ("IncusProject",),
    "resources.runtime": ("IncusRuntime",),
    "resources.snapshot": ("VolumeSnapshot",),
    "resources.volume": ("PersistentVolume",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "INCUS_READ_ONLY_DISK_IO_BUS",
    "BootstrapArgs",
    "CloudInitArgs",
    "CloudInitFileArgs",
    "CloudInitInterfaceArgs",
    "CloudInitRouteArgs",
    "CloudInitUserArgs",
    "ContentType",
    "DeviceNameCollision",
    "DuplicateMountGuestPath",
    "EmptyField",
    "FileEncoding",
    "GuestFileArgs",
    "HostTimeoutsArgs",
    "IdentityArgs",
    "ImageProtocol",
    "ImageTimeouts",
    "ImageTimeoutsArgs",
    "ImageUpdate",
    "IncusError",
    "IncusExec",
    "IncusHost",
    "IncusImage",
    "IncusImageArgs",
    "IncusJob",
    "IncusJobArgs",
    "IncusMountPlan",
    "IncusNetwork",
    "IncusNetworkArgs",
    "IncusProfile",
    "IncusProfileArgs",
    "IncusProject",
    "IncusProjectArgs",
    "IncusRuntime",
    "IncusRuntimeArgs",
    "IncusRuntimePlan",
    "IncusTarget",
    "IncusTargetArgs",
    "InstanceType",
    "InvalidArguments",
    "InvalidPath",
    "JobError",
    "JobFailed",
    "JobInstanceTaken",
    "JobNotBegun",
    "JobOutcome",
    "JobOutputRefused",
    "JobRefused",
    "LifecyclePaths",
    "LifecyclePathsArgs",
    "MismatchedGuestRequestPath",
    "MismatchedStateRoot",
    "MountArgs",
    "MountKind",
    "MountMode",
    "NetworkType",
    "OutputCollection",
    "OutputCollectionArgs",
    "OutputMode",
    "PersistentVolume",
    "PikaError",
    "PoliciesArgs",
    "PreflightMode",
    "Propagation",
    "ReconcileError",
    "ResourcesArgs",
    "RestartPolicy",
    "RetentionPolicy",
    "RunJobOptions",
    "RuntimeBootstrap",
    "RuntimeIdentity",
    "RuntimeMount",
    "RuntimePolicies",
    "RuntimeResources",
    "RuntimeSpec",
    "RuntimeSpecError",
    "SnapshotTimeouts",
    "SnapshotTimeoutsArgs",
    "StorageDriver",
    "StoragePool",
    "StoragePoolArgs",
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
    # Hidden from type checkers, which would otherwise accept every name, also a misspelt one.
    def __getattr__(name):
        # Names are imported on first use: a program that declares resources does not need the
        # planner, and a program that only plans does not need Pulumi.
        module = _HOME_OF.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(f".{module}", __name__), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return __all__
