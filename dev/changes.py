"""Write docs/changes.md: the effect of a change of each argument, from the code that decides it.

Run as `python3 dev docs`. `tests/integration/providers/test_changes_table.py` applies each change
to a real container.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dev.paths import ROOT

TARGET = ROOT / "docs" / "changes.md"
_MOUNT = {"kind": "persistent_volume", "source": "v", "guest_path": "/v", "mode": "read_write"}
_PATHS = {
    "events_path": "/run/pika-cloud/events.jsonl",
    "status_path": "/run/pika-cloud/status.json",
    "result_path": "/run/pika-cloud/result.json",
    "guest_request_path": "/run/pika-cloud/guest-request.json",
    "logs_dir": "/run/pika-cloud/logs",
    "guest_log_path": "/run/pika-cloud/logs/guest.log",
    "artifacts_dir": "/run/pika-cloud/artifacts",
}
_POLICIES = {"restart_policy": "never", "retention_policy": "debug_keep"}


@dataclass(frozen=True)
class Row:
    """One change: its name, and the arguments before and after."""

    what: str
    before: dict[str, Any] = field(default_factory=dict)
    after: dict[str, Any] = field(default_factory=dict)
    containers: bool = True
    """Whether the test can apply the change to a container."""
    note: str = ""


def _incus(**more: str) -> dict[str, Any]:
    return {"incus": {"project": "default", "profile": "default", "image_alias": "image", **more}}


def _identity(**more: str) -> dict[str, Any]:
    return {"identity": {"runtime_id": "r", "instance_name": "name", **more}}


def _mounts(**more: Any) -> dict[str, Any]:
    return {"mounts": [{**_MOUNT, **more}]}


ROWS = (
    Row("identity.runtime_id", {}, _identity(runtime_id="other")),
    Row("identity.instance_name", {}, _identity(instance_name="other-name")),
    Row(
        "incus.project",
        {},
        _incus(project="other"),
        note="in place if it was moved there already (`incus move --target-project`)",
    ),
    Row(
        "incus.profile",
        {},
        _incus(profile="other"),
        note="refused in preview if its root disk is in another pool",
    ),
    Row(
        "incus.image_alias",
        {},
        _incus(image_alias="other-image"),
        note="in place if the new alias points to the image that the instance was created from",
    ),
    Row(
        "resources.vcpu_count",
        {"resources": {}},
        {"resources": {"vcpu_count": 1}},
        note="a running virtual machine accepts another number, up to the CPUs that its host had "
        "when it booted",
    ),
    Row(
        "resources.memory_mib",
        {"resources": {"memory_mib": 64}},
        {"resources": {"memory_mib": 96}},
        note="a running virtual machine accepts it if Incus can hotplug or balloon; a container "
        "that uses more than the new limit restarts",
    ),
    Row(
        "resources.root_disk_gib",
        {"resources": {"root_disk_gib": 1}},
        {"resources": {"root_disk_gib": 2}},
        note="Incus may defer it to the next start; it never shrinks on some pools. Added or "
        "dropped, it is refused in preview if the root disk would be in another pool",
    ),
    Row("mounts: one added", {}, {"mounts": [_MOUNT]}),
    Row("mounts: one removed", {"mounts": [_MOUNT]}, {}),
    Row("mounts[].kind", _mounts(), _mounts(kind="cache")),
    Row("mounts[].source", _mounts(), _mounts(source="w")),
    Row("mounts[].guest_path", _mounts(), _mounts(guest_path="/w")),
    Row("mounts[].mode", _mounts(), _mounts(mode="read_only")),
    Row(
        "mounts[].storage_pool (`mount_storage_pools` in the state)",
        _mounts(),
        {**_mounts(), "mount_storage_pools": ["other"]},
        note="the volume in that pool is mounted, or created empty; the present one is kept",
    ),
    Row("mounts[].required", _mounts(), _mounts(required=True)),
    Row(
        "lifecycle_root, paths.state_dir",
        {},
        {
            "lifecycle_root": "/run/other",
            "paths": {
                "state_dir": "/run/other",
                **{key: path.replace("pika-cloud", "other") for key, path in _PATHS.items()},
            },
        },
    ),
    *(Row(f"paths.{key}", {}, {"paths": {key: f"{path}-2"}}) for key, path in _PATHS.items()),
    Row(
        "policies.restart_policy",
        {"policies": _POLICIES},
        {"policies": {**_POLICIES, "restart_policy": "always"}},
    ),
    Row(
        "policies.retention_policy",
        {"policies": _POLICIES},
        {"policies": {**_POLICIES, "retention_policy": "keep_until_stopped"}},
    ),
    *(
        Row(
            f"policies.output_collection.{key}",
            {"policies": _POLICIES},
            {"policies": {**_POLICIES, "output_collection": {"mode": "always", key: value}}},
        )
        for key, value in (
            ("mode", "none"),
            ("include_logs", False),
            ("include_result", False),
            ("artifact_globs", ["*"]),
        )
    ),
    Row(
        "bootstrap.guest_request_path",
        {},
        {"bootstrap": {"guest_request_path": "/run/pika-cloud/guest-request.json"}},
    ),
    Row("bootstrap.entry_command", {}, {"bootstrap": {"entry_command": "/bin/run"}}),
    Row("labels", {"labels": {"a": "1"}}, {"labels": {"a": "2", "b": "1"}}),
    Row("metadata", {}, {"metadata": {"a": [1]}}),
    Row("instance_type", {}, {"instance_type": "other"}, containers=False),
    Row("storage_pool", {"storage_pool": "default"}, {"storage_pool": "other"}),
    Row("storage_pool: set to the pool that it is in", {}, {"storage_pool": "default"}),
    Row(
        "running",
        {},
        {"running": False},
        note="stops or starts the instance; a frozen instance is shut down for False",
    ),
    Row("running: None (other clients start and stop the instance)", {}, {"running": None}),
    Row("config: user.*, environment.*", {}, {"config": {"user.a": "1", "environment.A": "1"}}),
    Row("config: security.nesting", {}, {"config": {"security.nesting": "true"}}),
    Row("config: limits.processes", {}, {"config": {"limits.processes": "500"}}),
    Row(
        "devices: one added",
        {},
        {"devices": {"null": {"type": "unix-char", "path": "/dev/n", "source": "/dev/null"}}},
    ),
    Row("extra_profiles", {}, {"extra_profiles": ["other"]}),
    Row(
        "cloud_init_user_data",
        {},
        {"cloud_init_user_data": "#cloud-config\n{}\n"},
        note="the guest reads it only when it boots for the first time",
    ),
    Row("description", {}, {"description": "text"}),
    Row(
        "description: dropped",
        {"description": "text"},
        {},
        note="cleared, unless another client changed it since the last refresh",
    ),
    Row("wait_for", {}, {"wait_for": "agent"}, note="waits at the next start"),
    *(
        Row(f"timeouts.{key}", {}, {"timeouts": {key: 77}})
        for key in ("create", "update", "delete", "wait", "stop")
    ),
    Row("allow_restart", {}, {"allow_restart": False}),
    Row("adopt", {}, {"adopt": True}),
    Row("delete_data", {}, {"delete_data": True}),
    Row("restart_triggers", {}, {"restart_triggers": "now"}),
    Row("access_interface", {}, {"access_interface": "eth0"}),
    Row("owner (another URN: the resource was renamed or moved)", {}, {"owner": "urn:other"}),
)


def arguments(row: Row, instance_type: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return all arguments before and after a change, as the resource passes them to the
    provider."""
    base: dict[str, Any] = {
        **_identity(),
        **_incus(),
        "instance_type": instance_type,
        "running": True,
        "owner": "urn:own",
    }
    before, after = {**base, **row.before}, {**base, **row.after}
    if after["instance_type"] == "other":
        after["instance_type"] = (
            "container" if instance_type == "virtual-machine" else "virtual-machine"
        )
    return before, {key: value for key, value in after.items() if value is not None}


