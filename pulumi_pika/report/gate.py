"""Check the conditions of `--fail-on`."""

from collections.abc import Iterable
from typing import Final, get_args

from .preview import KNOWN_OPS
from .report_model import (
    Change,
    Condition,
    Held,
    Report,
)

CONDITIONS: Final[tuple[Condition, ...]] = get_args(Condition)


def find_held(report: Report, wanted: tuple[Condition, ...]) -> list[Held]:
    """Return the requested conditions that hold, and the resources for which they hold.

    Resources of other packages count too, if Pulumi itself reports what the condition needs.

    Args:
        report: The report.
        wanted: The conditions of `--fail-on`.
    """
    found = {name: _resources(report, name) for name in dict.fromkeys(wanted)}
    return [Held(condition=name, resources=names) for name, names in found.items() if names]


def _resources(report: Report, condition: Condition) -> list[str]:
    if condition == "warnings":
        return _names(notice.resource or report.stack for notice in report.warnings)
    if condition == "errors":
        errors = (n.resource or report.stack for n in report.warnings if n.kind == "error")
        return _names(errors) or ([report.stack] if report.failed else [])
    if condition == "restart":
        changed = [c.name for c in report.changes if c.action == "update_with_restart"]
        stopped = [n.resource or report.stack for n in report.warnings if n.stops]
        return _names(changed + stopped)
    if condition == "delete-data":
        return _names(change.name for change in report.changes if change.deletes_data_of)
    if condition == "stop-keeping-data":
        changed = [change.name for change in report.changes if change.stops_keeping_data_of]
        told = [n.resource for n in report.warnings if n.kind == "stop_keeping_data"]
        return _names(changed + told)
    ours = [change.name for change in report.changes if _meets(change, condition)]
    others = [
        f"{other.count} of other packages ({other.op})"
        for other in report.others
        if condition == "any-change" or other.op == condition or other.op not in KNOWN_OPS
    ]
    return _names(ours + others)


def _meets(change: Change, condition: Condition) -> bool:
    if condition == "replace":
        # A job that is run again is not counted as a replacement.
        return change.action == "replace" and change.kind != "job"
    return condition == "any-change" or change.action == condition


def _names(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
