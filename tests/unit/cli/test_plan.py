"""`plan`: the plan of a spec, its problems by line and column, and its schema."""

import json
import re
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from dev import schema
from pulumi_pika.cli.source_map import SourceLocation, map_source
from pulumi_pika.planner.spec import RuntimeSpec

from ...support.command_line import call, spec_of

VECTORS = Path(__file__).parents[2] / "vectors" / "runtime_specs.jsonl"
ROWS = [json.loads(line) for line in VECTORS.read_text("utf-8").splitlines()]
MOUNTS: list[dict[str, Any]] = [
    {"kind": "cache", "source": "/var/é", "guest_path": "/mnt/c", "mode": "read_only"},
    {
        "kind": "persistent_volume",
        "source": "pika-agent-state",
        "guest_path": "/mnt/pika-state",
        "mode": "read_write",
        "required": True,
    },
]


def plan(
    directory: Path, *arguments: str, text: str = "", name: str = "spec.json", code: int = 0
) -> tuple[str, str]:
    """Runs it for a file of this text; its output and what it said."""
    given = list(arguments)
    if text:
        (directory / name).write_bytes(text.encode())
        given.append(name)
    done = call("plan", *given, directory=directory)
    output, said = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == code, said
    assert "Traceback" not in said
    return output, said


def problems(directory: Path, text: str, name: str = "spec.json") -> dict[str, tuple[str, str]]:
    """The problems: property, and reason, by `line:column`."""
    output, said = plan(directory, text=text, name=name, code=2)
    assert output == ""
    first, *lines = said.splitlines()
    assert first == f"error: {name}: {len(lines)} problem{'' if len(lines) == 1 else 's'}"
    found = [re.fullmatch(rf"  {re.escape(name)}:(\d+:\d+): (\S+): (.*)", line) for line in lines]
    return {match[1]: (match[2], match[3]) for match in found if match}


@pytest.mark.parametrize("row", [row for row in ROWS if "plan" in row["expect"]][:3])
def test_plan_is_the_planners(tmp_path: Path, row: dict[str, Any]) -> None:
    output, said = plan(tmp_path, text=json.dumps(row["spec"]))
    assert json.loads(output) == row["expect"]["plan"]
    assert said == ""


def test_ways_in(tmp_path: Path) -> None:
    spec = spec_of("fine", mounts=MOUNTS)
    expected = json.loads(plan(tmp_path, text=json.dumps(spec))[0])
    done = call("plan", "-", directory=tmp_path, stdin=json.dumps(spec).encode())
    assert json.loads(done.stdout) == expected
    # JSON is YAML.
    assert json.loads(plan(tmp_path, text=json.dumps(spec), name="s.yaml")[0]) == expected


def test_table(tmp_path: Path) -> None:
    resources = {"vcpu_count": 2, "root_disk_gib": 10}
    spec = spec_of("fine", mounts=MOUNTS, resources=resources)
    output, _ = plan(tmp_path, "--format", "text", text=json.dumps(spec))
    assert "limits    2 CPUs, 10 GiB of root disk\n" in output
    lines = output.splitlines()
    assert lines[-3].split() == ["DEVICE", "KIND", "SOURCE", "->", "GUEST", "PATH", "MODE"]
    assert re.split(r"  +", lines[-1]) == [
        "pk-persis-7293db17",
        "persistent_volume",
        "pika-agent-state -> /mnt/pika-state",
        "read_write, required",
    ]
    assert "MODE" not in plan(tmp_path, "--format", "text", text=json.dumps(spec_of("fine")))[0]


