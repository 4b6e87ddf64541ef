"""Format the report for a terminal.

Untrusted texts arrive unchanged. A line consists of parts, and each part is made safe where lines
are joined. This is the only such place, so that no part can be missed.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from . import labels
from .groups import Group, groups_of, shown_devices, shown_values
from .names import listed_names
from .report_model import (
    Change,
    Device,
    Report,
    Value,
)
from .text import listed, one_line
from .values import shown_value

_RED: Final = "31"
_GREEN: Final = "32"
_YELLOW: Final = "33"
_MAGENTA: Final = "35"
_BOLD: Final = "1"
_DIM: Final = "2"
_COLOURS: Final = {
    "create": _GREEN,
    "update": _YELLOW,
    "update_with_restart": _YELLOW,
    "replace": _MAGENTA,
    "delete": _RED,
    "release": _DIM,
}
_RED_KINDS: Final = ("error", "delete_data", "stop_keeping_data", "delete")
_GRAVE: Final = (*_RED_KINDS[1:], "replace")
_WIDEST: Final = 60
_MOST_VALUE: Final = 120
_LONGEST: Final = 1_000
"""The most characters of a part of a line, except names."""


_LONG: Final = 4_000
"""The most characters of a part about lost data."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a line."""

    text: str
    colour: str = ""
    most: int | None = _LONGEST
    """The most characters that are shown; None for all."""

    @property
    def safe(self) -> str:
        """Return the part as it is shown; a space at either end is kept."""
        line = one_line(self.text, self.most)
        if not line:
            return " " * min(len(self.text), 1)
        start = " " if self.text[:1].isspace() else ""
        return start + line + (" " if self.text[-1:].isspace() else "")


_Line = list[_Part]


def terminal(report: Report, *, title: str = "", colours: bool = False) -> str:
    """Return the report as text.

    Args:
        report: The report.
        title: The title, in place of the default title.
        colours: Whether the text is coloured.
    """
    lines = _lines(report, title)
    return "".join(f"{_joined(indent, line, colours)}\n" for indent, line in lines)


def _joined(indent: str, line: _Line, colours: bool) -> str:
    shown = (
        f"\x1b[{part.colour}m{part.safe}\x1b[0m" if colours and part.colour else part.safe
        for part in line
    )
    return (indent + "".join(shown)).rstrip(" ")


_Indented = tuple[str, _Line]
"""The trusted prefix of a line, and the line."""


def _lines(report: Report, title: str) -> Iterable[_Indented]:
    yield "", [_Part(labels.title(report, title), _BOLD, 400)]
    yield "", [_Part(labels.totals(report))]
    if report.failed:
        yield "", []
        yield "", [_Part(labels.FAILED, _RED)]
    if report.held:
        yield "", []
        yield "", [_Part(labels.GATE, _RED)]
        for text in labels.verdicts(report):
            yield "  ", [_Part(text, most=None)]
    if report.warnings:
        yield "", []
    for told, kind, more in labels.told(report):
        colour = _RED if kind in _RED_KINDS else _YELLOW
        for one in told:
            names = listed_names(name for name in one.resources if name)
            line = [_Part(f"! {labels.WARNINGS[kind]}", colour)]
            line += [_Part(f" {names}", most=None)] if names else []
            yield (
                "",
                [*line, _Part(": "), _Part(one.text, most=_LONG if kind in _GRAVE else _LONGEST)],
            )
        if more:
            yield "", [_Part(f"! {labels.more(more, kind)}", colour)]
    for group in groups_of(report):
        yield "", []
        yield from _change(group)
    if others := labels.others(report):
        yield "", []
        yield "", [_Part(others)]


