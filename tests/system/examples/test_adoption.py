"""The example `adoption`: an instance made by hand is taken over, and let go."""

from pulumi_pika.incus.client import IncusClient

from ...conftest import IMAGE, Sandbox
from ...support.stack import Stack
from .helpers import (
    apply,
    process,
    sh,
    take,
    there,
)

OWNER = "user.pika.owner"


def test_taken_over_and_let_go(
    stack: Stack, client: IncusClient, sandbox: Sandbox, name: str
) -> None:
    daemon = sandbox.daemon
    theirs = {
        "limits.memory": "96MiB",
        "limits.cpu": "1",
        "boot.autostart": "true",
        "environment.THEIRS": "1",
        "user.theirs": "kept",
    }
    disk = {"type": "disk", "source": "/var/tmp", "path": "/theirs", "readonly": "true"}
    body = {
        "name": name,
        "type": "container",
        "description": "made by hand",
        "config": theirs,
        "devices": {"theirs": disk},
        "start": True,
        "source": {"type": "image", "alias": IMAGE},
    }
    daemon.request("POST", "/instances", body)
    assert sh(client, name, "echo data > /file; sync")
    first, pid = there(daemon, name)[name], process(daemon, name)

    def unharmed() -> None:
        """Nothing of it was restarted, lost or changed."""
        now = there(daemon, name)[name]
        assert process(daemon, name) == pid
        assert sh(client, name, "grep -q data /file && test -d /theirs")
        assert now["devices"] == first["devices"]
        assert now["description"] == first["description"]
        same = {key: value for key, value in now["config"].items() if key in first["config"]}
        assert same == first["config"]

    take(stack, "adoption", instance_name=name)
    shown = apply(stack)
    assert "2 to create" in shown
    assert stack.outputs()["uuid"] == first["config"]["volatile.uuid"]
    assert stack.outputs()["status"] == "Running"
    assert there(daemon, name)[name]["config"]["user.pika.label.managed"] == "yes"
    unharmed()

    # Drift of what is ours is put right, and theirs is left alone.
    config = {"user.pika.label.managed": "no", "user.theirs": "kept"}
    body = {"description": first["description"], "config": config}
    daemon.request("PATCH", f"/instances/{name}", body)
    stack.up("--refresh")
    assert there(daemon, name)[name]["config"]["user.pika.label.managed"] == "yes"
    unharmed()

    stack.destroy()
    assert stack.resources() == []
    unharmed()
    # The same stack may have it again; another one once the mark is off.
    stack.up()
    unharmed()
    stack.destroy()
    stack.run("stack", "rm", "--yes")
    stack.name = "other"
    take(stack, "adoption", instance_name=name, description="made by hand")
    said = stack.up(fails=True)
    assert f"incus config unset --project default {name} {OWNER}" in said
    daemon.request("PATCH", f"/instances/{name}", {**body, "config": {OWNER: ""}})
    stack.up()
    unharmed()
    stack.destroy()
    unharmed()
