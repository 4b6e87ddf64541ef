"""Define the plan of a config object: exactly the part of it that a program manages."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from ...planner.spec_models import Part

Path = tuple[str | int, ...]


class ObjectOptions(Part):
    """Hold the arguments that all config objects have. Each kind adds its own."""

    name: str
    description: str | None = None
    config: dict[str, str] = Field(default_factory=dict)
    adopt: bool = False
    owner: str = ""
    """The URN of the resource."""
    backend: str = ""
    """The digest of the Pulumi backend of the resource's stack."""


@dataclass(frozen=True, slots=True)
class ObjectPlan:
    """Hold what a program manages of a config object.

    A config key, a device or a description that the plan does not have is left as it is on the
    host.

    Attributes:
        name: the name in Incus.
        project: the Incus project; empty for objects that are in no project.
        fixed: what only a replacement can change, by its name in Incus's API, such as the `type`
            of a network.
        description: the description; None if the program does not manage it.
        config: the config keys.
        devices: the devices by name, each as a whole.
        members: in a cluster, the config keys that each member has for itself, by member.
    """

    name: str
    project: str = ""
    fixed: Mapping[str, str] = field(default_factory=dict)
    description: str | None = None
    config: Mapping[str, str] = field(default_factory=dict)
    devices: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    members: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def to_tree(self) -> dict[str, Any]:
        """Return the plan as a plain tree, as the output `plan` shows it."""
        tree: dict[str, Any] = {"name": self.name}
        if self.project:
            tree["project"] = self.project
        tree.update(self.fixed)
        if self.description is not None:
            tree["description"] = self.description
        tree["config"] = dict(sorted(self.config.items()))
        for part, values in (("devices", self.devices), ("member_config", self.members)):
            if values:
                tree[part] = {
                    name: dict(sorted(value.items())) for name, value in sorted(values.items())
                }
        return tree

    @classmethod
    def from_tree(cls, tree: Any) -> "ObjectPlan":
        """Return the plan of a tree that `to_tree` returned, for example from a state.

        A part with another shape, which only an edit by hand can cause, is left out.
        """
        given = tree if isinstance(tree, Mapping) else {}
        known = {"name", "project", "description", "config", "devices", "member_config"}
        description = given.get("description")
        return cls(
            name=str(given.get("name") or ""),
            project=str(given.get("project") or ""),
            fixed={key: str(value) for key, value in given.items() if key not in known},
            description=description if isinstance(description, str) else None,
            config=_texts(given.get("config")),
            devices=_mappings(given.get("devices")),
            members=_mappings(given.get("member_config")),
        )


def _mappings(tree: Any) -> dict[str, dict[str, str]]:
    if not isinstance(tree, Mapping):
        return {}
    return {str(name): _texts(value) for name, value in tree.items()}


def _texts(tree: Any) -> dict[str, str]:
    return (
        {str(key): str(value) for key, value in tree.items()} if isinstance(tree, Mapping) else {}
    )
