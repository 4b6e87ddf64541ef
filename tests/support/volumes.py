"""What the tests of volumes build and look at."""

from typing import Any

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.instances import exec_status
from pulumi_pika.incus.storage import list_snapshots
from pulumi_pika.reconcile.shared.ownership import Claim
from pulumi_pika.reconcile.shared.reporter import Reporter
from pulumi_pika.reconcile.volumes.restore import plan_restore, restore_volume_data
from pulumi_pika.reconcile.volumes.snapshot import create_or_adopt_snapshot
from pulumi_pika.reconcile.volumes.volume import LiveVolume, fetch_volume
from pulumi_pika.reconcile.volumes.volume_options import SnapshotOptions, VolumeOptions

from ..conftest import IMAGE, Sandbox
from .reconcile import Recorder

POOL = "default"
CUSTOM = f"/storage-pools/{POOL}/volumes/custom"
OWNER = "urn:pulumi:test::project::pulumi-python:dynamic/pika:PersistentVolume::data"
OTHER = "urn:pulumi:test::project::pulumi-python:dynamic/pika:PersistentVolume::other"


def options(name: str, **more: Any) -> VolumeOptions:
    given = {"volume_name": name, "owner": OWNER, "timeouts": {"restore": 60, "stop": 30}, **more}
    return VolumeOptions.model_validate(given)


def claim(created_at: str, *owners: str) -> Claim:
    """What a state would know of a volume of `options`."""
    return Claim(owners or (OWNER,), identity=created_at, copies=False)


def snapshot_options(name: str, snapshot: str, **more: Any) -> SnapshotOptions:
    given = {"volume_name": name, "snapshot_name": snapshot, "owner": OWNER, **more}
    return SnapshotOptions.model_validate(given)


def there(client: IncusClient, name: str) -> LiveVolume:
    live = fetch_volume(client, POOL, name)
    assert live is not None, f"there is no volume {name}"
    return live


def snapshot(client: IncusClient, name: str, snapshot: str) -> None:
    create_or_adopt_snapshot(client, snapshot_options(name, snapshot), Recorder())


def snapshots(client: IncusClient, name: str) -> list[str]:
    return [str(data["name"]) for data in list_snapshots(client, POOL, name)]


def launch(sandbox: Sandbox, name: str, volume: str, **more: Any) -> None:
    """A running container with the volume at /data."""
    disk = {"type": "disk", "pool": POOL, "source": volume, "path": "/data"}
    body = {
        "name": name,
        "type": "container",
        "devices": {"data": disk},
        "start": True,
        "source": {"type": "image", "alias": IMAGE},
        **more,
    }
    sandbox.daemon.request("POST", "/instances", body)


def status(sandbox: Sandbox, name: str) -> str:
    return str(sandbox.daemon.request("GET", f"/instances/{name}/state")["status"])


def stop(sandbox: Sandbox, name: str) -> None:
    body = {"action": "stop", "force": True}
    sandbox.daemon.request("PUT", f"/instances/{name}/state", body)


def write(client: IncusClient, instance: str, text: str) -> None:
    script = f"printf %s '{text}' > /data/file; sync"
    assert exec_status(client, instance, ["sh", "-c", script], timeout=30) == 0


def holds(client: IncusClient, instance: str, text: str) -> bool:
    """Whether the volume of a running container holds what `write` wrote."""
    script = f"[ \"$(cat /data/file)\" = '{text}' ]"
    return exec_status(client, instance, ["sh", "-c", script], timeout=30) == 0


def put_back(client: IncusClient, wanted: VolumeOptions, reporter: Reporter) -> LiveVolume:
    """Plans and does what `restore_from` says."""
    live = there(client, wanted.volume_name)
    plan = plan_restore(client, live, wanted)
    assert plan is not None, "there is nothing to restore"
    return restore_volume_data(client, live, wanted, plan, reporter)
