"""The words that all formats for people share."""

from collections.abc import Iterator
from typing import Final

from .diagram import COUNTED, by_host
from .groups import (
    INSTANCE,
    NAME,
    Group,
    Told,
    told_of,
    uses_names,
)
from .names import listed_names
from .report_model import (
    Change,
    Condition,
    Device,
    Picture,
    Report,
    Value,
    WarningKind,
)
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
    return path_label(value.path)


def path_label(path: str) -> str:
    """What the property at a path is called."""
    return _LABELS.get(path, path)


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
    """The conditions of the gate that hold, in words, with all for which they do."""
    return [
        f"{_CONDITIONS[held.condition]} ({held.condition}): {listed_names(held.resources)}"
        for held in report.held
    ]


def heading(group: Group) -> str:
    """What happens to how many of which kind; without names."""
    count = len(group.changes)
    kind = group.shown.kind if count == 1 else f"{count:,} {group.shown.kind}s"
    return f"{action(group.shown)} {kind}"


def placeholders(group: Group) -> str:
    """What the placeholders in a group's texts stand for; empty without any."""
    said = {NAME: f"{NAME} is the name of each", INSTANCE: f"{INSTANCE} its instance or volume"}
    return ", ".join(said[mark] for mark in uses_names(group))


def more(count: int, kind: WarningKind) -> str:
    """How many more notices of a kind there are."""
    name = {"error": "error", "left_out": "mount left out"}.get(kind, "warning")
    return f"and {count:,} more {name}{'' if count == 1 or kind == 'left_out' else 's'}"


MOST_TOLD: Final[dict[WarningKind, int]] = dict.fromkeys(("error", "other", "preflight"), 10)
"""How many notices of a kind are shown to people: those that a program can write without end."""
MOST_ROWS: Final = 12
"""How many rows of what differs are shown, where neither data nor the gate is at stake."""


def told(report: Report) -> Iterator[tuple[list[Told], WarningKind, int]]:
    """The notices of each kind, the gravest first, and how many more there are."""
    all_told = told_of(report)
    for kind in WARNINGS:
        found = [one for one in all_told if one.kind == kind]
        most = MOST_TOLD.get(kind, len(found))
        if found:
            yield found[:most], kind, sum(len(one.resources) for one in found[most:])


def drawn_in_words(picture: Picture) -> list[list[str]]:
    """What is on each host, a row for each; the first one has the names of the columns."""
    rows = [["host", *(f"{kind}s" for kind in COUNTED), "of which change"]]
    found = by_host(picture)
    for here in found[:_MOST_HOSTS]:
        counts = [f"{here.counts[kind]:,}" for kind in COUNTED]
        rows.append([here.host or "of the environment", *counts, f"{here.changing:,}"])
    if len(found) > _MOST_HOSTS:
        rest = found[_MOST_HOSTS:]
        counts = [f"{sum(here.counts[kind] for here in rest):,}" for kind in COUNTED]
        changing = f"{sum(here.changing for here in rest):,}"
        rows.append([f"{len(rest):,} more hosts", *counts, changing])
    return rows


_MOST_HOSTS: Final = 5


def title(report: Report, given: str) -> str:
    """The report's title."""
    return given or f"Preview of {report.project}/{report.stack}"


FAILED: Final = "The preview failed: what follows may not be all that would change."
