"""What a wrong spec is told: everything, in order, in the given words, with its place."""

import copy
import json
import pickle
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from pulumi_pika.planner.device_names import device_name
from pulumi_pika.planner.plan import IncusRuntimePlan
from pulumi_pika.planner.spec import RuntimeSpec
from pulumi_pika.planner.spec_errors import (
    DeviceNameCollision,
    DuplicateMountGuestPath,
    EmptyField,
    InvalidPath,
    MismatchedGuestRequestPath,
    MismatchedStateRoot,
    Problem,
    RuntimeSpecError,
)

ROOT = "/run/pika-cloud"
ABSOLUTE = "must be absolute"
TRAVERSAL = "must not contain parent traversal"
OUTSIDE = "must stay under lifecycle_root"
TRAILING = "must not end with a slash"
EMPTY = "must not contain empty segments"
DOT = "must not contain `.` segments"


def spec(**changes: Any) -> dict[str, Any]:
    return {
        "identity": {"runtime_id": "runtime-1", "instance_name": "pika-1"},
        "provider": "incus",
        "incus": {"project": "default", "profile": "default", "image_alias": "pika/dev"},
        **changes,
    }


def mount(guest_path: str, source: str = "data", kind: str = "cache") -> dict[str, Any]:
    return {"kind": kind, "guest_path": guest_path, "source": source, "mode": "read_write"}


def problems_of(data: dict[str, Any]) -> list[Problem]:
    try:
        RuntimeSpec.model_validate(data).build_incus_plan()
    except RuntimeSpecError as error:
        return list(error.problems)
    return []


def refused(data: dict[str, Any]) -> list[tuple[str, tuple[str | int, ...]]]:
    with pytest.raises(ValidationError) as caught:
        RuntimeSpec.model_validate(data)
    return [(error["type"], error["loc"]) for error in caught.value.errors()]


EVERYTHING = spec(
    identity={"runtime_id": "", "instance_name": " "},
    incus={"project": "\t", "profile": "\u3000", "image_alias": "\u2028"},
    lifecycle_root="/srv/root",
    paths={
        "state_dir": "/srv/state",
        "events_path": "",
        "status_path": "status.json",
        "result_path": "/srv/root/../result.json",
        "guest_request_path": "/elsewhere/request.json",
        "logs_dir": "/srv/root-logs",
        "guest_log_path": "/srv/root//guest.log",
        "artifacts_dir": "/srv/root/artifacts",
    },
    bootstrap={"guest_request_path": "/other/request.json", "entry_command": "\n"},
    mounts=[
        mount("", source=""),
        mount("rel", source=" "),
        mount("/a/../b"),
        mount("/c", source="x"),
        mount("/c", source="y"),
        mount("/c/", source="z"),
        mount("/e/f", source="/n/m"),
        mount("/e-f", source="n-m"),
    ],
)


