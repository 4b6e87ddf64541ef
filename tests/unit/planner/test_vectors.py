"""Every recorded answer of the reference planner, or the refusal that we put in its place."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pulumi_pika.planner.device_names import device_name
from pulumi_pika.planner.plan import IncusRuntimePlan
from pulumi_pika.planner.spec import RuntimeSpec
from pulumi_pika.planner.spec_errors import (
    DuplicateMountGuestPath,
    InvalidPath,
    RuntimeSpecError,
)

VECTORS = Path(__file__).parents[2] / "vectors"


def read(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (VECTORS / name).read_text("utf-8").splitlines()]


def select(outcome: str, *, stricter: bool = False) -> list[Any]:
    rows = read("runtime_specs.jsonl")
    chosen = [row for row in rows if outcome in row["expect"] and ("stricter" in row) == stricter]
    assert chosen, f"no row has the outcome {outcome}"
    return [pytest.param(row, id=row["name"]) for row in chosen]


def exact(value: Any) -> str:
    # Text, since to Python 1 == 1.0 == True.
    return json.dumps(value, sort_keys=True)


def test_no_row_is_left_out() -> None:
    outcomes = ("plan", "error", "deserialize_error")
    chosen = [row for outcome in outcomes for row in select(outcome)] + select(
        "plan", stricter=True
    )
    assert len(chosen) == len(read("runtime_specs.jsonl")) == 300


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=row["device_name"]) for row in read("device_names.jsonl")]
)
def test_device_name(row: dict[str, Any]) -> None:
    assert device_name(row["kind"], row["source"], row["guest_path"]) == row["device_name"]


@pytest.mark.parametrize("row", select("plan"))
def test_plan(row: dict[str, Any]) -> None:
    plan = RuntimeSpec.model_validate(row["spec"]).build_incus_plan()
    assert exact(plan.to_dict()) == exact(row["expect"]["plan"])
    assert IncusRuntimePlan.from_dict(row["expect"]["plan"]) == plan


@pytest.mark.parametrize("row", select("error"))
def test_first_problem(row: dict[str, Any]) -> None:
    spec = RuntimeSpec.model_validate(row["spec"])
    with pytest.raises(RuntimeSpecError) as caught:
        spec.build_incus_plan()
    first = caught.value.problems[0]
    fields = dict(row["expect"]["error"])
    assert type(first).__name__ == fields.pop("variant")
    assert {field: getattr(first, field) for field in fields} == fields
    assert str(first) == row["expect"]["message"]


@pytest.mark.parametrize("row", select("deserialize_error"))
def test_wrong_shape(row: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RuntimeSpec.model_validate(row["spec"])


@pytest.mark.parametrize("row", select("plan", stricter=True))
def test_stricter_than_the_reference(row: dict[str, Any]) -> None:
    why = row["stricter"]
    if "unknown field" in why:
        with pytest.raises(ValidationError, match=r"surprise\n +Extra inputs are not permitted"):
            RuntimeSpec.model_validate(row["spec"])
        return
    spec = RuntimeSpec.model_validate(row["spec"])
    with pytest.raises(RuntimeSpecError) as caught:
        spec.build_incus_plan()
    problems = caught.value.problems
    if "duplicates" in why:
        last = row["spec"]["mounts"][-1]["guest_path"]
        assert last in {p.guest_path for p in problems if isinstance(p, DuplicateMountGuestPath)}
        return
    reason = {
        "a trailing slash is not normalized": "must not end with a slash",
        "an empty segment is not normalized": "must not contain empty segments",
        "a '.' segment is not normalized": "must not contain `.` segments",
        "containment is by path component, not by text prefix": "must stay under lifecycle_root",
    }[why]
    assert [p.reason for p in problems if isinstance(p, InvalidPath)] == [reason]
    assert len(problems) == 1
