"""Sizes that the kernel holds: those of pools whose driver has quotas."""

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.reconcile.volumes.volume import change_volume, create_or_adopt_volume

from ...conftest import Sandbox
from ...support.reconcile import (
    Recorder,
    make,
    options_of,
    plan_of,
    shell,
)
from ...support.volumes import (
    claim,
    launch,
    options,
)


@pytest.fixture(autouse=True)
def _has_quotas(sandbox: Sandbox) -> None:
    driver = sandbox.daemon.driver
    if driver == "dir":
        pytest.skip("a pool of the driver dir holds sizes only where its file system has quotas")


def fits(client: IncusClient, instance: str, path: str, mebibytes: int) -> bool:
    """Whether so much can be reserved in a file of the guest's; nothing of it stays."""
    script = (
        f"fallocate -l {mebibytes}M {path}/file; status=$?; rm -f {path}/file; sync; exit $status"
    )
    return shell(client, instance, script) == 0


def test_size_of_a_volume_is_held_and_grows_while_it_is_used(
    client: IncusClient, name: str, sandbox: Sandbox, reporter: Recorder
) -> None:
    live = create_or_adopt_volume(client, options(name, size="32MiB"), reporter)
    launch(sandbox, f"{name}-box", name)
    assert fits(client, f"{name}-box", "/data", 16)
    assert not fits(client, f"{name}-box", "/data", 64)

    before, after = options(name, size="32MiB"), options(name, size="128MiB")
    change_volume(client, after, before, reporter, claim=claim(live.created_at))

    assert fits(client, f"{name}-box", "/data", 64)
    assert not fits(client, f"{name}-box", "/data", 256)


def test_size_of_a_root_disk_is_held_and_grows_while_it_is_used(
    client: IncusClient, name: str, reporter: Recorder
) -> None:
    made = make(client, plan_of(name, resources={"root_disk_gib": 1}), options_of())
    assert fits(client, name, "/root", 512)
    assert not fits(client, name, "/root", 1536)

    after = made.update(reporter, plan=plan_of(name, resources={"root_disk_gib": 2}))

    assert after.live.running
    assert fits(client, name, "/root", 1536)
    assert not fits(client, name, "/root", 2560)
