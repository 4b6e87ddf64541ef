"""The life of a profile: created as planned, changed in place, adopted, released, deleted."""

import json
import re
from typing import Any

import pytest

from pulumi_pika.providers.provider_errors import ProviderError

from ...conftest import Sandbox
from ...support import hostile
from ...support.object_engine import OTHER, Declared
from ...support.objects import LABEL, edit, instance, shown, there
from ...support.provider_engine import Refused


def profile(name: str, **more: Any) -> Declared:
    return Declared("profile", {"name": name, **more})


def test_it_is_created_as_planned_and_stays(name: str, sandbox: Sandbox) -> None:
    made = profile(
        name,
        description="for agents",
        vcpu_count=2,
        memory_mib=512,
        storage_pool="default",
        root_disk_gib=3,
        cloud_init_user_data="#cloud-config\n{}\n",
        config={"user.team": "a"},
        devices={"gpu": {"type": "gpu"}},
    )
    plan = made.checked()["plan"]
    assert made.up() == "create"

    live = shown(sandbox, "profiles", name)
    assert {key: live["config"][key] for key in plan["config"]} == plan["config"]
    assert live["config"].keys() - plan["config"] == {*LABEL[:3]}
    assert (
        live["devices"]
        == plan["devices"]
        == {
            "root": {"type": "disk", "path": "/", "pool": "default", "size": "3GiB"},
            "gpu": {"type": "gpu"},
        }
    )
    assert plan["config"]["limits.memory"] == "512MiB"
    assert made.outputs is not None
    assert made.outputs["plan"] == plan
    assert made.outputs["unmanaged"] == []
    assert made.settled()
    made.destroy()
    assert not there(sandbox, "profiles", name)


def test_it_is_changed_and_renamed_in_place(name: str, sandbox: Sandbox) -> None:
    made = profile(name, vcpu_count=2, description="one", config={"user.a": "1", "user.b": "1"})
    made.up()
    instance(sandbox, f"{name}-box", name)
    generation = shown(sandbox, "profiles", name)["config"]["user.pika.generation"]

    made.drop("vcpu_count", "description")
    step = made.up(name=f"{name}-new", memory_mib=64, config={"user.b": "2"})

    assert step == "update"
    assert not there(sandbox, "profiles", name)
    live = shown(sandbox, "profiles", f"{name}-new")
    assert live["description"] == ""
    assert live["config"].pop("user.pika.owner")
    assert live["config"].pop("user.pika.backend")
    assert live["config"] == {
        "user.b": "2",
        "limits.memory": "64MiB",
        "user.pika.generation": generation,
    }
    assert shown(sandbox, "instances", f"{name}-box")["profiles"] == [f"{name}-new"]
    assert made.settled()


def test_drift_is_shown_by_key_and_corrected(name: str, sandbox: Sandbox) -> None:
    made = profile(
        name,
        vcpu_count=2,
        config={"user.a": "1"},
        devices={"gpu": {"type": "gpu"}},
        description="x",
    )
    made.up()
    edit(
        sandbox,
        "profiles",
        name,
        config={"limits.cpu": "3", "user.a": None, "user.others": "kept"},
        devices={"gpu": {"type": "gpu", "id": "0"}, "tty": {"type": "unix-char", "path": "/dev/x"}},
        description="y",
    )

    assert made.refresh()
    assert made.outputs is not None
    plan = made.outputs["plan"]
    assert plan["config"] == {"limits.cpu": "3"}
    assert plan["devices"] == {"gpu": {"type": "gpu", "id": "0"}}
    assert plan["description"] == "y"
    assert made.outputs["unmanaged"] == ["user.others", "device tty"]
    assert made.outputs["vcpu_count"] == 2

    assert made.up() == "update"
    live = shown(sandbox, "profiles", name)
    assert live["config"]["limits.cpu"] == "2"
    assert live["config"]["user.a"] == "1"
    assert live["config"]["user.others"] == "kept"
    assert live["devices"] == {
        "gpu": {"type": "gpu"},
        "tty": {"type": "unix-char", "path": "/dev/x"},
    }
    assert live["description"] == "x"
    assert made.settled()


