"""Compare a live config object with a plan: what to send, what drifted, what others added."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..instances.changes import description_to_set
from .live_object import LiveObject
from .object_kind import ObjectKind
from .object_plan import ObjectPlan


@dataclass(slots=True)
class ObjectChanges:
    """Hold the difference between a live object and a plan.

    Attributes:
        config: the config keys to set; None unsets a key.
        devices: the devices to set, each as a whole; None removes a device.
        description: the description to set; None to leave it.
        kept: what the program no longer sets and another client changed; it stays.
    """

    config: dict[str, str | None] = field(default_factory=dict)
    devices: dict[str, dict[str, str] | None] = field(default_factory=dict)
    description: str | None = None
    kept: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.config or self.devices) or self.description is not None

    def apply_to(self, live: LiveObject, *, devices: bool) -> dict[str, Any]:
        """Return the body of the request that makes the changes, and keeps everything else.

        Args:
            live: the object as last fetched.
            devices: whether objects of this kind have devices.
        """
        body: dict[str, Any] = {
            "description": live.description if self.description is None else self.description,
            "config": _merged(live.config, self.config),
        }
        if devices:
            body["devices"] = _merged(live.devices, self.devices)
        return body


def _merged(live: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**live, **changes}
    return {key: value for key, value in merged.items() if value is not None}


def find_object_changes(
    kind: ObjectKind[Any], live: LiveObject, plan: ObjectPlan, previous: ObjectPlan | None
) -> ObjectChanges:
    """Return the smallest set of changes that brings a live object to a plan.

    Keys and devices that neither the present nor the previous plan has are left alone.

    Args:
        kind: the kind of the object.
        live: the object as last fetched.
        plan: the desired plan.
        previous: the plan that was applied or observed last; None if there is no state.
    """
    changes = ObjectChanges()
    for key, value in plan.config.items():
        if _is_unseen(kind, live, key) or kind.is_fixed(key):
            continue
        if not kind.is_same(key, value, live.config):
            changes.config[key] = value
    for name, device in plan.devices.items():
        if live.devices.get(name) != device:
            changes.devices[name] = dict(device)
    before = previous or ObjectPlan("")
    for key, value in before.config.items():
        if key in plan.config or key not in live.config or kind.keeps(key) or kind.is_fixed(key):
            continue
        if kind.is_same(key, value, live.config):
            changes.config[key] = None
        else:
            changes.kept.append(key)
    for name, device in before.devices.items():
        if name in plan.devices or name not in live.devices:
            continue
        if live.devices[name] == device:
            changes.devices[name] = None
        else:
            changes.kept.append(f"device {name}")
    changes.description = description_to_set(
        live.description, plan.description, before.description, changes.kept
    )
    return changes


def observe(kind: ObjectKind[Any], plan: ObjectPlan, live: LiveObject) -> ObjectPlan:
    """Return the part of a live object that a plan manages; without drift, the plan itself.

    Args:
        kind: the kind of the object.
        plan: the plan that was applied.
        live: the object as last fetched.
    """
    config = {}
    for key, value in plan.config.items():
        if _is_unseen(kind, live, key) or kind.is_same(key, value, live.config):
            config[key] = value
        elif key in live.config:
            config[key] = live.config[key]
    devices = {name: live.devices[name] for name in plan.devices if name in live.devices}
    description = None if plan.description is None else live.description
    fixed = {key: str(live.data.get(key, value)) for key, value in plan.fixed.items()}
    return replace(
        plan, name=live.name, fixed=fixed, description=description, config=config, devices=devices
    )


def _is_unseen(kind: ObjectKind[Any], live: LiveObject, key: str) -> bool:
    return live.in_cluster and kind.is_of_member(key)


def unmanaged_parts(kind: ObjectKind[Any], plan: ObjectPlan, live: LiveObject) -> list[str]:
    """Return the names of the config keys and devices of a live object that a plan does not have.

    Another client, or Incus itself, set them. Only the names are returned, since a value may be a
    secret.
    """
    keys = [key for key in live.config if key not in plan.config and not kind.is_hidden(key)]
    return sorted(keys) + sorted(f"device {name}" for name in live.devices.keys() - plan.devices)


def replacing_parts(
    kind: ObjectKind[Any], old: ObjectPlan, new: ObjectPlan, *, adopted: bool
) -> list[str]:
    """Return the properties whose change only a replacement can make.

    Args:
        kind: the kind of the objects.
        old: the plan in the state.
        new: the desired plan.
        adopted: whether the object existed before it was managed; it keeps its name.
    """
    found = []
    if old.name != new.name and (adopted or not kind.can_be_renamed):
        found.append("name")
    if old.project != new.project:
        found.append("project")
    found += [key for key in new.fixed if old.fixed.get(key) != new.fixed[key]]
    for key in sorted(old.config.keys() | new.config.keys()):
        if kind.is_fixed(key) and _differs(kind, key, old, new):
            found.append(f"config.{key}")
    return found


def _differs(kind: ObjectKind[Any], key: str, old: ObjectPlan, new: ObjectPlan) -> bool:
    wanted = new.config.get(key)
    return key in old.config if wanted is None else not kind.is_same(key, wanted, old.config)


def changed_parts(kind: ObjectKind[Any], old: ObjectPlan, new: ObjectPlan) -> list[str]:
    """Return the names of the parts in which two plans differ, such as `config.limits.cpu`.

    Args:
        kind: the kind of the objects.
        old: the plan in the state.
        new: the desired plan.
    """
    found = [
        name
        for name in ("name", "project", "description")
        if getattr(old, name) != getattr(new, name)
    ]
    found += [key for key in new.fixed if old.fixed.get(key) != new.fixed[key]]
    for key in sorted(old.config.keys() | new.config.keys()):
        if _differs(kind, key, old, new):
            found.append(f"config.{key}")
    found += [
        f"devices.{name}"
        for name in sorted(old.devices.keys() | new.devices.keys())
        if old.devices.get(name) != new.devices.get(name)
    ]
    return found + (["member_config"] if old.members != new.members else [])
