"""Every field of what is public has a docstring, which the reference, the JSON Schema and editors
show: what it is, its unit, its default, its allowed values, and what a change does."""

import inspect
import json
import re
from typing import Any, Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

import pulumi_pika
from dev.field_docs import field_docs, section
from dev.paths import ROOT
from pulumi_pika.jobs.job_options import DEFAULT_RESOURCES, EXEC_WITHIN, JobOptions
from pulumi_pika.report.report_model import schema as report_schema
from pulumi_pika.schema import schema_text

PUBLIC: dict[str, Any] = {
    name: value
    for name in pulumi_pika.__all__
    if isinstance(value := getattr(pulumi_pika, name), type)
}
ARGUMENTS = {name: value for name, value in PUBLIC.items() if name.endswith("Args")}
MODELS = {name: value for name, value in PUBLIC.items() if issubclass(value, BaseModel)}
OBJECTS = ("IncusProfile", "IncusProject", "IncusNetwork", "StoragePool")
RESOURCES = (
    "IncusRuntime",
    "IncusJob",
    "IncusExec",
    "PersistentVolume",
    "VolumeSnapshot",
    "IncusImage",
    "IncusHost",
    *OBJECTS,
)
CHOICES = [value for name in pulumi_pika.__all__ if get_args(value := getattr(pulumi_pika, name))]


@pytest.mark.parametrize("name", PUBLIC)
def test_every_field_is_described(name: str) -> None:
    docs = field_docs(PUBLIC[name])
    assert docs.keys() >= set(getattr(PUBLIC[name], "__annotations__", {}))
    assert [field for field, said in docs.items() if not said] == []


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_say_their_default_and_what_a_change_does(name: str) -> None:
    docs, arguments = field_docs(ARGUMENTS[name]), ARGUMENTS[name]
    assert set(docs) == arguments.__optional_keys__ | arguments.__required_keys__
    for field, said in docs.items():
        assert "Change:" in said, field
        optional = field in arguments.__optional_keys__
        assert ("Default:" in said or "for the defaults" in said) == optional, field


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_name_their_unit(name: str) -> None:
    units = {"_mib": "MiB", "_gib": "GiB", "_secs": "seconds"}
    for field, said in field_docs(ARGUMENTS[name]).items():
        for end, unit in units.items():
            assert not field.endswith(end) or unit in said, field
        assert "Timeouts" not in name or "seconds" in said, field


@pytest.mark.parametrize("name", ARGUMENTS)
def test_choices_name_their_values(name: str) -> None:
    docs = field_docs(ARGUMENTS[name])
    for field, annotation in ARGUMENTS[name].__annotations__.items():
        for value in _choices(annotation):
            assert f"`{value}`" in docs[field], field


@pytest.mark.parametrize("name", MODELS)
def test_models_say_their_default(name: str) -> None:
    docs = field_docs(MODELS[name])
    for field, info in MODELS[name].model_fields.items():
        if not info.is_required() and not name.endswith("Plan"):
            assert "Default:" in docs[field], field


@pytest.mark.parametrize("name", MODELS)
def test_defaults_are_those_of_the_code(name: str) -> None:
    docs = field_docs(MODELS[name])
    for field, info in MODELS[name].model_fields.items():
        if isinstance(info.default, bool | int | float | str):
            shown = f"{info.default:g}" if isinstance(info.default, float) else f"{info.default}"
            assert f"Default: {shown}" in docs[field].replace("`", ""), field


def test_defaults_of_timeouts_are_those_of_the_models() -> None:
    pairs = {
        "TimeoutsArgs": "Timeouts",
        "VolumeTimeoutsArgs": "VolumeTimeouts",
        "SnapshotTimeoutsArgs": "SnapshotTimeouts",
        "ImageTimeoutsArgs": "ImageTimeouts",
    }
    for arguments, model in pairs.items():
        docs = field_docs(ARGUMENTS[arguments])
        for field, info in MODELS[model].model_fields.items():
            assert f"Default: {info.default:g} seconds" in docs[field], field


def test_defaults_of_a_job_are_those_of_its_options() -> None:
    docs = field_docs(pulumi_pika.IncusJobArgs)
    given = JobOptions.model_fields
    for field in ("timeout_secs", "run_as_root", "uid", "gid", "max_output_mib", "max_attempts"):
        assert f"Default: {given[field].default}." in docs[field], field
    limits = DEFAULT_RESOURCES
    assert f"; {limits.vcpu_count} for a job" in docs["vcpu_count"]
    assert f"; {limits.memory_mib} for a job" in docs["memory_mib"]
    assert f"; {limits.vcpu_count} CPUs and {limits.memory_mib} MiB" in docs["resources"]
    assert f"`wait` ({EXEC_WITHIN:g})" in (ROOT / "docs" / "jobs.md").read_text()


@pytest.mark.parametrize("name", RESOURCES)
def test_arguments_of_constructors_are_described(name: str) -> None:
    constructor = PUBLIC[name].__init__
    listed = section(constructor.__doc__ or "", "Args")
    assert set(listed) == inspect.signature(constructor).parameters.keys() - {"self"}


@pytest.mark.parametrize("name", RESOURCES)
def test_arguments_of_constructors_say_their_default_and_what_a_change_does(name: str) -> None:
    constructor = PUBLIC[name].__init__
    listed = section(constructor.__doc__ or "", "Args")
    parameters = inspect.signature(constructor).parameters
    for argument in listed.keys() - {"resource_name", "opts", "arguments"}:
        assert "Change:" in listed[argument], argument
        if parameters[argument].default is not inspect.Parameter.empty:
            said = listed[argument]
            assert "Default:" in said or "for the defaults" in said, argument


@pytest.mark.parametrize(
    "schema", [json.loads(schema_text()), report_schema()], ids=["spec", "report"]
)
def test_every_field_of_the_schemas_has_a_description(schema: dict[str, Any]) -> None:
    for part in (schema, *schema["$defs"].values()):
        assert part.get("description") or "properties" not in part
        for name, field in part.get("properties", {}).items():
            assert field.get("description"), name


def _choices(annotation: Any) -> set[str]:
    if get_origin(annotation) is Literal:
        return set(get_args(annotation))
    return {value for part in get_args(annotation) for value in _choices(part)}


def test_choices_are_found() -> None:
    assert len(CHOICES) == 15
    assert _choices(ARGUMENTS["MountArgs"].__annotations__["mode"]) == {"read_only", "read_write"}
    assert all(re.fullmatch(r"[a-z0-9_-]+", v) for choice in CHOICES for v in get_args(choice))


def test_arguments_of_images_are_those_of_their_model() -> None:
    from pulumi_pika.reconcile.images.image_options import ImageOptions

    fields = set(ImageOptions.model_fields) - {"fingerprint", "owner", "backend"}
    assert set(field_docs(ARGUMENTS["IncusImageArgs"])) == fields


@pytest.mark.parametrize("name", OBJECTS)
def test_arguments_of_objects_are_those_of_their_model(name: str) -> None:
    from pulumi_pika.providers.object_calls import KINDS
    from pulumi_pika.providers.properties import Properties

    noun = PUBLIC[name]._provider_class.noun
    kind = KINDS[noun].parse_inputs(Properties.parse({})).kind
    fields = set(kind.model.model_fields) - {"owner", "backend"}
    assert set(field_docs(ARGUMENTS[f"{name}Args"])) == fields
    assert set(kind.arguments) <= fields
