"""Each problem of an argument, and each exception, has a code that programs can read."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from pulumi_pika import RuntimeSpec
from pulumi_pika.errors import PikaError
from pulumi_pika.incus import errors as incus_errors
from pulumi_pika.message_templates import CODES, Message
from pulumi_pika.reconcile.instances.runtime_options import RuntimeOptions, find_option_problems
from pulumi_pika.reconcile.shared import errors as reconcile_errors
from pulumi_pika.reconcile.volumes.volume_options import (
    SnapshotOptions,
    VolumeOptions,
    find_expiry_problems,
    find_snapshot_problems,
    find_volume_change_problems,
    find_volume_problems,
)

WRONG_OPTIONS: dict[str, Any] = {
    "storage_pool": "a/b",
    "extra_profiles": ["default", "\x01"],
    "cloud_init_user_data": "#cloud-config\n{}\n",
    "running": False,
    "restart_triggers": 1,
    "config": {
        "limits.cpu": "1",
        "user.pika.owner": "x",
        "boot.autostart": "true",
        "cloud-init.user-data": "x",
        "volatile.eth0.hwaddr": "x",
        "volatile.x": "x",
        "nokey": "x",
        "user.\x01": "x",
        "security.nesting": "",
    },
    "devices": {
        "pk-x": {"type": "nic"},
        "root": {"type": "disk", "path": "/data"},
        "-": {},
    },
}
"""Each of these breaks another rule of the options."""


def problems_of_a_runtime() -> Iterator[tuple[tuple[str | int, ...], str]]:
    mount = {"kind": "cache", "mode": "read_write"}
    spec = {
        "identity": {"runtime_id": "a\x01", "instance_name": "a_b"},
        "provider": "incus",
        "incus": {"project": "p/q", "profile": "default", "image_alias": ".."},
        "resources": {"vcpu_count": 0, "root_disk_gib": 1},
        "labels": {" a": "x"},
        "policies": {"restart_policy": "always", "retention_policy": "debug_keep"},
        "mounts": [
            {**mount, "source": "v/../x", "guest_path": "/data"},
            {**mount, "source": "v\x01", "guest_path": "/x\x01"},
            {**mount, "source": "w", "guest_path": "/"},
        ],
    }
    plan = RuntimeSpec.model_validate(spec).build_incus_plan()
    yield from find_option_problems(plan, RuntimeOptions.model_validate(WRONG_OPTIONS))


def problems_of_volumes() -> Iterator[tuple[tuple[str | int, ...], str]]:
    wrong = {
        "volume_name": "a b",
        "storage_pool": " ",
        "project": "a/b",
        "size": "10",
        "config": {"size": "x", "user.pika.x": "x", "volatile.x": "x", " ": "x", "y": ""},
        "labels": {" ": "x"},
        "snapshots_schedule": "now",
        "snapshots_expiry": "soon",
        "snapshots_pattern": "",
        "restore_from": "x" * 65,
    }
    yield from find_volume_problems(VolumeOptions.model_validate(wrong))
    for size in ("ten", "99EiB"):
        yield from find_volume_problems(VolumeOptions(volume_name="a", size=size))
    old = VolumeOptions(volume_name="a", size="2GiB")
    yield from find_volume_change_problems(old, old.model_copy(update={"size": "1GiB"}))
    yield from find_volume_change_problems(old, old.model_copy(update={"content_type": "block"}))
    other = old.model_copy(update={"config": {"block.filesystem": "xfs"}})
    yield from find_volume_change_problems(old, other)
    snapshot = SnapshotOptions(volume_name="a", snapshot_name="b", expires_at="x")
    yield from find_snapshot_problems(snapshot)
    past = snapshot.model_copy(update={"expires_at": "2000-01-01T00:00:00Z"})
    yield from find_expiry_problems(None, past, datetime.now(UTC))


@pytest.mark.parametrize("find", [problems_of_a_runtime, problems_of_volumes])
def test_each_problem_of_an_argument_has_a_code(find: Any) -> None:
    found = list(find())
    assert len(found) >= 19
    assert [reason for _, reason in found if not isinstance(reason, Message)] == []
    assert {reason.code for _, reason in found} <= CODES
    assert len({reason.code for _, reason in found}) >= 2


@pytest.mark.parametrize("module", [incus_errors, reconcile_errors])
def test_each_exception_has_a_known_code(module: Any) -> None:
    classes = [
        it for it in vars(module).values() if isinstance(it, type) and issubclass(it, PikaError)
    ]
    assert len(classes) > 10
    assert {it.default_code for it in classes} <= CODES


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (reconcile_errors.ForeignVolume, "other-owner"),
        (reconcile_errors.VolumeExists, "exists"),
        (reconcile_errors.VolumeInUse, "in-use"),
        (reconcile_errors.VolumeGone, "missing"),
        (reconcile_errors.Unsupported, "unsupported"),
        (reconcile_errors.WaitFailed, "timed-out"),
        (reconcile_errors.RestoreFailed, "failed"),
        (incus_errors.NotFound, "missing"),
        (incus_errors.AlreadyExists, "exists"),
        (incus_errors.Unauthorised, "not-allowed"),
        (incus_errors.IncusUnreachable, "unreachable"),
        (incus_errors.ServerCertificateChanged, "failed"),
        (incus_errors.OperationTimedOut, "timed-out"),
        (incus_errors.BadHostSettings, "invalid-value"),
    ],
)
def test_codes_of_exceptions(error: type[PikaError], code: str) -> None:
    assert error.default_code == code
