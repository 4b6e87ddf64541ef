"""Large previews: many alike changes are read as one, and nothing pushes out what matters."""

import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulumi_pika.report.gate import CONDITIONS
from pulumi_pika.report.markdown import markdown
from pulumi_pika.report.names import listed_names, spans
from pulumi_pika.report.report_builder import report_of
from pulumi_pika.report.report_model import (
    Condition,
    Report,
    report_text,
)
from pulumi_pika.report.terminal import terminal

from ...support.previews import (
    NAMES,
    of_tree,
    step,
    tree_of,
)

Tree = dict[str, Any]


def fleet(
    count: int, name: str = "update", change: Callable[[Tree, int], None] | None = None
) -> Tree:
    """A recorded preview with `w1`, `w2` and so on in the place of `web`."""
    tree = tree_of(name)
    template = json.dumps(step(tree, "web"))
    lines = [json.dumps(d) for d in tree.get("diagnostics") or [] if d["urn"].endswith("::web")]
    tree["steps"] = [one for one in tree["steps"] if not one["urn"].endswith("::web")]
    tree["diagnostics"] = []
    for at in range(1, count + 1):
        made = json.loads(template.replace("web", f"w{at}"))
        if change:
            change(made, at)
        tree["steps"].append(made)
        tree["diagnostics"] += [json.loads(line.replace("web", f"w{at}")) for line in lines]
    return tree


def both(made: Report) -> list[str]:
    return [markdown(made), terminal(made)]


@pytest.mark.parametrize(("count", "most"), [(60, 25), (110, 25), (600, 30)])
def test_alike_updates_are_one_paragraph(count: int, most: int) -> None:
    for text in both(of_tree(fleet(count), ("restart", "delete-data"))):
        assert len(text.splitlines()) <= most, text
        assert len(text) < 1_500
        assert text.count("64 MiB") == 1
        assert f"update in place {count} runtimes: resources.vcpu_count, " in text
        assert f"w{count}" in text
        assert "w2" not in text.split()


@pytest.mark.parametrize("name", ["replace", "restart", "delete"])
def test_alike_grave_changes_have_all_names(name: str) -> None:
    tree = fleet(60, name) if name != "delete" else tree_of(name)
    if name == "delete":
        template = json.dumps(step(tree, "sec"))
        tree["steps"] += [json.loads(template.replace("sec", f"w{at}")) for at in range(1, 61)]
    else:
        tree["steps"] = [one for one in tree["steps"] if not one["urn"].endswith("::db")]
    for text in both(of_tree(tree, (name,) if name != "delete" else ("delete",))):  # type: ignore[arg-type]
        assert "w1` to `w60`" in text or "w1 to w60" in text
        assert len(text.splitlines()) <= 75


def test_names_that_are_no_row_are_all_there() -> None:
    tree = fleet(60)
    text = json.dumps(tree)
    for at in range(60, 0, -1):
        text = text.replace(f"w{at}", f"x{at * 3}")
    for shown in both(report_of(text)):
        assert len(shown.splitlines()) <= 25
        assert all(f"x{at * 3}" in shown for at in range(1, 61))


def other_memory(made: Tree, at: int) -> None:
    inputs = made["newState"]["inputs"]
    inputs["resources"] = {"vcpu_count": 2, "memory_mib": 96 + (at > 50) * 32}
    inputs["plan"]["resources"] = inputs["resources"]


def test_what_differs_is_in_a_table() -> None:
    text = markdown(of_tree(fleet(60, change=other_memory)))
    assert "| differs | memory |\n" in text
    assert "| `w1` to `w50` | `64 MiB` → **`96 MiB`** |" in text
    assert "| `w51` to `w60` | `64 MiB` → **`128 MiB`** |" in text
    assert len(text.splitlines()) <= 30
    assert "w51 to w60  64 MiB -> 128 MiB" in terminal(of_tree(fleet(60, change=other_memory)))


def own_description(made: Tree, at: int) -> None:
    made["newState"]["inputs"]["description"] = f"number {at * 7}"


def test_differences_of_each_are_bounded_but_for_what_is_grave() -> None:
    tree = fleet(600, change=own_description)
    for text in both(of_tree(tree)):
        assert len(text.splitlines()) <= 45
        assert "and 588 more with different values" in text
    # The gate holds for one of them: its row is not among those that are left out.
    replaced = fleet(60, "replace", own_description)
    assert "number 420" in markdown(of_tree(replaced))
    assert "number 420" in terminal(of_tree(replaced))


def test_an_instance_with_a_new_name_of_its_own_is_not_hidden() -> None:
    """Only what stays the same, or has the resource's name in it, is read as one."""

    def rename(made: Tree, at: int) -> None:
        name = "odd" if at == 7 else f"w{at}-b"
        made["newState"]["inputs"]["plan"]["identity"]["instance_name"] = name

    for text in both(of_tree(fleet(60, "replace", rename))):
        assert "odd" in text
        assert "<name>-b" in text or "`<name>-b`" in text


def test_a_name_that_is_a_placeholder_is_no_placeholder() -> None:
    def forge(made: Tree, at: int) -> None:
        made["newState"]["inputs"]["description"] = "<name>" if at == 7 else f"w{at}"

    text = markdown(of_tree(fleet(60, change=forge)))
    assert "#### update in place runtime `w7`" in text
    assert "update in place 59 runtimes" in text


