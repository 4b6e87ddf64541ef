"""Derive the change of each resource from the steps of a preview: what happens, why, and to which
data."""

import re
from collections.abc import Iterator
from typing import Any, Final, get_args

from ..choices import MountKind
from ..validation.hidden_property import MANAGED_MOUNTS
from ..validation.warning_codes import RESTART
from .devices import devices_of
from .preview import (
    HOST,
    IDLE_OPS,
    MARKS,
    REPLACES,
    UNKNOWN,
    Diagnostic,
    State,
    Step,
    Tree,
    Urn,
    plain_op,
)
from .redaction import Path, seen
from .report_model import (
    DATA_DELETING_OPTION,
    OBJECTS,
    Action,
    Change,
    Kind,
    Value,
)

_SPEC: Final = (
    "lifecycle_root", "paths", "policies", "bootstrap", "labels", "metadata", "identity", "incus",
    "resources",
)  # fmt: skip
"""The parts of the spec, which the plan contains with all defaults. Mounts are shown as devices."""
_MOUNT_KINDS: Final = get_args(MountKind)
_POOL: Final[Path] = ("storage_pool",)
_INSTANCE: Final[tuple[Path, ...]] = (
    ("plan", "identity", "instance_name"),
    ("plan", "incus", "project"),
    ("plan", "incus", "image_alias"),
    ("plan", "incus", "profile"),
    ("instance_type",),
    _POOL,
    ("plan", "resources", "vcpu_count"),
    ("plan", "resources", "memory_mib"),
    ("plan", "resources", "root_disk_gib"),
)
_ALWAYS: Final[dict[Kind, tuple[Path, ...]]] = {
    "runtime": _INSTANCE,
    "job": _INSTANCE,
    "volume": (("volume_name",), ("project",), ("storage_pool",), ("size",)),
    "snapshot": (("volume_name",), ("snapshot_name",), ("project",), ("storage_pool",)),
    "host": (),
    **dict.fromkeys(
        OBJECTS,
        (("plan", "name"), ("plan", "project"), ("plan", "type"), ("plan", "driver")),
    ),
}
"""The properties that are shown even if they do not change."""
_UNSHOWN: Final = (
    "plan", "mounts", "devices", "secret_inputs", "owner", "on_delete", "after_others",
    "instance_name", "__provider", "backend", "replace_on_changes", "generation",
    "managed_mounts", "retain_on_delete", "pika_internal",
)  # fmt: skip
"""The inputs that are shown in another way, or that no program sets."""
_DEFAULTS_NOT_SHOWN: Final = {
    "adopt": False,
    "allow_restart": True,
    "content_type": "filesystem",
    "delete_data": False,
    "run_as_root": True,
    "running": True,
    "snapshot_before_restore": True,
    "wait_for": "running",
}
"""The defaults that a create does not show."""


def main_steps(steps: list[Step]) -> list[Step]:
    """Return one step for each change; a preview may show a replacement as three steps.

    A resource may have several deletes: those of an earlier update that failed are still pending.
    Each of them is a change of its own, since each state decides about its own data.
    """
    found: dict[tuple[str, str, int], Step] = {}
    for step in steps:
        action = plain_op(step.op)
        if action in IDLE_OPS:
            continue
        same = [other for other in steps if other.urn.text == step.urn.text]
        if action == "delete":
            if any(it.op in REPLACES and it.old and it.old == step.old for it in same):
                continue  # It is part of the replacement.
            deletes = [other for other in same if plain_op(other.op) == "delete"]
            first = next(at for at, other in enumerate(deletes) if other.old == step.old)
            found.setdefault((step.urn.text, action, first), step)
            continue
        kept = found.get((step.urn.text, action, 0))
        # The step `replace` has both states; its other parts may have only one.
        if kept is None or (kept.old is None and step.old is not None):
            found[step.urn.text, action, 0] = step
    return list(found.values())


def change_of(step: Step, shown: Step, said: list[Diagnostic]) -> Change:
    """Return the change that a step of a resource of this package means.

    Args:
        step: The step with secrets, to decide what differs.
        shown: The same step without secrets.
        said: The lines of the log about the resource.
    """
    kind: Kind = step.urn.kind  # type: ignore[assignment]
    action = _action(kind, step, any(RESTART in line.codes for line in said if line.level))
    has_old, has_new = action != "create", action not in ("delete", "release")
    updates = action.startswith("update")
    old = ResourceSnapshot(shown.old if has_old else None, step.old)
    new = ResourceSnapshot(shown.new if has_new else None, step.new)
    values = list(_values(kind, step, old, new))
    # The plan of an object has its devices, and those of its arguments are not all of them.
    devices = [] if kind in OBJECTS else devices_of(old, new, replaces=action == "replace")
    deletes = action in ("delete", "replace") and not (step.old and step.old.retain)
    hides_restart = (
        action == "update"
        and kind in ("runtime", "volume")
        and _hides_restart(kind, old, new, values)
    )
    if hides_restart:
        action = "update_with_restart"
    return Change(
        urn=step.urn.text,
        name=step.urn.name,
        kind=kind,
        action=action,
        why=_why(step, action, values, any(d.change != "same" for d in devices)),
        on_delete=old.text("on_delete") if deletes else "",
        deletes_data_of=_deleted_data(kind, old) if deletes else [],
        stops_keeping_data_of=_no_longer_kept(kind, old, new)
        if updates or (action == "replace" and kind == "runtime")
        else [],
        drift=list(_drift(kind, step.old)) if step.new and step.old else [],
        notes=[line.message.strip() for line in said if not line.level and not line.codes],
        hides_left_out=old.there
        and any(_has_mark(side.output("skipped_mounts")) for side in (old, old.raw)),
        host=host_name(step.host),
        values=values,
        devices=devices,
    )


