"""Every resource has a page with all its arguments and outputs, which is up to date; and its table
says of a change what the code does."""

import inspect
import re
from typing import Any

import pytest

import pulumi_pika
from dev import changes, page_sections, resource_tables
from dev.field_docs import field_docs
from dev.paths import ROOT
from dev.resource_tables import FOLDER, Row, arguments, outputs, page_name, parts, resources
from pulumi_pika.planner.flat_arguments import FLAT_ARGUMENTS

from ...support.provider_calls import exec_calls, job_calls, snapshot_calls, volume_calls

RESOURCES = resources()
REFERENCE = (ROOT / "mkdocs.yml").read_text()
HOW_TO = re.compile(r"\]\(\.\./([\w-]+\.md)")


def _page(name: str) -> str:
    return (FOLDER / page_name(name)).read_text()


def _rows(name: str) -> dict[str, Row]:
    resource = RESOURCES[name]
    rows = [*arguments(resource), *(row for part in parts(resource) for row in part.rows)]
    return {row.path: row for row in rows}


def test_the_resources_are_those_that_are_exported() -> None:
    assert len(RESOURCES) >= 5
    assert RESOURCES.keys() <= set(pulumi_pika.__all__)


@pytest.mark.parametrize("page", page_sections.pages(), ids=lambda page: page.stem)
def test_sections_are_up_to_date(page: Any) -> None:
    text = page.read_text()
    assert page_sections.fill(text) == text, "run `python3 dev docs`"


@pytest.mark.parametrize("name", RESOURCES)
def test_every_resource_has_a_page_in_the_navigation(name: str) -> None:
    assert f"reference/{page_name(name)}\n" in REFERENCE
    assert f"| [{name}]({page_name(name)}) |" in (FOLDER / "index.md").read_text()
    assert _page(name).startswith(f"# {name}\n")
    assert [("arguments", name), ("outputs", name)] == page_sections.names(_page(name))
    for heading in ("Arguments", "Outputs", "Notes", "See also", "Signature"):
        assert f"\n## {heading}\n" in _page(name)


@pytest.mark.parametrize("name", RESOURCES)
def test_a_page_and_its_how_to_name_each_other(name: str) -> None:
    guides = set(HOW_TO.findall(_page(name).partition("## See also")[2]))
    back = {page for page in guides if page_name(name) in (ROOT / "docs" / page).read_text()}
    assert back, f"none of {sorted(guides)} links to reference/{page_name(name)}"


@pytest.mark.parametrize("name", RESOURCES)
def test_every_argument_is_there(name: str) -> None:
    constructor = inspect.signature(RESOURCES[name].__init__).parameters
    expected = {it for it, p in constructor.items() if p.kind is not p.VAR_KEYWORD} - {"self"}
    keywords = getattr(pulumi_pika, f"{name}Args", None)
    if keywords is not None and any(p.kind is p.VAR_KEYWORD for p in constructor.values()):
        expected |= keywords.__required_keys__ | keywords.__optional_keys__

    assert {row.name for row in arguments(RESOURCES[name])} == expected
    for row in _rows(name).values():
        assert f"`{row.name}`<br>{row.type} |" in _page(name)


@pytest.mark.parametrize("name", RESOURCES)
def test_every_output_is_there(name: str) -> None:
    bases = [base for base in RESOURCES[name].__mro__ if base.__module__.startswith("pulumi_pika")]
    declared = {it for base in bases for it in inspect.get_annotations(base)}
    expected = {it for it in declared if not it.startswith("_")}
    assert {row.name for row in outputs(RESOURCES[name])} == expected
    for output in expected:
        assert f'<a id="pulumi_pika.{name}.{output}"></a>`{output}`' in _page(name)


@pytest.mark.parametrize("name", RESOURCES)
def test_no_cell_is_empty(name: str) -> None:
    for path, row in _rows(name).items():
        assert row.type, path
        assert row.text, path
        assert row.default, path
        assert row.change, path
    assert all(row.text and row.type for row in outputs(RESOURCES[name]))


