"""What holds for every spec, and the planner against slow, independent versions of its parts."""

import json
import re
from random import Random
from typing import Any

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pulumi_pika.choices import MountKind
from pulumi_pika.planner.device_names import DEVICE_NAME_PREFIX, device_name
from pulumi_pika.planner.plan import INCUS_READ_ONLY_DISK_IO_BUS, IncusRuntimePlan
from pulumi_pika.planner.spec import (
    RuntimeMount,
    RuntimeSpec,
    plan_mounts,
)
from pulumi_pika.planner.spec_errors import RuntimeSpecError

KINDS: dict[MountKind, str] = {
    "persistent_volume": "persist",
    "read_only_snapshot": "snapshot",
    "artifact_output": "artifact",
    "cache": "cache",
}
PATH_FIELDS = [
    "state_dir",
    "events_path",
    "status_path",
    "result_path",
    "guest_request_path",
    "logs_dir",
    "guest_log_path",
    "artifacts_dir",
]
PLAN_FIELDS = [
    "identity",
    "incus",
    "resources",
    "mounts",
    "lifecycle_root",
    "paths",
    "policies",
    "bootstrap",
    "labels",
    "metadata",
]


# --- independent versions -------------------------------------------------------------------------


def slow_clean(text: str) -> str:
    kept = ""
    for character in text:
        if "a" <= character <= "z" or "0" <= character <= "9":
            kept += character
        elif "A" <= character <= "Z":
            kept += chr(ord(character) + 32)
        else:
            kept += "-"
    while kept.startswith("-"):
        kept = kept[1:]
    while kept.endswith("-"):
        kept = kept[:-1]
    return kept


def fnv1a_64(data: bytes) -> int:
    value = 0xCBF29CE484222325
    for byte in data:
        value ^= byte
        value = value * 0x100000001B3 % 2**64
    return value


def slow_name(kind: MountKind, source: str, guest_path: str) -> str:
    label = KINDS[kind]
    seed = f"{label}-{slow_clean(source)}-{slow_clean(guest_path)}"
    return f"pk-{label[:6]}-{fnv1a_64(seed.encode('ascii')) % 2**32:08x}"


def is_blank(text: str) -> bool:
    # Python counts the four information separators as white space, and Unicode does not.
    return all(character.isspace() and character not in "\x1c\x1d\x1e\x1f" for character in text)


# --- strategies -----------------------------------------------------------------------------------

any_text = st.text(st.characters(exclude_categories=["Cs"]))
names = any_text.filter(lambda text: not is_blank(text))
segments = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="/"), min_size=1
).filter(lambda segment: segment not in (".", ".."))
guest_paths = st.lists(segments, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
kinds = st.sampled_from(list(KINDS))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)
mounts = st.fixed_dictionaries(
    {
        "kind": kinds,
        "guest_path": guest_paths,
        "source": names,
        "mode": st.sampled_from(["read_only", "read_write"]),
    },
    optional={"required": st.booleans()},
)


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """Valid specs as JSON, with any of what is optional."""
    spec: dict[str, Any] = {
        "identity": {"runtime_id": draw(names), "instance_name": draw(names)},
        "provider": "incus",
        "incus": {"project": draw(names), "profile": draw(names), "image_alias": draw(names)},
    }
    request = "/run/pika-cloud/guest-request.json"
    if draw(st.booleans()):
        root = draw(guest_paths | st.just("/"))
        below = st.lists(segments, min_size=1, max_size=3).map(
            lambda parts: root.rstrip("/") + "/" + "/".join(parts)
        )
        spec["lifecycle_root"] = root
        spec["paths"] = {field: draw(below) for field in PATH_FIELDS}
        spec["paths"]["state_dir"] = root
        request = spec["paths"]["guest_request_path"]
    number = st.none() | st.integers(0, 2**32 - 1)
    parts = optional(
        resources=optional(
            vcpu_count=st.none() | st.integers(0, 255), memory_mib=number, root_disk_gib=number
        ),
        mounts=st.lists(
            mounts,
            max_size=6,
            unique_by=(
                lambda mount: mount["guest_path"],
                lambda mount: slow_name(mount["kind"], mount["source"], mount["guest_path"]),
            ),
        ),
        policies=st.fixed_dictionaries(
            {
                "restart_policy": st.sampled_from(["never", "on_failure", "always"]),
                "retention_policy": st.sampled_from(
                    ["destroy_on_completion", "keep_until_stopped", "debug_keep"]
                ),
            },
            optional={
                "output_collection": st.fixed_dictionaries(
                    {"mode": st.sampled_from(["none", "failure_only", "always"])},
                    optional={
                        "include_logs": st.booleans(),
                        "include_result": st.booleans(),
                        "artifact_globs": st.lists(any_text, max_size=3),
                    },
                )
            },
        ),
        bootstrap=optional(
            guest_request_path=st.none() | st.just(request), entry_command=st.none() | names
        ),
        labels=st.dictionaries(any_text, any_text, max_size=3),
        metadata=st.dictionaries(any_text, json_values, max_size=3),
    )
    return spec | draw(parts)


