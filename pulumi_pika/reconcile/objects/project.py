"""Define projects: what a group of instances may use, and what it has for itself."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from pydantic import Field

from ...incus.client import IncusClient, url
from ...incus.errors import NotFound
from ...message_templates import invalid_value
from ...text_safety import one_line
from ..instances.runtime_options import OptionProblem
from .live_object import LiveObject
from .object_kind import ObjectKind
from .object_plan import ObjectOptions, ObjectPlan, Path

_FEATURES: Final = "features."
_ENABLED_ANY_TIME: Final = frozenset({"features.networks.zones"})
"""The features that a project with contents can still get (Incus `ProjectFeatures`)."""


_LIMITS: Final = (
    ("max_instances", "instances", 1, ""),
    ("max_vcpu_count", "cpu", 1, ""),
    ("max_memory_mib", "memory", 2**20, " MiB"),
    ("max_disk_gib", "disk", 2**30, " GiB"),
)
"""The arguments that are limits: their names in the state of a project, and their units."""


class ProjectOptions(ObjectOptions):
    """Hold the arguments of an `IncusProject`."""

    own_images: bool | None = None
    own_profiles: bool | None = None
    own_volumes: bool | None = None
    own_networks: bool | None = None
    restricted: bool | None = None
    max_instances: int | None = Field(default=None, ge=0)
    max_vcpu_count: int | None = Field(default=None, ge=0)
    max_memory_mib: int | None = Field(default=None, ge=0)
    max_disk_gib: int | None = Field(default=None, ge=0)


class ProjectKind(ObjectKind[ProjectOptions]):
    """Describe projects."""

    noun = "project"
    collection = "projects"
    command = "incus project"
    permanent = frozenset({"default"})
    model = ProjectOptions
    arguments: ClassVar[Mapping[str, Path]] = {
        "own_images": ("config", "features.images"),
        "own_profiles": ("config", "features.profiles"),
        "own_volumes": ("config", "features.storage.volumes"),
        "own_networks": ("config", "features.networks"),
        "restricted": ("config", "restricted"),
        "max_instances": ("config", "limits.instances"),
        "max_vcpu_count": ("config", "limits.cpu"),
        "max_memory_mib": ("config", "limits.memory"),
        "max_disk_gib": ("config", "limits.disk"),
    }

    def plan(self, options: ProjectOptions) -> ObjectPlan:
        """Return the plan of the arguments."""
        config = self.config_of(options)
        if options.max_memory_mib is not None:
            config["limits.memory"] = f"{options.max_memory_mib}MiB"
        if options.max_disk_gib is not None:
            config["limits.disk"] = f"{options.max_disk_gib}GiB"
        return ObjectPlan(name=options.name, description=options.description, config=config)

    def find_problems(self, options: ProjectOptions) -> Iterator[OptionProblem]:
        """Find values that Incus would refuse. No server is asked."""
        yield from super().find_problems(options)
        # Source: projectValidateName of Incus 6.0 and 7.3.
        if "_" in options.name:
            shown = one_line(options.name, 100)
            yield ("name",), invalid_value(shown, "project name", "use no underscore")

    def find_host_problems(
        self, client: IncusClient, options: ProjectOptions
    ) -> Iterator[OptionProblem]:
        """Find limits that are lower than what the project uses now, which Incus refuses."""
        try:
            state: Any = client.get(url("projects", options.name, "state")).data
        except NotFound:
            return  # It does not exist yet.
        for argument, resource, unit, unit_name in _LIMITS:
            limit = getattr(options, argument)
            resources = state.get("resources")
            used = resources.get(resource) if isinstance(resources, dict) else None
            usage = used.get("Usage", 0) if isinstance(used, dict) else 0
            if limit is not None and isinstance(usage, int | float) and limit * unit < usage:
                uses = f"{usage / unit:g}{unit_name}"
                rule = f"the project uses {uses} now; delete instances before, or allow more"
                yield (argument,), invalid_value(limit, "limit", rule)

    def keeps(self, key: str) -> bool:
        """Return whether a config key stays on the host after the program drops it.

        Incus sets every feature at the creation; a feature that is unset is off.
        """
        return key.startswith(_FEATURES)

    def needs_no_users(self, old: ObjectPlan, new: ObjectPlan) -> list[str]:
        """Return the changed parts that Incus changes only while the project is empty."""
        parts = ["name"] if old.name != new.name else []
        for key, value in sorted(new.config.items()):
            if not key.startswith(_FEATURES) or old.config.get(key) == value:
                continue
            if key in old.config and not (key in _ENABLED_ANY_TIME and value == "true"):
                parts.append(key)
        return parts

    def users(self, live: LiveObject) -> tuple[str, ...]:
        """Return the URLs of what is in the project; Incus deletes its own profile with it."""
        own = f"/1.0/profiles/default?project={live.name}"
        return tuple(user for user in live.used_by if user != own)


PROJECT: Final = ProjectKind()
"""The kind of an `IncusProject`."""
