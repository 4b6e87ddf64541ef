"""The gate holds for each state that a preview has of a resource, and for each that it lacks."""

import copy
import json
from typing import Any

import pytest

from pulumi_pika.report.preview import NoPreview

from ...support.previews import PREVIEWS, call, held, of_tree, step

TYPE = "pulumi-python:dynamic/pika:PersistentVolume"


def recorded(name: str) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads((PREVIEWS / f"{name}.json").read_text())
    return tree


def volume(op: str, delete_data: bool) -> dict[str, Any]:
    urn = f"urn:pulumi:prod::shop::{TYPE}::db"
    inputs = {"volume_name": "db", "delete_data": delete_data, "secret_inputs": []}
    state = {"type": TYPE, "urn": urn, "inputs": inputs, "outputs": dict(inputs)}
    return {"op": op, "urn": urn, "oldState": state}


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("other", ["delete", "delete-replaced"])
def test_each_pending_delete_counts(other: str, order: int) -> None:
    steps = [volume("delete", False), volume(other, True)][::order]
    made = of_tree({"steps": steps, "changeSummary": {"delete": 2}, "diagnostics": []})
    assert held(made)["delete-data"] == ["db"]


def test_the_delete_of_a_replacement_is_no_second_change() -> None:
    tree = recorded("replace_steps")
    names = [change.name for change in of_tree(tree).changes]
    assert len(names) == len(set(names))


def test_a_replacement_may_stop_keeping_data() -> None:
    tree = recorded("replace")
    replaced = step(tree, "web")
    assert replaced["op"] == "replace"
    assert "stop-keeping-data" not in held(of_tree(copy.deepcopy(tree)))
    replaced["newState"]["inputs"]["delete_data"] = True
    assert "stop-keeping-data" in held(of_tree(tree))


@pytest.mark.parametrize("state", [None, {}, {"inputs": {}, "outputs": {}}, "[secret]"])
def test_an_update_without_a_visible_new_state_holds(state: Any) -> None:
    tree = recorded("update")
    updated = next(s for s in tree["steps"] if s["op"] == "update" and "Runtime" in s["urn"])
    updated["newState"] = state
    assert {"restart", "stop-keeping-data"} <= held(of_tree(tree)).keys()


@pytest.mark.parametrize("state", [None, {}, {"inputs": {}, "outputs": {}}])
def test_a_delete_without_a_visible_state_holds(state: Any) -> None:
    tree = {"steps": [volume("delete", False)], "changeSummary": {"delete": 1}, "diagnostics": []}
    step(tree, "db")["oldState"] = state
    assert "delete-data" in held(of_tree(tree))


@pytest.mark.parametrize("severity", [None, "", "fatal", ...])
def test_a_line_without_a_severity_is_an_error(severity: Any) -> None:
    tree = recorded("same")
    line = {"message": "the provider crashed\n"}
    tree["diagnostics"] = [line if severity is ... else {**line, "severity": severity}]
    made = of_tree(tree)
    assert made.failed
    assert {"errors", "warnings"} <= held(made).keys()


@pytest.mark.parametrize("name", ["delete", "replace", "update", "create", "delete_data"])
def test_steps_that_a_script_removed_are_missed(name: str) -> None:
    tree = recorded(name)
    changed = next(one for one in tree["steps"] if one["op"] not in ("same", "refresh"))
    tree["steps"].remove(changed)
    with pytest.raises(NoPreview, match="its changeSummary has"):
        of_tree(tree)


def test_conditions_of_several_options_all_count() -> None:
    preview = str(PREVIEWS / "delete_data.json")
    done = call(preview, "--fail-on", "delete-data", "--fail-on", "errors")
    assert done.returncode == 1


@pytest.mark.parametrize("text", ["", ","])
def test_no_condition_is_refused(text: str) -> None:
    done = call(str(PREVIEWS / "delete_data.json"), "--fail-on", text)
    assert done.returncode == 2
    assert b"has no condition" in done.stderr