def plan_of(spec: dict[str, Any]) -> IncusRuntimePlan:
    return RuntimeSpec.model_validate(spec).build_incus_plan()


def exact(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


# --- names ----------------------------------------------------------------------------------------


# Beyond ASCII: a sign that lower-cases to an ASCII k, one to two characters, and other digits.
@given(kinds, st.text(), st.text())
@example("cache", "\u212a", "/\u0130\u0660\u00b2")
@example("cache", "-- A_9.z --", "/\U0001f4be\u65e5/")
def test_a_name_is_what_the_slow_version_makes(kind: MountKind, source: str, path: str) -> None:
    assert device_name(kind, source, path) == slow_name(kind, source, path)


@given(st.text(), st.text())
def test_names_differ_by_kind(source: str, path: str) -> None:
    assert len({device_name(kind, source, path) for kind in KINDS}) == len(KINDS)


@given(kinds, st.text(), st.text())
def test_incus_takes_every_name(kind: MountKind, source: str, path: str) -> None:
    name = device_name(kind, source, path)
    assert name.startswith(DEVICE_NAME_PREFIX)
    assert len(name) <= 25  # virtual machines had trouble above 31
    assert re.fullmatch(r"[/.:_a-zA-Z0-9-]{1,63}", name)  # 6.0.4
    assert re.fullmatch(r"[a-zA-Z0-9][.:_a-zA-Z0-9-]{0,62}[a-zA-Z0-9]", name)  # 7.3


@given(st.lists(mounts), st.randoms(use_true_random=False))
def test_names_do_not_depend_on_the_order(made: list[dict[str, Any]], random: Random) -> None:
    models = [RuntimeMount.model_validate(mount) for mount in made]
    order = list(range(len(models)))
    random.shuffle(order)
    planned = plan_mounts(models)
    assert plan_mounts(models[index] for index in order) == [planned[index] for index in order]


# --- plans ----------------------------------------------------------------------------------------


@settings(deadline=None)
@given(specs())
def test_a_valid_spec_plans_to_what_it_says(spec: dict[str, Any]) -> None:
    plan = plan_of(spec).to_dict()

    assert list(plan) == PLAN_FIELDS
    for same in ("identity", "incus"):
        assert plan[same] == spec[same]
    for same in ("labels", "metadata"):
        assert exact(plan[same]) == exact(spec.get(same, {}))
    for without_none in ("resources", "bootstrap"):
        given_values = spec.get(without_none, {})
        assert plan[without_none] == {k: v for k, v in given_values.items() if v is not None}
    assert list(plan["paths"]) == PATH_FIELDS
    assert plan["paths"] == spec.get("paths", plan["paths"])
    assert plan["lifecycle_root"] == plan["paths"]["state_dir"]

    collection = spec.get("policies", {}).get("output_collection", {})
    assert plan["policies"]["output_collection"] == {
        "mode": "always",
        "include_logs": True,
        "include_result": True,
        "artifact_globs": [],
        **collection,
    }

    assert len(plan["mounts"]) == len(spec.get("mounts", []))
    for planned, mount in zip(plan["mounts"], spec.get("mounts", []), strict=True):
        read_only = mount["mode"] == "read_only"
        bus = {"io_bus": INCUS_READ_ONLY_DISK_IO_BUS} if read_only else {}
        assert planned == {
            "kind": mount["kind"],
            "source": mount["source"],
            "guest_path": mount["guest_path"],
            "device_name": slow_name(mount["kind"], mount["source"], mount["guest_path"]),
            "read_only": read_only,
            "required": mount.get("required", False),
            **bus,
        }


@settings(deadline=None)
@given(specs())
def test_a_plan_survives_its_json(spec: dict[str, Any]) -> None:
    plan = plan_of(spec)
    assert IncusRuntimePlan.from_dict(plan.to_dict()) == plan
    again = IncusRuntimePlan.from_dict(json.loads(json.dumps(plan.to_dict())))
    assert again == plan
    assert exact(again.to_dict()) == exact(plan.to_dict())


@settings(deadline=None)
@given(specs(), st.data())
def test_a_spoilt_spec_is_refused_or_planned_and_nothing_else(
    spec: dict[str, Any], data: st.DataObject
) -> None:
    target: Any = spec
    while True:
        keys = list(target) if isinstance(target, dict) else list(range(len(target)))
        assume(keys)
        key = data.draw(st.sampled_from(keys))
        if not isinstance(target[key], dict | list) or data.draw(st.booleans()):
            break
        target = target[key]
    odd_text = st.text() | st.sampled_from(["", " ", "/", "/a/..", "/a/", "//", ".", "\ud800"])
    target[key] = data.draw(json_values | odd_text | st.floats() | st.binary())

    try:
        plan = plan_of(spec)
    except (RuntimeSpecError, ValidationError) as error:
        refusal = error
    else:
        json.dumps(plan.to_dict(), allow_nan=False, ensure_ascii=False).encode()
        return
    assert str(refusal)