def test_all_problems_at_once_in_order_with_their_places() -> None:
    problems = problems_of(EVERYTHING)
    collision = device_name("cache", "n-m", "/e-f")
    assert [(problem.location, str(problem)) for problem in problems] == [
        (location, "runtime spec " + text)
        for location, text in [
            ("identity.runtime_id", "field `identity.runtime_id` must be non-empty"),
            ("identity.instance_name", "field `identity.instance_name` must be non-empty"),
            ("incus.project", "field `incus.project` must be non-empty"),
            ("incus.profile", "field `incus.profile` must be non-empty"),
            ("incus.image_alias", "field `incus.image_alias` must be non-empty"),
            ("paths.events_path", "field `paths.events_path` must be non-empty"),
            (
                "paths.status_path",
                "path `paths.status_path` = `status.json` is invalid: must be absolute",
            ),
            (
                "paths.result_path",
                "path `paths.result_path` = `/srv/root/../result.json` is invalid: "
                "must not contain parent traversal",
            ),
            (
                "lifecycle_root",
                "lifecycle_root `/srv/root` must match paths.state_dir `/srv/state`",
            ),
            (
                "paths.guest_request_path",
                "path `paths.guest_request_path` = `/elsewhere/request.json` is invalid: "
                "must stay under lifecycle_root",
            ),
            (
                "bootstrap.guest_request_path",
                "bootstrap guest_request_path `/other/request.json` "
                "must match paths.guest_request_path `/elsewhere/request.json`",
            ),
            ("bootstrap.entry_command", "field `bootstrap.entry_command` must be non-empty"),
            ("mounts[0].source", "field `mount.source` must be non-empty"),
            ("mounts[0].guest_path", "field `mount.guest_path` must be non-empty"),
            ("mounts[1].source", "field `mount.source` must be non-empty"),
            (
                "mounts[1].guest_path",
                "path `mount.guest_path` = `rel` is invalid: must be absolute",
            ),
            (
                "mounts[2].guest_path",
                "path `mount.guest_path` = `/a/../b` is invalid: must not contain parent traversal",
            ),
            ("mounts[4].guest_path", "mount guest_path `/c` must be unique"),
            # From here on, what the reference would let through.
            (
                "paths.guest_log_path",
                "path `paths.guest_log_path` = `/srv/root//guest.log` is invalid: "
                "must not contain empty segments",
            ),
            (
                "paths.logs_dir",
                "path `paths.logs_dir` = `/srv/root-logs` is invalid: "
                "must stay under lifecycle_root",
            ),
            (
                "mounts[5].guest_path",
                "path `mount.guest_path` = `/c/` is invalid: must not end with a slash",
            ),
            ("mounts[5].guest_path", "mount guest_path `/c/` must be unique"),
            (
                "mounts[7]",
                "mounts `/n/m -> /e/f` and `n-m -> /e-f` get the same device name "
                f"`{collision}`: rename a source or a guest path so that they differ in an "
                "ASCII letter or digit",
            ),
        ]
    ]


def test_the_error_says_all_of_it_and_can_be_pickled() -> None:
    with pytest.raises(RuntimeSpecError) as caught:
        RuntimeSpec.model_validate(EVERYTHING).build_incus_plan()
    error = caught.value
    assert isinstance(error, ValueError)
    assert isinstance(error.problems, tuple)
    assert str(error).splitlines() == [str(problem) for problem in error.problems]
    for again in (pickle.loads(pickle.dumps(error)), copy.deepcopy(error)):
        assert type(again) is RuntimeSpecError
        assert again.problems == error.problems
        assert str(again) == str(error)


# --- blank texts ----------------------------------------------------------------------------------

# Unicode's White_Space, all of it.
WHITE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029"
WHITE += "\u202f\u205f\u3000"


@pytest.mark.parametrize("blank", ["", *WHITE, WHITE], ids=ascii)
def test_blank(blank: str) -> None:
    identity = {"runtime_id": blank, "instance_name": "pika-1"}
    expected = EmptyField("identity.runtime_id", "identity.runtime_id")
    assert problems_of(spec(identity=identity)) == [expected]


@pytest.mark.parametrize("text", ["\x1c", "\x1f", "\u200b", "\ufeff", "\0", "\u180e"], ids=ascii)
def test_what_only_looks_blank_is_not(text: str) -> None:
    identity = {"runtime_id": text, "instance_name": "pika-1"}
    assert problems_of(spec(identity=identity)) == []


# --- paths ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("x", ABSOLUTE),
        (" /x", ABSOLUTE),
        ("../x", ABSOLUTE),
        ("/..", TRAVERSAL),
        ("/x/..", TRAVERSAL),
        ("/x//../y/", TRAVERSAL),
        ("/x/", TRAILING),
        ("/x//", EMPTY),
        ("//", EMPTY),
        ("//x", EMPTY),
        ("/x//y", EMPTY),
        ("/.", DOT),
        ("/x/.", DOT),
        ("/./x", DOT),
        ("/x/./", DOT),
    ],
)
def test_a_bad_guest_path(path: str, reason: str) -> None:
    assert problems_of(spec(mounts=[mount(path)])) == [
        InvalidPath("mount.guest_path", path, reason, "mounts[0].guest_path")
    ]


@pytest.mark.parametrize("path", ["/", "/x", "/.x", "/x.", "/...", "/..x/y..", "/ ", "/a\\..\\b"])
def test_a_good_guest_path(path: str) -> None:
    assert problems_of(spec(mounts=[mount(path)])) == []