def test_what_another_client_changed_and_the_program_drops_stays(
    name: str, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    made = profile(name, vcpu_count=2, config={"user.a": "1"})
    made.up()
    edit(sandbox, "profiles", name, config={"limits.cpu": "4"})
    made.drop("vcpu_count", "config")
    made.up()
    assert shown(sandbox, "profiles", name)["config"]["limits.cpu"] == "4"
    assert "user.a" not in shown(sandbox, "profiles", name)["config"]
    assert "left as it is, since another client changed it: limits.cpu" in capsys.readouterr().err
    assert made.planned() == "same"


def test_an_existing_one_is_refused_adopted_and_released(name: str, sandbox: Sandbox) -> None:
    body = {"name": name, "description": "d", "config": {"user.a": "1"}, "devices": {}}
    sandbox.daemon.request("POST", "/profiles", body)
    before = shown(sandbox, "profiles", name)
    made = profile(name, config={"user.b": "2"})
    with pytest.raises(Refused, match=r"already exists at .*it has no owner.*adopt=True"):
        made.up()
    assert shown(sandbox, "profiles", name) == before

    assert made.up(adopt=True) == "create"
    assert made.outputs is not None
    assert made.outputs["adopted"] is True
    assert made.outputs["unmanaged"] == ["user.a"]
    assert made.inputs["on_delete"].startswith("releases the profile if it was adopted")
    live = shown(sandbox, "profiles", name)
    assert live["description"] == "d"
    assert live["config"]["user.a"] == "1"
    assert made.settled()

    made.destroy()
    assert shown(sandbox, "profiles", name)["config"] == {"user.a": "1", "user.b": "2"}


def test_the_default_profile_is_released_and_never_deleted(sandbox: Sandbox) -> None:
    before = shown(sandbox, "profiles", "default")
    made = profile("default", config={"user.team": "a"}, adopt=True)
    made.up()
    assert made.inputs["on_delete"] == "releases the profile, which stays as it is"
    made.destroy()
    edit(sandbox, "profiles", "default", config={"user.team": None})
    assert shown(sandbox, "profiles", "default") == before


def test_another_resource_and_another_backend_are_left_alone(name: str, sandbox: Sandbox) -> None:
    made = profile(name, config={"user.a": "1"})
    made.up()
    before = shown(sandbox, "profiles", name)
    thief = Declared("profile", {"name": name, "adopt": True}, owner=OTHER)
    # A check of the same stack leaves the decision to the create.
    with pytest.raises(ProviderError, match=r"belongs to urn:pulumi:test::project::.*::thing"):
        thief.up()
    other = Declared("profile", {"name": name, "backend": "b2"})
    with pytest.raises((Refused, ProviderError), match="of another Pulumi backend"):
        other.up()
    assert shown(sandbox, "profiles", name) == before


def test_a_resource_with_another_urn_keeps_it(name: str, sandbox: Sandbox) -> None:
    made = profile(name, config={"user.a": "1"})
    made.up()
    made.owner = OTHER
    assert made.up() == "update"
    assert shown(sandbox, "profiles", name)["config"]["user.pika.owner"] == OTHER
    assert made.settled()
    made.destroy()
    assert not there(sandbox, "profiles", name)


def test_a_used_one_is_not_deleted_and_the_users_are_listed(name: str, sandbox: Sandbox) -> None:
    made = profile(name)
    made.up()
    instance(sandbox, f"{name}-box", name)
    with pytest.raises(
        ProviderError,
        match=rf"could not delete profile {name} .*: it is used by instance {name}-box",
    ):
        made.destroy()
    assert there(sandbox, "profiles", name)


def test_a_replacement_of_a_used_one_is_refused_in_the_preview(name: str, sandbox: Sandbox) -> None:
    sandbox.daemon.request("POST", "/projects", {"name": f"{name}-p"})
    made = profile(name)
    made.up()
    made.arguments["project"] = f"{name}-p"
    assert made.planned() == "replace"
    instance(sandbox, f"{name}-box", name)
    with pytest.raises(ProviderError, match=rf"could not replace profile .*instance {name}-box"):
        made.planned()


def test_one_that_was_created_again_since_is_not_deleted(name: str, sandbox: Sandbox) -> None:
    made = profile(name)
    made.up()
    sandbox.daemon.request("DELETE", f"/profiles/{name}")
    sandbox.daemon.request("POST", "/profiles", {"name": name, "config": {"user.x": "1"}})
    assert made.outputs is not None
    made.destroy()
    assert there(sandbox, "profiles", name)


def test_a_deleted_one_is_read_as_gone_and_created_again(name: str, sandbox: Sandbox) -> None:
    made = profile(name, vcpu_count=1)
    made.up()
    sandbox.daemon.request("DELETE", f"/profiles/{name}")
    assert not made.refresh()
    assert made.up() == "create"
    assert made.settled()


def test_a_copy_is_not_taken_for_it(
    name: str, sandbox: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    made = profile(name)
    made.up()
    copied = {**shown(sandbox, "profiles", name), "name": f"{name}-copy"}
    sandbox.daemon.request("POST", "/profiles", copied)
    sandbox.daemon.request("DELETE", f"/profiles/{name}")
    kept = made.outputs
    assert not made.refresh()
    assert f"the profile {name}-copy has its ownership label" in capsys.readouterr().err
    made.outputs = kept
    made.destroy()
    assert there(sandbox, "profiles", f"{name}-copy")


def test_what_another_client_writes_has_no_power_over_who_reads_it(
    name: str, sandbox: Sandbox
) -> None:
    made = profile(name, config={"user.a": "1"}, description="d")
    made.up()
    edit(
        sandbox,
        "profiles",
        name,
        config={"user.a": hostile.ALL, f"user.{hostile.DIRECTIVE}": "x", "user.u": hostile.UNKNOWN},
        description=hostile.UNKNOWN,
        devices={"tty": {"type": "none", "user.x": hostile.ALL}},
    )
    made.refresh()
    assert made.outputs is not None
    for part in ("plan", "unmanaged", "drift"):
        shown_text = json.dumps(made.outputs[part], ensure_ascii=False)
        assert hostile.wrong_in(shown_text) == []
        assert hostile.UNKNOWN not in shown_text
    assert made.up() == "update"
    assert shown(sandbox, "profiles", name)["config"]["user.a"] == "1"


def test_missing_pools_and_networks_are_reported_in_the_preview(name: str) -> None:
    made = profile(name, storage_pool="nowhere", network="nonet", project="noproject")
    with pytest.raises(Refused) as refused:
        made.checked()
    said = str(refused.value)
    assert re.search(r"project: project noproject does not exist at", said)
    made.arguments["project"] = "default"
    with pytest.raises(Refused) as refused:
        made.checked()
    said = str(refused.value)
    assert "storage_pool: storage pool nowhere does not exist at" in said
    assert "network: network nonet does not exist at" in said
    made.arguments["after_others"] = True
    assert made.checked()["plan"]["devices"]["root"]["pool"] == "nowhere"
