"""Define the options of a mount that are not part of the plan: `shift`, `recursive`, `propagation`.

A mount of the plan has none of them, since other tools use the same form of plans.
Source: Incus doc/reference/devices_disk.md, and `validateConfig` in internal/server/device/disk.go.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ...choices import Propagation
from ...message_templates import conflict
from ...planner.plan import IncusRuntimePlan
from ...planner.spec_models import Part

if TYPE_CHECKING:
    from .runtime_options import OptionProblem, RuntimeOptions


class MountOptions(Part):
    """The options of one mount."""

    shift: bool = False
    recursive: bool = False
    propagation: Propagation | None = None

    def device_properties(self) -> dict[str, str]:
        """Return the properties of the Incus device. Those with a default are left out."""
        found = {name: "true" for name in ("shift", "recursive") if getattr(self, name)}
        if self.propagation is not None:
            found["propagation"] = self.propagation
        return found


def find_mount_option_problems(
    plan: IncusRuntimePlan, options: "RuntimeOptions"
) -> "Iterator[OptionProblem]":
    """Yield what is wrong with the options of mounts, without asking a server."""
    for i, mount in enumerate(plan.mounts):
        given = options.mount_options_of(i)
        volume = not mount.source.startswith("/")
        for name in given.device_properties():
            where = ("mount_options", i, name)
            if volume and name == "shift":
                yield (
                    where,
                    conflict(
                        "a volume as the `source`",
                        'set `config={"security.shifted": "true"}` on the volume instead',
                    ),
                )
            elif volume:
                yield where, conflict("a volume as the `source`", "it is for paths of the host")
            elif name == "recursive" and mount.read_only:
                yield (
                    where,
                    conflict(
                        '`mode="read_only"`, which the kernel does not support for nested mounts'
                    ),
                )
            elif name == "shift" and options.instance_type == "virtual-machine":
                yield where, conflict('`instance_type="virtual-machine"`', "remove it")
