"""The report as Markdown, for a comment on a pull request.

What others wrote - names, paths, messages - is code, or text of which no character means anything
to Markdown, to HTML, or to a forge (mentions, references, links).
"""

import re
from collections.abc import Callable, Sequence
from typing import Final

from . import wording
from .document import Change, Device, Node, Notice, Picture, Report, Value
from .text import listed, one_line

MOST_CHARS: Final = 65_536
"""What GitHub takes in a comment."""
FEWEST_CHARS: Final = 1_000

_NOTE_ROOM: Final = 320
# Mermaid's own limits are 500 and 50,000; beyond them it shows an error.
_MOST_EDGES: Final = 450
_MOST_DRAWN: Final = 45_000
_RISKY: Final = re.compile(r"[^\w ,;()'/=?\-.:\u200b]|(?<![^\W_])_|_(?![^\W_])")
"""All that may mean something; an underscore only at the edge of a word."""
_REFERENCES: Final = re.compile(r"(?<=[@#!$%&~^])(?=\S)|(?<=:)(?=/)|(?<=www)(?=\.)", re.IGNORECASE)
"""Where a forge would begin to see a mention, a reference or a link; it looks for them in the text
that it has made of Markdown and of entities, so that these do not keep it from that."""
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
_SHAPES: Final = {"volume": ("[(", ")]"), "job": ("([", "])"), "runtime": ("[", "]")}


def marker(stack: str) -> str:
    """The comment, hidden in the first line, by which a script finds the report again."""
    # Two dashes would end it.
    safe = "".join(c if c.isalnum() or c in "._/" else "-" for c in one_line(stack, 100))
    while "--" in safe:
        safe = safe.replace("--", "-")
    return f"<!-- pulumi_pika report: {safe.strip('-') or '-'} -->"


def markdown(report: Report, *, title: str = "", max_chars: int = MOST_CHARS) -> str:
    """The report as Markdown.

    Args:
        report: the report.
        title: in place of its own title.
        max_chars: what it may have; what matters least is cut, and the report says so.
    """
    parts = _Parts(report, title)
    text = parts.text()
    if len(text) <= max_chars:
        return text
    return parts.cut_to(max(max_chars, FEWEST_CHARS))


def code(text: str, most: int = 200) -> str:
    """Somebody else's text as code; also within a table."""
    line = one_line(text, most)
    if not line:
        return ""
    if _SPAN_BREAKS & set(line):
        return f"<code>{''.join(_entity(c) if not c.isalnum() else c for c in line)}</code>"
    return f"`{line}`"


def plain(text: str, most: int = 600) -> str:
    """Somebody else's text as text."""
    line = _REFERENCES.sub(_EMPTY, one_line(text, most))
    return _RISKY.sub(lambda found: _entity(found[0]), line)


def mermaid(picture: Picture) -> str:
    """The picture, in Mermaid's language."""
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
    what = f" - {wording.ACTIONS[node.action]}" if node.action != "same" else ""
    return f"{node.id}{start}{_quoted(f'{node.kind} {one_line(node.label, 80)}{what}')}{end}"


def _quoted(text: str) -> str:
    safe = (c if c.isalnum() or c in " ,/-" else f"#{ord(c)};" for c in one_line(text, 120))
    return f'"{"".join(safe)}"'


def _entity(character: str) -> str:
    return " " if character == " " else f"&#{ord(character)};"


class _Block:
    """A part that can be shown in several lengths; the last one is the shortest."""

    def __init__(self, *forms: str) -> None:
        self.forms = forms
        self.at = 0

    @property
    def text(self) -> str:
        return self.forms[self.at]

    def shorten(self, at: int) -> int:
        """Takes a shorter form; how many characters that saves."""
        before, self.at = len(self.text), max(self.at, min(at, len(self.forms) - 1))
        return before - len(self.text)


