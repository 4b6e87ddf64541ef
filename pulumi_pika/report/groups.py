"""Group similar changes and similar warnings, so that many of them are shown as one."""

import re
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import JsonValue

from .names import natural
from .report_model import (
    Change,
    Device,
    Notice,
    Report,
    Value,
    WarningKind,
)
from .values import same_text

NAME: Final = "<name>"
"""The placeholder for the resource's name in a group."""
INSTANCE: Final = "<instance>"
"""The placeholder for the previous name of the instance, or of the volume."""
FEWEST: Final = 3
"""The smallest group; fewer similar changes or warnings are shown individually."""

_WHOLE: Final = ("create", "delete", "release")
_GRAVE: Final = ("delete", "replace", "update_with_restart")
_OWN_NAME: Final = ("identity.instance_name", "volume_name")
_DIFFERS: Final = "(differs)"

Replace = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Group:
    """Similar changes, of which one represents all."""

    changes: list[Change]
    shown: Change
    """The change, or what all changes have in common."""
    grave: bool
    """Whether the change deletes, replaces or restarts something, stops keeping data, or meets a
    condition of `--fail-on`."""
    columns: list[str] = field(default_factory=list)
    """The properties that differ between the changes."""
    rows: list[tuple[list[str], list[Value]]] = field(default_factory=list)
    """For each combination of their values, the names of the resources."""

    @property
    def names(self) -> list[str]:
        """Return the names of all resources."""
        return [change.name for change in self.changes]

    @property
    def whole(self) -> bool:
        """Return whether all properties are shown, not only those that change."""
        return self.shown.action in _WHOLE


@dataclass(frozen=True, slots=True)
class Told:
    """Warnings with the same text for several resources."""

    kind: WarningKind
    resources: list[str]
    text: str


def groups_of(report: Report) -> list[Group]:
    """Return the groups of changes of a report, the gravest first."""
    held = {
        name
        for one in report.held
        if one.condition not in ("any-change", "warnings")
        for name in one.resources
    }
    alike: dict[Hashable, list[tuple[Change, Change]]] = {}
    for change in report.changes:
        replace = _replacer(change)
        template = _template(change, replace)
        key = (_key(template), change.name in held, replace is str)
        alike.setdefault(key, []).append((change, template))
    found = []
    for members in alike.values():
        one_by_one = len(members) < FEWEST
        for some in [[member] for member in members] if one_by_one else [members]:
            first = some[0][0]
            grave = is_grave(first) or first.name in held
            if one_by_one:
                found.append(Group([first], first, grave))
            else:
                found.append(_group(some, grave))
    order = {id(change): at for at, change in enumerate(report.changes)}
    return sorted(found, key=lambda group: (not group.grave, order[id(group.changes[0])]))


def is_grave(change: Change) -> bool:
    """Return whether a change deletes, replaces or restarts something, or stops keeping data."""
    return bool(change.deletes_data_of or change.stops_keeping_data_of or change.action in _GRAVE)


def told_of(report: Report) -> list[Told]:
    """Return the groups of warnings of a report, the gravest first."""
    replaces = {change.name: _replacer(change) for change in report.changes}
    alike: dict[Hashable, list[tuple[Notice, str]]] = {}
    for notice in report.warnings:
        replace = replaces.get(notice.resource, str)
        if NAME in notice.text or INSTANCE in notice.text:
            replace = str
        text = replace(notice.text)
        alike.setdefault((notice.kind, text, replace is str), []).append((notice, text))
    found: list[tuple[int, Told]] = []
    order = {id(notice): at for at, notice in enumerate(report.warnings)}
    for members in alike.values():
        if len(members) >= FEWEST:
            notice, text = members[0]
            names = [one.resource for one, _ in members]
            found.append((order[id(notice)], Told(notice.kind, names, text)))
        else:
            found += [
                (order[id(one)], Told(one.kind, [one.resource], one.text)) for one, _ in members
            ]
    return [told for _, told in sorted(found, key=lambda item: item[0])]


def _template(change: Change, replace: Replace) -> Change:
    """Return a change with placeholders for its own name in its values."""
    return change.model_copy(
        update={
            "on_delete": replace(change.on_delete),
            "deletes_data_of": [replace(text) for text in change.deletes_data_of],
            "stops_keeping_data_of": [replace(text) for text in change.stops_keeping_data_of],
            "notes": [replace(text) for text in change.notes],
            "values": [
                value.model_copy(
                    update={
                        "before": _replaced(value.before, replace),
                        "after": _replaced(value.after, replace),
                    }
                )
                for value in change.values
            ],
            "devices": [
                device.model_copy(
                    update={
                        "name": replace(device.name),
                        "source": replace(device.source),
                        "before": {key: replace(text) for key, text in device.before.items()},
                    }
                )
                for device in change.devices
            ],
        }
    )


