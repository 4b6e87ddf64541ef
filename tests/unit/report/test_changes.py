"""What the changes of recorded previews come to."""

import json
from typing import Any

import pytest

from pulumi_pika.report.preview import (
    NoPreview,
    Urn,
    read_preview,
)
from pulumi_pika.report.report_model import Change, Value

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


def value(made: Change, path: str) -> Value:
    return next(found for found in made.values if found.path == path)


def test_create() -> None:
    made = report("create")
    assert {c.action for c in made.changes} == {"create"}
    assert (made.stack, made.project, made.failed) == ("test", "pika-test", False)
    assert made.summary == {"create": 11}
    web = change(made, "web")
    assert (web.kind, web.host, web.why) == ("runtime", "host", [])
    assert value(web, "resources.memory_mib").after == 64
    assert [(d.kind, d.source, d.guest_path, d.mode) for d in web.devices] == [
        ("persistent_volume", "web-state", "/mnt/state", "read_write"),
        ("persistent_volume", "data", "/data", "read_only"),
        ("cache", "/nowhere/cache", "/cache", "read_write"),
    ]
    assert change(made, "job").kind == "job"
    assert value(change(made, "job"), "command").after == "echo hi"
    assert change(made, "snap").kind == "snapshot"
    assert change(made, "host").kind == "host"
    assert made.warnings == []


def test_what_is_unknown_says_so() -> None:
    unknown = change(report("create"), "unk")
    assert value(unknown, "labels.a").after == "[unknown]"
    assert unknown.devices[0].source == "[unknown]"
    assert unknown.devices[0].name == "[unknown]"
    assert unknown.devices[1].source == "/tmp"
    assert value(change(report("create"), "unk2"), "identity.instance_name").after == "[unknown]"


def test_update_in_place() -> None:
    made = report("update")
    web = change(made, "web")
    assert web.action == "update"
    assert web.why == ["resources.vcpu_count", "resources.memory_mib", "devices"]
    memory = value(web, "resources.memory_mib")
    assert (memory.before, memory.after, memory.changed) == (64, 96, True)
    assert not value(web, "incus.image_alias").changed
    assert [d.change for d in web.devices] == ["same", "same", "changed"]
    assert web.devices[2].before == {"name": "pk-cache-a70f1bd6", "source": "/nowhere/cache"}
    assert not web.devices[2].left_out, "another source may be there"
    assert set(held(made)) == {"any-change"}


def test_devices_that_come_and_go() -> None:
    tree = tree_of("update")
    mounts = step(tree, "web")["newState"]["inputs"]["plan"]["mounts"]
    mounts[0] = {**mounts[0], "guest_path": "/new", "device_name": "pk-persis-00000000"}
    made = change(of_tree(tree), "web")
    assert [(d.guest_path, d.change) for d in made.devices] == [
        ("/new", "added"),
        ("/data", "same"),
        ("/cache", "changed"),
        ("/mnt/state", "removed"),
    ]


def test_devices_of_the_program() -> None:
    tree = tree_of("update")
    for state, limit in (("oldState", "10MiB"), ("newState", "20MiB")):
        step(tree, "web")[state]["inputs"]["devices"]["extra"] = {
            "type": "disk",
            "source": "/srv",
            "path": "/srv",
            "readonly": "true",
            "limits.read": limit,
        }
    extra = next(d for d in change(of_tree(tree), "web").devices if d.name == "extra")
    assert (extra.kind, extra.mode, extra.change) == ("disk", "read_only", "changed")
    assert extra.before == {"limits.read": "10MiB"}


def test_restart() -> None:
    made = report("restart")
    for name in ("web", "db"):
        assert change(made, name).action == "update_with_restart"
        assert 'config["security.nesting"]' in change(made, name).why
    texts = {w.resource: w.text for w in made.warnings if w.kind == "restart"}
    assert texts["db"].endswith("allow_restart is off, so that the update would fail")
    assert held(made)["restart"] == ["db", "web"]
    assert "replace" not in held(made)