def test_a_path_elsewhere_is_outside_and_a_neighbour_too() -> None:
    for path in ("/var/x", f"{ROOT}-evil/x", f"{ROOT}x", "/run", "/"):
        assert problems_of(spec(paths={"logs_dir": path})) == [
            InvalidPath("paths.logs_dir", path, OUTSIDE, "paths.logs_dir")
        ]
    for path in (ROOT, f"{ROOT}/x", f"{ROOT}/x/y"):
        assert problems_of(spec(paths={"logs_dir": path})) == []


def test_everything_is_below_the_root_directory() -> None:
    assert problems_of(spec(lifecycle_root="/", paths={"state_dir": "/"})) == []


def test_a_root_that_is_wrong_by_itself_is_not_held_against_the_others() -> None:
    assert problems_of(spec(lifecycle_root="root", paths={"state_dir": "root"})) == [
        InvalidPath("lifecycle_root", "root", ABSOLUTE, "lifecycle_root"),
        InvalidPath("paths.state_dir", "root", ABSOLUTE, "paths.state_dir"),
    ]
    assert problems_of(spec(lifecycle_root=" ")) == [EmptyField("lifecycle_root", "lifecycle_root")]


def test_a_root_with_a_closing_slash_is_another_text() -> None:
    problems = problems_of(spec(lifecycle_root=f"{ROOT}/"))
    assert problems == [
        MismatchedStateRoot(f"{ROOT}/", ROOT),
        InvalidPath("lifecycle_root", f"{ROOT}/", TRAILING, "lifecycle_root"),
    ]


# --- bootstrap ------------------------------------------------------------------------------------


def test_the_bootstrap_path_is_a_path_before_it_is_compared() -> None:
    field = "bootstrap.guest_request_path"

    def problems(path: str) -> list[Problem]:
        return problems_of(spec(bootstrap={"guest_request_path": path}))

    assert problems(f"{ROOT}/guest-request.json") == []
    assert problems("") == [EmptyField(field, field)]
    assert problems("run/x") == [InvalidPath(field, "run/x", ABSOLUTE, field)]
    assert problems("/run/../x") == [InvalidPath(field, "/run/../x", TRAVERSAL, field)]
    assert problems("/x") == [MismatchedGuestRequestPath("/x", f"{ROOT}/guest-request.json")]


# --- mounts ---------------------------------------------------------------------------------------


def test_each_further_use_of_a_guest_path_is_a_duplicate() -> None:
    mounts = [mount("/a", "1"), mount("/b", "2"), mount("/a", "3"), mount("/a", "4")]
    assert problems_of(spec(mounts=mounts)) == [
        DuplicateMountGuestPath("/a", "mounts[2].guest_path"),
        DuplicateMountGuestPath("/a", "mounts[3].guest_path"),
    ]


def test_guest_paths_are_compared_as_directories() -> None:
    for first, second in (("/a/b", "/a/b/"), ("/a//b", "/a/b"), ("/a/b", "/./a/b/.")):
        problems = problems_of(spec(mounts=[mount(first, "1"), mount(second, "2")]))
        assert DuplicateMountGuestPath(second, "mounts[1].guest_path") in problems
        assert len(problems) == 2  # the duplicate, and the spelling
    assert problems_of(spec(mounts=[mount("/a", "1"), mount("/a/b", "2"), mount("/A", "3")])) == []


def test_one_device_name_for_two_mounts() -> None:
    mounts = [mount("/c", "/a/b"), mount("/d", "x"), mount("/c/", "/a-b"), mount("/c-", "/a-b")]
    name = device_name("cache", "/a/b", "/c")
    assert DeviceNameCollision(name, "/a/b -> /c", "/a-b -> /c-", "mounts[3]") in problems_of(
        spec(mounts=mounts)
    )
    # Other kinds have other names.
    mounts = [mount("/c", "/a/b"), mount("/c-", "/a-b", "artifact_output")]
    assert problems_of(spec(mounts=mounts)) == []


# --- shapes ---------------------------------------------------------------------------------------

