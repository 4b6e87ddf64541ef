"""Runs an example as a user would, with nothing changed but the stack's config."""

import shutil
from typing import Any

import yaml

from dev.paths import ROOT
from dev.sandbox import Daemon
from pulumi_pika.incus.client import IncusClient

from ...conftest import IMAGE, custom_volumes
from ...support.reconcile import shell
from ...support.stack import Stack

EXAMPLES = ROOT / "examples"


def take(stack: Stack, example: str, **config: Any) -> None:
    """Puts an example into the stack's folder, and configures it."""
    for file in (EXAMPLES / example).iterdir():
        if file.name == "Pulumi.yaml" or file.suffix == ".py":
            shutil.copy(file, stack.directory)
    # The stack was made in another project of the same folder.
    stack.init()
    configure(stack, instance_type="container", image=IMAGE, **config)


def configure(stack: Stack, **config: Any) -> None:
    """Sets stack config, whatever its type; what is None is taken out."""
    project = yaml.safe_load((stack.directory / "Pulumi.yaml").read_text())["name"]
    file = stack.directory / f"Pulumi.{stack.name}.yaml"
    settings = yaml.safe_load(file.read_text()) or {}
    known = settings.setdefault("config", {})
    for key, value in config.items():
        known[f"{project}:{key}"] = value
        if value is None:
            del known[f"{project}:{key}"]
    file.write_text(yaml.safe_dump(settings))


def apply(stack: Stack) -> str:
    """`preview`, `up`, and another that finds nothing to do; what the preview showed."""
    shown = stack.preview()
    stack.up()
    stack.settled()
    return shown


def there(daemon: Daemon, prefix: str) -> dict[str, dict[str, Any]]:
    """The instances of a daemon whose names begin so, by name."""
    listed = daemon.request("GET", "/instances?recursion=1")
    return {it["name"]: it for it in listed if it["name"].startswith(prefix)}


def uuids(daemon: Daemon, prefix: str) -> dict[str, str]:
    """What tells an instance from another of its name, made in its place."""
    return {name: it["config"]["volatile.uuid"] for name, it in there(daemon, prefix).items()}


def process(daemon: Daemon, instance: str) -> int:
    """The instance's first process: another one after a restart."""
    return int(daemon.request("GET", f"/instances/{instance}/state")["pid"])


def volumes(daemon: Daemon, prefix: str) -> list[str]:
    # A snapshot is listed beside its volume.
    return sorted(name for name in custom_volumes(daemon, prefix) if "/" not in name)


def sh(client: IncusClient, instance: str, script: str) -> bool:
    """Whether a script in the guest succeeds."""
    return shell(client, instance, script) == 0