@pytest.mark.parametrize("name", ["replace", "replace_steps"])
def test_replace(name: str) -> None:
    made = report(name)
    assert [c.name for c in made.changes] == ["db", "web"], "what deletes data comes first"
    db, web = made.changes
    assert (db.action, db.why, db.deletes_data_of) == (
        "replace",
        ["identity.instance_name"],
        ["db-state"],
    )
    assert "WITH ALL DATA" in db.on_delete
    assert (web.why, web.deletes_data_of) == (["incus.image_alias"], [])
    assert "keeps volumes web-state, data" in web.on_delete
    image = value(web, "incus.image_alias")
    assert (image.before, image.after) == ("pika/tiny", "pika/tiny-two")
    assert [(w.kind, w.resource) for w in made.warnings] == [
        ("delete_data", "db"),
        ("replace", "db"),
        ("replace", "web"),
    ]
    assert held(made) == {
        "replace": ["db", "web"],
        "delete-data": ["db"],
        "warnings": ["db", "web"],
        "any-change": ["db", "web"],
    }


def test_replacement_without_a_word_in_the_log_is_warned_of() -> None:
    tree = tree_of("replace")
    del tree["diagnostics"]
    made = of_tree(tree)
    assert [(w.kind, w.resource) for w in made.warnings] == [
        ("delete_data", "db"),
        ("replace", "db"),
        ("replace", "web"),
    ]
    assert made.warnings[2].text == (
        "because of incus.image_alias: deletes the instance and its root disk; keeps "
        "volumes web-state, data"
    )


def test_delete() -> None:
    made = report("delete")
    assert {c.name: c.action for c in made.changes} == dict.fromkeys(("db", "sec", "job"), "delete")
    assert change(made, "db").deletes_data_of == ["db-state"]
    assert change(made, "sec").deletes_data_of == []
    assert held(made)["delete"] == ["db", "sec", "job"]
    assert [(w.kind, w.resource) for w in made.warnings] == [
        ("delete_data", "db"),
        ("delete", "db"),
        ("delete", "sec"),
    ]


def test_data_of_volumes_and_snapshots() -> None:
    made = report("delete_data")
    assert {c.name: c.deletes_data_of for c in made.changes if c.deletes_data_of} == {
        "db": ["db-state"],
        "snap": ["data/s1"],
        "vol": ["data"],
    }
    assert held(made)["delete-data"] == ["db", "snap", "vol"]
    # The program says delete_data=False now. What counts is what was applied.
    assert value(change(made, "vol"), "delete_data").after is False


@pytest.mark.parametrize("option", ["[secret]", "04da6b54-80e4-46f7-96ec-b56ff0331ba9"])
def test_an_option_that_nobody_can_see_may_delete_data(option: str) -> None:
    tree = tree_of("delete")
    step(tree, "db")["oldState"]["outputs"]["delete_data"] = option
    assert held(of_tree(tree))["delete-data"] == ["db"]


@pytest.mark.parametrize("option", [True, "[secret]", "04da6b54-80e4-46f7-96ec-b56ff0331ba9"])
def test_data_that_is_no_longer_kept(option: Any) -> None:
    tree = tree_of("update")
    name = next(
        change.name
        for change in of_tree(tree).changes
        if change.kind == "runtime" and change.action == "update"
    )
    assert "stop-keeping-data" not in held(of_tree(tree))
    changed = step(tree, name)
    changed["newState"]["inputs"]["delete_data"] = option

    made = of_tree(tree)

    assert held(made)["stop-keeping-data"] == [name]
    assert "delete-data" not in held(made)
    (said,) = [notice for notice in made.warnings if notice.kind == "stop_keeping_data"]
    assert "delete_data is, or may be, turned on" in said.text
    assert change(made, name).stops_keeping_data_of
    # It is so already, whatever there was to lose: nothing new.
    changed["oldState"]["outputs"]["delete_data"] = True
    assert "stop-keeping-data" not in held(of_tree(tree))
    for tree_of_old in (changed["oldState"]["outputs"], changed["oldState"]["inputs"]):
        tree_of_old["plan"] = {**tree_of_old["plan"], "mounts": []}
    assert "stop-keeping-data" not in held(of_tree(tree))


