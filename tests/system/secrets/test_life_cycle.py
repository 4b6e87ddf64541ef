"""Secrets in every place of a program, through all commands of a user: they show nowhere."""

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.planner.device_names import device_name
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance

from ...conftest import IMAGE, Sandbox
from ...support.stack import Stack
from .plants import Plants

PROGRAM = """
import json
import pathlib
import pulumi
from pulumi.dynamic import CreateResult, Resource, ResourceProvider
from pulumi_pika import IncusRuntime

p = json.loads(pathlib.Path("given.json").read_text())
S = pulumi.Output.secret
config = pulumi.Config()


class Late(ResourceProvider):
    serialize_as_secret_always = False

    def create(self, props):
        return CreateResult("late", {"token": props["token"]})


class LateValue(Resource):
    token: pulumi.Output[str]

    def __init__(self, token):
        hide = pulumi.ResourceOptions(additional_secret_outputs=["token"])
        super().__init__(Late(), "late", {"token": token}, hide)


incus = {"project": "default", "profile": "default", "image_alias": p["image"]}
name = p["name"]
late = LateValue(S(p["late"]))

box = IncusRuntime(
    "box",
    identity={"runtime_id": S(p["runtime_id"]), "instance_name": name},
    incus=incus,
    resources={"memory_mib": 64},
    mounts=[
        {
            "kind": "persistent_volume",
            "source": name + "-open",
            "guest_path": "/mnt/open",
            "mode": "read_write",
        },
        {
            "kind": "persistent_volume",
            "source": S(p["source"]),
            "guest_path": "/mnt/state",
            "mode": "read_write",
        },
        {
            "kind": "persistent_volume",
            "source": name + "-v",
            "guest_path": S(p["guest_path"]),
            "mode": "read_write",
        },
    ],
    labels={"team": "shown-label", "hidden": S(p["label"]), "late": late.token},
    metadata={
        "shown": "shown-metadata",
        "nested": {"deep": [1, {"er": S(p["metadata"])}]},
        "number": S(p["number"]),
    },
    bootstrap={"entry_command": S(p["entry_command"])},
    config={"user.shown": "shown-config", "user.hidden": config.require_secret("token")},
    devices={
        "shared": {"type": "disk", "source": S(p["device"]), "path": "/mnt/shared"},
    },
    cloud_init_user_data=S(p["cloud_init"]),
    description=S(p["description"]),
    restart_triggers=S(p["restart_triggers"]),
    instance_type="container",
    storage_pool="default",
)

whole = IncusRuntime(
    "whole",
    identity=S({"runtime_id": "r", "instance_name": p["secret_name"]}),
    incus=S({**incus, "image_alias": p["secret_alias"]}),
    mounts=S([
        {
            "kind": "persistent_volume",
            "source": p["whole_source"],
            "guest_path": "/mnt/" + p["whole_path"],
            "mode": "read_write",
        }
    ]),
    labels=S({p["label_key"]: p["whole_label"]}),
    metadata=S({p["metadata_key"]: [p["whole_metadata"]]}),
    config=S({"user." + p["config_key"]: p["whole_config"]}),
    description="shown-description",
    instance_type="container",
    storage_pool="default",
)

for name, arguments in p["failing"].items():
    secret = {key: S(value) for key, value in arguments.pop("secret").items()}
    IncusRuntime(
        name,
        **{
            "identity": {"runtime_id": "f", "instance_name": p["name"] + "-" + name},
            "incus": incus,
            "instance_type": "container",
            "storage_pool": "default",
            **arguments,
            **secret,
        },
    )

for runtime, its in ((box, "box"), (whole, "whole")):
    for output in type(runtime).__annotations__:
        pulumi.export(its + "." + output, getattr(runtime, output))
"""


@dataclass
class Life:
    """A stack whose program is given secrets; all that its commands write is searched."""

    stack: Stack
    plants: Plants
    given: dict[str, Any]
    said: list[str] = field(default_factory=list)

    def change(self, **given: Any) -> None:
        self.given.update(given)
        (self.stack.directory / "given.json").write_text(json.dumps(self.given))

    def __call__(self, *command: str, fails: bool = False) -> str:
        text = self.stack.run(*command, fails=fails)
        self.said.append(text)
        assert self.plants.found(text) == [], f"pulumi {' '.join(command)}:\n{text}"
        assert "Traceback" not in text
        assert "internal error in pulumi_pika" not in text
        return text

    def search_all(self) -> None:
        """Looks through the state, everything said so far, and all files of Pulumi's."""
        state = self("stack", "export")
        self("stack", "output", "--json")
        assert self.plants.found(*self.said) == []
        directory = self.stack.directory.parent
        assert any((directory / "backend").rglob("*.json"))
        for below in ("backend", "temporary"):
            assert self.plants.found_below(directory / below) == {}
        assert "shown-label" in state


