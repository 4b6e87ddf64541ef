"""The example `volume`: snapshots, a restore, and the way back from it."""

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.storage import list_snapshots

from ...conftest import Sandbox
from ...support.stack import Stack
from .helpers import (
    apply,
    configure,
    process,
    sh,
    take,
    there,
    volumes,
)

CUSTOM = "/storage-pools/default/volumes/custom"


def snapshots(client: IncusClient, volume: str) -> dict[str, bool]:
    """The volume's snapshots, and whether each expires."""
    listed = list_snapshots(client, "default", volume)
    never = (None, "", "0001-01-01T00:00:00Z")
    return {str(it["name"]): it.get("expires_at") not in never for it in listed}


def test_volume(stack: Stack, client: IncusClient, sandbox: Sandbox, name: str) -> None:
    daemon, box = sandbox.daemon, f"{name}-agent"

    def write(text: str) -> None:
        assert sh(client, box, f"echo {text} > /data/file; sync")

    def holds(text: str) -> bool:
        return sh(client, box, f'[ "$(cat /data/file)" = {text} ]')

    take(stack, "volume", name=name, size="1GiB")
    shown = apply(stack)
    assert "keeps the volume and its data" in shown
    config = daemon.request("GET", f"{CUSTOM}/{name}")["config"]
    assert config["snapshots.schedule"] == "@daily"
    assert config["snapshots.expiry"] == "2w"
    assert config["size"] == "1GiB"
    assert snapshots(client, name) == {}
    write("old")

    configure(stack, snapshots=["before-upgrade"], size="2GiB")
    stack.up()
    assert snapshots(client, name) == {"before-upgrade": False}
    assert daemon.request("GET", f"{CUSTOM}/{name}")["config"]["size"] == "2GiB"
    write("new")

    pid = process(daemon, box)
    configure(stack, restore_from="before-upgrade")
    shown = apply(stack)
    assert f"stops {box} (project default) first" in shown
    assert process(daemon, box) != pid, "the instance ran on during the restore"
    assert holds("old")
    outputs = stack.outputs()
    assert outputs["restored_from"] == "before-upgrade"
    assert outputs["safety_snapshot"] in snapshots(client, name)

    configure(stack, restore_from=outputs["safety_snapshot"])
    stack.up()
    assert holds("new")
    # Nothing is to be restored any more, and nothing is touched by that.
    pid = process(daemon, box)
    configure(stack, restore_from=None)
    stack.up()
    assert process(daemon, box) == pid
    assert holds("new")

    configure(stack, snapshots=[])
    stack.up()
    stack.settled()
    assert "before-upgrade" not in snapshots(client, name)
    assert outputs["safety_snapshot"] in snapshots(client, name)

    said = stack.destroy()
    assert "is retained with its data" in said
    assert there(daemon, name) == {}
    assert volumes(daemon, name) == [name]
    stack.up()
    assert holds("new")