def test_a_preview_in_which_nothing_is() -> None:
    made = of_tree({"config": {}, "duration": 12})
    assert (made.changes, made.summary, held(made)) == ([], {}, {})


def test_retained_resources_are_let_go() -> None:
    tree = tree_of("delete")
    step(tree, "db")["oldState"]["retainOnDelete"] = True
    made = of_tree(tree)
    db = change(made, "db")
    assert (db.action, db.on_delete, db.deletes_data_of) == ("release", "", [])
    assert held(made)["delete"] == ["sec", "job"]
    assert "delete-data" not in held(made)

    tree = tree_of("replace")
    step(tree, "db")["oldState"]["retainOnDelete"] = True
    assert change(of_tree(tree), "db").deletes_data_of == []


def test_drift() -> None:
    made = report("drift")
    assert [(c.name, c.drift) for c in made.changes] == [("web", ["resources"])]
    memory = value(made.changes[0], "resources.memory_mib")
    assert (memory.before, memory.after) == (128, 64)
    assert made.changes[0].devices[2].left_out
    assert [w.kind for w in made.warnings] == ["left_out"]
    assert change(report("update"), "web").drift == []


def test_jobs() -> None:
    made = report("job")
    job = change(made, "job")
    assert (job.action, job.why, job.notes) == ("replace", ["command"], [])
    command = value(job, "command")
    assert (command.before, command.after) == ("echo hi", "echo ho")
    assert held(made)["replace"] == ["snap"], "a job that runs anew is no replacement"
    assert change(made, "vol").why == ["size"]


def test_restore() -> None:
    made = report("restore")
    assert [w.kind for w in made.warnings] == ["restore", "left_out"]
    assert held(made)["restart"] == ["vol"], "the instances that use it are stopped"


def test_findings_and_errors() -> None:
    finding = report("finding")
    assert [(w.kind, w.resource) for w in finding.warnings] == [("preflight", "new")]
    assert "there is no image with the alias no/such" in finding.warnings[0].text
    assert not finding.failed

    invalid = report("invalid")
    assert invalid.failed
    assert invalid.changes == []
    assert [(w.kind, w.resource) for w in invalid.warnings] == [("error", "web")]
    assert invalid.warnings[0].text.startswith("property mounts[0].guest_path: runtime spec path")
    assert held(invalid) == {"warnings": ["web"], "errors": ["web"]}

    program = report("program_error")
    assert held(program)["errors"] == ["test"]
    assert "SystemError: x" in program.warnings[0].text


def test_nothing() -> None:
    for name in ("same", "sames"):
        made = report(name)
        assert (made.changes, made.warnings, made.others, made.held) == ([], [], [], [])
    assert report("same").picture is None


def test_picture() -> None:
    picture = report("sames").picture
    assert picture is not None
    nodes = {node.id: node for node in picture.nodes}
    labels = {(node.kind, node.label) for node in picture.nodes}
    assert {("host", "host"), ("runtime", "web"), ("job", "job"), ("volume", "db-state")} <= labels
    drawn = {(nodes[e.runtime].label, nodes[e.volume].label, e.label) for e in picture.edges}
    assert drawn == {
        ("web", "web-state", "/mnt/state"),
        ("web", "data", "/data, read-only"),
        ("db", "db-state", "/mnt/state"),
        ("sec", "sec-state", "/mnt/state"),
    }
    web = next(node for node in picture.nodes if node.label == "web")
    assert nodes[web.host].label == "host"
    assert report("drift").picture is not None
    assert report("update").picture is None, "one runtime is no picture"


def test_a_declared_volume_is_drawn_once() -> None:
    tree = tree_of("sames")
    for state in ("oldState", "newState"):
        step(tree, "web")[state]["provider"] = step(tree, "db")["provider"]
    step(tree, "web")["provider"] = step(tree, "db")["provider"]
    picture = of_tree(tree).picture
    assert picture is not None
    assert [n.label for n in picture.nodes if "data" in n.label] == ["vol (data)"]


