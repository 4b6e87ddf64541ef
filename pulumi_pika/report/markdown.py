"""Format the report as Markdown, for a comment on a pull request.

Names, paths and messages come from others. They are formatted as code, or escaped so that no
character has a meaning in Markdown, in HTML, or for a forge (mentions, references, links).
"""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from . import labels
from .diagram import part_of
from .groups import Group, Told, groups_of, shown_devices, shown_values
from .names import listed_names, spans
from .report_model import (
    Change,
    Device,
    Node,
    Picture,
    Report,
    Value,
)
from .text import listed, one_line
from .values import Shown, shown_value

MOST_CHARS: Final = 65_536
"""The most characters that GitHub accepts in a comment."""
FEWEST_CHARS: Final = 1_000

_NOTE_ROOM: Final = 320
# Mermaid's own limits are 500 edges and 50,000 characters; beyond them it shows an error.
_MOST_NODES: Final = 30
"""The most nodes that a reader can follow in a diagram."""
_MOST_VALUE: Final = 200
_LONG: Final = 4_000
"""The most characters of a text about lost data."""
_FENCES: Final = re.compile("`+")
_MOST_EDGES: Final = 450
_MOST_DRAWN: Final = 45_000
_RISKY: Final = re.compile(r"[^\w ,;()'/=?\-.:\u200b]|(?<![^\W_])_|_(?![^\W_])")
"""All characters that may have a meaning; an underscore has one only at the edge of a word."""
_REFERENCES: Final = re.compile(
    r"(?<=[@#!$%&~^])(?=\S)|(?<=:)(?=/)|(?<=:)(?=[\w+-]+:)|(?<=www)(?=\.)|(?<=\bGH)(?=-\d)",
    re.IGNORECASE,
)
"""The positions at which a forge would detect a mention, a reference (also `GH-12`), a link or an
emoji (`:tada:`). A forge searches the text after it has resolved Markdown and entities, so that
escapes do not prevent this."""
_HASHES: Final = re.compile(r"\b[0-9a-f]{7,64}\b", re.IGNORECASE)
"""A string that a forge links as a commit if the commit exists; shorter ones are not linked."""
_SHORT_HASH: Final = 6
_EMPTY: Final = "\N{ZERO WIDTH SPACE}"
_SPAN_BREAKS: Final = frozenset("`|\\")
_CLASSES: Final = {
    "create": "stroke:#1a7f37,stroke-width:2px",
    "update": "stroke:#9a6700,stroke-width:2px",
    "update_with_restart": "stroke:#bc4c00,stroke-width:2px",
    "replace": "stroke:#8250df,stroke-width:3px",
    "delete": "stroke:#cf222e,stroke-width:3px,stroke-dasharray:5",
    "release": "stroke:#6e7781,stroke-dasharray:5",
}
_SHAPES: Final = {
    "volume": ("[(", ")]"),
    "job": ("([", "])"),
    "runtime": ("[", "]"),
    "pool": ("[(", ")]"),
    "network": ("{{", "}}"),
    "profile": ("[/", "/]"),
    "project": ("[[", "]]"),
}


def marker(stack: str) -> str:
    """Return the hidden comment in the first line, by which a script finds the report again."""
    # Two dashes would end the comment.
    safe = "".join(c if c.isalnum() or c in "._/" else "-" for c in one_line(stack, 100))
    while "--" in safe:
        safe = safe.replace("--", "-")
    return f"<!-- pulumi_pika report: {safe.strip('-') or '-'} -->"


def markdown(report: Report, *, title: str = "", max_chars: int = MOST_CHARS) -> str:
    """Return the report as Markdown.

    Args:
        report: The report.
        title: The title, in place of the default title.
        max_chars: The most characters. The least important parts are cut, and the report says so.
    """
    parts = _Parts(report, title)
    text = parts.text()
    if len(text) <= max_chars:
        return text
    return parts.cut_to(max(max_chars, FEWEST_CHARS))


def code(text: str, most: int | None = 200) -> str:
    """Return an untrusted text as code, also for use in a table.

    Args:
        text: The text.
        most: The most characters; None cuts nothing.
    """
    line = one_line(text, most)
    if not line:
        return ""
    if _SPAN_BREAKS & set(line):
        return f"<code>{''.join(_entity(c) if not c.isalnum() else c for c in line)}</code>"
    return f"`{line}`"


