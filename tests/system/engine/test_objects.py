"""Profiles, projects, networks and pools through the commands of a user, with the real engine."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from pulumi_pika.report.gate import CONDITIONS
from pulumi_pika.report.markdown import markdown, mermaid
from pulumi_pika.report.report_builder import report_of
from pulumi_pika.report.terminal import terminal

from ...conftest import IMAGE, Sandbox
from ...support.objects import edit, instance, shown, sweep_objects, there
from ...support.previews import change, held
from ...support.stack import Stack
from .test_report import preview

PROGRAM = """
import json
import pathlib
import pulumi
import pulumi_pika as pika


def secret(value):
    if isinstance(value, dict):
        if "secret" in value:
            return pulumi.Output.secret(value["secret"])
        return {key: secret(item) for key, item in value.items()}
    return value


declared = json.loads(pathlib.Path("declared.json").read_text())
made = {}
for name, arguments in declared.get("objects", {}).items():
    arguments = secret(arguments)
    kind = getattr(pika, arguments.pop("kind"))
    options = pulumi.ResourceOptions(**arguments.pop("opts", {}))
    for argument, value in arguments.items():
        if isinstance(value, str) and value.startswith("@"):
            arguments[argument] = made[value[1:]].name
    made[name] = kind(name, **arguments, opts=options)
    for output in ("name", "plan", "on_delete", "unmanaged", "adopted"):
        pulumi.export(f"{name}.{output}", getattr(made[name], output))
for name, arguments in declared.get("runtimes", {}).items():
    for argument in ("project", "profile", "storage_pool"):
        if arguments.get(argument, "").startswith("@"):
            arguments[argument] = made[arguments[argument][1:]].name
    pika.IncusRuntime(name, instance_type="container", **arguments)
