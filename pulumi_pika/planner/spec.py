"""The spec: what a user asks for."""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field

from ..choices import MountKind, MountMode
from .names import device_name
from .parts import (
    DEFAULT_LIFECYCLE_ROOT,
    DEFAULT_POLICIES,
    IncusTarget,
    Labels,
    LifecyclePaths,
    Metadata,
    Part,
    RuntimeBootstrap,
    RuntimeIdentity,
    RuntimePolicies,
    RuntimeResources,
)
from .plan import INCUS_READ_ONLY_DISK_IO_BUS, IncusMountPlan, IncusRuntimePlan


class RuntimeMount(Part):
    """A directory of the guest and where its contents live.

    `source` is a path of the host where it is absolute, and the name of a custom volume otherwise.
    """

    kind: MountKind
    guest_path: str
    source: str
    mode: MountMode
    required: bool = False


class RuntimeSpec(Part):
    """A declared runtime.

    `RuntimeSpec.model_validate(data)` raises pydantic's ValidationError on a wrong shape.
    """

    identity: RuntimeIdentity
    provider: Literal["incus"]
    incus: IncusTarget
    resources: RuntimeResources = RuntimeResources()
    mounts: list[RuntimeMount] = Field(default_factory=list)
    lifecycle_root: str = DEFAULT_LIFECYCLE_ROOT
    paths: LifecyclePaths = LifecyclePaths()
    policies: RuntimePolicies = DEFAULT_POLICIES
    bootstrap: RuntimeBootstrap = RuntimeBootstrap()
    labels: Labels = Field(default_factory=dict)
    metadata: Metadata = Field(default_factory=dict)

    def build_incus_plan(self) -> IncusRuntimePlan:
        """The plan of this spec, with a deterministic device name for each mount.

        Raises:
            RuntimeSpecError: the spec says something impossible; all of it, in order.
        """
        from .validate import find_problems

        mounts = [_mount_device(mount) for mount in self.mounts]
        if problems := find_problems(self, [mount["device_name"] for mount in mounts]):
            from .problems import RuntimeSpecError

            raise RuntimeSpecError(problems)
        # Validation makes all mounts at once, in half the time of a call for each, and copies
        # labels and metadata, so that a later change to the spec's cannot reach the plan.
        return IncusRuntimePlan.model_validate(
            {
                "identity": self.identity,
                "incus": self.incus,
                "resources": self.resources,
                "mounts": mounts,
                "lifecycle_root": self.lifecycle_root,
                "paths": self.paths,
                "policies": self.policies,
                "bootstrap": self.bootstrap,
                "labels": self.labels,
                "metadata": self.metadata,
            }
        )


def plan_mounts(mounts: Iterable[RuntimeMount]) -> list[IncusMountPlan]:
    """The device of each mount, in the order of the mounts."""
    return [IncusMountPlan.model_validate(_mount_device(mount)) for mount in mounts]


def _mount_device(mount: RuntimeMount) -> dict[str, Any]:
    kind, source, guest_path = mount.kind, mount.source, mount.guest_path
    read_only = mount.mode == "read_only"
    return {
        "kind": kind,
        "source": source,
        "guest_path": guest_path,
        "device_name": device_name(kind, source, guest_path),
        "read_only": read_only,
        "io_bus": INCUS_READ_ONLY_DISK_IO_BUS if read_only else None,
        "required": mount.required,
    }
