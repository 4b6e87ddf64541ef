"""Define the plan of a spec. All code that works with Incus reads the plan and nothing else."""

from typing import Any, Final, Literal, Self

from pydantic import Field

from ..choices import MountKind
from .device_names import device_name
from .spec_models import (
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
"""The `io.bus` of read-only disks.

9p, the other share protocol, is the slower fallback (Incus doc/reference/devices_disk.md).
"""


class IncusMountPlan(Part):
    """One mount, as one Incus disk device."""

    kind: MountKind
    """What the mount is for, as in the spec."""
    source: str
    """The host path or the volume, as in the spec."""
    guest_path: str
    """The absolute path in the guest."""
    device_name: str
    """The name of the Incus device: `pk-KIND-HASH`, derived from kind, source and guest path."""
    read_only: bool
    """Whether the guest can only read."""
    io_bus: Literal["virtiofs"] | None = None
    """`virtiofs` for a read-only mount, else None."""
    required: bool
    """Whether a missing source is an error."""


class IncusRuntimePlan(Part):
    """The complete plan of a runtime; `RuntimeSpec.build_incus_plan` creates it."""

    identity: RuntimeIdentity
    """The name of the instance, and the id that its data is labelled with."""
    incus: IncusTarget
    """Project, profile and image alias."""
    resources: RuntimeResources
    """CPU, memory and disk limits."""
    mounts: list[IncusMountPlan]
    """The mounts, each with the name of its Incus device, in the order of the spec."""
    lifecycle_root: str
    """The directory in the guest through which host and guest exchange information."""
    paths: LifecyclePaths
    """Files and directories below `lifecycle_root`."""
    policies: RuntimePolicies
    """What happens when the work of the instance ends."""
    bootstrap: RuntimeBootstrap
    """How the guest starts its work."""
    labels: Labels = Field(default_factory=dict)
    """Labels of the instance. Default: an empty mapping."""
    metadata: Metadata = Field(default_factory=dict)
    """Any JSON object. Default: an empty mapping."""

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as its wire JSON: optional values that are absent have no key."""
        return self.model_dump(exclude_none=True)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """Return the plan that `to_dict` wrote.

        Raises:
            pydantic.ValidationError: `data` has another shape.
            ValueError: a device name or an io bus does not match its mount, so no planner wrote
                `data`.
        """
        plan = cls.model_validate(data)
        for mount in plan.mounts:
            name = device_name(mount.kind, mount.source, mount.guest_path)
            if mount.device_name != name:
                raise ValueError(
                    f"plan mount `{mount.guest_path}` has device name `{mount.device_name}`, but "
                    f"its kind, source and guest path give `{name}`"
                )
            bus = INCUS_READ_ONLY_DISK_IO_BUS if mount.read_only else None
            if mount.io_bus != bus:
                raise ValueError(
                    f"plan mount `{mount.guest_path}` has io_bus {mount.io_bus!r}, but "
                    f"read_only={mount.read_only} requires {bus!r}"
                )
        return plan
