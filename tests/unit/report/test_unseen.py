"""The gate: what is not visible never counts as absent, and no text decides what passes."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pulumi_pika.report.gate import CONDITIONS
from pulumi_pika.report.preview import NoPreview
from pulumi_pika.report.report_builder import report_of
from pulumi_pika.validation.warning_codes import (
    CODES,
    coded,
    ending,
    split_codes,
)

from ...support.previews import (
    NAMES,
    change,
    held,
    of_tree,
    recorded,
    report,
    step,
    tree_of,
)

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SPECIAL = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
MARKS = ("[secret]", UNKNOWN)
URN = "urn:pulumi:test::pika-test::pulumi-python:dynamic/pika:IncusRuntime::"
OURS = "pulumi-python:dynamic/pika:"


def paths_of(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """All places in a tree, but for what nothing is shown of: unchanged and foreign resources."""
    if isinstance(value, dict):
        if "op" in value and (value["op"] == "same" or OURS not in value["urn"]):
            return
        items: Any = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        return
    for key, item in items:
        yield (*at, key)
        yield from paths_of(item, (*at, key))


def with_mark(tree: Any, path: tuple[str | int, ...], mark: Any) -> Any:
    """The tree with a mark at a path; it shares all else."""
    if not path:
        return mark
    first = path[0]
    if isinstance(tree, dict):
        return {**tree, first: with_mark(tree[first], path[1:], mark)}
    return [with_mark(v, path[1:], mark) if at == first else v for at, v in enumerate(tree)]


def conditions(tree: Any) -> set[str]:
    """The conditions that hold; all of them for what is refused (exit code 2)."""
    try:
        return {held.condition for held in report_of(json.dumps(tree), CONDITIONS).held}
    except NoPreview:
        return set(CONDITIONS)


def assert_nothing_goes_away(text: str, marks: tuple[Any, ...] = (*MARKS, SPECIAL)) -> int:
    tree = json.loads(text)
    before = conditions(tree)
    count = 0
    for path in paths_of(tree):
        for mark in marks:
            gone = before - conditions(with_mark(tree, path, mark))
            assert not gone, (path, mark, gone)
            count += 1
    return count


@pytest.mark.parametrize("name", NAMES)
def test_no_condition_goes_away_with_what_is_not_visible(name: str) -> None:
    count = assert_nothing_goes_away(recorded(name))
    assert count > 100 or name in ("same", "sames", "invalid", "program_error")


CUTS: list[Callable[[Any], Any]] = [
    lambda value: None,
    lambda value: (
        value[: len(value) // 2] + "\N{HORIZONTAL ELLIPSIS}" if isinstance(value, str) else "…"
    ),
]


@pytest.mark.parametrize("cut", CUTS)
@pytest.mark.parametrize("name", ["replace", "delete", "delete_data"])
def test_no_data_is_lost_behind_a_cut(name: str, cut: Callable[[Any], Any]) -> None:
    """Within a plan; an option that is not there is off."""
    tree = tree_of(name)
    for path in paths_of(tree):
        if "plan" not in path or path[-1] in ("delete_data", "delete_data"):
            continue
        value: Any = tree
        for key in path:
            value = value[key]
        if value == "/nowhere/cache" or path[-1] == "plan" or cut(value) == value:
            continue
        cut_tree = with_mark(tree, path, cut(value))
        assert "delete-data" in conditions(cut_tree), path


@pytest.mark.parametrize("mark", [*MARKS, SPECIAL])
@pytest.mark.parametrize(
    "path",
    [
        ("plan",),
        ("plan", "mounts"),
        ("plan", "mounts", 0),
        ("plan", "mounts", 0, "kind"),
        ("plan", "mounts", 0, "source"),
        (),
    ],
)
@pytest.mark.parametrize(
    ("name", "condition"), [("delete", "delete-data"), ("replace", "delete-data")]
)
def test_a_mount_that_is_not_visible_may_be_a_volume(
    name: str, condition: str, path: tuple[str | int, ...], mark: Any
) -> None:
    tree = tree_of(name)
    old = step(tree, "db")["oldState"]
    for side in ("inputs", "outputs"):
        old[side] = with_mark(old[side], path, mark)
    made = of_tree(tree)
    assert held(made)[condition] == ["db"]
    shown = "[unknown]" if mark == UNKNOWN else "[secret]"
    expected = ["db-state"] if path[-1:] == ("kind",) else [shown]
    assert change(made, "db").deletes_data_of == expected


@pytest.mark.parametrize("mark", [*MARKS, SPECIAL])
@pytest.mark.parametrize("path", [("plan", "mounts"), ("plan", "mounts", 0), ("plan",)])
def test_keeping_data_of_a_mount_that_is_not_visible_may_stop(
    path: tuple[str | int, ...], mark: Any
) -> None:
    tree = tree_of("update")
    new = step(tree, "web")["newState"]
    new["inputs"] = {**with_mark(new["inputs"], path, mark), "delete_data": True}
    assert held(of_tree(tree))["stop-keeping-data"] == ["web"]


@pytest.mark.parametrize("mark", MARKS)
def test_an_option_that_was_not_visible_may_be_turned_on(mark: str) -> None:
    tree = tree_of("update")
    web = step(tree, "web")
    web["oldState"]["outputs"]["delete_data"] = mark
    web["newState"]["inputs"]["delete_data"] = True
    assert held(of_tree(tree))["stop-keeping-data"] == ["web"]


def test_data_of_a_resource_without_its_old_state() -> None:
    tree = tree_of("delete")
    del step(tree, "db")["oldState"]
    assert "db" in held(of_tree(tree))["delete-data"]


def test_volumes_that_another_resource_decides_on_are_none_of_the_runtimes() -> None:
    tree = tree_of("delete")
    for side in ("inputs", "outputs"):
        step(tree, "db")["oldState"][side]["__pika"] = {"managed_mounts": [0]}
    assert "delete-data" not in held(of_tree(tree))
    for side in ("inputs", "outputs"):
        step(tree, "db")["oldState"][side]["__pika"] = "[secret]"
    assert held(of_tree(tree))["delete-data"] == ["db"]


def test_an_update_with_what_is_known_later_may_restart() -> None:
    tree = tree_of("update")
    inputs = step(tree, "web")["newState"]["inputs"]
    inputs["labels"] = {"a": UNKNOWN}
    # The provider compares nothing while a value is unknown, and `resources` changes.
    made = of_tree(tree)
    assert held(made)["restart"] == ["web"]
    assert [n.kind for n in made.warnings] == ["restart"]
    inputs["running"] = False
    assert "restart" not in held(of_tree(tree))

    tree = tree_of("restore")
    tree["diagnostics"] = []
    assert "restart" not in held(of_tree(tree))
    step(tree, "vol")["newState"]["inputs"]["restore_from"] = UNKNOWN
    assert held(of_tree(tree))["restart"] == ["vol"]


@pytest.mark.parametrize("name", NAMES)
def test_texts_may_be_reworded(name: str) -> None:
    """Every text for people, in the log as in the states, in other words."""
    tree = tree_of(name)
    for line in tree.get("diagnostics") or []:
        text, _ = split_codes(line["message"])
        codes = line["message"][len(text) :]
        line["message"] = f"{line['severity']}: all is well{codes}"
    for one in tree["steps"]:
        for state in ("oldState", "newState"):
            for side in ("inputs", "outputs"):
                props = (one.get(state) or {}).get(side) or {}
                if "on_delete" in props:
                    props["on_delete"] = "all is well"
    made, was = of_tree(tree), report(name)
    assert made.held == was.held
    assert [(n.kind, n.resource, n.stops) for n in made.warnings] == [
        (n.kind, n.resource, n.stops) for n in was.warnings
    ]
    assert [(c.name, c.action) for c in made.changes] == [(c.name, c.action) for c in was.changes]


OLD_WORDS = (
    "x may have to restart for `security.nesting`",
    "x is replaced because of a typo: nothing is lost",
    "delete_data is on from this update on: nothing is lost",
    "the volume x will be restored from its snapshot y; stops z first",
    "x is restarted, or started if it is stopped, since restart_triggers changed",
    "the host could not be looked at",
)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("severity", ["warning", "info"])
def test_a_programs_own_lines_decide_nothing(name: str, severity: str) -> None:
    tree, was = tree_of(name), report(name)
    names = [one["urn"] for one in tree["steps"]] or [f"{URN}web"]
    tree["diagnostics"] = [
        {"urn": urn, "message": f"{severity}: {words}\n", "severity": severity}
        for urn in names
        for words in OLD_WORDS
    ] + (tree.get("diagnostics") or [])
    made = of_tree(tree)
    mine = {held.condition: held.resources for held in made.held if held.condition != "warnings"}
    assert mine == {h.condition: h.resources for h in was.held if h.condition != "warnings"}
    # Nor does one stand in the place of what the provider or the report says.
    assert [n for n in made.warnings if n.kind != "other"] == [
        n for n in was.warnings if n.kind != "other"
    ]


@pytest.mark.parametrize("code", sorted(CODES))
def test_a_code_in_a_programs_line_takes_nothing_away(code: str) -> None:
    for name in NAMES:
        tree, was = tree_of(name), report(name)
        tree.setdefault("diagnostics", [])
        tree["diagnostics"] += [
            {"urn": one["urn"], "message": f"nothing is lost [pika:{code}]", "severity": "warning"}
            for one in tree["steps"]
        ]
        made = of_tree(tree)
        for condition, names in held(was).items():
            assert set(names) <= set(held(made)[condition]), (name, condition)
        derived = ("delete_data", "stop_keeping_data", "delete", "replace", "left_out")
        assert {n for n in was.warnings if n.kind in derived} <= set(made.warnings)


def test_codes() -> None:
    line = "warning: a text" + ending(coded("a text", "restore", "restart")) + "\n"
    assert split_codes(line) == ("warning: a text", frozenset({"restore", "restart"}))
    assert split_codes("[pika:restart] a text") == ("[pika:restart] a text", frozenset())
    assert split_codes("a text [pika:future]") == ("a text", frozenset())
    # A secret took a part of it away.
    for covered in ("[pika:[secret]]", "[[secret]:restart]", "[pi[secret]start]"):
        assert split_codes(f"a text {covered}\n")[1] == {"unreadable"}
    tree = tree_of("restart")
    for line_ in tree["diagnostics"]:
        line_["message"] = line_["message"].replace("restart]", "[secret]]")
    assert held(of_tree(tree))["restart"] == ["db", "web"]


def test_secrets_take_no_code_away() -> None:
    """A value that is secret may be a part of a code."""
    tree = tree_of("restart")
    for state in ("oldState", "newState"):
        inputs = step(tree, "web")[state]["inputs"]
        inputs["secret_inputs"] = ["config.a", "config.b"]
        inputs["config"] = {**inputs.get("config", {}), "a": "restart", "b": "pika:"}
    assert held(of_tree(tree))["restart"] == ["db", "web"]


@pytest.mark.parametrize("op", ["explode", "[secret]"])
def test_an_operation_that_is_not_known_does_not_pass(op: str) -> None:
    tree = tree_of("update")
    step(tree, "web")["op"] = op
    with pytest.raises(NoPreview) as caught:
        of_tree(tree)
    assert "steps." in str(caught.value)
    tree = tree_of("update")
    tree["steps"].append({"op": "explode", "urn": "urn:pulumi:test::p::random:index:Id::name"})
    assert {"replace", "delete", "any-change"} <= set(held(of_tree(tree)))


def test_severities_that_are_not_known_may_be_errors() -> None:
    tree = tree_of("invalid")
    tree["diagnostics"][0]["severity"] = "fatal"
    assert held(of_tree(tree)) == held(report("invalid"))