def plain(text: str, most: int | None = 600) -> str:
    """Return an untrusted text as escaped text.

    Args:
        text: The text.
        most: The most characters; None cuts nothing.
    """
    line = _HASHES.sub(_in_parts, _REFERENCES.sub(_EMPTY, one_line(text, most)))
    return _RISKY.sub(lambda found: _entity(found[0]), line)


def _in_parts(found: re.Match[str]) -> str:
    text = found[0]
    parts = (text[at : at + _SHORT_HASH] for at in range(0, len(text), _SHORT_HASH))
    return _EMPTY.join(parts)


def mermaid(picture: Picture) -> str:
    """Return the diagram in Mermaid's language."""
    lines = ["flowchart LR"]
    hosts = [node for node in picture.nodes if node.kind == "host"]
    for host in hosts:
        inner = [node for node in picture.nodes if node.host == host.id]
        lines.append(f"  subgraph {host.id}[{_quoted(f'host {host.label}')}]")
        lines += [f"    {_node(node)}" for node in inner]
        lines.append("  end")
    lines += [f"  {_node(node)}" for node in picture.nodes if not node.host and node not in hosts]
    lines += [f"  {e.runtime} -- {_quoted(e.label)} --> {e.volume}" for e in picture.edges]
    for name, style in _CLASSES.items():
        ids = [node.id for node in picture.nodes if node.action == name]
        if ids:
            lines += [f"  classDef {name} {style}", f"  class {','.join(ids)} {name}"]
    return "\n".join(lines)


def _node(node: Node) -> str:
    start, end = _SHAPES[node.kind]
    what = f" - {labels.ACTIONS[node.action]}" if node.action != "same" else ""
    return f"{node.id}{start}{_quoted(f'{node.kind} {one_line(node.label, 80)}{what}')}{end}"


def _quoted(text: str) -> str:
    safe = (c if c.isalnum() or c in " ,/-" else f"#{ord(c)};" for c in one_line(text, 120))
    return f'"{"".join(safe)}"'


def _entity(character: str) -> str:
    return " " if character == " " else f"&#{ord(character)};"


class _Block:
    """A part with several lengths; the last form is the shortest."""

    def __init__(self, *forms: str) -> None:
        self.forms = forms
        self.at = 0

    @property
    def text(self) -> str:
        return self.forms[self.at]

    def shorten(self, at: int) -> int:
        """Switch to a shorter form; return how many characters that saves."""
        before, self.at = len(self.text), max(self.at, min(at, len(self.forms) - 1))
        return before - len(self.text)


