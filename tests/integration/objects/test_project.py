"""The life of a project, and which changes Incus allows only while it is empty."""

import pytest

from pulumi_pika.providers.provider_errors import ProviderError

from ...conftest import Sandbox
from ...support.object_engine import Declared
from ...support.objects import edit, instance, shown, there
from ...support.provider_engine import Refused


def project(name: str, **more: object) -> Declared:
    return Declared("project", {"name": name, **more})


def test_it_is_created_as_planned_and_stays(name: str, sandbox: Sandbox) -> None:
    made = project(
        name,
        description="agents",
        own_images=False,
        restricted=True,
        max_instances=3,
        max_vcpu_count=4,
        max_memory_mib=1024,
        max_disk_gib=20,
        config={"restricted.devices.disk": "allow"},
    )
    plan = made.checked()["plan"]
    made.up()
    live = shown(sandbox, "projects", name)
    assert plan["config"] == {
        "features.images": "false",
        "limits.cpu": "4",
        "limits.disk": "20GiB",
        "limits.instances": "3",
        "limits.memory": "1024MiB",
        "restricted": "true",
        "restricted.devices.disk": "allow",
    }
    assert live["config"].items() >= plan["config"].items()
    assert live["config"]["features.profiles"] == "true"
    assert made.outputs is not None
    assert "features.profiles" in made.outputs["unmanaged"]
    assert made.settled()
    made.destroy()
    assert not there(sandbox, "projects", name)


def test_limits_and_its_name_change_in_place(name: str, sandbox: Sandbox) -> None:
    made = project(name, max_instances=3, own_images=False, config={"user.a": "1"})
    made.up()
    made.drop("config", "own_images")
    assert made.up(name=f"{name}-new", max_instances=5) == "update"
    assert not there(sandbox, "projects", name)
    live = shown(sandbox, "projects", f"{name}-new")["config"]
    assert live["limits.instances"] == "5"
    assert "user.a" not in live
    assert live["features.images"] == "false", "a dropped feature was switched"
    assert made.settled()
    assert made.up(own_images=True) == "update"
    assert shown(sandbox, "projects", f"{name}-new")["config"]["features.images"] == "true"


def test_drift_is_shown_and_other_keys_stay(name: str, sandbox: Sandbox) -> None:
    made = project(name, max_instances=3)
    made.up()
    edit(sandbox, "projects", name, config={"limits.instances": "9", "user.x": "1"})
    made.refresh()
    assert made.outputs is not None
    assert made.outputs["plan"]["config"] == {"limits.instances": "9"}
    assert "user.x" in made.outputs["unmanaged"]
    assert made.up() == "update"
    live = shown(sandbox, "projects", name)["config"]
    assert (live["limits.instances"], live["user.x"]) == ("3", "1")
    assert live["features.images"] == "true", "a change dropped the keys that it did not name"


def test_one_with_contents_keeps_features_and_name(name: str, sandbox: Sandbox) -> None:
    made = project(name, own_images=False, own_volumes=True)
    made.up()
    sandbox.daemon.request("POST", f"/profiles?project={name}", {"name": "other"})
    changes: dict[str, dict[str, object]] = {
        "features.storage.volumes": {"own_volumes": False},
        "name": {"name": f"{name}-x"},
    }
    for part, change in changes.items():
        made.arguments.update(change)
        with pytest.raises(
            ProviderError, match=rf"could not change {part} of project .* profile other"
        ):
            made.planned()
        made.arguments.update({"own_volumes": True, "name": name})
    assert made.up(max_instances=2) == "update"
    with pytest.raises(ProviderError, match="it is used by profile other"):
        made.destroy()
    sandbox.daemon.request("DELETE", f"/profiles/other?project={name}")
    made.destroy()
    assert not there(sandbox, "projects", name)


def test_the_default_project_is_released(sandbox: Sandbox) -> None:
    before = shown(sandbox, "projects", "default")["config"]
    with pytest.raises(Refused, match="has no owner"):
        project("default", config={"user.team": "a"}).up()
    made = project("default", config={"user.team": "a"}, adopt=True)
    made.up()
    assert made.settled()
    made.destroy()
    assert shown(sandbox, "projects", "default")["config"] == {**before, "user.team": "a"}
    edit(sandbox, "projects", "default", config={"user.team": None})


def test_a_limit_below_the_use_is_refused_in_the_preview(name: str, sandbox: Sandbox) -> None:
    made = project(name, own_images=False, own_profiles=False, max_instances=3)
    made.up()
    for number in range(2):
        instance(sandbox, f"{name}-{number}", "default", project=name)
    made.arguments["max_instances"] = 1
    with pytest.raises(Refused, match=r"max_instances: `1` is not a valid limit: .* uses 2 now"):
        made.checked()
    assert made.up(max_instances=2) == "update"


def test_instances_in_it_are_listed(name: str, sandbox: Sandbox) -> None:
    made = project(name, own_images=False, own_profiles=False)
    made.up()
    instance(sandbox, f"{name}-box", "default", project=name)
    with pytest.raises(ProviderError, match=rf"used by instance {name}-box \(project {name}\)"):
        made.destroy()
