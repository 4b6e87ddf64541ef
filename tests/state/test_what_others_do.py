"""What others do to an instance of ours x command -> outcome; a table at the end of the run."""

import socket
from collections.abc import Callable
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.instances import exec_status
from pulumi_pika.providers.errors import ProviderError
from pulumi_pika.reconcile.observe import LiveInstance
from pulumi_pika.reconcile.power import look

from ..conftest import Sandbox
from ..faults.table import OTHERS_PROPERTY
from .engine import Managed, Refused, arguments, volume_mount
from .test_adoption import make
from .test_drift import patch, put

Tell = Callable[[str, str, str], None]
Record = Callable[[str, object], None]


@pytest.fixture
def tell(record_property: Record) -> Tell:
    """Puts a cell into the table: what others did, the command, the outcome."""

    def record(what: str, command: str, outcome: str) -> None:
        record_property(OTHERS_PROPERTY, [what, command, outcome])

    return record


@pytest.fixture
def said(capfd: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """What was said since the last call."""
    return lambda: "".join(capfd.readouterr())


def power(sandbox: Sandbox, name: str, action: str) -> None:
    body = {"action": action, "force": True}
    sandbox.daemon.request("PUT", f"/instances/{name}/state", body)


def seen(client: IncusClient, name: str) -> LiveInstance:
    live = look(client, name)
    assert live is not None
    return live


def pid(client: IncusClient, name: str) -> int:
    return int(seen(client, name).raw["state"]["pid"])


# --- power ---


def test_recover_dropped_restarts_nothing(
    client: IncusClient, name: str, said: Callable[[], str]
) -> None:
    managed = Managed(arguments(name, mounts=[], recover="1"))
    managed.up()
    before = pid(client, name)
    said()
    managed.change(recover=None)
    assert managed.planned() == "update"
    assert "restarted" not in said()
    managed.up()
    assert pid(client, name) == before
    assert managed.planned() == "same"


def test_recover_dropped_with_running_false_stops(client: IncusClient, name: str) -> None:
    managed = Managed(arguments(name, mounts=[], recover="1", timeouts={"stop": 5}))
    managed.up()
    managed.change(recover=None, running=False)
    managed.up()
    assert seen(client, name).status == "Stopped"
    assert managed["status"] == "Stopped"
    assert managed.planned() == "same"


@pytest.mark.parametrize("refreshes", [0, 1, 2])
def test_frozen_is_stopped_if_running_is_false(
    client: IncusClient, name: str, sandbox: Sandbox, refreshes: int, tell: Tell
) -> None:
    managed = Managed(arguments(name, mounts=[], timeouts={"stop": 5}))
    managed.up()
    power(sandbox, name, "freeze")
    for _ in range(refreshes):
        managed.refresh()
    managed.change(running=False)
    assert managed.up() == "update"
    assert seen(client, name).status == "Stopped"
    assert managed["status"] == "Stopped"
    assert managed.refresh() == {}
    assert managed.planned() == "same"
    tell("frozen, running=False", "up", "stopped")


def test_frozen_with_running_false_is_drift(
    client: IncusClient, name: str, sandbox: Sandbox, said: Callable[[], str], tell: Tell
) -> None:
    managed = Managed(arguments(name, mounts=[], running=False, timeouts={"stop": 5}))
    managed.up()
    power(sandbox, name, "start")
    power(sandbox, name, "freeze")
    assert managed.refresh() == {"running": (False, True)}
    assert managed.refresh() == {}, "seen once, seen for good"
    tell("frozen, running=False", "refresh", "seen")
    assert managed.planned() == "update"
    assert "is frozen, and `running` is false" in said()
    tell("frozen, running=False", "preview", "said")
    managed.up()
    assert seen(client, name).status == "Stopped"


def test_frozen_is_left_if_running_is_none(
    client: IncusClient, name: str, sandbox: Sandbox
) -> None:
    given = arguments(name, mounts=[])
    del given["running"]
    managed = Managed(given)
    managed.up()
    power(sandbox, name, "start")
    power(sandbox, name, "freeze")
    assert managed.refresh() == {}
    managed.change(labels={"a": "1"})
    managed.up()
    assert seen(client, name).status == "Frozen"


def test_frozen_is_destroyed(client: IncusClient, name: str, sandbox: Sandbox, tell: Tell) -> None:
    managed = Managed(arguments(name, mounts=[], timeouts={"stop": 5}))
    managed.up()
    power(sandbox, name, "freeze")
    managed.destroy()
    assert look(client, name) is None
    tell("frozen", "destroy", "deleted")


# --- ephemeral ---


def test_adopted_ephemeral_is_made_lasting(
    client: IncusClient, name: str, sandbox: Sandbox, said: Callable[[], str], tell: Tell
) -> None:
    make(sandbox, name, ephemeral=True, start=True)
    managed = Managed(arguments(name, mounts=[], adopt=True))
    managed.up()
    assert "was ephemeral" in said()
    assert not seen(client, name).ephemeral
    tell("ephemeral", "up (adopt)", "made lasting")


@pytest.mark.parametrize(
    "change",
    [{"running": False}, {"recover": "1"}, {"config": {"security.nesting": "true"}}],
    ids=["running", "recover", "restart"],
)
def test_ephemeral_is_made_lasting_before_a_stop(
    client: IncusClient,
    name: str,
    sandbox: Sandbox,
    said: Callable[[], str],
    tell: Tell,
    change: dict[str, Any],
) -> None:
    managed = Managed(arguments(name, mounts=[], timeouts={"stop": 5}))
    managed.up()
    uuid = managed["uuid"]
    put(sandbox, name, ephemeral=True)
    said()
    managed.change(**change)
    assert managed.planned() == "update"
    if "config" not in change:
        assert "is ephemeral" in said()
        tell("ephemeral", "preview", "said")
    managed.up()
    live = seen(client, name)
    assert live.uuid == uuid
    if "config" not in change:
        assert not live.ephemeral
        tell("ephemeral", "up", "made lasting")


# --- protected ---


def test_a_destroy_that_is_refused_stops_nothing(
    client: IncusClient, name: str, sandbox: Sandbox, tell: Tell
) -> None:
    managed = Managed(arguments(name, mounts=[]))
    managed.up()
    before = pid(client, name)
    patch(sandbox, name, config={"security.protection.delete": "true"})
    with pytest.raises(ProviderError, match=r"config unset .*security\.protection\.delete"):
        managed.destroy()
    assert pid(client, name) == before
    tell("protected", "destroy", "refused")
    patch(sandbox, name, config={"security.protection.delete": ""})
    managed.destroy()
    assert look(client, name) is None


def test_a_replacement_of_what_a_profile_protects_is_refused_beforehand(
    client: IncusClient, name: str, sandbox: Sandbox, tell: Tell
) -> None:
    protect = {"name": f"{name}-p", "config": {"security.protection.delete": "true"}}
    sandbox.daemon.request("POST", "/profiles", protect)
    managed = Managed(arguments(name, mounts=[], extra_profiles=[f"{name}-p"]))
    managed.up()
    before = pid(client, name)
    given = managed.arguments
    managed.change(identity={"runtime_id": "id", "instance_name": f"{name}-other"})
    for call in (managed.planned, managed.up):
        with pytest.raises(Refused, match=r"profile sets it .*security\.protection\.delete=false"):
            call()
    tell("protected", "preview (replace)", "refused")
    assert pid(client, name) == before
    managed.arguments = given
    assert managed.planned() == "same"
    patch(sandbox, name, config={"security.protection.delete": "false"})
    managed.destroy()
    assert look(client, name) is None
    sandbox.daemon.request("DELETE", f"/profiles/{name}-p")


# --- devices that a failed change half made ---


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_proxy_that_cannot_be_changed_goes_on_as_it_was(
    client: IncusClient, name: str, tell: Tell
) -> None:
    port = _free_port()

    def proxy(listen: int) -> dict[str, dict[str, str]]:
        return {
            "px": {
                "type": "proxy",
                "listen": f"tcp:127.0.0.1:{listen}",
                "connect": "tcp:127.0.0.1:80",
            }
        }

    managed = Managed(arguments(name, mounts=[], devices=proxy(port)))
    managed.up()
    assert _listens(port)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        managed.change(devices=proxy(taken.getsockname()[1]))
        with pytest.raises(ProviderError, match=r"device px of the running .* is plugged in again"):
            managed.up()
    assert _listens(port)
    managed.change(devices=proxy(port))
    assert managed.up() == "same"
    assert managed.refresh() == {}
    tell("device change fails half way", "up", "put back")


def test_mount_that_cannot_be_changed_is_put_back(client: IncusClient, name: str) -> None:
    managed = Managed(arguments(name))
    managed.up()
    exec_status(client, name, ["touch", "/mnt/state/there"], timeout=10)
    managed.change(mounts=[volume_mount(f"{name}-state/nope")])
    with pytest.raises(ProviderError, match="plugged in again"):
        managed.up()
    assert exec_status(client, name, ["ls", "/mnt/state/there"], timeout=10) == 0
    managed.change(mounts=[volume_mount(f"{name}-state")])
    managed.up()
    assert exec_status(client, name, ["ls", "/mnt/state/there"], timeout=10) == 0