class _Parts:
    def __init__(self, report: Report, title: str) -> None:
        self._report = report
        self._head = _head(report, title)
        self._marker = marker(f"{report.project}/{report.stack}")
        self._grave_told: list[_Block] = []
        self._told: list[_Block] = []
        self._warnings: list[_Block] = []
        for notices, kind, more in labels.told(report):
            blocks = [_Block(_warning(told), "") for told in notices]
            if more:
                blocks.append(_Block(f"- _{labels.more(more, kind)}_\n", ""))
            self._warnings += blocks
            (self._told if kind in _MINOR else self._grave_told).extend(blocks)
        self._picture = _Block(_drawn(report.picture), "")
        groups = groups_of(report)
        self._grave = [
            _Block(_change(g), _change(g, brief=True), _line(g)) for g in groups if g.grave
        ]
        self._other = [
            _Block(_change(g), _change(g, brief=True), _line(g), "") for g in groups if not g.grave
        ]
        self._essence = _essence([group for group in groups if group.grave])
        self._others = _Block(f"\n{plain(labels.others(report))}\n" if report.others else "", "")
        self._note = ""
        self._is_brief = False

    def text(self) -> str:
        """Return the complete text with the present forms of its blocks."""
        many = [block.text for block in self._warnings if block.text]
        count = len(self._report.warnings)
        head = f"\n**{_counted(count, 'warning')}**\n\n" if count else ""
        grave = self._essence if self._is_brief else "".join(block.text for block in self._grave)
        return (
            f"{self._marker}\n{self._head}{self._note}{head}{''.join(many)}{grave}"
            f"{self._picture.text}{''.join(block.text for block in self._other)}{self._others.text}"
        )

    def cut_to(self, most: int) -> str:
        """Return the text with at most `most` characters. Names of what is deleted, replaced or
        restarted are kept."""
        over = len(self.text()) + _NOTE_ROOM - most
        said = []
        # The last blocks matter least. A block that was only shortened comes after those that are
        # already as short.
        for what, blocks, at in (
            ("the diagram", [self._picture], 1),
            ("unchanged properties of {}", self._other[::-1], 1),
            ("{} of the log", self._told[::-1], 1),
            ("everything but the names of {}", self._other[::-1], 2),
            ("unchanged properties of {}", self._grave[::-1], 1),
            ("{}", self._other[::-1], 3),
            ("the number of resources of other packages", [self._others], 1),
            ("{} that the headings below repeat", self._grave_told[::-1], 1),
            ("everything but the names of {}", self._grave[::-1], 2),
        ):
            count = 0
            for block in blocks:
                if over <= 0:
                    break
                saved = block.shorten(at)
                over -= saved
                count += saved > 0
            if count:
                name = "warning" if blocks and blocks[0] in self._warnings else "paragraph"
                said.append(what.format(_counted(count, name)))
        if over > 0:
            # There are too many names, or their characters need long escapes.
            self._is_brief = True
            held = ", ".join(held.condition for held in self._report.held)
            self._head = f"### Preview\n\n{f'**{labels.GATE}** {held}' if held else ''}\n"
            said.append("the title, and headings")
            self._note = _note(most, said)
            room = most - (len(self.text()) - len(self._essence))
            if len(self._essence) > room:
                self._essence = _cut_lines(self._essence, room)
        self._note = _note(most, said)
        return self.text()


_MINOR: Final = ("error", "other", "preflight", "left_out")
"""The kinds of warnings that are cut first."""


def _note(most: int, said: list[str]) -> str:
    return f"\n_Shortened to {most:,} characters; omitted: {'; '.join(said)}._\n"


def _essence(groups: list[Group]) -> str:
    """Return what is deleted, replaced or restarted, in the shortest form."""
    lines = [
        f"- {labels.heading(group)}: {plain(listed_names(group.names), None)}" for group in groups
    ]
    return "\n" + "\n".join(lines) + "\n" if lines else ""


def _cut_lines(text: str, room: int) -> str:
    """Return the text, cut between names, with the number of omitted characters."""
    said = "\n_…and more: see --format json_\n"
    kept = text[: max(0, room - len(said))]
    at = max(kept.rfind(", "), kept.rfind("\n"))
    return kept[: max(0, at)].rstrip() + said


