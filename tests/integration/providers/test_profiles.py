"""`profiles`: the complete list of an instance's profiles, which may be empty."""

from collections.abc import Iterator
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.validation.plan_inputs import plan_inputs
from pulumi_pika.validation.property_tree import UNKNOWN

from ...conftest import IMAGE, Sandbox
from ...support.provider_calls import job_calls
from ...support.provider_engine import Managed, Refused, arguments, wire
from ...support.reconcile import there

ROOT = {"resources": {"root_disk_gib": 1}}


def given(name: str, profiles: list[str], **more: Any) -> dict[str, Any]:
    incus = {"project": "default", "image_alias": IMAGE}
    return arguments(name, mounts=[], incus=incus, profiles=profiles, **more)


@pytest.fixture
def profile(sandbox: Sandbox, name: str) -> Iterator[str]:
    extra = f"{name}-extra"
    sandbox.daemon.request("POST", "/profiles", {"name": extra, "config": {"user.x": "1"}})
    yield extra
    sandbox.daemon.request("DELETE", f"/profiles/{extra}")


def test_none_at_all_with_a_root_disk_of_its_own(client: IncusClient, name: str) -> None:
    managed = Managed(given(name, [], **ROOT))
    try:
        inputs = managed.checked()
        assert inputs["plan"]["incus"]["profile"] == "none"
        assert "profile" not in inputs["incus"]

        assert managed.up() == "create"

        live = there(client, name)
        assert live.profiles == []
        root = {"type": "disk", "path": "/", "pool": "default", "size": "1GiB"}
        assert live.devices == {"root": root}
        assert managed.refresh() == {}
        assert managed.up() == "same"
    finally:
        managed.destroy()


def test_list_is_the_whole_list_and_keeps_its_order(
    sandbox: Sandbox, client: IncusClient, name: str, profile: str
) -> None:
    managed = Managed(given(name, [profile, "default"]))
    try:
        managed.up()
        uuid = there(client, name).uuid
        assert there(client, name).profiles == [profile, "default"]
        assert managed.refresh() == {}

        # Another client changes the order; a list of all profiles leaves nothing to others.
        sandbox.daemon.request("PATCH", f"/instances/{name}", {"profiles": ["default", profile]})
        drift = managed.refresh()
        assert drift["profiles"] == ([profile, "default"], ["default", profile])
        assert managed.up() == "update"
        assert there(client, name).profiles == [profile, "default"]
        assert managed.refresh() == {}

        managed.change(profiles=["default"])
        assert managed.up() == "update"
        assert there(client, name).profiles == ["default"]

        managed.change(profiles=[], **ROOT)
        assert managed.up() == "update"
        live = there(client, name)
        assert (live.profiles, live.uuid) == ([], uuid)
        assert managed.refresh() == {}
        assert managed.up() == "same"
    finally:
        managed.destroy()


def test_profile_of_another_client_is_removed(
    sandbox: Sandbox, client: IncusClient, name: str, profile: str
) -> None:
    managed = Managed(given(name, ["default"]))
    try:
        managed.up()
        sandbox.daemon.request("PATCH", f"/instances/{name}", {"profiles": [profile, "default"]})
        assert "profiles" in managed.refresh()
        assert managed.up() == "update"
        assert there(client, name).profiles == ["default"]
    finally:
        managed.destroy()


def test_adopted_instance_gets_the_list(client: IncusClient, name: str, profile: str) -> None:
    first = Managed(given(name, ["default"]))
    try:
        first.up()
        second = Managed(given(name, [], **ROOT, adopt=True))
        assert second.up() == "create"
        assert there(client, name).profiles == []
        assert second.refresh() == {}
    finally:
        second.destroy()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"profiles": []}, "profiles: an instance without profiles needs a root disk"),
        ({"profiles": [], **ROOT, "storage_pool": None}, "needs a storage pool: set"),
        ({"profiles": ["default", "default"]}, r"profiles\[1\]: `default` is not a valid"),
        ({"profiles": ["a/b"]}, r"profiles\[0\]: "),
        ({"profiles": ["missing-here"]}, r"profiles\[0\]: there is no profile missing-here"),
        ({"profiles": ["default"], "extra_profiles": ["x"]}, "extra_profiles: conflicts with"),
        (
            {
                "profiles": ["default"],
                "incus": {"project": "default", "profile": "other", "image_alias": IMAGE},
            },
            "incus.profile: conflicts with `profiles`",
        ),
    ],
)
def test_refused(name: str, change: dict[str, Any], said: str) -> None:
    values = {k: v for k, v in {**given(name, []), **change}.items() if v is not None}
    with pytest.raises(Refused, match=said):
        Managed(values).checked()


@pytest.mark.parametrize(
    ("profiles", "shown"),
    [
        (UNKNOWN, UNKNOWN),
        (["a", UNKNOWN], UNKNOWN),
        ([UNKNOWN, "a"], "a"),
        ([], "none"),
    ],
)
def test_plan_names_the_last_known_one(name: str, profiles: Any, shown: str) -> None:
    examined = plan_inputs(given(name, profiles, **ROOT))
    assert examined.failures == []
    assert examined.plan_tree["incus"]["profile"] == shown


def test_job_takes_them_too_and_runs_again_for_another_list(name: str) -> None:
    def inputs(profiles: list[str]) -> dict[str, Any]:
        values = {**given(name, profiles, **ROOT), "command": "true"}
        found = job_calls.check(wire(values), None)
        assert found.failures == []
        return dict(wire(found.inputs))

    before = inputs([])
    assert before["plan"]["incus"]["profile"] == "none"
    assert job_calls.diff(before, before).replaces == []
    assert "profiles" in (job_calls.diff(before, inputs(["default"])).replaces or [])
