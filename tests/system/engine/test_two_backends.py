"""Two people with a file backend each and a stack of the same name: their URNs are equal."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.storage import get_snapshot, get_volume
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.reconcile.shared.ownership import BACKEND_KEY, GENERATION_KEY

from ...conftest import IMAGE, Sandbox
from ...support.stack import Stack, make_stack

PROGRAM = """
import pulumi
from pulumi_pika import IncusRuntime, PersistentVolume, VolumeSnapshot

adopt = pulumi.Config().get_bool("adopt") or False
volume = PersistentVolume("{name}-data", delete_data=True, adopt=adopt)
if not adopt:
    VolumeSnapshot("{name}-s", volume_name=volume.volume_name)
IncusRuntime(
    "box",
    identity={{"runtime_id": "{name}", "instance_name": "{name}"}},
    incus={{"project": "default", "profile": "default", "image_alias": "{image}"}},
    mounts=[
        {{
            "kind": "persistent_volume",
            "source": source,
            "guest_path": path,
            "mode": "read_write",
        }}
        for source, path in ((volume.volume_name, "/data"), ("{name}-own", "/own"))
    ],
    instance_type="container",
    delete_data=True,
    adopt=adopt,
    timeouts={{"stop": 5}},
)
"""


@pytest.fixture
def alice(stack: Stack, name: str) -> Stack:
    stack.program(PROGRAM.format(name=name, image=IMAGE))
    stack.up()
    return stack


@pytest.fixture
def bob(alice: Stack, tmp_path: Path, sandbox: Sandbox, name: str) -> Stack:
    """The same stack of the same project in a backend of its own."""
    stack = make_stack(tmp_path / "bob", sandbox.socket)
    stack.program(PROGRAM.format(name=name, image=IMAGE))
    return stack


def test_the_second_person_gets_an_error_and_nothing_is_touched(
    alice: Stack, bob: Stack, client: IncusClient, name: str
) -> None:
    before = fetch_instance(client, name)
    assert before is not None

    for said in (bob.preview(fails=True), bob.up(fails=True)):
        assert "another Pulumi backend" in said
        assert "adopt" in said
    bob.destroy()

    after = fetch_instance(client, name)
    assert after is not None
    assert after.config == before.config
    assert get_snapshot(client, "default", f"{name}-data", f"{name}-s") is not None
    assert "unchanged" in alice.settled()


def test_adopt_is_consent_and_the_first_person_leaves_it_alone(
    alice: Stack, bob: Stack, client: IncusClient, name: str
) -> None:
    before = fetch_instance(client, name)
    assert before is not None
    bob.config("adopt", "true")

    bob.up()

    taken = fetch_instance(client, name)
    assert taken is not None
    assert taken.uuid == before.uuid
    assert taken.config[BACKEND_KEY] != before.config[BACKEND_KEY]
    assert taken.config[GENERATION_KEY] != before.config[GENERATION_KEY]
    bob.settled()
    assert "was adopted by a later create" in alice.destroy()
    left = fetch_instance(client, name)
    assert left is not None
    assert left.running
    for volume in (f"{name}-data", f"{name}-own"):
        assert get_volume(client, "default", volume) is not None, f"{volume} is lost"
    bob.settled()
    bob.destroy()
    assert fetch_instance(client, name) is None
    assert get_volume(client, "default", f"{name}-data") is None


def test_an_interrupted_create_is_finished_by_the_same_stack(
    alice: Stack, client: IncusClient, name: str
) -> None:
    """The state that a killed engine leaves: the thing is there, and nothing of it in the state."""
    before = fetch_instance(client, name)
    assert before is not None
    for it in reversed(alice.resources()):
        alice.run("state", "delete", "--yes", "--force", it["urn"])
    alice.up()
    after = fetch_instance(client, name)
    assert after is not None
    assert after.uuid == before.uuid
    assert "unchanged" in alice.settled()


def test_the_same_stack_in_the_store_of_its_login(
    alice: Stack, client: IncusClient, name: str
) -> None:
    """`pulumi login` and the variable name one backend."""
    backend = alice.environment["PULUMI_BACKEND_URL"]
    environment = {k: v for k, v in alice.environment.items() if k != "PULUMI_BACKEND_URL"}
    home = Path(environment["PULUMI_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    (home / "credentials.json").write_text(
        json.dumps({"current": backend, "accessTokens": {backend: ""}, "accounts": {}})
    )
    for it in reversed(alice.resources()):
        alice.run("state", "delete", "--yes", "--force", it["urn"])
    other = replace(alice, environment=environment)
    other.run("up", "--yes", "--skip-preview")
    assert "another Pulumi backend" not in other.last


def test_a_stack_that_moves_to_another_backend_keeps_what_it_has(
    alice: Stack, bob: Stack, client: IncusClient, name: str
) -> None:
    state = bob.directory / "state.json"
    alice.run("stack", "export", "--file", str(state))
    bob.run("stack", "import", "--file", str(state))
    assert "unchanged" in bob.settled()
    for description in ("one", "two"):
        text = PROGRAM.format(name=name, image=IMAGE)
        bob.program(text.replace("instance_type=", f'description="{description}", instance_type='))
        bob.up()
    bob.settled()
    bob.destroy()
    assert fetch_instance(client, name) is None
    assert get_volume(client, "default", f"{name}-own") is None
