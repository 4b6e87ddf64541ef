"""Real previews of a real stack, through the command as a process of its own."""

import base64
import json
import subprocess
from typing import Any

import pytest

from pulumi_pika.report.report_model import Report

from ...conftest import OTHER_IMAGE
from ...support.previews import (
    call,
    change,
    held,
    step,
    tree_of,
)
from ...support.stack import TIMEOUT, Stack
from ...unit.report.test_unseen import MARKS, assert_nothing_goes_away
from .test_up import runtime

PLANT = "hunter2-planted"
PROGRAM = """
import json
import pathlib
import pulumi
import pulumi_pika

made = {}


def resolved(value):
    if isinstance(value, dict):
        if "$secret" in value:
            return pulumi.Output.secret(resolved(value["$secret"]))
        if "$output" in value:
            return getattr(made[value["$output"][0]], value["$output"][1])
        return {key: resolved(item) for key, item in value.items()}
    return [resolved(item) for item in value] if isinstance(value, list) else value


for name, (kind, arguments) in json.loads(pathlib.Path("resources.json").read_text()).items():
    arguments = resolved(arguments)
    options = pulumi.ResourceOptions(**arguments.pop("opts", {}))
    if options.provider is not None:
        options.provider = made[options.provider]
    made[name] = getattr(pulumi_pika, kind)(name, **arguments, opts=options)
"""


def declare(stack: Stack, **resources: tuple[str, dict[str, Any]]) -> None:
    stack.program(PROGRAM)
    (stack.directory / "resources.json").write_text(json.dumps(resources))


