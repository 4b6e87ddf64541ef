"""The report for a terminal."""

import unicodedata
from collections.abc import Sequence
from typing import Final

from . import wording
from .document import Change, Device, Report, Value
from .text import listed, one_line

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
_GRAVE: Final = ("error", "delete_data", "stop_keeping_data", "delete")
_WIDEST: Final = 60


def terminal(report: Report, *, title: str = "", colours: bool = False) -> str:
    """The report as text.

    Args:
        report: the report.
        title: in place of its own title.
        colours: whether it is coloured.
    """
    return _Terminal(colours).report(report, title)


class _Terminal:
    def __init__(self, colours: bool) -> None:
        self._colours = colours

    def report(self, report: Report, title: str) -> str:
        lines = [self._in(one_line(wording.title(report, title)), _BOLD), wording.totals(report)]
        if report.failed:
            lines += ["", self._in(wording.FAILED, _RED)]
        if report.held:
            lines += ["", self._in("Does not pass:", _RED)]
            lines += [f"  {one_line(text)}" for text in wording.verdicts(report)]
        if report.warnings:
            lines.append("")
        for notice in report.warnings:
            colour = _RED if notice.kind in _GRAVE else _YELLOW
            name = f" {one_line(notice.resource, 80)}" if notice.resource else ""
            kind = self._in(f"! {wording.WARNINGS[notice.kind]}", colour)
            lines.append(f"{kind}{name}: {one_line(notice.text, 1000)}")
        for change in report.changes:
            lines += ["", *self._change(change)]
        if others := wording.others(report):
            lines += ["", one_line(others)]
        return "\n".join(lines) + "\n"

    def _change(self, change: Change) -> list[str]:
        what = f"{wording.action(change)} {change.kind} {one_line(change.name, 80)}"
        reason = wording.reason(change)
        lines = [
            self._in(what, _COLOURS[change.action]) + (f": {one_line(reason)}" if reason else "")
        ]
        if change.on_delete:
            lines.append(f"  on delete: {one_line(change.on_delete)}")
        if change.drift:
            lines.append(f"  changed outside, and put right: {one_line(listed(change.drift))}")
        lines += [f"  {one_line(note)}" for note in change.notes]
        rows = [[one_line(wording.label(v)), *self._value(v, change)] for v in change.values]
        if change.kind != "host":
            rows.append(["host", one_line(change.host) or "of the environment"])
        lines += self._table(rows)
        if change.devices:
            heads = ["device", "kind", "source -> guest path", "mode", "change"]
            dim = [self._in(head, _DIM) for head in heads]
            lines += self._table([dim, *(self._device(d, change) for d in change.devices)])
        return lines

    def _value(self, value: Value, change: Change) -> list[str]:
        before, after = (
            one_line(wording.shown(value.path, v), 120) for v in (value.before, value.after)
        )
        if not value.changed:
            return [(before if change.action in ("delete", "release") else after) or "-"]
        return [f"{before or '-'} -> {self._in(after or '-', _YELLOW)}"]

    def _device(self, device: Device, change: Change) -> list[str]:
        was = [f"{name} was {text or '-'}" for name, text in wording.differences(device)]
        words = "; ".join(filter(None, (wording.state(device, change), *was)))
        colour = {"added": _GREEN, "removed": _RED}.get(device.change, _YELLOW)
        return [
            one_line(device.name, 64),
            one_line(device.kind, 40),
            f"{one_line(device.source) or '-'} -> {one_line(device.guest_path) or '-'}",
            one_line(wording.mode(device), 40) or "-",
            self._in(one_line(words), colour) if words else "",
        ]

    def _table(self, rows: Sequence[Sequence[str]]) -> list[str]:
        count = len(rows[0]) if rows else 0
        # A cell that is much wider than the others moves its own row only.
        widths = [
            max(
                (w for row in rows if at < len(row) if (w := _width(row[at])) <= _WIDEST), default=0
            )
            for at in range(count)
        ]
        lines = []
        for row in rows:
            cells = [
                cell + " " * max(0, width - _width(cell))
                for cell, width in zip(row, widths, strict=False)
            ]
            lines.append("  " + "  ".join(cells).rstrip())
        return lines

    def _in(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colours else text


def _width(text: str) -> int:
    """How many columns a text takes, its colours aside."""
    width, within = 0, False
    for character in text:
        if character == "\x1b":
            within = True
        elif within:
            within = character != "m"
        elif not unicodedata.combining(character):
            width += 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return width
