"""Show long values: where they differ, and how long they are."""

import difflib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from .report_model import Value
from .text import one_line, strip_controls, visible

_BEFORE: Final = 30
"""The number of equal characters that are shown before the first difference."""
_LINES: Final = 40
"""The most lines that are shown of a value with several lines."""
_WIDE: Final = 160
_AROUND: Final = 2
"""The number of equal lines that are shown around different ones."""
_COMPARED: Final = 1_000
"""The most lines on each side for which a diff is computed."""
_UNITS: Final = {"resources.memory_mib": "MiB", "resources.root_disk_gib": "GiB"}
_NONE: Final = {"storage_pool": "of the profile"}
_CUT: Final = "\N{HORIZONTAL ELLIPSIS}"


@dataclass(frozen=True, slots=True)
class Shown:
    """A value in the form that is shown in one line."""

    before: str
    after: str
    lengths: str = ""
    """The length of the value, if it is not shown completely."""
    lines: tuple[str, ...] = ()
    """A diff by lines, if the value has several."""


def shown_value(value: Value, *, whole: bool, most: int) -> Shown:
    """Return the form in which a value is shown.

    Args:
        value: The value.
        whole: Whether only one side is shown: for a created, deleted or unchanged value.
        most: The most characters of each side.
    """
    before, after = (text_of(value.path, side) for side in (value.before, value.after))
    if whole or not value.changed:
        return _single(before, after, most, lines=whole)
    if "\n" in before.strip("\n") or "\n" in after.strip("\n"):
        return Shown("", "", _lengths(before, after), tuple(_diff(before, after)))
    one, two = _pair(before, after)
    if max(len(one), len(two)) <= most:
        return Shown(one, two)
    start = max(0, common(one, two) - _BEFORE)
    return Shown(_part(one, start, most), _part(two, start, most), _lengths(before, after))


def text_of(path: str, value: JsonValue) -> str:
    """Return a property's value as text; empty if there is none."""
    if value is None:
        return _NONE.get(path, "")
    if isinstance(value, str):
        return value
    text = json.dumps(value, ensure_ascii=False)
    return f"{text} {_UNITS[path]}" if path in _UNITS else text


def common(one: Sequence[str], two: Sequence[str]) -> int:
    """Return the length of the common beginning."""
    return next(
        (at for at, (a, b) in enumerate(zip(one, two, strict=False)) if a != b),
        min(len(one), len(two)),
    )


