"""No call of a provider hands a property tree on, from create to delete at a real daemon."""

from typing import Any

import pytest

from pulumi_pika.providers import config_object
from pulumi_pika.providers.exec import IncusExecProvider
from pulumi_pika.providers.host_provider import HostProvider
from pulumi_pika.providers.runtime import IncusRuntimeProvider
from pulumi_pika.providers.snapshot import VolumeSnapshotProvider
from pulumi_pika.providers.volume import PersistentVolumeProvider

from ...support.provider_engine import arguments, received, wire
from ...support.tree_walk import TreeWalk
from ...unit.providers.test_call_boundary import assert_boundary_only


def life(
    provider: HostProvider,
    given: dict[str, Any],
    changed: dict[str, Any],
    *,
    secret: str = "description",
) -> TreeWalk:
    """Makes all calls of a resource's life, but for the delete; returns where the trees went."""
    walk = TreeWalk()
    owner = f"urn:pulumi:test::state::pulumi-python:dynamic/pika:{type(provider).__name__}::x"
    more = {"owner": owner, "secret_inputs": [secret], secret: "hush-hush"}
    inputs = received(walk.follow(provider.check, {}, wire({**given, **more})).inputs)
    created = walk.follow(provider.create, inputs)
    state = received(created.outs)
    seen = walk.follow(provider.read, created.id, state)
    assert seen.id == created.id
    again = received(walk.follow(provider.check, inputs, wire({**given, **changed, **more})).inputs)
    assert walk.follow(provider.diff, created.id, received(seen.outs), again).changes
    state = received(walk.follow(provider.update, created.id, received(seen.outs), again).outs)
    walk.follow(provider.delete, created.id, state)
    return walk


def test_runtime(name: str) -> None:
    given = arguments(name, mounts=[])
    assert_boundary_only(life(IncusRuntimeProvider(), given, {"labels": {"a": "b"}}))


def test_files(name: str) -> None:
    given = arguments(name, mounts=[], files=[{"path": "/etc/a", "content": "x"}])
    changed = {"files": [{"path": "/etc/a", "content": "y"}]}
    assert_boundary_only(life(IncusRuntimeProvider(), given, changed))


def test_exec(name: str) -> None:
    inputs = IncusRuntimeProvider().check({}, wire(arguments(name, mounts=[]))).inputs
    IncusRuntimeProvider().create(received(inputs))
    given = {"instance": name, "create": "cat", "delete": "cat", "project": "default"}
    changed = {"environment": {"A": "b"}}
    assert_boundary_only(life(IncusExecProvider(), given, changed, secret="stdin"))


def test_volume_and_snapshot(name: str) -> None:
    volume = {"volume_name": name, "storage_pool": "default", "project": "default"}
    provider = PersistentVolumeProvider()
    inputs = wire(provider.check({}, {**volume, "owner": "urn:x", "secret_inputs": []}).inputs)
    provider.create(inputs)
    snapshot = {**volume, "snapshot_name": "s"}
    changed = {"expires_at": "2999-01-01T00:00:00Z"}
    assert_boundary_only(life(VolumeSnapshotProvider(), snapshot, changed))
    other = {**volume, "volume_name": f"{name}-other"}
    assert_boundary_only(life(provider, other, {"labels": {"a": "b"}}))


OBJECTS: dict[type[HostProvider], dict[str, Any]] = {
    config_object.IncusProfileProvider: {"project": "default"},
    config_object.IncusProjectProvider: {},
    config_object.IncusNetworkProvider: {"project": "default", "ipv4_address": "none"},
    config_object.StoragePoolProvider: {"driver": "dir"},
}


@pytest.mark.parametrize("provider", OBJECTS)
def test_config_object(provider: type[HostProvider], name: str) -> None:
    given = {"name": f"b-{name}"[:15].rstrip("-"), **OBJECTS[provider]}
    assert_boundary_only(life(provider(), given, {"config": {"user.a": "b"}}))
