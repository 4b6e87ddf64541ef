"""docs/changes.md is what the code decides, tells of every argument, and is true."""

import copy
from typing import Any

import pytest
from pydantic import BaseModel

from dev import changes
from pulumi_pika.incus.client import IncusClient
from pulumi_pika.planner.spec import RuntimeSpec
from pulumi_pika.providers import host_checks
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.reconcile.instances.runtime_options import RuntimeOptions

from ...conftest import (
    IMAGE,
    OTHER_IMAGE,
    Sandbox,
)
from ...support.provider_engine import Managed

NOT_IN_TABLE = {"provider", "backend"}
"""A spec's `provider` has one value. The backend is no argument, and counts in a create alone."""


def leaves(model: type[BaseModel], at: str = "") -> list[str]:
    found = []
    for name, info in model.model_fields.items():
        annotation = info.annotation
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            found += leaves(annotation, f"{at}{name}.")
        else:
            found.append(at + name)
    return found


def test_page_is_what_the_code_decides() -> None:
    assert changes.TARGET.read_text() == changes.table(), "run `python3 dev docs`"


def test_page_tells_of_every_field() -> None:
    told = " ".join(row.what for row in changes.ROWS)
    fields = {*leaves(RuntimeSpec), *leaves(RuntimeOptions)} - NOT_IN_TABLE
    assert [field for field in fields if field not in told] == []


def at_hand(tree: Any, name: str) -> Any:
    """The table's names as ones that are there in the test's daemon."""
    names = {
        "name": name,
        "other-name": f"{name}-other",
        "image": IMAGE,
        "other-image": OTHER_IMAGE,
        "v": f"{name}-v",
        "w": f"{name}-w",
        "other": "pika-other",
        "r": f"r-{name}",
    }
    if isinstance(tree, dict):
        return {key: at_hand(value, name) for key, value in tree.items()}
    if isinstance(tree, list):
        return [at_hand(value, name) for value in tree]
    return names.get(tree, tree) if isinstance(tree, str) else tree


@pytest.fixture(scope="module")
def _others(sandbox: Sandbox) -> Any:
    """A second project, profile and pool, all called pika-other."""
    daemon = sandbox.daemon
    features = {f"features.{name}": "false" for name in ("images", "profiles", "storage.volumes")}
    daemon.request("POST", "/projects", {"name": "pika-other", "config": features})
    daemon.request("POST", "/storage-pools", {"name": "pika-other", "driver": "dir"})
    root = {"root": {"type": "disk", "path": "/", "pool": "default"}}
    daemon.request("POST", "/profiles", {"name": "pika-other", "devices": root})
    yield
    daemon.request("DELETE", "/profiles/pika-other")
    daemon.request("DELETE", "/projects/pika-other")
    daemon.request("DELETE", "/storage-pools/pika-other")


def boot(client: IncusClient, managed: Managed) -> tuple[str, Any]:
    """What tells one instance, and one boot of it, from another."""
    project, _, name = managed.id.partition("/")
    live = fetch_instance(client.in_project(project), name)
    assert live is not None
    return live.uuid, live.raw["state"]["pid"]


@pytest.mark.usefixtures("_others")
@pytest.mark.parametrize("row", changes.ROWS, ids=lambda row: row.what)
def test_page_is_true(
    client: IncusClient, name: str, row: changes.Row, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = changes.decided(row, "container")
    before, after = (at_hand(part, name) for part in changes.arguments(row, "container"))
    if row.what == "storage_pool":
        # A root disk in another pool takes a profile, or a disk, that says so.
        after["resources"] = {"root_disk_gib": 1}
    managed = Managed(copy.deepcopy(before))
    try:
        managed.up()
        was = boot(client, managed)
        if not row.containers:
            monkeypatch.setattr(host_checks, "requested_preflight", lambda: "off")
            managed.arguments = after
            assert managed.planned() == ("replace" if said == "replaces" else "update")
            return
        managed.arguments = after

        step = managed.up()

        assert managed.refresh() == {}
        assert managed.planned() == "same"
        if said == "replaces":
            assert step == "replace"
            assert boot(client, managed)[0] != was[0]
            return
        assert step == "update"
        now = boot(client, managed)
        assert now[0] == was[0]
        if said == "restarts":
            assert now[1] != was[1]
        elif said == "in place" and row.what != "running":
            assert now[1] == was[1], "it was restarted"
    finally:
        managed.destroy()