def test_other_packages_are_counted_only() -> None:
    tree = tree_of("update")
    urn = "urn:pulumi:test::pika-test::my:Group$random:index/randomId:RandomId::name"
    tree["steps"] += [
        {"op": "delete", "urn": f"{urn}1", "oldState": {"inputs": {"keepers": "SHOWN"}}},
        {"op": "delete", "urn": f"{urn}2", "oldState": None},
        {"op": "same", "urn": f"{urn}3"},
        {"op": "create", "urn": "urn:pulumi:test::p::pulumi:providers:random::default_4_1"},
    ]
    made = of_tree(tree)
    assert [(other.op, other.count) for other in made.others] == [("create", 1), ("delete", 2)]
    assert held(made)["delete"] == ["2 of other packages (delete)"]
    assert "SHOWN" not in made.model_dump_json()


def test_resources_in_components() -> None:
    urn = Urn.parse("urn:pulumi:s::p::my:a:Group$pulumi-python:dynamic/pika:IncusRuntime::a::b")
    assert (urn.stack, urn.project, urn.kind, urn.name) == ("s", "p", "runtime", "a::b")
    assert Urn.parse("nonsense").name == "nonsense"


@pytest.mark.parametrize("name", NAMES)
def test_unknown_fields_and_nulls_change_nothing(name: str) -> None:
    tree = tree_of(name)
    tree["future"] = {"a": [1]}
    tree.setdefault("diagnostics", None)
    for one in tree["steps"]:
        one["future"] = one["detailedDiff"] = None
        for state in ("oldState", "newState"):
            if state in one:
                one[state]["future"] = [{}]
                one[state].setdefault("outputs", None)
    assert of_tree(tree) == report(name)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("odd", [None, 3, "text", [], {}, [[]], {"plan": 1}])
def test_odd_shapes_are_no_traceback(name: str, odd: Any) -> None:
    """Whatever a state has: it is shown, or left away."""
    for path in (
        ("plan",),
        ("plan", "mounts"),
        ("plan", "identity"),
        ("devices",),
        ("secret_inputs",),
        ("mounts",),
    ):
        tree = tree_of(name)
        for one in tree["steps"]:
            for state in ("oldState", "newState"):
                for side in ("inputs", "outputs"):
                    inner = one.get(state, {}).get(side) or {}
                    for key in path[:-1]:
                        inner = inner.get(key, {})
                    inner[path[-1]] = odd
        of_tree(tree)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("Previewing update (dev):\n + x", "run `pulumi preview` with --json"),
        ('{"sequence":0,"preludeEvent":{}}\n{"sequence":1}\n', "it is a stream of events"),
        ("{", "it is not JSON (line 1, column 2)"),
        ("[]", "neither steps nor a changeSummary"),
        ('{"version": 3, "deployment": {}}', "neither steps nor a changeSummary"),
        ('{"steps": [{"op": 3, "urn": "x"}]}', "at steps.0.op: input should be a valid string"),
        ('{"steps": [{"op": "delete", "urn": "x"}]}', "at steps.0.urn: 'x' is not a URN"),
        (
            '{"steps": [{"op": "delete", "urn": "urn:pulumi:s::p::::n"}]}',
            "'urn:pulumi:s::p::::n' is not a URN",
        ),
        ('{"changeSummary": {"delete": 1}}', "its changeSummary has 1 x delete, and its steps"),
        ('{"changeSummary": {"burn": 2, "same": 9}}', "has 2 x burn, and its steps have 0"),
        (
            '{"steps": [{"op": "delete", "urn": "urn:pulumi:s::p::a:b:c::n"}], '
            '"changeSummary": {"delete": 2}}',
            "has 2 x delete, and its steps have 1",
        ),
        ('{"steps": "x"}', "at steps: "),
        ("[" * 100_000, "its JSON is nested too deeply, or has a number"),
        # How deep is too deep depends on the Python; that it is refused does not.
        ('{"steps": ' + "[" * 900 + "]" * 900 + "}", ""),
        ("1" * 5000, "its JSON is nested too deeply, or has a number"),
    ],
)
def test_no_preview(text: str, said: str) -> None:
    with pytest.raises(NoPreview) as caught:
        read_preview(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_recorded_previews_are_as_they_were_written() -> None:
    for name in NAMES:
        assert "steps" in json.loads(recorded(name))