"""


def declare(stack: Stack, **declared: Any) -> None:
    stack.program(PROGRAM)
    (stack.directory / "declared.json").write_text(json.dumps(declared))


@pytest.fixture(autouse=True)
def _swept(sandbox: Sandbox, name: str) -> Iterator[None]:
    yield
    sweep_objects(sandbox.daemon, name)


def test_life_of_a_profile_and_a_runtime_that_uses_it(
    stack: Stack, name: str, sandbox: Sandbox
) -> None:
    profile: dict[str, Any] = {
        "kind": "IncusProfile",
        "name": name,
        "memory_mib": 64,
        "storage_pool": "default",
    }
    runtimes = {f"{name}-box": {"image": IMAGE, "profile": "@base"}}
    declare(stack, objects={"base": profile}, runtimes=runtimes)
    said = stack.preview()
    assert 'limits.memory: "64MiB"' in said
    assert "deletes the profile, if nothing uses it" in said
    assert "warning" not in said.lower()
    stack.up()
    assert shown(sandbox, "instances", f"{name}-box")["profiles"] == [name]
    assert stack.outputs()["base.plan"] == {
        "name": name,
        "project": "default",
        "config": {"limits.memory": "64MiB"},
        "devices": {"root": {"path": "/", "pool": "default", "type": "disk"}},
    }
    stack.settled()

    # In place, also the name, which the runtime follows.
    profile |= {"memory_mib": 96, "name": f"{name}-new"}
    declare(stack, objects={"base": profile}, runtimes=runtimes)
    said = stack.preview()
    assert '"64MiB" => "96MiB"' in said
    assert "2 to update" in said
    stack.up()
    assert shown(sandbox, "instances", f"{name}-box")["profiles"] == [f"{name}-new"]
    stack.settled()

    # Drift by key; what another client added stays, and is shown.
    config = {"limits.memory": "80MiB", "user.mine": "1"}
    edit(sandbox, "profiles", f"{name}-new", config=config)
    said = stack.refresh()
    assert '"96MiB" => "80MiB"' in said
    assert "user.mine" in said
    stack.up()
    live = shown(sandbox, "profiles", f"{name}-new")["config"]
    assert (live["limits.memory"], live["user.mine"]) == ("96MiB", "1")
    stack.settled()

    # An instance that another client made keeps the profile.
    instance(sandbox, f"{name}-foreign", f"{name}-new")
    said = stack.destroy(fails=True)
    assert f"could not delete profile {name}-new" in said
    assert f"instance {name}-foreign" in said
    assert "Traceback" not in said
    assert there(sandbox, "profiles", f"{name}-new")
    sandbox.daemon.request("DELETE", f"/instances/{name}-foreign")
    stack.destroy()
    assert not there(sandbox, "profiles", f"{name}-new")
    assert stack.resources() == []


def test_secrets_of_a_profile_are_nowhere_plain(stack: Stack, name: str, sandbox: Sandbox) -> None:
    profile: dict[str, Any] = {
        "kind": "IncusProfile",
        "name": name,
        "cloud_init_user_data": {"secret": "hidden-user-data-1"},
        "config": {"user.db.password": "hidden-password-2", "user.x": {"secret": "hidden-x-3"}},
        "devices": {"usb": {"type": "usb", "serial": {"secret": "hidden-serial-4"}}},
    }
    declare(stack, objects={"base": profile})
    said = stack.preview() + stack.up("--diff")
    edit(sandbox, "profiles", name, config={"user.x": "hidden-other-5"})
    said += stack.refresh() + stack.preview() + stack.up("--diff")
    state = json.dumps(stack.export())
    assert shown(sandbox, "profiles", name)["config"]["user.db.password"] == "hidden-password-2"
    for text in (said, state):
        assert "hidden-" not in text
    stack.settled()


@pytest.mark.parametrize("first", [None, True, False])
def test_a_forced_replacement_is_safe(
    stack: Stack, name: str, sandbox: Sandbox, first: bool | None
) -> None:
    options = {"delete_before_replace": first}
    profile = {"kind": "IncusProfile", "name": name, "memory_mib": 64, "opts": options}
    declare(stack, objects={"base": profile})
    stack.up()
    urn = stack.resources()[0]["urn"]
    stack.up("--replace", urn)
    assert shown(sandbox, "profiles", name)["config"]["limits.memory"] == "64MiB"
    stack.settled()
    stack.run("state", "taint", "--yes", urn)
    stack.up()
    assert there(sandbox, "profiles", name)
    stack.settled()
    assert len(stack.resources()) == 1

    # In use: nothing is changed, and the user is named.
    instance(sandbox, f"{name}-box", name)
    if first is not False:
        said = stack.up("--replace", urn, fails=True)
        assert f"instance {name}-box" in said
        assert there(sandbox, "profiles", name)
        sandbox.daemon.request("DELETE", f"/instances/{name}-box")
        stack.up()
    else:
        stack.up("--replace", urn)
    stack.settled()


def test_the_report_shows_and_draws_them(stack: Stack, name: str, sandbox: Sandbox) -> None:
    shared = {"kind": "IncusProfile", "name": name, "memory_mib": 64, "storage_pool": "@pool"}
    objects: dict[str, dict[str, Any]] = {
        "project": {"kind": "IncusProject", "name": name, "max_instances": 3, "own_images": False},
        "pool": {"kind": "StoragePool", "name": name, "driver": "dir"},
        "base": shared,
        "adopted": {"kind": "IncusProfile", "name": "default", "adopt": True},
    }
    runtimes = {f"{name}-box": {"image": IMAGE, "profile": "@base"}}
    declare(stack, objects=objects, runtimes=runtimes)
    told = report_of(preview(stack), CONDITIONS)
    assert told.picture is not None
    ids = {node.kind: node.id for node in told.picture.nodes if "default" not in node.label}
    assert {"project", "pool", "profile", "runtime"} <= ids.keys()
    edges = {(edge.runtime, edge.volume): edge.label for edge in told.picture.edges}
    assert edges[ids["profile"], ids["pool"]] == "root"
    assert edges[ids["runtime"], ids["profile"]] == "profile"
    values = {value.path: value.after for value in change(told, "base").values}
    assert values["name"] == name
    assert values['config["limits.memory"]'] == "64MiB"
    assert values["devices.root.pool"] == name
    assert "delete" not in held(told)
    assert mermaid(told.picture).count("profile") >= 2
    stack.up()

    shared["memory_mib"] = 96
    objects["pool"]["config"] = {"rsync.bwlimit": "10MB"}
    edit(sandbox, "profiles", name, config={"limits.memory": "80MiB"})
    declare(stack, objects={key: objects[key] for key in ("pool", "base")}, runtimes=runtimes)
    told = report_of(preview(stack, "--refresh"), CONDITIONS)
    actions = {change.name: change.action for change in told.changes}
    assert actions == {
        "base": "update",
        "pool": "update",
        "project": "delete",
        "adopted": "release",
    }
    assert change(told, "base").drift == ["config.limits.memory"]
    assert held(told)["delete"] == ["project"]
    for text in (markdown(told), terminal(told)):
        assert "limits.memory" in text
    stack.up("--refresh")
    stack.destroy()