def test_problems_of_json(tmp_path: Path) -> None:
    text = """{
\t"identity": {"runtime_id": 3, "instance_nam": "x"},
\t"provider": "docker",
  "incus": {"project": "default", "profile": "default", "image_alias": "a"},
  "mounts": [
    {"kind": "cache", "source": "\\ud83d\\ude00\u2028\x7f", "guest_path": "y", "mode": "read_only"},
    {
      "kind": "cash", "source": "a", "guest_path": "/x" }
  ],
  "paths":
    {"state_dir": "/run/other"},
  "labels": {"a.b": 3}
}"""
    assert problems(tmp_path, text) == {
        "2:2": ("identity.instance_name", "is required"),
        "2:29": ("identity.runtime_id", "must be a string"),
        "2:32": (
            "identity.instance_nam",
            "is not a field of `identity`; did you mean `instance_name`?",
        ),
        "3:14": ("provider", "must be one of 'incus'"),
        "6:33": ("mounts[0].source", "must not contain control characters"),
        "6:65": (
            "mounts[0].guest_path",
            "runtime spec path `mount.guest_path` = `y` is invalid: must be absolute",
        ),
        "7:5": ("mounts[1].mode", "is required"),
        "8:15": (
            "mounts[1].kind",
            "must be one of 'persistent_volume', 'read_only_snapshot', 'artifact_output', 'cache'",
        ),
        # Nobody wrote a root: the whole is what does not match.
        "1:1": (
            "lifecycle_root",
            "runtime spec lifecycle_root `/run/pika-cloud` must match paths.state_dir `/run/other`",
        ),
        "12:21": ('labels["a.b"]', "must be a string"),
    }


def test_problems_of_yaml(tmp_path: Path) -> None:
    text = """\
# A comment.
identity: {runtime_id: a, instance_name: "not a name"}
incus:
  project: default
  profile: default
  image_alias: a
base: &base
  kind: cache
  mode: read_only
mounts:
  - {<<: *base, source: a, guest_path: x}
  - <<: *base
    source: ''
    guest_path: /y
  - *base
"""
    found = problems(tmp_path, text, "spec.yml")
    assert {place: name for place, (name, _) in found.items()} == {
        "2:42": "identity.instance_name",
        "7:1": "base",
        "11:40": "mounts[0].guest_path",
        "13:13": "mounts[1].source",
        # Where the alias leads.
        "7:7": "mounts[2].source",
    }


@pytest.mark.parametrize(
    ("name", "text", "places"),
    [
        (
            "spec.json",
            '{"identity": {"runtime_id": 1, "runtime_id": "a",\n  "instance_name": "fine"},\n'
            '"incus": {"project": "default", "profile": "default", "image_alias": "a"},\n'
            '"mounts": [{"kind": 1}], "mounts": [{"kind": 1, "source": "a", "guest_path": "/x", '
            '"mode": "read_only"}]}',
            {"1:32": "identity.runtime_id", "4:26": "mounts", "4:46": "mounts[0].kind"},
        ),
        (
            "spec.yaml",
            "identity: {runtime_id: a, instance_name: fine}\n"
            "incus: {project: default, profile: default, image_alias: a}\n"
            "labels:\n  a: x\n  b: x\n  'a': y\n",
            {"6:3": "labels.a"},
        ),
    ],
)
def test_keys_that_stand_twice(
    tmp_path: Path, name: str, text: str, places: dict[str, str]
) -> None:
    found = problems(tmp_path, text, name)
    assert {place: where for place, (where, _) in found.items()} == places
    assert "is a duplicate key; first in line " in next(iter(found.values()))[1]


def test_what_is_no_json_has_its_place(tmp_path: Path) -> None:
    output, said = plan(tmp_path, text='{\n  "identity": {,}\n}', code=2)
    assert output == ""
    assert said.startswith("error: `spec.json` is not a valid JSON file: line 2, column 16: ")
    output, said = plan(tmp_path, text="a: b\nc: [1\n", name="spec.yaml", code=2)
    assert said.startswith("error: `spec.yaml` is not a valid YAML file: line 3, column 1: ")


def test_nested_deeply_where_a_key_stands_twice(tmp_path: Path) -> None:
    """Only the last counts for the reader, which says nothing of what the first holds."""
    for depth in (500, 5000):
        text = '{"metadata": ' + "[" * depth + "]" * depth + ', "metadata": {}}'
        output, said = plan(tmp_path, text=text, code=2)
        assert output == ""
        assert len(said.splitlines()) < 10