def hide_what_is_derived(life: Life, client: IncusClient) -> None:
    """Has device names and digests of what is there now searched for."""
    for key in ("name", "secret_name"):
        live = fetch_instance(client, life.given["name"] if key == "name" else life.given[key])
        if live is not None:
            life.plants.forbid(live.config["user.pika.plan_digest"], "plan_digest")
    for source, path in (
        (life.given["source"], "/mnt/state"),
        (f"{life.given['name']}-v", life.given["guest_path"]),
        (life.given["whole_source"], "/mnt/" + life.given["whole_path"]),
    ):
        life.plants.forbid(
            device_name("persistent_volume", source, path), f"device name of {source}"
        )


TARGET = {"project": "default", "profile": "default", "image_alias": IMAGE}


def volume(source: str, kind: str = "persistent_volume") -> dict[str, Any]:
    mode = "read_only" if kind == "read_only_snapshot" else "read_write"
    return {"kind": kind, "source": source, "guest_path": "/mnt/x", "mode": mode}


@pytest.fixture
def life(stack: Stack, name: str, sandbox: Sandbox, tmp_path: Path) -> Iterator[Life]:
    plants = Plants()
    new = plants.new
    shared = tmp_path / "host" / new("device")
    shared.mkdir(parents=True)
    number = 10**9 + secrets.randbelow(10**9)
    plants.forbid(str(number), "number")
    given: dict[str, Any] = {
        "name": name,
        "image": IMAGE,
        "runtime_id": new("runtime_id", "r {}/&<>"),
        "source": new("source", f"{name}-{{}}"),
        "guest_path": new("guest_path", "/mnt/{} é"),
        "label": new("label", "\"{}' \\ €"),
        "metadata": new("metadata"),
        "number": number,
        "entry_command": new("entry_command", "run --token={} now"),
        "device": str(shared),
        "cloud_init": new("cloud_init", "#cloud-config\nruncmd:\n  - echo {}\n")
        + new("second line", "  - echo {}\n"),
        "description": new("description"),
        "restart_triggers": new("restart_triggers"),
        "late": new("late"),
        "secret_name": new("secret_name", f"{name}-{{}}"),
        "secret_alias": new("secret_alias", "tiny/{}"),
        "whole_source": new("whole_source", f"{name}-{{}}"),
        "whole_path": new("whole_path"),
        "label_key": new("label_key"),
        "whole_label": new("whole_label"),
        "metadata_key": new("metadata_key"),
        "whole_metadata": new("whole_metadata"),
        "config_key": new("config_key"),
        "whole_config": new("whole_config"),
        "failing": {},
    }
    plants.forbid(sandbox.other_image, "image_fingerprint")
    target = {"name": given["secret_alias"], "target": sandbox.other_image}
    sandbox.daemon.request("POST", "/images/aliases", target)
    stack.program(PROGRAM)
    life = Life(stack, plants, given)
    life.change()
    life("config", "set", "--secret", "token", new("config", "tok {}"))
    yield life
    sandbox.daemon.request("DELETE", f"/images/aliases/{quote(given['secret_alias'], safe='')}")