def decided(row: Row, instance_type: str) -> str:
    """Return the decision of the provider: ``in place``, ``may restart``, ``restarts`` or
    ``replaces``."""
    from pulumi_pika.providers.diff_decision import decide_diff
    from pulumi_pika.providers.instance_inputs import RuntimeInputs
    from pulumi_pika.providers.properties import Properties
    from pulumi_pika.providers.runtime_state import RuntimeState
    from pulumi_pika.reconcile.instances.desired import declared_devices, plan_digest
    from pulumi_pika.validation.plan_inputs import plan_inputs

    before, after = arguments(row, instance_type)
    old = plan_inputs(before)
    state = RuntimeState.parse(
        Properties.parse(
            {
                **before,
                "plan": old.plan_tree,
                "devices": declared_devices(old.plan, old.options, "default"),
                "volume_storage_pool": "default",
                "plan_digest": plan_digest(old.plan),
            }
        )
    )
    new = RuntimeInputs(Properties.parse(after))
    if old.failures or new.failures:
        raise ValueError(f"{row.what}: {old.failures or new.failures}")
    decision = decide_diff(state, new)
    if decision.replaces:
        return "replaces"
    if not decision.changes:
        return "no change"
    if decision.recovers:
        return "restarts"
    return "may restart" if decision.restarts else "in place"


def table() -> str:
    """Return the page."""
    lines = [
        "# What a change does",
        "",
        "A change of an argument of a runtime has one of these effects:",
        "",
        "- **In place**: the instance keeps running.",
        "- **May restart**: Incus is asked to apply the change to the running instance. If it",
        "  cannot, and `allow_restart` is on, the instance is stopped, changed and started.",
        "- **Replaces**: the instance is deleted first, then recreated. Its volumes are kept.",
        "",
        "[IncusRuntime](reference/incus-runtime.md) describes each argument.",
        "",
        "| change of | container | virtual machine | note |",
        "|---|---|---|---|",
    ]
    for row in ROWS:
        cells = (row.what, decided(row, "container"), decided(row, "virtual-machine"), row.note)
        lines.append(f"| {' | '.join(cells).rstrip()} |")
    lines += [
        "",
        "`python3 dev docs` writes this page from the code that decides. A test applies every",
        "change to a real container.",
    ]
    return "\n".join(lines) + "\n"


def write(target: Path = TARGET) -> None:
    """Write the page."""
    target.parent.mkdir(exist_ok=True)
    target.write_text(table())


if __name__ == "__main__":
    write()
