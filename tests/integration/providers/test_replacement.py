"""A replacement deletes the instance first: only if the new one can be created."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pulumi.runtime.rpc import UNKNOWN

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.planner.device_names import device_name
from pulumi_pika.providers.properties import HAS_DEPENDENCIES
from pulumi_pika.providers.provider_errors import ProviderError
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.reconcile.shared.ownership import RUNTIME_ID_KEY

from ...conftest import (
    IMAGE,
    OTHER_IMAGE,
    Sandbox,
    sweep,
)
from ...support.provider_calls import runtime_calls as calls
from ...support.provider_engine import (
    Managed,
    Refused,
    arguments,
    volume_mount,
    wire,
)
from .test_adoption import make


def renamed(managed: Managed, name: str) -> None:
    managed.change(identity={**managed.arguments["identity"], "instance_name": name})


def uuid_of(client: IncusClient, name: str) -> str:
    live = fetch_instance(client, name)
    assert live is not None
    return live.uuid


def test_a_taken_name(client: IncusClient, name: str, sandbox: Sandbox) -> None:
    make(sandbox, f"{name}-taken")
    managed = Managed(arguments(name))
    managed.up()
    before = uuid_of(client, name)
    renamed(managed, f"{name}-taken")

    with pytest.raises(
        Refused, match=rf"instance {name}-taken already exists .* it was not changed"
    ):
        managed.up()

    assert uuid_of(client, name) == before
    renamed(managed, name)
    assert managed.up() == "same"
    renamed(managed, f"{name}-free")
    assert managed.up() == "replace"
    assert fetch_instance(client, name) is None
    assert managed["status"] == "Running"


def test_a_name_of_the_same_stack(client: IncusClient, name: str) -> None:
    first, second = Managed(arguments(name)), Managed(arguments(f"{name}-2"))
    first.up()
    second.up()
    before = uuid_of(client, f"{name}-2")
    renamed(second, name)

    with pytest.raises(Refused, match=f"owner: {first.arguments['owner']}.*depends_on.*aliases"):
        second.up()
    # In a preview the other one may give it up.
    given = {**wire(second.arguments), HAS_DEPENDENCIES: True}
    assert calls.check(given, second.inputs).failures == []
    assert calls.diff(wire(second.outputs), second_inputs(given, second)).replaces
    assert uuid_of(client, f"{name}-2") == before

    renamed(first, f"{name}-1")
    assert first.up() == "replace"
    assert second.up() == "replace"
    assert uuid_of(client, name) == second["uuid"]


def second_inputs(given: dict[str, Any], managed: Managed) -> dict[str, Any]:
    inputs: dict[str, Any] = wire(calls.check(given, managed.inputs).inputs)
    return inputs


def test_anothers_volume(client: IncusClient, name: str, sandbox: Sandbox) -> None:
    body = {
        "name": f"{name}-theirs",
        "type": "custom",
        "content_type": "filesystem",
        "config": {RUNTIME_ID_KEY: "somebody"},
    }
    sandbox.daemon.request("POST", "/storage-pools/default/volumes/custom", body)
    managed = Managed(arguments(name))
    managed.up()
    before = uuid_of(client, name)
    renamed(managed, f"{name}-2")
    managed.change(mounts=[volume_mount(f"{name}-theirs")])

    with pytest.raises(Refused, match=r"mounts\[0\].source: .* has the data of runtime somebody"):
        managed.up()

    assert uuid_of(client, name) == before


def test_what_is_unknown_is_not_looked_at(client: IncusClient, name: str) -> None:
    Managed(arguments(name)).up()
    for unknown in (
        {"identity": {"runtime_id": UNKNOWN, "instance_name": name}},
        {"identity": {"runtime_id": f"id-{name}", "instance_name": UNKNOWN}},
        {"adopt": UNKNOWN, "owner": "urn:other"},
        {"mounts": [volume_mount(UNKNOWN)]},
        {"storage_pool": UNKNOWN, "mounts": [volume_mount(f"{name}-none/dir")]},
    ):
        checked = calls.check(wire(arguments(name, **unknown)), None)
        assert checked.failures == [], unknown


def test_a_missing_source(client: IncusClient, name: str) -> None:
    managed = Managed(arguments(name))
    managed.up()
    before = uuid_of(client, name)
    renamed(managed, f"{name}-2")
    gone = {"kind": "host_path", "source": f"/{name}", "guest_path": "/mnt/h", "mode": "read_only"}
    managed.change(mounts=[{**gone, "kind": "cache", "required": True}])

    with pytest.raises(Refused, match=rf"host path /{name} does not exist"):
        managed.up()

    assert uuid_of(client, name) == before


def test_own_volumes_that_are_deleted_first_are_free(client: IncusClient, name: str) -> None:
    managed = Managed(arguments(name, delete_data=True))
    managed.up()
    managed.change(identity={"runtime_id": "another", "instance_name": f"{name}-2"})
    assert managed.up() == "replace"
    assert fetch_instance(client, name) is None


def test_own_volumes_that_stay_are_not(client: IncusClient, name: str) -> None:
    managed = Managed(arguments(name))
    managed.up()
    managed.change(identity={"runtime_id": "another", "instance_name": f"{name}-2"})
    with pytest.raises(Refused, match=f"has the data of runtime id-{name}"):
        managed.up()
    assert fetch_instance(client, name) is not None


def test_replaced_for_what_a_refresh_saw(
    client: IncusClient, name: str, sandbox: Sandbox, make_alias: Callable[[], None]
) -> None:
    """No input changes then, so that `check` asks nothing."""
    make_alias()
    given = arguments(name)
    given["incus"]["image_alias"] = name
    managed = Managed(given)
    managed.up()
    sandbox.daemon.request("PUT", f"/instances/{name}/state", {"action": "stop", "force": True})
    source = {"source": {"type": "image", "alias": OTHER_IMAGE}}
    sandbox.daemon.request("POST", f"/instances/{name}/rebuild", source)
    managed.refresh()
    assert managed.planned() == "replace"
    sandbox.daemon.request("DELETE", f"/images/aliases/{name}")

    with pytest.raises(
        ProviderError, match=r"the new instance cannot be created: .* image alias .* does not exist"
    ):
        managed.up()

    assert fetch_instance(client, name) is not None
    make_alias()
    assert managed.up() == "replace"


@pytest.fixture
def full(sandbox: Sandbox, name: str) -> Iterator[str]:
    """A project that has room for one container of 64 MiB."""
    limits = {"limits.instances": "1", "limits.memory": "64MiB", "limits.cpu": "1"}
    features = {"features.images": "false", "features.profiles": "false"}
    config = {**limits, **features, "features.storage.volumes": "false"}
    sandbox.daemon.request("POST", "/projects", {"name": name, "config": config})
    yield name
    sweep(sandbox.daemon, name, name)
    sandbox.daemon.request("DELETE", f"/projects/{name}")


def in_project(project: str, **more: Any) -> dict[str, Any]:
    return arguments(
        project,
        incus={"project": project, "profile": "default", "image_alias": IMAGE},
        resources={"memory_mib": 64, "vcpu_count": 1},
        mounts=[],
        **more,
    )


def test_a_full_project_replaces_what_is_in_it(client: IncusClient, full: str) -> None:
    managed = Managed(in_project(full))
    managed.up()
    renamed(managed, f"{full}-2")
    assert managed.up() == "replace"

    managed.change(resources={"memory_mib": 65, "vcpu_count": 1})
    renamed(managed, f"{full}-3")
    with pytest.raises(
        (Refused, ProviderError), match=r"is 65 MiB, but project .* has 64 of its 64 MiB left"
    ):
        managed.up()
    assert fetch_instance(client.in_project(full), f"{full}-2") is not None
    other = in_project(full, owner="urn:other")
    other["identity"] = {"runtime_id": "other", "instance_name": f"{full}-other"}
    with pytest.raises((Refused, ProviderError), match=r"its limits.instances allows no more"):
        Managed(other).up()


def test_a_full_project_with_inputs_of_before_not_said(client: IncusClient, full: str) -> None:
    """As the engine checks with `--target-replace`."""
    managed = Managed(in_project(full))
    managed.up()
    managed.checked(anew=True)
    renamed(managed, f"{full}-2")
    managed.checked(anew=True)


def test_a_full_project_adopts_what_is_in_it(
    client: IncusClient, full: str, sandbox: Sandbox
) -> None:
    body = {
        "name": full,
        "type": "container",
        "source": {"type": "image", "alias": IMAGE},
        "config": {"limits.memory": "64MiB", "limits.cpu": "1"},
    }
    sandbox.daemon.request("POST", f"/instances?project={full}", body)
    managed = Managed(in_project(full, adopt=True))
    assert managed.up() == "create"
    # As after a kill: the instance is there, and no state tells of it.
    assert Managed(in_project(full)).up() == "create"


def test_an_adoption_that_would_be_refused(name: str, sandbox: Sandbox) -> None:
    make(sandbox, name, OTHER_IMAGE)
    with pytest.raises(
        Refused, match=r"could not adopt instance .*: incus.image_alias: it was created from"
    ):
        Managed(arguments(name, adopt=True)).checked()


def test_a_directory_of_a_volume_that_is_still_to_be_made(name: str) -> None:
    source = f"{name}-state/dir"
    device = device_name("persistent_volume", source, "/mnt/state")
    managed = Managed(arguments(name, mounts=[volume_mount(source)]))
    with pytest.raises(
        Refused, match=rf"mounts\[0\].source: mount {device} .* without the directory dir"
    ):
        managed.checked()


def test_a_block_volume_in_a_container(name: str, sandbox: Sandbox) -> None:
    body = {
        "name": f"{name}-state",
        "type": "custom",
        "content_type": "block",
        "config": {"size": "4MiB"},
    }
    sandbox.daemon.request("POST", "/storage-pools/default/volumes/custom", body)
    with pytest.raises(Refused, match=r"mounts\[0\].source: .* has content_type block"):
        Managed(arguments(name)).checked()


def test_an_empty_directory_of_a_volume(name: str) -> None:
    managed = Managed(arguments(name, mounts=[volume_mount(f"{name}-state/")]))
    with pytest.raises(Refused, match="is not a valid mount source: use an absolute host path"):
        managed.checked()


def test_another_alias_of_the_same_image(
    client: IncusClient, name: str, sandbox: Sandbox, make_alias: Callable[[], None]
) -> None:
    make_alias()
    managed = Managed(arguments(name))
    managed.up()
    before = uuid_of(client, name)
    managed.change(incus={**managed.arguments["incus"], "image_alias": name})
    assert managed.up() == "update"
    assert uuid_of(client, name) == before
    assert managed["current_alias_fingerprint"] == sandbox.image
    assert managed.refresh() == {}
    assert managed.planned() == "same"

    # Another image under another name is another instance, and so is one that was rebuilt outside.
    managed.change(incus={**managed.arguments["incus"], "image_alias": OTHER_IMAGE})
    assert managed.planned() == "replace"
    managed.change(incus={**managed.arguments["incus"], "image_alias": IMAGE})
    sandbox.daemon.request("PUT", f"/instances/{name}/state", {"action": "stop", "force": True})
    source = {"source": {"type": "image", "alias": OTHER_IMAGE}}
    sandbox.daemon.request("POST", f"/instances/{name}/rebuild", source)
    managed.refresh()
    assert managed.planned() == "replace"
