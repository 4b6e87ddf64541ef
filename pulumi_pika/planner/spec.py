"""Define the spec: the runtime that a user declares."""

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import Field

from ..choices import MountKind, MountMode
from .device_names import device_name
from .plan import INCUS_READ_ONLY_DISK_IO_BUS, IncusMountPlan, IncusRuntimePlan
from .spec_models import (
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


class RuntimeMount(Part):
    """A directory of the guest, and where its contents are stored.

    `source` is a path of the host if it is absolute, and the name of a custom volume otherwise.
    """

    kind: MountKind
    """`persistent_volume`, `read_only_snapshot`, `artifact_output` or `cache`."""
    guest_path: str
    """The absolute path in the guest; each mount needs another one."""
    source: str
    """An absolute path on the host, or the name of a custom volume: `VOLUME` or `VOLUME/DIRECTORY`.
    Not empty."""
    mode: MountMode
    """`read_only` or `read_write`."""
    required: bool = False
    """Whether a missing source is an error; if False, the mount is skipped. Default: False."""


class RuntimeSpec(Part):
    """A declared runtime.

    `RuntimeSpec.model_validate(data)` raises pydantic's ValidationError if the shape is wrong.
    """

    identity: RuntimeIdentity
    """The name of the instance, and the id that its data is labelled with."""
    provider: Literal["incus"]
    """The provider of the instance. `incus` is the only one."""
    incus: IncusTarget
    """What the instance is created from, and in which Incus project."""
    resources: RuntimeResources = RuntimeResources()
    """CPU, memory and disk limits. Default: no limits by the plan."""
    mounts: list[RuntimeMount] = Field(default_factory=list)
    """Volumes and directories that the guest sees. Default: an empty list."""
    lifecycle_root: str = DEFAULT_LIFECYCLE_ROOT
    """The absolute path of the directory in the guest through which host and guest exchange
    information; the same as `paths.state_dir`. Default: `/run/pika-cloud`."""
    paths: LifecyclePaths = LifecyclePaths()
    """Files and directories below `lifecycle_root`. Default: the defaults of `LifecyclePaths`."""
    policies: RuntimePolicies = DEFAULT_POLICIES
    """What happens when the work of the instance ends. Default: `never`, `destroy_on_completion`,
    and outputs are always collected."""
    bootstrap: RuntimeBootstrap = RuntimeBootstrap()
    """How the guest starts its work. Default: empty."""
    labels: Labels = Field(default_factory=dict)
    """Labels of the instance, as strings. Default: an empty mapping."""
    metadata: Metadata = Field(default_factory=dict)
    """Any JSON object; part of the plan, not shown to the guest. Default: an empty mapping."""

    def build_incus_plan(self) -> IncusRuntimePlan:
        """Return the plan of this spec, with a deterministic device name for each mount.

        Raises:
            RuntimeSpecError: the spec is not valid; the error has all problems, in order.
        """
        from .validate import find_problems

        mounts = [_mount_device(mount) for mount in self.mounts]
        if problems := find_problems(self, [mount["device_name"] for mount in mounts]):
            from .spec_errors import RuntimeSpecError

            raise RuntimeSpecError(problems)
        # One validation creates all mounts, in half the time of one call for each. It also copies
        # labels and metadata, so that a later change of the spec's cannot reach the plan.
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
    """Return the device of each mount, in the order of the mounts."""
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
