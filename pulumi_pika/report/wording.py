"""The words that all formats for people share."""

import json
from typing import Final

from pydantic import JsonValue

from .document import Change, Condition, Device, Report, Value, WarningKind
from .text import listed

ACTIONS: Final = {
    "create": "create",
    "update": "update in place",
    "update_with_restart": "update with restart",
    "replace": "replace",
    "delete": "delete",
    "release": "let go",
}
_JOB_ACTIONS: Final = {"create": "run", "replace": "run anew", "delete": "forget"}
_LABELS: Final = {
    "identity.instance_name": "instance",
    "identity.runtime_id": "runtime id",
    "incus.project": "project",
    "incus.profile": "profile",
    "incus.image_alias": "image",
    "instance_type": "type",
    "storage_pool": "storage pool",
    "resources.vcpu_count": "CPUs",
    "resources.memory_mib": "memory",
    "resources.root_disk_gib": "root disk",
    "volume_name": "volume",
    "snapshot_name": "snapshot",
    "pika:url": "url",
    "pika:socket": "socket",
    "pika:remote": "remote",
}
_UNITS: Final = {"resources.memory_mib": "MiB", "resources.root_disk_gib": "GiB"}
_NONE: Final = {"storage_pool": "of the profile"}
WARNINGS: Final[dict[WarningKind, str]] = {
    "error": "error",
    "delete_data": "deletes data",
    "stop_keeping_data": "stops keeping data",
    "delete": "deletes",
    "replace": "replaces",
    "restart": "restarts",
    "restore": "restores",
    "left_out": "mount left out",
    "preflight": "host",
    "other": "warning",
}
_CONDITIONS: Final[dict[Condition, str]] = {
    "replace": "something is replaced",
    "delete": "something is deleted",
    "delete-data": "data is deleted",
    "stop-keeping-data": "data is no longer kept",
    "restart": "something may restart",
    "warnings": "there are warnings",
    "any-change": "something changes",
    "errors": "the preview has errors",
}
_OPS: Final = {
    "create": "to create",
    "update": "to update",
    "replace": "to replace",
    "delete": "to delete",
    "same": "unchanged",
    "refresh": "to refresh",
}


def action(change: Change) -> str:
    """What happens to a resource, in a word or two."""
    own = _JOB_ACTIONS if change.kind == "job" else {}
    return own.get(change.action, ACTIONS[change.action])


def reason(change: Change) -> str:
    """Why it happens."""
    if change.action == "release":
        return "it stays as it is (retain_on_delete)"
    if change.why:
        return listed(change.why)
    if change.action in ("create", "delete"):
        return ""
    return "what is secret, or what the preview does not tell"


def label(value: Value) -> str:
    """What a property is called."""
    return _LABELS.get(value.path, value.path)


def shown(path: str, value: JsonValue) -> str:
    """A property's value; empty where there is none."""
    if value is None:
        return _NONE.get(path, "")
    if isinstance(value, str):
        return value
    text = json.dumps(value, ensure_ascii=False)
    return f"{text} {_UNITS[path]}" if path in _UNITS else text


def mode(device: Device) -> str:
    """How a device is mounted."""
    return device.mode.replace("_", "-") + (", required" if device.required else "")


def differences(device: Device) -> list[tuple[str, str]]:
    """What of a changed device was otherwise, with the name of each part."""
    return [(name.replace("_", " "), text) for name, text in device.before.items()]


def state(device: Device, change: Change) -> str:
    """What becomes of a device, where that is not what becomes of the instance."""
    if change.action in ("create", "delete", "release") and device.change == "same":
        return ""
    words = "" if device.change == "same" else device.change
    return "; ".join(filter(None, (words, "left out when last applied" if device.left_out else "")))


def totals(report: Report) -> str:
    """How many resources there are for each op."""
    order = [*_OPS, *sorted(report.summary.keys() - _OPS.keys())]
    counted = [f"{report.summary[op]} {_OPS.get(op, op)}" for op in order if report.summary.get(op)]
    return ", ".join(counted) or "nothing changes"


def others(report: Report) -> str:
    """The resources of other packages; empty without any."""
    counted = [f"{other.count} {_OPS.get(other.op, other.op)}" for other in report.others]
    return f"Resources of other packages: {', '.join(counted)}." if counted else ""


def verdicts(report: Report) -> list[str]:
    """The conditions of the gate that hold, in words."""
    return [
        f"{_CONDITIONS[held.condition]} ({held.condition}): {listed(held.resources)}"
        for held in report.held
    ]


def title(report: Report, given: str) -> str:
    """The report's title."""
    return given or f"Preview of {report.project}/{report.stack}"


FAILED: Final = "The preview failed: what follows may not be all that would change."