def host_name(urn: Urn | None) -> str:
    """Return the name of a host; empty for the host that the environment names."""
    return urn.name if urn and urn.kind == HOST else ""


class ResourceSnapshot:
    """A resource before or after the step, without secrets.

    Args:
        state: The state without secrets; None if the step has none on this side.
        raw: The state with secrets. All decisions use it, since a value is different after a secret
            in it is removed.
    """

    def __init__(self, state: State | None, raw: State | None = None) -> None:
        self.there = state is not None
        self.mark = state.mark if state else ""
        self.inputs: Tree = state.inputs if state else {}
        self.outputs: Tree = state.outputs if state else {}
        self.raw = self if raw is None else ResourceSnapshot(raw)

    def find(self, path: Path) -> Any:
        """Return the value at a path of the inputs; a placeholder if the inputs are hidden."""
        return seen(self.inputs, path) if path[0] in self.inputs else self.mark or None

    def output(self, name: str) -> Any:
        """Return an output or, if there is none (yet), the input of the same name."""
        for tree in (self.outputs, self.inputs):
            if name in tree:
                return tree[name]
        return self.mark or None

    def text(self, name: str) -> str:
        """Return an output that is a string."""
        value = self.output(name)
        return value if isinstance(value, str) else ""


def _action(kind: Kind, step: Step, restarts: bool) -> Action:
    op = plain_op(step.op)
    if op == "delete" and kind in OBJECTS and step.old and step.old.outputs.get("adopted") is True:
        return "release"
    if op == "update":
        return "update_with_restart" if restarts else "update"
    if op == "delete":
        return "release" if step.old and step.old.retain else "delete"
    return "replace" if op == "replace" else "create"


def _why(step: Step, action: Action, values: list[Value], devices: bool) -> list[str]:
    if action == "replace":
        return step.replace_reasons
    if not action.startswith("update"):
        return []
    changed = [value.path for value in values if value.changed]
    return changed + (["devices"] if devices else [])


def _values(
    kind: Kind, step: Step, old: ResourceSnapshot, new: ResourceSnapshot
) -> Iterator[Value]:
    before = step.old.inputs if step.old and old.there else None
    after = step.new.inputs if step.new and new.there else None
    for path in dict.fromkeys(_paths(kind, before, after)):
        one, other = seen(before, path), seen(after, path)
        shown = [side.find(path) for side in (old, new)]
        if path == _POOL:
            # Without an explicit pool, an instance stays in its present pool.
            if one is None and before is not None:
                one = shown[0] = old.output("volume_storage_pool")
            if other is None and before is not None and "storage_pool" not in step.replace_reasons:
                other = shown[1] = one if after is not None else None
        changed = one != other and before is not None and after is not None
        if path in _ALWAYS[kind]:
            left_away = path != _POOL and one is None and other is None
        elif before is None:
            left_away = len(path) == 1 and _DEFAULTS_NOT_SHOWN.get(str(path[0]), UNKNOWN) == other
        else:
            left_away = not changed
        if not left_away:
            yield Value(
                path=_path_text(path[1:] if path[0] == "plan" else path),
                before=shown[0],
                after=shown[1],
                changed=changed,
            )


def _paths(kind: Kind, before: Tree | None, after: Tree | None) -> list[Path]:
    """Return the paths of the properties to compare, the most important first."""
    paths = list(_ALWAYS[kind])
    if after is None:
        return paths
    if kind in OBJECTS:
        # The plan has all arguments in Incus's terms.
        plans = {"plan": (before or {}).get("plan")}, ("plan",), {"plan": after.get("plan")}
        return [*paths, *_leaves(*plans), *_leaves(before, ("adopt",), after)]
    planned = _SPEC if kind in ("runtime", "job") else ()
    for name in sorted((before or {}).keys() | after.keys()):
        if name not in planned and name not in _UNSHOWN:
            paths += _leaves(before, (name,), after)
    for name in planned:
        if before is None:
            # Only what the program sets; the plan has every default too.
            paths += [("plan", *path) for path in _leaves(None, (name,), after)]
        else:
            paths += _leaves(before, ("plan", name), after)
    return paths


def _leaves(tree: Any, at: Path, other: Any) -> list[Path]:
    """Return the paths of all values that are not dicts, below a path, in one tree or the other."""
    one, two = seen(tree, at), seen(other, at)
    dicts = [value for value in (one, two) if isinstance(value, dict)]
    if not dicts or any(value is not None and not isinstance(value, dict) for value in (one, two)):
        return [at] if (one, two) != (None, None) else []
    names = sorted({str(name) for value in dicts for name in value})
    return [path for name in names for path in _leaves(tree, (*at, name), other)]