def test_secrets_show_nowhere(life: Life, client: IncusClient, name: str, sandbox: Sandbox) -> None:
    plants, new = life.plants, life.plants.new
    request = sandbox.daemon.request
    hide_what_is_derived(life, client)

    shown = life("preview", "--diff")
    for known in ("shown-label", "shown-metadata", "shown-config", "shown-description"):
        assert known in shown, f"{known} is hidden"
    assert device_name("persistent_volume", f"{name}-open", "/mnt/open") in shown
    assert "/mnt/state" in shown
    assert "memory_mib" in shown
    assert "[secret]" in shown

    life("up", "--yes", "--skip-preview", "--diff")
    live = fetch_instance(client, name)
    assert live is not None
    assert live.config["user.pika.label.hidden"] == life.given["label"]
    assert live.config["user.pika.label.late"] == life.given["late"]
    assert live.config["cloud-init.user-data"] == life.given["cloud_init"]
    hide_what_is_derived(life, client)
    life("up", "--yes", "--skip-preview", "--refresh", "--expect-no-changes")

    # Changed in the program.
    life.change(
        label=new("label 2"),
        metadata=new("metadata 2"),
        source=new("source 2", f"{name}-{{}}"),
        cloud_init=new("cloud_init 2", "#!/bin/sh\necho {}\n"),
        description=new("description 2"),
        whole_label=new("whole_label 2"),
        whole_config=new("whole_config 2"),
        late=new("late 2"),
    )
    hide_what_is_derived(life, client)
    assert "shown-label" in life("preview", "--diff", "--show-sames")
    life("preview", "--json")
    life("up", "--yes", "--skip-preview", "--diff")
    hide_what_is_derived(life, client)
    life.search_all()

    # Changed outside.
    mount = device_name("persistent_volume", life.given["source"], "/mnt/state")
    config = {
        "user.pika.label.hidden": new("label outside"),
        "user.hidden": new("config outside"),
        "cloud-init.user-data": new("cloud-init outside"),
        "user.pika.runtime_id": new("runtime_id outside"),
    }
    device = {"type": "disk", "pool": "default", "source": f"{name}-open2", "path": "/mnt/state"}
    device["path"] = "/mnt/" + new("path outside")
    other = {"name": f"{name}-open2", "type": "custom", "config": {}}
    request("POST", "/storage-pools/default/volumes/custom", other)
    body = {
        "config": config,
        "devices": {mount: {**device, "source": f"{name}-open2"}},
        "description": new("description outside"),
    }
    request("PATCH", f"/instances/{name}", body)
    assert "hidden" in life("refresh", "--yes", "--skip-preview", "--diff")
    life.search_all()
    assert "(update)" in life("preview", "--diff")
    life("up", "--yes", "--skip-preview", "--diff")
    healed = fetch_instance(client, name)
    assert healed is not None
    assert healed.config["user.pika.label.hidden"] == life.given["label"]

    # The mounts before and around the secret ones change outside, so that those move.
    instance = request("GET", f"/instances/{name}")
    first = device_name("persistent_volume", f"{name}-open", "/mnt/open")
    instance["devices"] = {k: v for k, v in instance["devices"].items() if k != first}
    instance["devices"][mount]["path"] = "/mnt/" + new("path of the moved")
    request("PUT", f"/instances/{name}", instance)
    life("refresh", "--yes", "--skip-preview", "--diff")
    life.search_all()
    life("up", "--yes", "--skip-preview", "--diff")

    # What Incus, the host or we refuse, with the secret in the message.
    life.change(failing={"bad-name": {"secret": {"storage_pool": new("bad name", "{}/..")}}})
    assert "is not a valid name: use no slash" in life("preview", "--diff", fails=True)
    life.change(
        failing={
            "no-pool": {"secret": {"storage_pool": new("pool")}, "mounts": [volume(name)]},
            "bad-value": {"secret": {"config": {"limits.processes": new("bad value")}}},
            "no-network": {
                "secret": {"devices": {"eth0": {"type": "nic", "network": new("network", "n{}")}}}
            },
            "no-source": {
                "secret": {"mounts": [volume(new("missing"), kind="read_only_snapshot")]}
            },
            "no-image": {
                "secret": {"incus": {**TARGET, "image_alias": new("missing image")}},
            },
            "no-profile": {"secret": {"extra_profiles": [new("profile")]}},
            "no-project": {"secret": {"incus": {**TARGET, "project": new("project", "é&a=b {}")}}},
            "never-ready": {
                "secret": {
                    "cloud_init_user_data": new("printed", "#!/bin/sh\nT=tok-{}\necho said: $T\n")
                },
                "wait_for": "ready",
                # Until it has been said, also on a machine that is busy.
                "timeouts": {"wait": 8},
            },
        },
    )
    life("preview", "--diff", fails=True)
    life("config", "set", "pika:preflight", "off")
    said = life("up", "--yes", "--skip-preview", "--diff", "--continue-on-error", fails=True)
    for expected in ("not found", "could not create", "said: [secret]", "does not exist"):
        assert expected in said
    life.search_all()
    life.change(failing={})

    life("destroy", "--yes", "--skip-preview", "--diff")
    assert fetch_instance(client, name) is None
    assert plants.found_below(life.stack.directory.parent / "backend") == {}