def test_many_keys_that_stand_again_take_no_longer() -> None:
    labels = ", ".join(f'"k{n}": "v"' for n in range(20_000))
    again = ", ".join(['"a": {"b": {}}'] * 20_000)
    begun = time.process_time()
    places = map_source(f'{{"labels": {{{labels}}}, {again}}}', as_yaml=False)
    # A quarter of a second; 20 s if each key looks through all places.
    assert time.process_time() - begun < 5
    assert len(places.duplicate_keys) == 19_999
    assert places.location_of(("labels", "k0")).line == 1


def test_what_a_key_held_that_stands_again_is_forgotten() -> None:
    text = '{"a":\n {"b":\n [{"c": 1}]},\n "a": {"d": 2}, "a": 3, "a":\n {"b": 4}}'
    places = map_source(text, as_yaml=False)
    assert places.location_of(("a", "b")) == SourceLocation(5, 8)
    assert places.location_of(("a", "b", 0, "c")) == SourceLocation(5, 3)
    assert places.location_of(("a", "d")) == SourceLocation(4, 25)
    assert len(places.duplicate_keys) == 3


@pytest.mark.parametrize("as_yaml", [False, True])
def test_places(as_yaml: bool) -> None:
    text = '{"a":\n  {"b": [1, {"c": "é"}],\n   "x.y" : null }\r\n, "d":2}'
    places = map_source(text, as_yaml=as_yaml)
    assert places.location_of(()) == SourceLocation(1, 1)
    assert places.location_of(("a",)) == SourceLocation(1, 2)
    assert places.location_of(("a", "b")) == SourceLocation(2, 4)
    assert places.location_of(("a", "b", 0)) == SourceLocation(2, 10)
    assert places.location_of(("a", "b", 1)) == SourceLocation(2, 13)
    assert places.location_of(("a", "b", 1, "c")) == SourceLocation(2, 19)
    assert places.location_of(("a", "b", 1, "c"), key=True) == SourceLocation(2, 14)
    assert places.location_of(("a", "x.y")) == SourceLocation(3, 12)
    assert places.location_of(("a", "z", "deeper")) == SourceLocation(1, 2)
    assert places.location_of(("d",)) == SourceLocation(4, 7)
    assert places.duplicate_keys == []


def test_explained(tmp_path: Path) -> None:
    text = json.dumps(spec_of("fine", mounts=MOUNTS), indent=2)
    line = text.splitlines().index('      "kind": "persistent_volume",')
    output, _ = plan(tmp_path, "--explain", "pk-persis-7293db17", text=text)
    assert output == (
        f"pk-persis-7293db17 is mounts[1] (spec.json:{line}:5)\n"
        "  kind        persistent_volume  label `persist`; the name begins with `pk-persis-`\n"
        "  source      pika-agent-state   normalized `pika-agent-state`\n"
        "  guest path  /mnt/pika-state    normalized `mnt-pika-state`\n"
        "  hashed      persist-pika-agent-state-mnt-pika-state\n"
        "  hash        7293db17, the low 32 bits of its FNV-1a hash\n"
    )


def test_problems_as_json_have_codes_and_places(tmp_path: Path) -> None:
    spec = {
        **spec_of("fine", mounts=[{"kind": "cache", "source": "a", "mode": "read_only"}]),
        "provider": "docker",
        "labels": {"a": 3, "b ": "x"},
    }
    spec["identity"] = {"runtime_id": "a", "instance_name": "no_name", "nam": "x"}
    text = json.dumps(spec)[:-1] + ', "labels": {"a": 3, "b ": "x"}}'
    output, said = plan(tmp_path, "--json", text=text, code=2)
    found = json.loads(output)
    assert found["plan"] is None
    assert {problem["path"]: problem["code"] for problem in found["problems"]} == {
        "provider": "invalid-value",
        "identity.instance_name": "invalid-value",
        "identity.nam": "unknown-field",
        "mounts[0].guest_path": "required",
        "labels": "conflict",
        "labels.a": "wrong-type",
        "labels.b ": "invalid-value",
    }
    lines = [
        f"  {one['file']}:{one['line']}:{one['column']}: {one['path']}: {one['message']}"
        for one in found["problems"]
    ]
    assert said.splitlines()[1:] == lines