def _change(group: Group) -> Iterable[_Indented]:
    change, many = group.shown, len(group.changes) > 1
    names = "" if many else f" {one_line(change.name, 80)}"
    reason = labels.reason(change)
    head = [_Part(labels.heading(group) + names, _COLOURS[change.action])]
    yield "", head + ([_Part(f": {reason}")] if reason else [])
    if many:
        said = labels.placeholders(group)
        yield "  ", [_Part(listed_names(group.names) + (f" ({said})" if said else ""), most=None)]
    if change.on_delete:
        yield "  ", [_Part(f"on delete: {change.on_delete}", most=_LONG)]
    if change.drift:
        yield "  ", [_Part(f"changed outside Pulumi, and corrected: {listed(change.drift)}")]
    for note in change.notes:
        yield "  ", [_Part(note)]
    rows: list[list[_Line]] = []
    below: list[_Indented] = []
    for value in shown_values(change, brief=many):
        name = labels.label(value)
        cell, lines = _value(value, change)
        rows.append([[_Part(name)], cell])
        if lines:
            below.append(("  ", [_Part(f"{name}:")]))
            below += [(f"    {line[:2].replace('  ', '| ')}", [_diff_line(line)]) for line in lines]
    if change.kind != "host":
        rows.append([[_Part("host")], [_Part(change.host or labels.NO_HOST)]])
    yield from _table(rows)
    if group.columns:
        yield from _differs(group)
    yield from below
    if devices := shown_devices(change, brief=many):
        heads = ["device", "kind", "source -> guest path", "mode", "change"]
        dim = [[_Part(head, _DIM)] for head in heads]
        yield from _table([dim, *(_device(device, change) for device in devices)])


def _diff_line(line: str) -> _Part:
    colour = {"- ": _RED, "+ ": _GREEN}.get(line[:2], "")
    return _Part(line[2:], colour)


def _differs(group: Group) -> Iterable[_Indented]:
    heads = ["differs", *map(labels.path_label, group.columns)]
    most = None if group.grave else labels.MOST_ROWS
    shown = group.rows[:most]
    yield from _table(
        [
            [[_Part(head, _DIM)] for head in heads],
            *(
                [
                    [_Part(listed_names(names), most=None)],
                    *(_value(value, group.shown)[0] for value in values),
                ]
                for names, values in shown
            ),
        ]
    )
    if left := sum(len(names) for names, _ in group.rows[len(shown) :]):
        yield "  ", [_Part(f"and {left:,} more with different values: see --format json")]


def _value(value: Value, change: Change) -> tuple[_Line, tuple[str, ...]]:
    """Return a value as a cell, and its lines if it has several."""
    one_sided = change.action in ("create", "delete", "release")
    shown = shown_value(value, whole=one_sided, most=_MOST_VALUE)
    lengths = [_Part(f" ({shown.lengths})", _DIM)] if shown.lengths else []
    if shown.lines:
        return [_Part("see below", _YELLOW), *lengths], shown.lines
    before, after = shown.before or "-", shown.after or "-"
    if not value.changed:
        gone = change.action in ("delete", "release")
        return [_Part(before if gone else after, most=None), *lengths], ()
    arrow = [_Part(before, most=None), _Part(" -> "), _Part(after, _YELLOW, None)]
    return arrow + lengths, ()


def _device(device: Device, change: Change) -> list[_Line]:
    was = [f"{name} was {text or '-'}" for name, text in labels.differences(device)]
    words = "; ".join(filter(None, (labels.state(device, change), *was)))
    colour = {"added": _GREEN, "removed": _RED}.get(device.change, _YELLOW)
    return [
        [_Part(device.name, most=64)],
        [_Part(device.kind, most=40)],
        [_Part(device.source or "-"), _Part(" -> "), _Part(device.guest_path or "-")],
        [_Part(labels.mode(device) or "-", most=40)],
        [_Part(words, colour)] if words else [],
    ]


def _table(rows: Sequence[Sequence[_Line]]) -> Iterable[_Indented]:
    count = len(rows[0]) if rows else 0
    # A cell that is much wider than the others shifts only its own row.
    widths = [
        max((w for row in rows if at < len(row) and (w := _width(row[at])) <= _WIDEST), default=0)
        for at in range(count)
    ]
    for row in rows:
        line: _Line = []
        for cell, width in zip(row, widths, strict=False):
            line += [*cell, _Gap(" " * (max(0, width - _width(cell)) + 2))]
        yield "  ", line[:-1]


@dataclass(frozen=True, slots=True)
class _Gap(_Part):
    """The space between two cells."""

    @property
    def safe(self) -> str:
        """Return the spaces."""
        return " " * len(self.text)


def _width(line: _Line) -> int:
    """Return the number of columns of the parts of a line."""
    return sum(
        2 if unicodedata.east_asian_width(character) in "WF" else 1
        for part in line
        for character in part.safe
        if not unicodedata.combining(character)
    )
