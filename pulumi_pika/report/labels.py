"""The texts that the Markdown and the terminal format share."""

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
    OBJECTS,
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
    "release": "release",
}
_JOB_ACTIONS: Final = {"create": "run", "replace": "run again"}
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
    "left_out": "mount skipped",
    "preflight": "host",
    "other": "warning",
}
_CONDITIONS: Final[dict[Condition, str]] = {
    "replace": "a resource is replaced",
    "delete": "a resource is deleted",
    "delete-data": "data is deleted",
    "stop-keeping-data": "data is no longer kept",
    "restart": "an instance may restart",
    "warnings": "the report has warnings",
    "any-change": "a resource changes",
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
    """Return what happens to a resource, in one or two words."""
    own = _JOB_ACTIONS if change.kind == "job" else {}
    return own.get(change.action, ACTIONS[change.action])


def reason(change: Change) -> str:
    """Return why a change happens."""
    if change.action == "release" and change.kind in OBJECTS:
        return "it stays as it is (adopted, or retain_on_delete)"
    if change.action == "release":
        return "it is not changed (retain_on_delete)"
    if change.why:
        return listed(change.why)
    if change.action in ("create", "delete"):
        return ""
    return "a secret value, or a value that the preview does not show"


def label(value: Value) -> str:
    """Return the label of a property."""
    return path_label(value.path)


def path_label(path: str) -> str:
    """Return the label of the property at a path."""
    return _LABELS.get(path, path)


def mode(device: Device) -> str:
    """Return how a device is mounted."""
    return device.mode.replace("_", "-") + (", required" if device.required else "")


def differences(device: Device) -> list[tuple[str, str]]:
    """Return the former values of a changed device, with the label of each."""
    return [(name.replace("_", " "), text) for name, text in device.before.items()]


def state(device: Device, change: Change) -> str:
    """Return what happens to a device, if that differs from what happens to the instance."""
    if change.action in ("create", "delete", "release") and device.change == "same":
        return ""
    words = "" if device.change == "same" else device.change
    return "; ".join(filter(None, (words, "skipped at the last apply" if device.left_out else "")))


def totals(report: Report) -> str:
    """Return the number of resources for each operation."""
    order = [*_OPS, *sorted(report.summary.keys() - _OPS.keys())]
    counted = [f"{report.summary[op]} {_OPS.get(op, op)}" for op in order if report.summary.get(op)]
    return ", ".join(counted) or "nothing changes"


def others(report: Report) -> str:
    """Return a text on the resources of other packages; empty if there are none."""
    counted = [f"{other.count} {_OPS.get(other.op, other.op)}" for other in report.others]
    return f"Resources of other packages: {', '.join(counted)}." if counted else ""


def verdicts(report: Report) -> list[str]:
    """Return a line for each condition of `--fail-on` that holds, with all resources for which it
    holds."""
    return [
        f"{_CONDITIONS[held.condition]} ({held.condition}): {listed_names(held.resources)}"
        for held in report.held
    ]


def heading(group: Group) -> str:
    """Return the heading of a group: what happens, and the number and kind of resources, without
    names."""
    count = len(group.changes)
    kind = group.shown.kind if count == 1 else f"{count:,} {group.shown.kind}s"
    return f"{action(group.shown)} {kind}"


def placeholders(group: Group) -> str:
    """Return an explanation of the placeholders in a group's texts; empty if there are none."""
    said = {NAME: f"{NAME} is the name of each", INSTANCE: f"{INSTANCE} its instance or volume"}
    return ", ".join(said[mark] for mark in uses_names(group))


def more(count: int, kind: WarningKind) -> str:
    """Return a text on the number of further warnings of a kind."""
    name = {"error": "error", "left_out": "skipped mount"}.get(kind, "warning")
    return f"and {count:,} more {name}{'' if count == 1 else 's'}"


MOST_TOLD: Final[dict[WarningKind, int]] = dict.fromkeys(("error", "other", "preflight"), 10)
"""The most warnings that are shown of each kind of which a program can write any number."""
MOST_ROWS: Final = 12
"""The most rows of differences that are shown if neither data nor a condition of `--fail-on` is
concerned."""


def told(report: Report) -> Iterator[tuple[list[Told], WarningKind, int]]:
    """Yield the warnings of each kind, the gravest first, and the number of further ones."""
    all_told = told_of(report)
    for kind in WARNINGS:
        found = [one for one in all_told if one.kind == kind]
        most = MOST_TOLD.get(kind, len(found))
        if found:
            yield found[:most], kind, sum(len(one.resources) for one in found[most:])


def drawn_in_words(picture: Picture) -> list[list[str]]:
    """Return what is on each host as the rows of a table; the first row has the column names."""
    rows = [["host", *(f"{kind}s" for kind in COUNTED), "that change"]]
    found = by_host(picture)
    for here in found[:_MOST_HOSTS]:
        counts = [f"{here.counts[kind]:,}" for kind in COUNTED]
        rows.append([here.host or NO_HOST, *counts, f"{here.changing:,}"])
    if len(found) > _MOST_HOSTS:
        rest = found[_MOST_HOSTS:]
        counts = [f"{sum(here.counts[kind] for here in rest):,}" for kind in COUNTED]
        changing = f"{sum(here.changing for here in rest):,}"
        rows.append([f"{len(rest):,} more hosts", *counts, changing])
    return rows


_MOST_HOSTS: Final = 5


def title(report: Report, given: str) -> str:
    """Return the title of the report."""
    return given or f"Preview of {report.project}/{report.stack}"


FAILED: Final = "The preview failed, so that this report may not show all changes."
GATE: Final = "Gate failed:"
NO_HOST: Final = "from the environment"
"""The name of the host that the environment names."""