def _path_text(path: Path) -> str:
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif set(step) & set('.[]"'):
            text += '["' + step.replace("\\", "\\\\").replace('"', '\\"') + '"]'
        else:
            text += f".{step}" if text else step
    return text


def _deleted_data(kind: Kind, old: ResourceSnapshot) -> list[str]:
    """Return the volumes, or the snapshot, that are deleted with a resource as it was applied
    last."""
    if kind == "snapshot":
        return [f"{old.text('volume_name')}/{old.text('snapshot_name')}"]
    option = DATA_DELETING_OPTION.get(kind)
    if option is None:
        return []
    # Without a state, nothing proves that the data is kept.
    on = _may_be_on(old.raw.output(option)) if old.there else True
    return _volumes(kind, old) if on else []


def _no_longer_kept(kind: Kind, old: ResourceSnapshot, new: ResourceSnapshot) -> list[str]:
    """Return the volumes that a later delete deletes, but that a delete of the present state
    keeps."""
    option = DATA_DELETING_OPTION.get(kind)
    if option is None or old.raw.output(option) is True:
        return []
    return _volumes(kind, new) if _may_be_on(new.raw.find((option,))) else []


def _may_be_on(value: Any) -> bool:
    """Return whether an option is on or may be on; a hidden option may be on."""
    return value is not None and value is not False


def _volumes(kind: Kind, side: ResourceSnapshot) -> list[str]:
    """Return the volumes that may be deleted with a resource.

    A volume with a hidden name is a placeholder, and so is a mount that may be a volume.
    """
    if kind == "volume":
        return [side.text("volume_name") or side.mark or UNKNOWN]
    mounts = _mounts_of(side.raw)
    if not isinstance(mounts, list):
        return [mounts if mounts in MARKS else UNKNOWN]
    shown, managed = _mounts_of(side), side.raw.output(MANAGED_MOUNTS)
    names = []
    for at, mount in enumerate(mounts):
        if isinstance(managed, list) and at in managed:
            continue  # A PersistentVolume manages it and decides.
        if isinstance(mount, dict) and not _may_be_volume(mount):
            continue
        name = seen(shown, (at, "source"))
        names.append(name.partition("/")[0] if isinstance(name, str) and name else UNKNOWN)
    return list(dict.fromkeys(names))


def _mounts_of(side: ResourceSnapshot) -> Any:
    """Return the list of the plan's mounts; a placeholder or None if it is hidden."""
    plan = side.outputs.get("plan") or side.inputs.get("plan") or side.mark
    return seen(plan, ("mounts",)) if plan else None


def _may_be_volume(mount: Tree) -> bool:
    kind, source = mount.get("kind"), mount.get("source")
    if kind in _MOUNT_KINDS and kind != "persistent_volume":
        return False
    if not isinstance(source, str) or not source.startswith("/"):
        return True
    return any(mark in source for mark in MARKS)


_SAFE: Final = (
    "labels", "metadata", "description", "on_delete", "delete_data", "wait_for", "timeouts",
    "allow_restart", "replace_on_changes", "secret_inputs", "owner", "backend", "after_others",
    "managed_mounts", "retain_on_delete", "generation", "__provider",
)  # fmt: skip
"""The inputs of a runtime whose change never restarts the instance."""


def _hides_restart(
    kind: Kind, old: ResourceSnapshot, new: ResourceSnapshot, values: list[Value]
) -> bool:
    """Return whether an update may stop an instance without a warning of the provider, because a
    value that decides this is unknown."""
    if kind == "volume":
        return bool(new.raw.find(("restore_from",)) == UNKNOWN)
    if any(side.raw.find(("running",)) is False for side in (old, new)):
        return False
    unknown = {name for name, value in new.raw.inputs.items() if _has_unknown(value)}
    if new.mark in MARKS:
        return True
    changed = {re.split(r"[.\[]", value.path)[0] for value in values if value.changed}
    return bool(unknown) and bool((unknown | changed) - {*_SAFE, "plan"})


def _has_unknown(value: Any) -> bool:
    if isinstance(value, dict):
        return any(map(_has_unknown, value.values()))
    if isinstance(value, list):
        return any(map(_has_unknown, value))
    return bool(value == UNKNOWN)


def _has_mark(value: Any) -> bool:
    return value in MARKS or (isinstance(value, list) and any(item in MARKS for item in value))


def _drift(kind: Kind, old: State) -> Iterator[str]:
    """Yield the parts of the spec that a refresh found changed.

    A refresh does not change the outputs; its findings are in the inputs. For an object, an output
    lists them.
    """
    if kind in OBJECTS:
        found = old.outputs.get("drift")
        yield from (str(name) for name in found) if isinstance(found, list) else ()
        return
    for name in (*_SPEC, "mounts"):
        given, found = old.outputs.get(name), old.inputs.get(name)
        if given is not None and found is not None and given != found:
            yield name