POLICIES = {"restart_policy": "never", "retention_policy": "debug_keep"}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"resources": {"vcpu_count": 4.0}}, ("int_type", ("resources", "vcpu_count"))),
        ({"resources": {"vcpu_count": True}}, ("int_type", ("resources", "vcpu_count"))),
        ({"resources": {"vcpu_count": 256}}, ("less_than_equal", ("resources", "vcpu_count"))),
        ({"resources": {"memory_mib": "4096"}}, ("int_type", ("resources", "memory_mib"))),
        ({"resources": {"memory_mib": -1}}, ("greater_than_equal", ("resources", "memory_mib"))),
        (
            {"resources": {"root_disk_gib": 2**32}},
            ("less_than_equal", ("resources", "root_disk_gib")),
        ),
        ({"resources": None}, ("model_type", ("resources",))),
        ({"mounts": None}, ("list_type", ("mounts",))),
        ({"mounts": {}}, ("list_type", ("mounts",))),
        ({"mounts": [{**mount("/a"), "required": None}]}, ("bool_type", ("mounts", 0, "required"))),
        ({"mounts": [{**mount("/a"), "required": 1}]}, ("bool_type", ("mounts", 0, "required"))),
        ({"mounts": [mount("/a", kind="bind")]}, ("literal_error", ("mounts", 0, "kind"))),
        ({"provider": "Incus"}, ("literal_error", ("provider",))),
        ({"lifecycle_root": None}, ("string_type", ("lifecycle_root",))),
        ({"paths": {"logs_dir": None}}, ("string_type", ("paths", "logs_dir"))),
        ({"policies": {"restart_policy": "never"}}, ("missing", ("policies", "retention_policy"))),
        (
            {"policies": {**POLICIES, "output_collection": {}}},
            ("missing", ("policies", "output_collection", "mode")),
        ),
        (
            {"policies": {**POLICIES, "output_collection": None}},
            ("model_type", ("policies", "output_collection")),
        ),
        ({"labels": {"a": 1}}, ("string_type", ("labels", "a"))),
        ({"labels": {"a": None}}, ("string_type", ("labels", "a"))),
        ({"labels": {"a": "\ud800"}}, ("string_unicode", ("labels", "a"))),
        ({"metadata": [1]}, ("dict_type", ("metadata",))),
        ({"metadata": {"a": float("inf")}}, ("finite_number", ("metadata", "a", "float"))),
        ({"metadata": {"a": float("nan")}}, ("finite_number", ("metadata", "a", "float"))),
        ({"metadata": {"a": "\ud800"}}, ("string_unicode", ("metadata", "a", "str"))),
        ({"metadata": {"a": b"x"}}, ("invalid-json-value", ("metadata", "a"))),
    ],
    ids=repr,
)
def test_a_wrong_shape(changes: dict[str, Any], error: tuple[str, tuple[str | int, ...]]) -> None:
    assert refused(spec(**changes)) == [error]


def test_unknown_fields_are_refused_everywhere() -> None:
    full = spec(
        resources={},
        mounts=[mount("/a")],
        paths={},
        policies={**POLICIES, "output_collection": {"mode": "none"}},
        bootstrap={},
    )
    RuntimeSpec.model_validate(full)
    places: list[tuple[str | int, ...]] = [
        (),
        ("identity",),
        ("incus",),
        ("resources",),
        ("mounts", 0),
        ("paths",),
        ("policies",),
        ("policies", "output_collection"),
        ("bootstrap",),
    ]
    for place in places:
        data = copy.deepcopy(full)
        part: Any = data
        for key in place:
            part = part[key]
        part["surprise"] = 1
        assert refused(data) == [("extra_forbidden", (*place, "surprise"))]


def test_a_shape_error_shows_no_value() -> None:
    secret = "hunter2-secret"
    data = spec(
        resources={"memory_mib": secret},
        labels={"token": [secret]},
        metadata={"x": {secret.encode()}},
        provider=secret,
    )
    with pytest.raises(ValidationError) as caught:
        RuntimeSpec.model_validate(data)
    assert caught.value.error_count() == 4
    assert secret not in str(caught.value)
    assert secret not in repr(caught.value)


# --- models ---------------------------------------------------------------------------------------


def parts_of(value: object) -> list[BaseModel]:
    if isinstance(value, list):
        return [part for item in value for part in parts_of(item)]
    if not isinstance(value, BaseModel):
        return []
    return [value, *(part for _, field in value for part in parts_of(field))]


