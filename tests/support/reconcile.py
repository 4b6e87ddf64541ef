"""What the tests against the real daemon build and look at."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.guest_files import read_small_file
from pulumi_pika.incus.instances import exec_status
from pulumi_pika.planner.plan import IncusRuntimePlan
from pulumi_pika.planner.spec import RuntimeSpec
from pulumi_pika.reconcile.instances.changes import LastApplied
from pulumi_pika.reconcile.instances.create import create_runtime
from pulumi_pika.reconcile.instances.delete import delete_runtime
from pulumi_pika.reconcile.instances.desired import DesiredInstance
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.reconcile.instances.live_instance import LiveInstance
from pulumi_pika.reconcile.instances.runtime_options import RuntimeOptions
from pulumi_pika.reconcile.instances.update import update_runtime
from pulumi_pika.reconcile.shared.ownership import (
    OWNER_KEY,
    RUNTIME_ID_KEY,
    Claim,
)

from ..conftest import IMAGE

T = TypeVar("T")
CGROUP = Path("/sys/fs/cgroup")


def claim_of(live: LiveInstance) -> Claim:
    """What a state would know of an instance that was just made."""
    return Claim(
        owners=(live.config.get(OWNER_KEY, ""),),
        generation=live.generation,
        identity=live.uuid,
        runtime_id=live.config.get(RUNTIME_ID_KEY, ""),
    )


@dataclass
class Recorder:
    """A Reporter that keeps the lines."""

    infos: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def info(self, message: str) -> None:
        self.infos.append(message)

    def warn(self, message: str) -> None:
        self.warnings.append(message)


def mount(kind: str, source: str, guest_path: str, mode: str = "", **more: Any) -> dict[str, Any]:
    """A mount of a spec; read-only where its kind is a snapshot, else read-write."""
    mode = mode or ("read_only" if kind == "read_only_snapshot" else "read_write")
    return {"kind": kind, "source": source, "guest_path": guest_path, "mode": mode, **more}


def plan_of(name: str, *mounts: dict[str, Any], **more: Any) -> IncusRuntimePlan:
    """The plan of a runtime; `more` are further fields of the spec, `incus` being merged."""
    incus = {"project": "default", "profile": "default", "image_alias": IMAGE}
    spec = {
        "identity": {"runtime_id": f"id-{name}", "instance_name": name},
        "provider": "incus",
        "mounts": list(mounts),
        **more,
        "incus": {**incus, **more.get("incus", {})},
    }
    return RuntimeSpec.model_validate(spec).build_incus_plan()


def options_of(**more: Any) -> RuntimeOptions:
    """Options of a container; what takes a moment gets as long as a busy machine may need."""
    timeouts = {"create": 60, "update": 60, "delete": 60, "wait": 60, "stop": 30}
    given = {"instance_type": "container", **more}
    given["timeouts"] = {**timeouts, **more.get("timeouts", {})}
    return RuntimeOptions.model_validate(given)


@dataclass
class Made:
    """A runtime that was made, and what is needed to go on with it."""

    client: IncusClient
    plan: IncusRuntimePlan
    options: RuntimeOptions
    desired: DesiredInstance
    live: LiveInstance

    @property
    def name(self) -> str:
        return self.live.name

    def update(
        self,
        reporter: Recorder,
        *,
        plan: IncusRuntimePlan | None = None,
        options: RuntimeOptions | None = None,
        client: IncusClient | None = None,
    ) -> "Made":
        """The runtime after an update to another plan, other options or both."""
        plan, options = plan or self.plan, options or self.options
        desired, live = update_runtime(
            client or self.client,
            plan,
            options,
            reporter,
            previous=LastApplied(
                config=self.desired.config,
                devices=self.desired.devices,
                profiles=self.desired.profiles,
                owner=self.options.owner,
            ),
            claim=claim_of(self.live),
            known_pool=self.desired.pool,
        )
        return Made(self.client, plan, options, desired, live)


def make(
    client: IncusClient,
    plan: IncusRuntimePlan,
    options: RuntimeOptions | None = None,
    reporter: Recorder | None = None,
) -> Made:
    options = options or options_of()
    desired, live = create_runtime(client, plan, options, reporter or Recorder())
    return Made(client, plan, options, desired, live)


def delete(made: Made, reporter: Recorder) -> None:
    delete_runtime(
        made.client,
        made.plan,
        made.options,
        reporter,
        claim=claim_of(made.live),
        pool=made.desired.pool,
    )


def there(client: IncusClient, name: str) -> LiveInstance:
    """The instance, which has to be there."""
    live = fetch_instance(client, name)
    assert live is not None, f"there is no instance {name}"
    return live


def shell(client: IncusClient, name: str, script: str) -> int:
    """The exit status of a shell script in the guest."""
    return exec_status(client, name, ["/bin/sh", "-c", script], timeout=30)


def output(client: IncusClient, name: str, script: str) -> str:
    """What a shell script in the guest writes; it has to succeed."""
    assert shell(client, name, f"( {script} ) >/tmp/.output 2>&1") == 0, script
    content = read_small_file(client, name, "/tmp/.output")
    assert content is not None
    return content.decode()


def memory_limit(name: str) -> int:
    """What the kernel holds an instance of the default project to."""
    first = CGROUP / "memory" / f"lxc.payload.{name}" / "memory.limit_in_bytes"
    second = CGROUP / f"lxc.payload.{name}" / "memory.max"
    return int((first if first.exists() else second).read_text())


def cpus(name: str) -> str:
    """The processors, as ``0-1``, that the kernel lets an instance use."""
    first = CGROUP / "cpuset" / f"lxc.payload.{name}" / "cpuset.cpus"
    second = CGROUP / f"lxc.payload.{name}" / "cpuset.cpus"
    return (first if first.exists() else second).read_text().strip()


def eventually(probe: Callable[[], T], *, within: float = 60.0) -> T:
    """What the probe answers once it is true."""
    deadline = time.monotonic() + within
    while True:
        found = probe()
        if found:
            return found
        assert time.monotonic() < deadline, f"not so within {within} s; last: {found!r}"
        time.sleep(0.02)
