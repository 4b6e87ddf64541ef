"""`shift`, `recursive` and `propagation` of a mount, which the plan does not have."""

from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.resources.property_inputs import with_mount_pools
from pulumi_pika.validation.plan_inputs import plan_inputs
from pulumi_pika.validation.property_tree import UNKNOWN

from ...conftest import Sandbox
from ...support.provider_engine import Managed, Refused, arguments, volume_mount
from ...support.reconcile import there


def host_mount(path: Path, mode: str = "read_write") -> dict[str, Any]:
    return {"kind": "cache", "source": str(path), "guest_path": "/cache", "mode": mode}


def device(client: IncusClient, name: str) -> dict[str, str]:
    (found,) = (it for it in there(client, name).devices.values() if it.get("path") == "/cache")
    return found


def test_set_kept_corrected_and_dropped(
    sandbox: Sandbox, client: IncusClient, name: str, tmp_path: Path
) -> None:
    wanted = {"recursive": True, "propagation": "rslave"}
    managed = Managed(arguments(name, mounts=[host_mount(tmp_path)], mount_options=[wanted]))
    plain = {"type": "disk", "source": str(tmp_path), "path": "/cache"}
    options = {"recursive": "true", "propagation": "rslave"}
    try:
        inputs = managed.checked()
        (shown,) = inputs["devices"].values()
        assert shown == {**plain, **options}
        managed.up()
        assert device(client, name) == {**plain, **options}
        assert managed.refresh() == {}
        assert managed.up() == "same"

        (key,) = inputs["devices"]
        theirs = {"devices": {key: {**plain, "propagation": "private"}}}
        sandbox.daemon.request("PATCH", f"/instances/{name}", theirs)
        assert "devices" in managed.refresh()
        assert managed.up() == "update"
        assert device(client, name) == {**plain, **options}
        assert managed.refresh() == {}

        managed.change(mount_options=[{}])
        assert managed.up() == "update"
        assert device(client, name) == plain
        assert managed.refresh() == {}
    finally:
        managed.destroy()


def test_shift(client: IncusClient, name: str, tmp_path: Path) -> None:
    mounts = [host_mount(tmp_path)]
    managed = Managed(arguments(name, mounts=mounts, mount_options=[{"shift": True}]))
    # Whether the kernel can do it is another matter: the instance is not started.
    managed.change(running=False)
    try:
        managed.up()
        assert device(client, name)["shift"] == "true"
        assert managed.refresh() == {}
    finally:
        managed.destroy()


def test_moved_out_of_the_mounts(tmp_path: Path) -> None:
    mounts = [{**host_mount(tmp_path), "shift": True, "storage_pool": "p"}, volume_mount("v")]
    given = with_mount_pools({"mounts": mounts})
    assert given["mounts"] == [host_mount(tmp_path), volume_mount("v")]
    assert given["mount_storage_pools"] == ["p", ""]
    assert given["mount_options"] == [{"shift": True}, {}]
    assert "mount_options" not in with_mount_pools({"mounts": [volume_mount("v")]})


def test_plan_is_the_same_and_unknown_options_are_shown(name: str, tmp_path: Path) -> None:
    plain = arguments(name, mounts=[host_mount(tmp_path)])
    examined = plan_inputs({**plain, "mount_options": [{"shift": UNKNOWN}]})
    assert examined.failures == []
    assert examined.plan_tree == plan_inputs(plain).plan_tree
    assert isinstance(examined.devices, dict)
    assert [it["shift"] for it in examined.devices.values()] == [UNKNOWN]


@pytest.mark.parametrize(
    ("mount", "options", "said"),
    [
        (volume_mount("v"), {"shift": True}, "shift: conflicts with a volume .*security.shifted"),
        (volume_mount("v"), {"recursive": True}, "recursive: conflicts with a volume"),
        (host_mount(Path("/var/tmp"), "read_only"), {"recursive": True}, "does not support"),
        (host_mount(Path("/var/tmp")), {"propagation": "no"}, "propagation: must be one of"),
        (host_mount(Path("/var/tmp")), {"shifted": True}, "did you mean `shift`"),
    ],
)
def test_refused(name: str, mount: dict[str, Any], options: dict[str, Any], said: str) -> None:
    with pytest.raises(Refused, match=said):
        Managed(arguments(name, mounts=[mount], mount_options=[options])).checked()


def test_shift_of_a_virtual_machine_is_refused(name: str, tmp_path: Path) -> None:
    values = arguments(name, mounts=[host_mount(tmp_path)], mount_options=[{"shift": True}])
    with pytest.raises(Refused, match=r"mount_options\[0\].shift: conflicts with `instance_type"):
        Managed({**values, "instance_type": "virtual-machine"}).checked()