def test_models_are_frozen() -> None:
    made = RuntimeSpec.model_validate(spec(mounts=[mount("/a")]))
    parts = parts_of(made) + parts_of(made.build_incus_plan())
    assert len({type(part) for part in parts}) == 11
    for part in parts:
        for name in type(part).model_fields:
            with pytest.raises(ValidationError, match="frozen"):
                setattr(part, name, getattr(part, name))


def test_defaults_are_those_of_the_wire_shape() -> None:
    assert RuntimeSpec.model_validate(spec()).build_incus_plan().to_dict() == {
        "identity": {"runtime_id": "runtime-1", "instance_name": "pika-1"},
        "incus": {"project": "default", "profile": "default", "image_alias": "pika/dev"},
        "resources": {},
        "mounts": [],
        "lifecycle_root": "/run/pika-cloud",
        "paths": {
            "state_dir": "/run/pika-cloud",
            "events_path": "/run/pika-cloud/events.jsonl",
            "status_path": "/run/pika-cloud/status.json",
            "result_path": "/run/pika-cloud/result.json",
            "guest_request_path": "/run/pika-cloud/guest-request.json",
            "logs_dir": "/run/pika-cloud/logs",
            "guest_log_path": "/run/pika-cloud/logs/guest.log",
            "artifacts_dir": "/run/pika-cloud/artifacts",
        },
        "policies": {
            "restart_policy": "never",
            "retention_policy": "destroy_on_completion",
            "output_collection": {
                "mode": "always",
                "include_logs": True,
                "include_result": True,
                "artifact_globs": [],
            },
        },
        "bootstrap": {},
        "labels": {},
        "metadata": {},
    }


def test_absent_is_no_key_but_null_in_metadata_stays() -> None:
    metadata = {"top": None, "list": [None, {"in": None}], "float": 1.0, "zero": -0.0, "true": True}
    data = spec(
        resources={"vcpu_count": None, "memory_mib": 0},
        bootstrap={"entry_command": None, "guest_request_path": None},
        mounts=[mount("/a")],
        metadata=metadata,
    )
    plan = RuntimeSpec.model_validate(data).build_incus_plan().to_dict()
    assert plan["resources"] == {"memory_mib": 0}
    assert plan["bootstrap"] == {}
    assert "io_bus" not in plan["mounts"][0]
    assert json.dumps(plan["metadata"]) == json.dumps(metadata)


def test_a_plan_shares_nothing_that_can_change() -> None:
    data = spec(labels={"a": "b"}, metadata={"x": {"y": [1]}})
    made = RuntimeSpec.model_validate(data)
    plan = made.build_incus_plan()
    before = copy.deepcopy(plan.to_dict())

    data["metadata"]["x"]["y"].append(2)
    made.labels["a"] = "c"
    made.metadata["x"]["y"].append(3)  # type: ignore[index, call-overload, union-attr]
    plan.to_dict()["metadata"]["x"]["y"].append(4)
    assert plan.to_dict() == before


def test_a_plan_that_no_planner_wrote_is_refused() -> None:
    mounts = [mount("/a"), {**mount("/b"), "mode": "read_only"}]
    plan = RuntimeSpec.model_validate(spec(mounts=mounts)).build_incus_plan().to_dict()
    assert IncusRuntimePlan.from_dict(plan).to_dict() == plan

    def changed(index: int, **changes: Any) -> dict[str, Any]:
        other = copy.deepcopy(plan)
        other["mounts"][index].update(changes)
        return other

    with pytest.raises(
        ValueError, match=r"`/a` has device name `pk-cache-00000000`, but .* give `pk"
    ):
        IncusRuntimePlan.from_dict(changed(0, device_name="pk-cache-00000000"))
    with pytest.raises(
        ValueError, match=r"`/a` has io_bus 'virtiofs', but read_only=False requires None"
    ):
        IncusRuntimePlan.from_dict(changed(0, io_bus="virtiofs"))
    with pytest.raises(ValueError, match=r"`/b` has io_bus None, but read_only=True requires"):
        IncusRuntimePlan.from_dict(changed(1, io_bus=None))
    with pytest.raises(ValidationError, match="extra_forbidden"):
        IncusRuntimePlan.from_dict({**plan, "provider": "incus"})