@pytest.mark.parametrize(
    ("name", "part", "fields"),
    [
        ("IncusRuntime", "mounts[]", pulumi_pika.MountArgs),
        ("IncusRuntime", "policies.output_collection", pulumi_pika.OutputCollectionArgs),
        ("IncusJob", "timeouts", pulumi_pika.TimeoutsArgs),
        ("PersistentVolume", "timeouts", pulumi_pika.VolumeTimeoutsArgs),
        ("IncusHost", "timeouts", pulumi_pika.HostTimeoutsArgs),
    ],
)
def test_fields_are_under_their_argument(name: str, part: str, fields: Any) -> None:
    found = {it.path: it for it in parts(RESOURCES[name])}
    assert [row.name for row in found[part].rows] == list(field_docs(fields))
    assert f"### `{part}`" in _page(name)


def test_types_are_in_words() -> None:
    rows = _rows("IncusRuntime")
    types = {
        "image": "string",
        "vcpu_count": "integer",
        "running": "boolean",
        "timeouts.wait": "number",
        "instance_type": "one of `virtual-machine`, `container`",
        "devices": "mapping of mappings of strings",
        "extra_profiles": "list of strings",
        "mounts": "[list of mappings](#mounts)",
        "mounts[].source": "string or [`PersistentVolume`][pulumi_pika.PersistentVolume]",
        "restart_triggers": "any value",
    }
    assert {path: rows[path].type for path in types} == types


def test_a_job_has_its_own_defaults_and_effects() -> None:
    runtime, job = _rows("IncusRuntime"), _rows("IncusJob")
    assert (runtime["vcpu_count"].default, job["vcpu_count"].default) == (
        "the limit of the profiles",
        "2",
    )
    assert runtime["labels"].change == "in place"
    assert job["labels"].change == job["mounts[].mode"].change == "the job is run again"
    assert job["description"].change == job["timeout_secs"].change == "in place"
    assert not [path for path, row in runtime.items() if "job is run again" in row.change]


ROWS = {row.what: row for row in changes.ROWS if row.what in _rows("IncusRuntime")}


@pytest.mark.parametrize("path", ROWS)
def test_the_effect_of_a_change_is_what_the_code_decides(path: str) -> None:
    said = _rows("IncusRuntime")[path].change
    container, machine = (
        changes.decided(ROWS[path], kind) for kind in ("container", "virtual-machine")
    )
    if path == "instance_type":
        container = machine = "replaces"
    assert ("replaces the instance" in said) == (container == "replaces")
    assert ("restarts the instance" in said) == (container == "restarts")
    assert ("may restart" in said) == ("may restart" in (container, machine))


def test_most_arguments_have_a_row_in_the_table_of_changes() -> None:
    assert len(ROWS) > 40


def test_a_page_without_sections_stays_as_it_is() -> None:
    assert page_sections.fill("# A page\n<!-- end -->\n") == "# A page\n<!-- end -->\n"


def test_a_section_is_written_again() -> None:
    page = "<!-- outputs of IncusHost: written by `python3 dev docs` -->\nold\n<!-- end -->\nrest"
    assert page_sections.fill(page) == (
        "<!-- outputs of IncusHost: written by `python3 dev docs` -->\n\n"
        "`IncusHost` has no outputs.\n\n<!-- end -->\nrest"
    )


def test_a_type_without_words_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"a\.b: no words for the type"):
        resource_tables._type(frozenset[str], "a.b")


@pytest.mark.parametrize("name", sorted(FLAT_ARGUMENTS))
def test_a_short_form_says_what_its_part_says(name: str) -> None:
    rows = _rows("IncusRuntime")
    short, part = rows[name], rows[".".join(FLAT_ARGUMENTS[name])]
    assert f"Short for `{part.path}`" in short.text
    if name != "image":
        assert part.change.startswith(short.change)


