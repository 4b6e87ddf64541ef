"""Flat arguments fill the parts of a spec, and contradictions are errors before Pulumi is asked."""

from typing import Any

import pulumi
import pytest

from pulumi_pika import (
    IncusRuntimeArgs,
    InvalidArguments,
    RuntimeResources,
    RuntimeSpec,
)
from pulumi_pika.planner.flat_arguments import FLAT_ARGUMENTS
from pulumi_pika.resources.argument_types import IncusJobArgs
from pulumi_pika.resources.property_inputs import unknown_arguments
from pulumi_pika.resources.spec_parts import instance_inputs

SPEC: dict[str, Any] = {
    "identity": {"runtime_id": "r", "instance_name": "of-the-spec"},
    "provider": "incus",
    "incus": {"project": "p", "profile": "q", "image_alias": "i"},
    "resources": {"vcpu_count": 4},
}


def inputs(name: str = "agent", **arguments: Any) -> dict[str, Any]:
    first = {key: arguments.pop(key, None) for key in ("spec", "image", "incus")}
    return instance_inputs(
        name, "IncusRuntime", first["spec"], first["image"], first["incus"], arguments
    )


def test_an_image_is_enough() -> None:
    assert inputs(image="pika-agent/dev") == {
        "incus": {"image_alias": "pika-agent/dev"},
        "identity": {"runtime_id": "agent", "instance_name": "agent"},
    }


def test_each_flat_argument_fills_its_field() -> None:
    values: dict[str, Any] = {name: f"of-{name}" for name in FLAT_ARGUMENTS}
    found = inputs(**values)
    assert found.keys() == {part for part, _ in FLAT_ARGUMENTS.values()}
    for name, (part, field) in FLAT_ARGUMENTS.items():
        assert found[part][field] == f"of-{name}"


def test_a_flat_argument_and_a_part_complete_each_other() -> None:
    found = inputs(incus={"image_alias": "i", "project": "p"}, profile="q", vcpu_count=2)
    assert found["incus"] == {"image_alias": "i", "project": "p", "profile": "q"}
    assert found["resources"] == {"vcpu_count": 2}
    assert inputs(image="i", identity={"instance_name": "box"})["identity"] == {
        "runtime_id": "agent",
        "instance_name": "box",
    }


def test_models_and_specs_are_completed_as_well() -> None:
    found = inputs(image="i", resources=RuntimeResources(vcpu_count=2), memory_mib=64)
    assert found["resources"] == {"vcpu_count": 2, "memory_mib": 64}
    for spec in (SPEC, RuntimeSpec.model_validate(SPEC)):
        found = inputs(spec=spec, memory_mib=64)
        assert found["resources"] == {"vcpu_count": 4, "memory_mib": 64}
        assert found["identity"] == SPEC["identity"]
        assert "provider" not in found


@pytest.mark.parametrize("name", FLAT_ARGUMENTS)
def test_a_value_in_two_ways_is_an_error_also_if_it_is_the_same(name: str) -> None:
    part, field = FLAT_ARGUMENTS[name]
    twice: dict[str, Any] = {name: "x", part: {field: "x"}}
    with pytest.raises(InvalidArguments) as caught:
        inputs(**twice)
    assert str(caught.value) == (
        f"IncusRuntime 'agent': {name} and {part}.{field} are the same value, and both are set; "
        "remove one of them"
    )


def test_a_value_beside_that_of_a_spec_is_an_error() -> None:
    with pytest.raises(InvalidArguments, match=r"image and incus\.image_alias"):
        inputs(spec=SPEC, image="other")
    # A whole part takes precedence over that of the spec, as it always did.
    assert inputs(spec=SPEC, resources={"memory_mib": 1})["resources"] == {"memory_mib": 1}


def test_none_is_not_given() -> None:
    assert inputs(image="i", memory_mib=None, resources={"memory_mib": None}) == {
        "incus": {"image_alias": "i"},
        "identity": {"runtime_id": "agent", "instance_name": "agent"},
        "resources": {},
    }
    assert inputs(image=None, incus={"image_alias": "i"})["incus"] == {"image_alias": "i"}


@pytest.mark.parametrize("part", ["text", ["list"], 3])
def test_what_is_no_mapping_is_left_to_check(part: Any) -> None:
    assert inputs(image="i", resources=part, memory_mib=64)["resources"] == part


def test_another_provider_is_an_error_without_a_traceback() -> None:
    with pytest.raises(InvalidArguments, match="`incus`") as caught:
        inputs(spec={**SPEC, "provider": "lxd"})
    assert isinstance(caught.value, pulumi.RunError)
    assert isinstance(caught.value, ValueError)


def test_an_argument_that_does_not_exist_is_an_error() -> None:
    unknown_arguments("IncusRuntime", {"memory_mib": 1, "running": None}, IncusRuntimeArgs)
    with pytest.raises(TypeError, match="no argument 'memory'; did you mean 'memory_mib'"):
        unknown_arguments("IncusRuntime", {"memory": 1}, IncusRuntimeArgs)
    with pytest.raises(TypeError, match=r"no argument 'wait_for'$"):
        unknown_arguments("IncusJob", {"wait_for": "ready"}, IncusJobArgs)