def same_text(value: JsonValue) -> str:
    """Return a text by which two values are compared."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _single(before: str, after: str, most: int, *, lines: bool) -> Shown:
    longest = max(before, after, key=len)
    if lines and "\n" in longest.strip("\n"):
        shown = [f"  {one_wide(line)}" for line in longest.splitlines()]
        return Shown("", "", _length(longest), tuple(_bounded(shown)))
    if len(longest) <= most:
        return Shown(one_line(before, None), one_line(after, None))
    return Shown(one_line(before, most), one_line(after, most), _length(longest))


def _pair(before: str, after: str) -> tuple[str, str]:
    """Return both texts as one line each, with escapes if they would look alike otherwise."""
    one, two = one_line(before, None), one_line(after, None)
    return (visible(before), visible(after)) if one == two and before != after else (one, two)


def _part(text: str, start: int, most: int) -> str:
    cut = text[start : start + most]
    return (_CUT if start and text else "") + cut + (_CUT if start + most < len(text) else "")


def _length(text: str) -> str:
    lines = len(text.splitlines())
    return (f"{lines:,} lines, " if lines > 1 else "") + f"{len(text):,} characters"


def _lengths(before: str, after: str) -> str:
    return f"{_length(before)} \N{RIGHTWARDS ARROW} {_length(after)}"


def one_wide(line: str) -> str:
    """Return a line of a value with several lines, not wider than a page."""
    return _part(strip_controls(line).replace("\n", " "), 0, _WIDE)


def _diff(before: str, after: str) -> Iterator[str]:
    """Yield the lines that differ, and some lines around them."""
    one, two = before.splitlines(), after.splitlines()
    if one == two:
        # The line endings differ, or the end of the last line.
        one, two = [visible(before)], [visible(after)]
    start = common(one, two)
    end = common(one[start:][::-1], two[start:][::-1])
    gone, come = one[start : len(one) - end], two[start : len(two) - end]
    first = max(0, start - _AROUND)
    yield from _bounded(
        [
            *([f"  {_CUT} {first:,} equal lines"] if first else []),
            *(f"  {one_wide(line)}" for line in one[first:start]),
            *_changed(gone, come),
            *(f"  {one_wide(line)}" for line in one[len(one) - end :][:_AROUND]),
            *([f"  {_CUT} {end - _AROUND:,} equal lines"] if end > _AROUND else []),
        ]
    )


def _changed(gone: list[str], come: list[str]) -> list[str]:
    """Return the lines that differ. No two of them look alike, unless they are equal."""
    if max(len(gone), len(come)) > _COMPARED:
        shown = _distinct([*gone, *come])
        return [*(f"- {shown[line]}" for line in gone), *(f"+ {shown[x]}" for x in come)]
    unpaired = _distinct([*gone, *come])
    lines: list[str] = []
    matcher = difflib.SequenceMatcher(None, gone, come, autojunk=False)
    for groups in matcher.get_grouped_opcodes(_AROUND):
        if lines:
            lines.append(f"  {_CUT}")
        for what, i, j, k, m in groups:
            if what == "equal":
                lines += [f"  {one_wide(line)}" for line in gone[i:j]]
                continue
            pairs = [_around(*pair) for pair in zip(gone[i:j], come[k:m], strict=False)]
            old = [pair[0] for pair in pairs] + [unpaired[x] for x in gone[i + len(pairs) : j]]
            new = [pair[1] for pair in pairs] + [unpaired[x] for x in come[k + len(pairs) : m]]
            lines += [f"- {line}" for line in old] + [f"+ {line}" for line in new]
    return lines


def _distinct(lines: Iterable[str]) -> dict[str, str]:
    """Return the form in which each line is shown, so that different lines look different.

    Lines that would look alike are shown with JSON escapes, which tell all characters apart, and
    from the place on where they differ.
    """
    shown: dict[str, str] = {}
    alike: dict[str, list[str]] = {}
    for line in dict.fromkeys(lines):
        alike.setdefault(one_wide(line), []).append(line)
    groups = [(form, found, False) for form, found in alike.items()]
    while groups:
        form, found, escaped = groups.pop()
        if len(found) == 1:
            shown[found[0]] = form
            continue
        texts = [json.dumps(line)[1:-1] for line in found]
        start = min(common(texts[0], text) for text in texts[1:])
        # In a group that already has escapes, all lines differ only beyond what was shown.
        first = max(0, start - (_WIDE // 2 if escaped else _BEFORE))
        parts: dict[str, list[str]] = {}
        for line, text in zip(found, texts, strict=True):
            parts.setdefault(_part(text, first, _WIDE), []).append(line)
        groups += [(form, some, True) for form, some in parts.items()]
    used: set[str] = set()
    for at, (line, form) in enumerate(shown.items(), 1):
        # A part of one line may look like the whole of another.
        shown[line] = form if form not in used else f"{form} ({at})"
        used.add(shown[line])
    return shown


def _around(before: str, after: str) -> tuple[str, str]:
    one, two = strip_controls(before), strip_controls(after)
    if one == two:
        one, two = visible(before), visible(after)
    if one == two:
        # One of them has an escape as its text.
        one, two = json.dumps(before)[1:-1], json.dumps(after)[1:-1]
    start = 0
    if max(len(one), len(two)) > _WIDE:
        start = max(0, common(one, two) - _BEFORE)
    return _part(one, start, _WIDE), _part(two, start, _WIDE)


def _bounded(lines: list[str]) -> list[str]:
    """Return at most `_LINES` lines, with some of the removed and some of the added ones."""
    if len(lines) <= _LINES:
        return lines
    half = _LINES // 2
    first = lines[:half]
    new = next((at for at, line in enumerate(lines) if line.startswith("+ ")), half)
    rest = lines[max(new, half) :][:half]
    skipped = max(new, half) - half
    left = len(lines) - half - skipped - len(rest)
    between = [f"  {_CUT} {skipped:,} more lines"] if skipped else []
    after = [f"  {_CUT} {left:,} more lines"] if left else []
    return [*first, *between, *rest, *after]
