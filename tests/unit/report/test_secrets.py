"""A secret that was planted appears in no format."""

import json
from typing import Any

import pytest

from pulumi_pika.report.markdown import markdown
from pulumi_pika.report.report_model import report_text
from pulumi_pika.report.terminal import terminal

from ...support.previews import (
    NAMES,
    change,
    of_tree,
    report,
    step,
    tree_of,
)

PLANT = "hunter2-planted"
MARK = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}


def formats(tree: dict[str, Any]) -> dict[str, str]:
    made = of_tree(tree)
    return {
        "markdown": markdown(made),
        "terminal": terminal(made, colours=True),
        "json": report_text(made),
    }


def assert_hidden(tree: dict[str, Any], plant: str = PLANT) -> None:
    assert plant in json.dumps(tree), "nothing was planted"
    for name, text in formats(tree).items():
        assert plant not in text, name
        # Without what stands between its letters in an escaped text.
        assert plant not in text.replace("​", "").replace("&#45;", "-"), name


def sides(tree: dict[str, Any], name: str) -> list[dict[str, Any]]:
    one = step(tree, name)
    states = [one[state] for state in ("oldState", "newState") if state in one]
    return [s[side] for s in states for side in ("inputs", "outputs") if side in s]


@pytest.mark.parametrize("name", ["restart", "replace"])
def test_what_the_inputs_call_secret(name: str) -> None:
    """As a preview would have it whose engine put no marks."""
    tree = tree_of(name)
    for side in sides(tree, "web"):
        side["secret_inputs"] = ["config.a", 'labels["b.c"]', "mounts[0].source", "description"]
        side["config"] = {"a": PLANT}
        side["labels"] = {"b.c": PLANT}
        side["description"] = PLANT
        side["plan"]["labels"] = {"b.c": PLANT}
        side["plan"]["mounts"][0]["source"] = side["mounts"][0]["source"] = PLANT
        side["on_delete"] = f"deletes the instance; keeps volume {PLANT}"
    tree.setdefault("diagnostics", []).append(
        {"urn": step(tree, "web")["urn"], "message": f"about {PLANT}", "severity": "warning"}
    )
    assert_hidden(tree)
    made = change(of_tree(tree), "web")
    assert made.devices[0].source == made.devices[0].name == "[secret]"
    assert made.devices[1].source == "data"


def test_keys_of_what_is_secret_are_secret() -> None:
    tree = tree_of("restart")
    for side in sides(tree, "web"):
        side["secret_inputs"] = ["config"]
        side["config"] = {f"environment.{PLANT}": "value-of-it", "security.nesting": "true"}
    message = f"`environment.{PLANT}` changed to value-of-it"
    tree["diagnostics"].append(
        {"urn": step(tree, "web")["urn"], "message": message, "severity": "warning"}
    )
    assert_hidden(tree)
    assert_hidden(tree, "value-of-it")
    # The names of fields are known to all, and are no secrets.
    tree = tree_of("restart")
    for side in sides(tree, "web"):
        side["secret_inputs"] = ["identity"]
    assert "identity" in json.dumps([c.model_dump() for c in of_tree(tree).changes])


@pytest.mark.parametrize(
    "hidden", ["[secret]", ["[secret]"], ["04da6b54-80e4-46f7-96ec-b56ff0331ba9"], [3], MARK]
)
def test_without_the_list_of_secrets_all_may_be_secret(hidden: Any) -> None:
    for at in ("secret_inputs", "__pika"):
        tree = tree_of("restart")
        for side in sides(tree, "web"):
            side.pop("secret_inputs", None)
            side[at] = hidden
            side["description"] = PLANT
        # Only what changes is shown.
        step(tree, "web")["oldState"]["inputs"]["description"] = f"old {PLANT}"
        if at == "__pika" and isinstance(hidden, list):
            continue
        assert_hidden(tree)


def test_what_becomes_secret_is_hidden_in_the_old_state_too() -> None:
    tree = tree_of("secret_change")
    old = json.dumps(step(tree, "sec")["oldState"])
    assert "sec-state" in old
    assert_hidden(tree, "sec-state")
    made = change(report("secret_change"), "sec")
    assert [d.source for d in made.devices] == ["[secret]"]
    assert made.action == "update"


def test_what_is_secret_no_more_is_shown() -> None:
    tree = tree_of("secret_change")
    one = step(tree, "sec")
    one["oldState"], one["newState"] = one["newState"], one["oldState"]
    assert_hidden(tree, "sec-state")  # Its old value may be the new one.


def test_marks_of_the_engine() -> None:
    tree = tree_of("create")
    inputs = step(tree, "web")["newState"]["inputs"]
    inputs["config"] = {"a": {**MARK, "plaintext": PLANT}, "b": {**MARK, "value": PLANT}}
    inputs["plan"]["mounts"][0]["source"] = {**MARK, "plaintext": PLANT}
    assert_hidden(tree)
    made = change(of_tree(tree), "web")
    assert made.devices[0].source == "[secret]"
    assert {v.path: v.after for v in made.values}["config.a"] == "[secret]"


def test_keys_and_tokens_of_hosts_are_secret_with_or_without_a_mark() -> None:
    tree = tree_of("create")
    inputs = step(tree, "host")["newState"]["inputs"]
    inputs["pika:key"] = inputs["pika:trust_token"] = PLANT
    inputs["pika:url"] = f"https://{PLANT}@h"
    assert_hidden(tree)


def test_config_of_the_stack_is_not_reported() -> None:
    tree = tree_of("create")
    tree["config"] = {"pika:remote": PLANT}
    assert_hidden(tree)


def test_values_that_the_engine_prints_beside_a_problem() -> None:
    tree = tree_of("invalid")
    tree["diagnostics"][0]["message"] = (
        "error: pulumi-python:dynamic/pika:IncusRuntime resource 'web': property command value "
        f"{{&{{{{{PLANT}}}}}}} has a problem: must be shorter\n"
    )
    assert_hidden(tree)
    assert of_tree(tree).warnings[0].text == "property command: must be shorter"


def test_change_of_a_secret_is_a_change() -> None:
    secrets = change(report("secrets"), "sec")
    memory = next(value for value in secrets.values if value.path == "resources.memory_mib")
    assert (memory.before, memory.after, memory.changed) == ("[secret]", "[secret]", True)


@pytest.mark.parametrize("name", NAMES)
def test_the_secret_of_the_recorded_runs(name: str) -> None:
    for text in formats(tree_of(name)).values():
        assert "hunter2" not in text
