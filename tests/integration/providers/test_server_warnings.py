"""A preview warns of what the server accepts and does not do, once for each change."""

from collections.abc import Iterator

import pytest

from pulumi_pika.providers import host_connection

from ...conftest import Sandbox
from ...support.provider_calls import volume_calls
from ...support.provider_engine import Managed, arguments, wire


@pytest.fixture(autouse=True)
def _new_facts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier test was told of the daemon is asked again."""
    monkeypatch.setattr(host_connection, "_hosts", {})


@pytest.fixture
def ignored(sandbox: Sandbox) -> Iterator[str]:
    """The daemon's warning about the memory controller, before it is acknowledged."""
    kind = "Couldn't find the CGroup memory controller"
    listed = sandbox.daemon.request("GET", "/warnings?recursion=1")
    found = [warning["uuid"] for warning in listed if warning["type"] == kind]
    if not found:
        pytest.skip("this daemon enforces memory limits")
    sandbox.daemon.request("PUT", f"/warnings/{found[0]}", {"status": "new"})
    yield found[0]
    sandbox.daemon.request("PUT", f"/warnings/{found[0]}", {"status": "acknowledged"})


def test_ignored_limit(name: str, ignored: str, capfd: pytest.CaptureFixture[str]) -> None:
    box = Managed(arguments(name, resources={"memory_mib": 64}))

    def said() -> bool:
        return f"incus warning acknowledge {ignored}" in "".join(capfd.readouterr())

    box.up()
    assert said()
    box.change(description="another property")
    assert box.up() == "update"
    assert not said()
    box.change(resources={"memory_mib": 80})
    assert box.planned() == "update"
    assert said()
    box.change(resources={})
    box.planned()
    assert not said()
    box.destroy()


def test_size_of_a_volume(name: str, sandbox: Sandbox, capfd: pytest.CaptureFixture[str]) -> None:
    volumes = "/storage-pools/default/volumes/custom"
    sandbox.daemon.request("POST", volumes, {"name": f"{name}-other"})
    ignored = not sandbox.daemon.request("GET", f"{volumes}/{name}-other/state").get("usage")
    inputs = {"volume_name": name, "storage_pool": "default", "project": "default"}

    checked = volume_calls.check(wire({**inputs, "size": "1GiB"}))

    assert not checked.failures
    said = "".join(capfd.readouterr())
    assert ("size: the server accepts this size and does not enforce it" in said) == ignored
    volume_calls.check(wire({**inputs, "size": "1GiB", "description": "x"}), wire(checked.inputs))
    assert "does not enforce it" not in "".join(capfd.readouterr())
    volume_calls.check(wire(inputs))
    assert "does not enforce it" not in "".join(capfd.readouterr())