def test_plan_as_json_and_a_file_that_is_no_spec(tmp_path: Path) -> None:
    text = json.dumps(spec_of("fine"))
    output, said = plan(tmp_path, "--json", text=text)
    assert json.loads(output) == {"plan": json.loads(plan(tmp_path, text=text)[0]), "problems": []}
    assert said == ""
    output, said = plan(tmp_path, "--json", text="[]", code=2)
    (problem,) = json.loads(output)["problems"]
    assert problem["code"] == "invalid-value"
    assert said == f"error: {problem['message']}\n"
    output, _ = plan(tmp_path, "--json", "none.json", code=2)
    assert json.loads(output)["problems"][0]["line"] is None


@pytest.mark.parametrize(
    ("device", "said", "nearest"),
    [
        ("pk-cache-00000000", "Its label is that of the kind cache.", 0),
        ("pk-persis-7293db18", "Its label is that of the kind persistent_volume.", 1),
        ("pk-other-7293db17", "Its label is not that of any kind of mount.", 1),
        ("root", "The device name of a mount begins with `pk-`.", None),
        ("pk-\x1b[31m", "Its label is not that of any kind of mount.", None),
    ],
)
def test_nearest(tmp_path: Path, device: str, said: str, nearest: int | None) -> None:
    text = json.dumps(spec_of("fine", mounts=MOUNTS))
    output, _ = plan(tmp_path, "--explain", device, text=text)
    first, second, *_ = output.splitlines()
    shown = device.replace("\x1b", "\N{REPLACEMENT CHARACTER}")
    assert first == f"No mount of spec.json has the device {shown}. {said}"
    assert second.startswith("The most similar device name is pk-")
    if nearest is not None:
        assert f" is mounts[{nearest}] " in output


def test_explained_though_there_are_problems(tmp_path: Path) -> None:
    """Two mounts that get one name are a problem; what the name is made of tells why."""
    mounts = [{**MOUNTS[0], "guest_path": path} for path in ("/mnt/a b", "/mnt/a-b")]
    text = json.dumps(spec_of("fine", mounts=[*mounts, {"kind": 1}]))
    _, said = plan(tmp_path, text=text, code=2)
    device = re.search(r"pk-cache-[0-9a-f]{8}", said)
    assert device is not None
    output, said = plan(tmp_path, "--explain", device[0], text=text, code=2)
    assert re.findall(r"is (mounts\[\d\])", output) == ["mounts[0]", "mounts[1]"]
    assert output.count("  hashed      cache-var-mnt-a-b\n") == 2
    assert "get the same device name" in said


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following argument is required: SPEC"),
        (["--format", "yaml", "s"], "invalid choice: 'yaml'"),
        (["--schema", "--explain", "x"], "not allowed with"),
        (["--json", "--format", "json", "x"], "not allowed with"),
        (["none.json"], "error: could not read none.json: No such file or directory\n"),
    ],
)
def test_wrong_usage(tmp_path: Path, arguments: list[str], said: str) -> None:
    output, shown = plan(tmp_path, *arguments, code=2)
    assert said in shown
    assert output == ""


def test_schema_is_current(tmp_path: Path) -> None:
    shipped = plan(tmp_path, "--schema")[0]
    assert shipped == schema.text(), "run `python -m dev.schema`"
    tree = json.loads(shipped)
    jsonschema.Draft202012Validator.check_schema(tree)
    assert set(tree["required"]) == {"identity", "provider", "incus"}
    without = [name for name, of in tree["properties"].items() if not of.get("description")]
    assert without == []


@pytest.mark.parametrize("row", [pytest.param(row, id=row["name"]) for row in ROWS])
def test_schema_takes_what_the_model_takes(row: dict[str, Any]) -> None:
    try:
        RuntimeSpec.model_validate(row["spec"])
    except ValidationError:
        fits = False
    else:
        fits = True
    validator = jsonschema.Draft202012Validator(json.loads(schema.TARGET.read_text("utf-8")))
    assert validator.is_valid(row["spec"]) == fits