def _counted(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def _head(report: Report, title: str) -> str:
    lines = [
        f"### {plain(labels.title(report, title), 150)}",
        "",
        plain(labels.totals(report), 300),
    ]
    if report.failed:
        lines += ["", f"**{labels.FAILED}**"]
    if report.held:
        lines += ["", f"**{labels.GATE}**", ""]
        lines += [f"- {plain(text, None)}" for text in labels.verdicts(report)]
    return "\n".join(lines) + "\n"


def _warning(told: Told) -> str:
    named = [name for name in told.resources if name]
    names = f" {_names(named)}" if named else ""
    most = 600 if told.kind in _MINOR else _LONG
    return f"- **{labels.WARNINGS[told.kind]}**{names}: {plain(told.text, most)}\n"


def _names(names: Iterable[str]) -> str:
    """Return all names; consecutive numbers as the first and the last name."""
    return ", ".join(
        code(one, 80) if one == last else f"{code(one, 80)} to {code(last, 80)}"
        for one, last in spans(names)
    )


def _drawn(picture: Picture | None) -> str:
    if picture is None:
        return ""
    part = part_of(picture, _MOST_NODES)
    drawn = mermaid(part) if part else ""
    if part is None or len(part.edges) > _MOST_EDGES or len(drawn) > _MOST_DRAWN:
        rows = labels.drawn_in_words(picture)
        return _table(rows[0], [[plain(row[0]), *row[1:]] for row in rows[1:]])
    left = len(picture.nodes) - len(part.nodes)
    said = f"\n_Not drawn: {left:,} unchanged resources._\n" if left else ""
    return f"\n```mermaid\n{drawn}\n```\n{said}"


def _line(group: Group) -> str:
    """Return a heading with the names."""
    reason = labels.reason(group.shown)
    why = f": {plain(reason, 300)}" if reason else ""
    head = labels.heading(group)
    if len(group.changes) == 1:
        return f"\n#### {head} {code(group.shown.name, 80)}{why}\n"
    return f"\n#### {head}{why}\n\n{_names(group.names)}\n"


def _change(group: Group, brief: bool = False) -> str:
    """Return the heading and the tables of one or more similar changes.

    Args:
        group: The changes.
        brief: Whether unchanged properties are omitted.
    """
    change = group.shown
    many = len(group.changes) > 1
    text = _line(group)
    if said := labels.placeholders(group):
        text = f"{text.rstrip()} ({plain(said)})\n"
    if change.on_delete:
        text += f"\nOn delete: {plain(change.on_delete, _LONG)}.\n"
    if change.drift:
        text += f"\nChanged outside Pulumi, and corrected: {plain(listed(change.drift))}.\n"
    text += "".join(f"\nNote: {plain(note)}\n" for note in change.notes)
    rows, below = [], ""
    for value in shown_values(change, brief=brief or many):
        name = plain(labels.label(value), 100)
        shown = shown_value(value, whole=_one_sided(change), most=_MOST_VALUE)
        rows.append((name, _value(shown, value, change)))
        if shown.lines:
            below += f"\n{name}:\n\n{_fenced(shown.lines)}"
    if change.kind != "host" and (not brief or group.whole):
        rows.append(("host", code(change.host) or labels.NO_HOST))
    if rows:
        text += _table(("", ""), rows)
    if group.columns:
        heads = ["differs", *(plain(labels.path_label(path), 60) for path in group.columns)]
        most = None if group.grave and not brief else labels.MOST_ROWS
        cells = [
            [_names(names), *(_cell(value, change) for value in values)]
            for names, values in group.rows[:most]
        ]
        text += _table(heads, cells)
        if left := sum(len(names) for names, _ in group.rows[len(cells) :]):
            text += f"\n_and {left:,} more with different values: see `--format json`_\n"
    text += below
    if devices := shown_devices(change, brief=brief or many):
        heads = ["device", "kind", "source → guest path", "mode", "change"]
        text += _table(heads, [_device(device, change) for device in devices])
    return text


def _one_sided(change: Change) -> bool:
    return change.action in ("create", "delete", "release")


def _fenced(lines: Sequence[str]) -> str:
    """Return untrusted lines as a block of code that none of the lines can end."""
    longest = max((len(found[0]) for line in lines for found in _FENCES.finditer(line)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}diff\n" + "".join(f"{line}\n" for line in lines) + f"{fence}\n"


def _cell(value: Value, change: Change) -> str:
    return _value(shown_value(value, whole=_one_sided(change), most=80), value, change)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _value(shown: Shown, value: Value, change: Change) -> str:
    lengths = f" ({shown.lengths})" if shown.lengths else ""
    before, after = code(shown.before, None), code(shown.after, None)
    if shown.lines:
        return f"**see below**{lengths}"
    if not value.changed:
        gone = change.action in ("delete", "release")
        return f"{(before if gone else after) or '–'}{lengths}"
    return f"{before or '–'} → **{after or '–'}**{lengths}"


def _device(device: Device, change: Change) -> Sequence[str]:
    show: Callable[[str], str] = code
    was = [f"{name} was {show(text) or '–'}" for name, text in labels.differences(device)]
    state = labels.state(device, change)
    return (
        show(device.name),
        plain(device.kind),
        f"{show(device.source) or '–'} → {show(device.guest_path) or '–'}",
        plain(labels.mode(device)) or "–",
        "; ".join(filter(None, (f"**{plain(state)}**" if state else "", *was))),
    )