@pytest.mark.parametrize("name", NAMES)
def test_equal_previews_give_equal_reports(name: str) -> None:
    """Pulumi writes steps and lines in the order in which they came about."""
    tree = tree_of(name)
    if name in ("update", "replace", "restart"):
        tree = fleet(12, name, own_description)
    expected = [*both(of_tree(tree, CONDITIONS)), report_text(of_tree(tree, CONDITIONS))]
    for seed in range(5):
        shuffled = json.loads(json.dumps(tree))
        for key in ("steps", "diagnostics"):
            # What is of one resource stays in its order.
            urns = [one.get("urn") for one in shuffled.get(key) or []]
            by_urn = {urn: [o for o in shuffled[key] if o.get("urn") == urn] for urn in urns}
            random.Random(seed).shuffle(urns)
            if urns:
                shuffled[key] = [by_urn[urn].pop(0) for urn in urns]
        made = of_tree(shuffled, CONDITIONS)
        assert [*both(made), report_text(made)] == expected


def test_natural_order() -> None:
    made = of_tree(fleet(12, change=own_description))
    assert [c.name for c in made.changes] == [f"w{at}" for at in range(1, 13)]
    assert made.picture is not None
    labels = [node.label for node in made.picture.nodes if node.kind == "runtime"]
    assert labels[-3:] == ["w10", "w11", "w12"]


@given(st.lists(st.integers(0, 200)), st.sampled_from(["w", "", "a-"]), st.sampled_from(["", "-x"]))
def test_rows_of_names_lose_none(numbers: list[int], start: str, end: str) -> None:
    found = [
        number
        for one, last in spans(f"{start}{number}{end}" for number in numbers)
        for number in range(
            int(one[len(start) : len(one) - len(end)]),
            int(last[len(start) : len(last) - len(end)]) + 1,
        )
    ]
    assert found == sorted(set(numbers))


@pytest.mark.parametrize(
    ("names", "shown"),
    [
        (["w10", "w2", "w1"], "w1, w2, w10"),
        ([f"w{at}" for at in range(1, 13)], "w1 to w12"),
        (["a-1-x", "a-2-x", "a-3-x", "a-5-x"], "a-1-x to a-3-x, a-5-x"),
        (["w08", "w09", "w10"], "w08 to w10"),
        (["w8", "w9", "w010"], "w8, w9, w010"),
        (["v1w1", "v1w2", "v2w3"], "v1w1, v1w2, v2w3"),
        (["1", "2", "3"], "1 to 3"),
        (["a to c", "b, c"], '"a to c", "b, c"'),
        (["9" * 5000, "x"], "9" * 5000 + ", x"),
    ],
)
def test_names_in_few_words(names: list[str], shown: str) -> None:
    assert listed_names(names) == shown


@pytest.mark.parametrize("severity", ["error", "warning"])
@pytest.mark.parametrize("urn", ["", "web"])
def test_a_flood_of_lines_pushes_nothing_out(severity: str, urn: str) -> None:
    tree = tree_of("replace")
    lines = [
        {
            **({"urn": step(tree, urn)["urn"]} if urn else {}),
            "message": f"{severity}: {at} {'x' * 550}\n",
            "severity": severity,
        }
        for at in range(300)
    ]
    tree["diagnostics"] = lines + tree["diagnostics"]
    for most in (65_536, 5_000):
        text = markdown(of_tree(tree), max_chars=most)
        assert len(text) <= most
        assert "**deletes data** `db`" in text
        for name in ("db", "web"):
            assert f"#### replace runtime `{name}`" in text
    assert "and 290 more " in markdown(of_tree(tree))
    shown = terminal(of_tree(tree))
    assert len(shown.splitlines()) < 60
    assert "! deletes data db" in shown


GRAVE: list[tuple[str, Condition]] = [("delete", "delete"), ("replace", "replace")]


@pytest.mark.parametrize("most", [3_000, 65_536])
def test_what_is_grave_comes_before_all_else(most: int) -> None:
    """As many harmless changes as there is room for, each unlike the others."""
    tree = tree_of("replace")
    new = json.dumps(step(tree_of("create"), "web"))
    for at in range(400):
        made = json.loads(new.replace("web", f"new{at}"))
        made["newState"]["inputs"]["labels"] = made["newState"]["inputs"]["plan"]["labels"] = {
            f"l{at}": "x"
        }
        tree["steps"].append(made)
    text = markdown(of_tree(tree, CONDITIONS), max_chars=most)
    assert len(text) <= most
    first = text.index("#### replace runtime `db`")
    assert "#### create" not in text[:first]
    assert "```mermaid" not in text[:first]
    assert "#### replace runtime `web`" in text


def test_pictures_draw_what_changes() -> None:
    tree = fleet(60)
    for one in tree["steps"]:
        if one["urn"].partition("::w")[2].isdigit() and not one["urn"].endswith(("::w1", "::w2")):
            one["op"] = "same"
    text = markdown(of_tree(tree))
    assert "```mermaid" in text
    drawn = text.partition("```mermaid")[2].partition("```")[0]
    assert "w1 - update" in drawn.replace("#45;", "-") or "w1 - update in place" in drawn
    assert "w3 " not in drawn
    assert " unchanged resources._" in text