def _replacer(change: Change) -> Replace:
    """Return a function that replaces a change's own names by placeholders. If the texts already
    contain a placeholder, the function is `str`, since the two could not be told apart."""
    names = {change.name: NAME}
    for value in change.values:
        if value.path in _OWN_NAME and isinstance(value.before, str) and value.before:
            names.setdefault(value.before, INSTANCE)
    if not change.name or any(mark in change.model_dump_json() for mark in (NAME, INSTANCE)):
        return str
    longest = sorted(names, key=len, reverse=True)
    pattern = re.compile(rf"(?<![^\W_])(?:{'|'.join(map(re.escape, longest))})(?![^\W_])")
    return lambda text: pattern.sub(lambda found: names[found[0]], text)


def _replaced(value: JsonValue, replace: Replace) -> Any:
    if isinstance(value, dict):
        return {key: _replaced(item, replace) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, replace) for item in value]
    return replace(value) if isinstance(value, str) else value


def _key(change: Change) -> Hashable:
    """Return the key that similar changes have in common; their values may differ."""
    return (
        change.kind,
        change.action,
        change.host,
        tuple(change.why),
        change.on_delete,
        tuple(change.deletes_data_of),
        tuple(change.stops_keeping_data_of),
        tuple(change.drift),
        tuple(change.notes),
        tuple((value.path, value.changed) for value in shown_values(change)),
        tuple(_device_key(device) for device in shown_devices(change)),
    )


def shown_values(change: Change, *, brief: bool = True) -> list[Value]:
    """Return the properties to show; if `brief`, without the unchanged ones."""
    whole = not brief or change.action in _WHOLE
    return [value for value in change.values if whole or value.changed]


def shown_devices(change: Change, *, brief: bool = True) -> list[Device]:
    """Return the devices to show; if `brief`, without the unchanged ones."""
    whole = not brief or change.action in _WHOLE
    return [
        device for device in change.devices if whole or device.change != "same" or device.left_out
    ]


def _device_key(device: Device) -> Hashable:
    before = {key: text for key, text in device.before.items() if key not in ("name", "source")}
    return (
        device.kind,
        device.guest_path,
        device.mode,
        device.required,
        device.change,
        device.left_out,
        "source" in device.before,
        tuple(sorted(before.items())),
    )


def _group(members: list[tuple[Change, Change]], grave: bool) -> Group:
    changes, templates = [list(side) for side in zip(*members, strict=True)]
    columns: list[list[Value]] = []
    values: list[Value] = []
    for side in zip(*(shown_values(template) for template in templates), strict=True):
        if len({(same_text(value.before), same_text(value.after)) for value in side}) == 1:
            values.append(side[0])
        else:
            columns.append(list(side))
    devices = []
    for row in zip(*(shown_devices(template) for template in templates), strict=True):
        device, differs = _alike(list(row))
        devices.append(device)
        columns += differs
    shown = templates[0].model_copy(update={"values": values, "devices": devices})
    rows: dict[Hashable, tuple[list[str], list[Value]]] = {}
    for at, change in enumerate(changes):
        cells = [column[at] for column in columns]
        key = tuple((same_text(value.before), same_text(value.after)) for value in cells)
        rows.setdefault(key, ([], cells))[0].append(change.name)
    return Group(
        changes,
        shown,
        grave,
        [column[0].path for column in columns],
        sorted(rows.values(), key=lambda row: natural(row[0][0])) if columns else [],
    )


def _alike(devices: list[Device]) -> tuple[Device, list[list[Value]]]:
    """Return what devices with the same guest path have in common, and their sources if these
    differ."""
    first = devices[0]
    name = first.name if len({device.name for device in devices}) == 1 else _DIFFERS
    before = {key: text for key, text in first.before.items() if key not in ("name", "source")}
    sources = {(device.source, device.before.get("source")) for device in devices}
    if len(sources) == 1:
        if "source" in first.before:
            before["source"] = first.before["source"]
        return first.model_copy(update={"name": name, "before": before}), []
    column = [
        Value(
            path=f"source of {device.guest_path or device.name}",
            before=device.before.get("source", device.source),
            after=device.source,
            changed="source" in device.before,
        )
        for device in devices
    ]
    return first.model_copy(update={"name": name, "source": _DIFFERS, "before": before}), [column]


def uses_names(group: Group) -> Iterator[str]:
    """Yield the placeholders that occur in a group's texts."""
    text = group.shown.model_dump_json()
    text += "".join(same_text(v.before) + same_text(v.after) for _, row in group.rows for v in row)
    if len(group.changes) > 1:
        yield from (mark for mark in (NAME, INSTANCE) if mark in text)