def preview(stack: Stack, *arguments: str, command: str = "preview") -> str:
    """What the command writes to standard output, and nothing else."""
    done = subprocess.run(
        ["pulumi", command, "--json", "--non-interactive", "--stack", stack.name, *arguments],
        cwd=stack.directory,
        env=stack.environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    return done.stdout


def reported(text: str, *fail_on: str, code: int = 0) -> Report:
    done = call("--format", "json", "--fail-on", ",".join(fail_on), stdin=text)
    assert done.returncode == code, done.stderr
    return Report.model_validate_json(done.stdout)


def without_mounts(name: str, **more: Any) -> dict[str, Any]:
    made = runtime(name, **more)
    return {key: value for key, value in made.items() if key != "mounts"}


@pytest.fixture
def resources(name: str, stack: Stack) -> dict[str, tuple[str, dict[str, Any]]]:
    socket = stack.environment["INCUS_SOCKET"]
    data = {"$output": ["vol", "volume_name"]}
    mounts = [
        *runtime(f"{name}-web")["mounts"],
        {"kind": "cache", "source": "/nowhere", "guest_path": "/cache", "mode": "read_write"},
        {"kind": "persistent_volume", "source": data, "guest_path": "/d", "mode": "read_only"},
    ]
    secret = {"$secret": PLANT}
    return {
        "host": ("IncusHost", {"socket": socket}),
        "vol": ("PersistentVolume", {"volume_name": f"{name}-data", "opts": {"provider": "host"}}),
        "web": ("IncusRuntime", runtime(f"{name}-web", mounts=mounts, opts={"provider": "host"})),
        "db": (
            "IncusRuntime",
            runtime(
                f"{name}-db",
                delete_data=True,
                labels={"a": secret, "of": {"$output": ["vol", "created_at"]}},
                config={"environment.PW": secret},
            ),
        ),
        "job": (
            "IncusJob",
            without_mounts(f"{name}-job", command={"$secret": f"echo {PLANT}"}),
        ),
    }


def test_life_of_a_stack(
    stack: Stack, name: str, resources: dict[str, tuple[str, dict[str, Any]]]
) -> None:
    declare(stack, **resources)
    text = preview(stack)
    made = reported(text, "replace", "delete", "delete-data", "restart", "warnings", "errors")
    assert {c.name: c.action for c in made.changes} == dict.fromkeys(resources, "create")
    db = {value.path: value.after for value in change(made, "db").values}
    assert (db["labels.a"], db["labels.of"]) == ("[secret]", "[unknown]")
    assert made.picture is not None
    # A volume that the program declares, and the runtime mounts, is one node.
    assert sorted(n.label for n in made.picture.nodes if n.kind == "volume") == [
        f"{name}-db-state",
        f"{name}-web-state",
        f"vol ({name}-data)",
    ]
    # The recorded previews have the shape of today's.
    for kind in ("web", "db", "job", "vol", "host"):
        now, then = step(json.loads(text), kind), step(tree_of("create"), kind)
        assert set(then) <= set(now), kind
        assert set(then["newState"]) <= set(now["newState"]), kind

    stack.up()

    assert reported(preview(stack), "any-change").changes == []
    same = reported(preview(stack, "--show-sames"), "any-change")
    assert same.changes == []
    assert same.picture is not None

    web, db_inputs = resources["web"][1], resources["db"][1]
    web["resources"] = {"vcpu_count": 1, "memory_mib": 96}
    db_inputs["config"] = {"environment.PW": {"$secret": PLANT}, "security.nesting": "true"}
    declare(stack, **resources)
    made = reported(preview(stack), "restart", code=1)
    assert {c.name: c.action for c in made.changes} == {
        "web": "update",
        "db": "update_with_restart",
    }
    assert [d.name for d in change(made, "web").devices if d.left_out], "its cache is not there"
    assert held(made) == {"restart": ["db"]}

    web["incus"] = {**web["incus"], "image_alias": OTHER_IMAGE}
    db_inputs["identity"] = {**db_inputs["identity"], "instance_name": f"{name}-db2"}
    declare(stack, **resources)
    for more in ([], ["--show-replacement-steps"], ["--refresh", "--show-sames"]):
        made = reported(preview(stack, *more), "replace", "delete-data", code=1)
        assert held(made) == {"replace": ["db", "web"], "delete-data": ["db"]}, more
        assert {c.name: c.why for c in made.changes} == {
            "web": ["incus.image_alias"],
            "db": ["identity.instance_name"],
        }
        assert change(made, "db").deletes_data_of == [f"{name}-db-state"]
    assert_nothing_goes_away(preview(stack), MARKS)

    made = reported(preview(stack, "--preview-only", command="destroy"), "delete", code=1)
    assert sorted(held(made)["delete"]) == sorted(resources)


def test_secrets_in_no_format(
    stack: Stack, name: str, resources: dict[str, tuple[str, dict[str, Any]]]
) -> None:
    mounts = runtime(f"{name}-s")["mounts"]
    mounts[0]["source"] = {"$secret": f"{name}-{PLANT}"}
    resources["s"] = ("IncusRuntime", runtime(f"{name}-s", mounts=mounts, running=False))
    declare(stack, **resources)
    # A token that is not a valid one is refused in every preview.
    told = {"client_name": "t", "fingerprint": "ab" * 32, "addresses": ["127.0.0.1:1"]}
    token = base64.b64encode(json.dumps({**told, "secret": PLANT}).encode()).decode()
    stack.run("config", "set", "--plaintext", "pika:trust_token", token)
    stack.config("pika:preflight", "off")
    texts = [preview(stack), preview(stack, "--show-secrets")]
    for text in texts:
        assert '"[secret]"' in text
        for form in ("markdown", "terminal", "json"):
            shown = call("--format", form, stdin=text)
            assert shown.returncode == 0
            assert PLANT not in shown.stdout.decode().replace("&#45;", "-")
            assert token not in shown.stdout.decode()
            assert "[secret]" in shown.stdout.decode()


def test_data_of_mounts_that_are_secret(stack: Stack, name: str) -> None:
    """What nobody can see may be a volume: here it is one, and is deleted."""

    def declared(suffix: str, **more: Any) -> dict[str, tuple[str, dict[str, Any]]]:
        found = {}
        for kind in ("source", "mount", "mounts"):
            made = runtime(f"{name}-{kind}", running=False, **more)
            made["identity"]["instance_name"] += suffix
            mounts: Any = made["mounts"]
            if kind == "source":
                mounts[0]["source"] = {"$secret": mounts[0]["source"]}
            made["mounts"] = {
                "source": mounts,
                "mount": [{"$secret": mounts[0]}],
                "mounts": {"$secret": mounts},
            }[kind]
            found[kind] = ("IncusRuntime", made)
        return found

    names = ["mount", "mounts", "source"]
    declare(stack, **declared(""))
    stack.up()
    declare(stack, **declared("", delete_data=True))
    made = reported(preview(stack), "stop-keeping-data", code=1)
    assert sorted(held(made)["stop-keeping-data"]) == names
    assert {c.stops_keeping_data_of[0] for c in made.changes} == {"[secret]"}
    stack.up()
    declare(stack, **declared("-b", delete_data=True))
    made = reported(preview(stack), "delete-data", code=1)
    assert sorted(held(made)["delete-data"]) == names
    declare(stack)
    made = reported(preview(stack), "delete-data", code=1)
    assert sorted(held(made)["delete-data"]) == names


def test_codes_of_a_real_preview(stack: Stack, name: str) -> None:
    """The provider writes them, whatever the secrets are; no line of the program is one."""
    first = runtime(f"{name}-a", running=True)
    stack.declare(a=first)
    stack.up()
    first["config"] = {"security.nesting": "true", "environment.A": "x"}
    secret = {"$secret": "restart"}
    declare(
        stack,
        a=("IncusRuntime", {**first, "config": {**first["config"], "environment.S": secret}}),
    )
    stack.program(
        PROGRAM + "pulumi.log.warn('x is replaced because of a typo: nothing is lost', made['a'])\n"
        "pulumi.log.warn('b may have to restart for a whim')\n"
    )
    text = preview(stack)
    assert "[pika:restart]" in text
    made = reported(text, "restart", "replace", code=1)
    assert held(made) == {"restart": ["a"]}
    assert [(w.kind, w.resource) for w in made.warnings] == [
        ("restart", "a"),
        ("other", ""),
        ("other", "a"),
    ]


def test_what_a_host_lacks_and_what_is_retained(stack: Stack, name: str) -> None:
    stack.declare(box=runtime(name, running=False, opts={"retain_on_delete": True}))
    stack.up()
    new = runtime(f"{name}-n", opts={"retain_on_delete": True})
    new["incus"]["image_alias"] = "no/such"
    stack.declare(new=new)
    made = reported(preview(stack), "delete", "errors", code=1)
    assert made.failed
    assert held(made) == {"errors": ["new"]}
    assert "image alias no/such does not exist" in made.warnings[0].text

    stack.declare()
    made = reported(preview(stack), "delete", "delete-data")
    assert [(c.name, c.action) for c in made.changes] == [("box", "release")]

    stack.program("raise RuntimeError('planned')\n")
    assert "planned" in reported(preview(stack), "errors", code=1).warnings[0].text
