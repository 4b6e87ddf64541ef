"""The plan: what a spec comes to. Everything that touches Incus reads it and nothing else."""

from typing import Any, Final, Literal, Self

from pydantic import Field

from ..choices import MountKind
from .names import device_name
from .parts import (
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

INCUS_READ_ONLY_DISK_IO_BUS: Final = "virtiofs"
"""The `io.bus` of read-only disks: 9p, the other share protocol, is the slower fallback
(Incus doc/reference/devices_disk.md)."""


class IncusMountPlan(Part):
    """One mount, as one Incus disk device."""

    kind: MountKind
    source: str
    guest_path: str
    device_name: str
    read_only: bool
    io_bus: Literal["virtiofs"] | None = None
    required: bool


class IncusRuntimePlan(Part):
    """Everything that is to be made of a runtime. `RuntimeSpec.build_incus_plan` makes it."""

    identity: RuntimeIdentity
    incus: IncusTarget
    resources: RuntimeResources
    mounts: list[IncusMountPlan]
    lifecycle_root: str
    paths: LifecyclePaths
    policies: RuntimePolicies
    bootstrap: RuntimeBootstrap
    labels: Labels = Field(default_factory=dict)
    metadata: Metadata = Field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The plan as its wire JSON: optional values that are absent have no key."""
        return self.model_dump(exclude_none=True)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The plan that `to_dict` wrote.

        Raises:
            pydantic.ValidationError: `data` has another shape.
            ValueError: a device name or an io bus is not the one that the mount gets, so that no
                planner wrote `data`.
        """
        plan = cls.model_validate(data)
        for mount in plan.mounts:
            name = device_name(mount.kind, mount.source, mount.guest_path)
            if mount.device_name != name:
                raise ValueError(
                    f"plan mount `{mount.guest_path}` has device name `{mount.device_name}`; "
                    f"its kind, source and guest path make it `{name}`"
                )
            bus = INCUS_READ_ONLY_DISK_IO_BUS if mount.read_only else None
            if mount.io_bus != bus:
                raise ValueError(
                    f"plan mount `{mount.guest_path}` has io_bus {mount.io_bus!r} "
                    f"where read_only={mount.read_only} makes it {bus!r}"
                )
        return plan