class _Parts:
    def __init__(self, report: Report, title: str) -> None:
        self._report = report
        self._head = _head(report, title)
        self._marker = marker(f"{report.project}/{report.stack}")
        self._warnings = [_Block(_warning(notice), "") for notice in report.warnings]
        self._picture = _Block(_drawn(report.picture), "")
        self._changes = [
            _Block(_change(c), _change(c, brief=True), _line(c) + "\n", "") for c in report.changes
        ]
        self._others = _Block(f"\n{plain(wording.others(report))}\n" if report.others else "", "")
        self._note = ""

    def text(self) -> str:
        """All of it, as long as its blocks are now."""
        many = [block.text for block in self._warnings if block.text]
        head = f"\n**{_counted(len(self._warnings), 'warning')}**\n\n" if self._warnings else ""
        return (
            f"{self._marker}\n{self._head}{self._note}{head}{''.join(many)}{self._picture.text}"
            f"{''.join(block.text for block in self._changes)}{self._others.text}"
        )

    def cut_to(self, most: int) -> str:
        """The text, not longer than that."""
        over = len(self.text()) + _NOTE_ROOM - most
        said = []
        # The last ones matter least. What is only made shorter first stands behind those that are
        # already as short.
        for what, blocks, at in (
            ("the picture", [self._picture], 1),
            ("what stays the same in {}", self._changes[::-1], 1),
            ("all but the names of {}", self._changes[::-1], 2),
            ("{}", self._changes[::-1], 3),
            ("how many resources of other packages there are", [self._others], 1),
            ("{}", self._warnings[::-1], 1),
        ):
            count = 0
            for block in blocks:
                if over <= 0:
                    break
                saved = block.shorten(at)
                over -= saved
                count += saved > 0
            if count:
                name = "warning" if blocks and blocks[0] in self._warnings else "change"
                said.append(what.format(_counted(count, name)))
        if over > 0:
            # A title, or names, of characters that take many each.
            held = ", ".join(held.condition for held in self._report.held)
            self._head = f"### Preview\n\n{f'**Does not pass:** {held}' if held else ''}\n"
            said.append("the title and names")
        self._note = f"\n_Shortened to {most:,} characters; left out: {'; '.join(said)}._\n"
        return self.text()


def _counted(count: int, name: str) -> str:
    return f"{count:,} {name}{'' if count == 1 else 's'}"


def _head(report: Report, title: str) -> str:
    lines = [
        f"### {plain(wording.title(report, title), 150)}",
        "",
        plain(wording.totals(report), 300),
    ]
    if report.failed:
        lines += ["", f"**{wording.FAILED}**"]
    if report.held:
        lines += ["", "**Does not pass:**", ""]
        lines += [f"- {plain(text, 60)}" for text in wording.verdicts(report)]
    return "\n".join(lines) + "\n"


def _warning(notice: Notice) -> str:
    name = f" {code(notice.resource, 80)}" if notice.resource else ""
    return f"- **{wording.WARNINGS[notice.kind]}**{name}: {plain(notice.text)}\n"


def _drawn(picture: Picture | None) -> str:
    if picture is None:
        return ""
    drawn = mermaid(picture)
    if len(picture.edges) > _MOST_EDGES or len(drawn) > _MOST_DRAWN:
        return "\n_The picture is left out: it is larger than what Mermaid draws._\n"
    return f"\n```mermaid\n{drawn}\n```\n"


def _line(change: Change) -> str:
    why = f": {plain(wording.reason(change), 300)}" if wording.reason(change) else ""
    return f"\n#### {wording.action(change)} {change.kind} {code(change.name, 80)}{why}\n"


def _change(change: Change, brief: bool = False) -> str:
    """A change: its heading and its tables.

    Args:
        change: the change.
        brief: whether what stays the same is left out.
    """
    whole = change.action in ("create", "delete", "release")
    values = [value for value in change.values if value.changed or not brief or whole]
    devices = [d for d in change.devices if d.change != "same" or d.left_out or not brief or whole]
    text = _line(change)
    if change.on_delete:
        text += f"\nOn delete: {plain(change.on_delete)}.\n"
    if change.drift:
        text += f"\nChanged outside, and put right: {plain(listed(change.drift))}.\n"
    text += "".join(f"\nNote: {plain(note)}\n" for note in change.notes)
    rows = [(plain(wording.label(value), 100), _value(value, change)) for value in values]
    if change.kind != "host" and (not brief or whole):
        rows.append(("host", code(change.host) or "of the environment"))
    if rows:
        text += _table(("", ""), rows)
    if devices:
        heads = ("device", "kind", "source → guest path", "mode", "change")
        text += _table(heads, [_device(device, change) for device in devices])
    return text


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _value(value: Value, change: Change) -> str:
    before, after = (code(wording.shown(value.path, v)) for v in (value.before, value.after))
    if not value.changed:
        return (before if change.action in ("delete", "release") else after) or "–"
    return f"{before or '–'} → **{after or '–'}**"


def _device(device: Device, change: Change) -> Sequence[str]:
    show: Callable[[str], str] = code
    was = [f"{name} was {show(text) or '–'}" for name, text in wording.differences(device)]
    state = wording.state(device, change)
    return (
        show(device.name),
        plain(device.kind),
        f"{show(device.source) or '–'} → {show(device.guest_path) or '–'}",
        plain(wording.mode(device)) or "–",
        "; ".join(filter(None, (f"**{plain(state)}**" if state else "", *was))),
    )