OTHER: dict[str, Any] = {
    "volume_name": "other",
    "snapshot_name": "other",
    "storage_pool": "other",
    "project": "other",
    "content_type": "block",
    "size": "2GiB",
    "config": {"security.shifted": "true"},
    "labels": {"a": "1"},
    "description": "text",
    "snapshots_schedule": "@daily",
    "snapshots_expiry": "2w",
    "snapshots_pattern": "day%d",
    "snapshot_before_restore": False,
    "adopt": True,
    "delete_data": True,
    "expires_at": "never",
    "triggers": ["2"],
    "timeouts": {"delete": 77},
    "command": "false",
    "timeout_secs": 77,
    "run_as_root": False,
    "uid": 77,
    "gid": 77,
    "environment": {"A": "1"},
    "output_dir": "out",
    "max_output_mib": 77,
    "max_attempts": 77,
    "allow_failure": True,
    "identity": {"runtime_id": "other", "instance_name": "name"},
    "incus": {"project": "default", "profile": "other", "image_alias": "image"},
    "resources": {"vcpu_count": 3},
    "mounts": [{"kind": "cache", "source": "v", "guest_path": "/v", "mode": "read_write"}],
    "policies": {"restart_policy": "always", "retention_policy": "debug_keep"},
    "bootstrap": {"entry_command": "/bin/run"},
    "metadata": {"a": 1},
    "instance_type": "container",
    "devices": {"null": {"type": "unix-char", "path": "/dev/n", "source": "/dev/null"}},
    "extra_profiles": ["other"],
    "profiles": ["other"],
    "cloud_init_user_data": "#cloud-config\n{}\n",
    "cloud_init": {"packages": ["git"]},
    "instance": "other",
    "create": "false",
    "update": "false",
    "delete": "false",
    "stdin": "text",
    "working_dir": "/srv",
    "wait_secs": 77,
}
"""Another value of each argument."""
WHOLE: dict[str, dict[str, Any]] = {
    "VolumeSnapshot": {"volume_name": "v", "snapshot_name": "s"},
    "PersistentVolume": {"volume_name": "v"},
    "IncusJob": {
        "identity": {"runtime_id": "r", "instance_name": "name"},
        "incus": {"project": "default", "profile": "default", "image_alias": "image"},
        "command": "true",
        "instance_type": "virtual-machine",
    },
    "IncusExec": {"instance": "name", "create": "true"},
}
NOT_COMPARED = {"resource_name", "opts", "spec", "restore_from", "lifecycle_root", "paths"}
"""Pulumi's own arguments; and those with which nothing else may stay as it is."""


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        (name, row.path)
        for name in WHOLE
        for row in arguments(RESOURCES[name])
        if row.path not in NOT_COMPARED | FLAT_ARGUMENTS.keys()
    ],
)
def test_an_argument_says_whether_its_change_replaces(
    name: str, argument: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The host is not asked whether the replacement could be created.
    monkeypatch.setattr("pulumi_pika.providers.job_calls.before_replacement", lambda *_: None)
    said = _rows(name)[argument].change.replace("as `volume_name`", "another")
    said = said.replace("as `instance`", "runs `delete`")
    diff = {
        "VolumeSnapshot": snapshot_calls.diff,
        "PersistentVolume": volume_calls.diff,
        "IncusJob": job_calls.diff,
        "IncusExec": exec_calls.diff,
    }[name]
    before = {**WHOLE[name], "owner": "urn:own"}
    after = {**before, argument: OTHER[argument]}
    if name == "PersistentVolume" and argument == "content_type":
        before["delete_data"] = after["delete_data"] = True
    decision = diff(before, after)

    assert decision.changes
    replaces = re.match(
        "another|replaces|the job is run again|the snapshot is deleted|runs `delete`", said
    )
    assert bool(decision.replaces) == bool(replaces), (said, decision.replaces)
