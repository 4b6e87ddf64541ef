"""What the stacks of these tests declare."""

import json
from pathlib import Path
from typing import Any

from ...conftest import IMAGE
from ...support.stack import Stack
from ..engine.test_up import runtime

LIFE = (Path(__file__).parent / "program.py").read_text()
"""The program; its `declared.json` is written by `declare`."""
SECRET = "5ec2e7-of-a-label"
"""The value of a secret label, which no output and no state may show."""


def declare(stack: Stack, **declared: dict[str, Any]) -> None:
    """Has the program declare these resources and no others, in this order."""
    (stack.directory / "declared.json").write_text(json.dumps(declared))


def labelled(name: str, **more: Any) -> dict[str, Any]:
    """The arguments of a container with a volume of its own, another mount, labels and a secret."""
    declared = runtime(name)
    cache = {"kind": "cache", "source": f"{name}-cache", "guest_path": "/c", "mode": "read_write"}
    declared["mounts"].append(cache)
    return {**declared, "labels": {"team": "a", "token": {"secret": SECRET}}, **more}


def all_kinds(name: str, socket: Path) -> dict[str, dict[str, Any]]:
    """One resource of each kind, on a host that the program names."""
    return {
        "host": {"socket": str(socket)},
        "volume": {"volume_name": f"{name}-data", "size": "1GiB", "labels": {"team": "a"}},
        "snapshot": {"snapshot_name": "before", "description": "as it was"},
        "runtime": labelled(name),
        "job": job(f"{name}-job"),
    }


def job(name: str) -> dict[str, Any]:
    """The arguments of a job that says something, and another word each time that it runs."""
    return {
        "identity": {"runtime_id": f"id-{name}", "instance_name": name},
        "incus": {"project": "default", "profile": "default", "image_alias": IMAGE},
        "instance_type": "container",
        "command": "echo said by the job; cat /proc/sys/kernel/random/uuid",
        "timeout_secs": 120,
    }


def spec(name: str) -> dict[str, Any]:
    """A spec without what is only the provider's."""
    kept = ("identity", "incus", "resources", "mounts")
    return {key: value for key, value in runtime(name).items() if key in kept}
