"""A virtual machine of a stack, and what its tests do with it and see in it."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.errors import IncusError
from pulumi_pika.incus.instances import console_log, exec_text, start_exec
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance
from pulumi_pika.reconcile.instances.live_instance import LiveInstance

from ...support.reconcile import mount
from ...support.stack import Stack, make_stack

T = TypeVar("T")

BOOT = 1500.0
"""Seconds that a machine may take until what is waited for is there: minutes where the host is
emulated, and a multiple of it where its cores are taken."""
_TIMEOUTS = {"create": BOOT, "update": BOOT, "delete": 600.0, "wait": BOOT, "stop": 240.0}

PROGRAM = """
import json
import pathlib
import pulumi
from pulumi_pika import IncusRuntime, PersistentVolume

declared = json.loads(pathlib.Path("declared.json").read_text())
if "volume" in declared:
    PersistentVolume("data", **declared["volume"])
for name, arguments in declared["runtimes"].items():
    options = pulumi.ResourceOptions(**arguments.pop("opts", {}))
    box = IncusRuntime(name, **arguments, opts=options)
    for output in ("status", "ipv4_address", "guest_status", "devices"):
        pulumi.export(f"{name}.{output}", getattr(box, output))
"""


@dataclass(frozen=True)
class VmHost:
    """A host where virtual machines run."""

    client: IncusClient
    environment: dict[str, str]
    """The variables by which it is found."""
    image: str
    """The alias of a virtual machine's image there."""
    share: str
    """A folder of the host that is not empty."""
    restart: Callable[[], None] | None
    """Restarts its daemon, where that is known."""
    pool: str
    """The storage pool of the machines and their volumes."""
    emulated: bool
    """Whether its processor is emulated, so that everything takes a multiple of the time."""

    def network(self) -> str:
        """The network of the default profile's nic, or an empty string."""
        devices = self.client.get("/1.0/profiles/default").data["devices"].values()
        return next((it.get("network", "") for it in devices if it["type"] == "nic"), "")

    def nic_of_its_own(self, network: str) -> dict[str, str]:
        """A nic on a bridge that is made for it: Incus lets no instance be on one by two nics."""
        if network not in [it["name"] for it in self.client.get_list("/1.0/networks?recursion=1")]:
            off = {"ipv4.address": "none", "ipv6.address": "none"}
            firewall = {"ipv4.firewall": "false", "ipv6.firewall": "false"}
            body = {"name": network, "type": "bridge", "config": {**off, **firewall}}
            self.client.send_change("POST", "/1.0/networks", body)
        return {"type": "nic", "network": network}


@dataclass
class Machine:
    """A machine that a stack declares, with the arguments that it has by now."""

    host: VmHost
    name: str
    stack: Stack
    arguments: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def in_folder(cls, host: VmHost, name: str, folder: Path) -> Machine:
        """The machine whose stack is in a folder, as an earlier run left it if it did."""
        place = folder / "stack"
        variables = {"INCUS_SOCKET": None, **host.environment}
        if (place / "project" / "declared.json").exists():
            made = make_stack(folder / f"again-{time.time_ns()}", Path("/none"), **variables)
            environment = dict(made.environment)
            for variable, part in (("PULUMI_BACKEND_URL", "backend"), ("PULUMI_HOME", "home")):
                before = "file://" if part == "backend" else ""
                environment[variable] = f"{before}{place / part}"
            stack = Stack(place / "project", environment)
            arguments = json.loads((stack.directory / "declared.json").read_text())["runtimes"]
            given = arguments.get("box", {})
        else:
            stack, given = make_stack(place, Path("/none"), **variables), {}
        stack.timeout = 2 * BOOT
        return cls(host, name, stack, given)

    @property
    def client(self) -> IncusClient:
        return self.host.client

    def declare(self, *, volume: dict[str, Any] | None = None, **changes: Any) -> None:
        """Have the program declare the machine with these arguments changed; None drops one."""
        self.arguments = {
            name: value
            for name, value in {**self.arguments, **changes}.items()
            if value is not None
        }
        self.write({"box": self.arguments}, volume)

    def write(
        self, runtimes: dict[str, dict[str, Any]], volume: dict[str, Any] | None = None
    ) -> None:
        """Have the program declare these runtimes, and a volume."""
        declared = {"runtimes": runtimes, **({"volume": volume} if volume else {})}
        self.stack.program(PROGRAM)
        (self.stack.directory / "declared.json").write_text(json.dumps(declared))

    def defaults(self) -> dict[str, Any]:
        """The arguments of a machine with a volume and a shared folder, of a small size."""
        data = mount("persistent_volume", f"{self.name}-data", "/data")
        share = mount("read_only_snapshot", self.host.share, "/mnt/share")
        return {
            "identity": {"runtime_id": f"id-{self.name}", "instance_name": self.name},
            "incus": {"project": "default", "profile": "default", "image_alias": self.host.image},
            "resources": {"memory_mib": 640, "root_disk_gib": 3},
            "storage_pool": self.host.pool,
            "mounts": [data, share],
            "wait_for": "agent",
            "timeouts": _TIMEOUTS,
        }

    def output(self, name: str) -> Any:
        """An output of its resource, as the state has it."""
        urn = "::box"
        return next(it["outputs"][name] for it in self.stack.resources() if it["urn"].endswith(urn))

    def live(self) -> LiveInstance:
        live = fetch_instance(self.client, self.name)
        assert live is not None, f"there is no {self.name}"
        return live

    def runs(self, script: str, timeout: float = 60) -> bool:
        """Whether a script ends well in the guest."""

        def run() -> bool:
            operation = start_exec(self.client, self.name, ["sh", "-c", script])
            done = self.client.wait(operation, timeout=timeout, what=script)
            return done.get("return") == 0

        return self._again(run, timeout)

    def _again(self, enter: Callable[[], T], timeout: float) -> T:
        """Do something in the guest, again if its agent had no time for it.

        Incus gives up after 5 s if the guest did not connect. The agent of 6.0.4 then sometimes
        ends with a panic (`Operation.Connect`), and the guest starts it again.
        """
        deadline = time.monotonic() + 5 * timeout
        while True:
            try:
                return enter()
            except IncusError as error:
                passing = ("Only running operations", "agent isn't currently running")
                if time.monotonic() > deadline or not any(it in str(error) for it in passing):
                    raise
            time.sleep(1)

    def seconds_since_start(self) -> float:
        """How long ago Incus started it."""
        text = str(self.live().raw["last_used_at"])
        # Nanoseconds are more digits than Python reads.
        started = datetime.fromisoformat(re.sub(r"(\.\d{6})\d*", r"\1", text))
        return (datetime.now(UTC) - started).total_seconds()

    def boot_id(self) -> str:
        return self._kernel_file("/proc/sys/kernel/random/boot_id")

    def root_disk_bytes(self) -> int:
        return 512 * int(self._kernel_file("/sys/class/block/sda/size"))

    def memory_kib(self) -> int:
        text = self._kernel_file("/proc/meminfo")
        return int(text.split("MemTotal:")[1].split()[0])

    def processors(self) -> str:
        return self._kernel_file("/sys/devices/system/cpu/present")

    def console(self) -> str:
        return console_log(self.client, self.name)

    def await_agent(self) -> None:
        """Wait until the guest can be entered."""
        deadline = time.monotonic() + BOOT
        while True:
            with contextlib.suppress(IncusError, AssertionError):
                if self.live().processes >= 0 and self.runs("true"):
                    return
            assert time.monotonic() < deadline, "the agent does not answer"
            time.sleep(3)

    def _kernel_file(self, path: str) -> str:
        def read() -> str:
            return exec_text(self.client, self.name, ["cat", path], timeout=60).strip()

        return self._again(read, 60)


def root_pool(client: IncusClient) -> str:
    """The pool of the default profile's root disk."""
    devices = client.get("/1.0/profiles/default").data["devices"].values()
    return next(str(it["pool"]) for it in devices if it.get("path") == "/")


def sweep(client: IncusClient, prefix: str) -> None:
    """Remove the instances, profiles, networks and volumes whose names begin with a prefix."""
    for instance in client.get_list("/1.0/instances?recursion=1"):
        if instance["name"].startswith(prefix):
            path = f"/1.0/instances/{instance['name']}"
            with contextlib.suppress(IncusError):
                body = {"action": "stop", "force": True, "timeout": 0}
                client.run("PUT", f"{path}/state", body, timeout=120)
            client.run("DELETE", path, timeout=120)
    for profile in client.get_list("/1.0/profiles?recursion=1"):
        if profile["name"].startswith(prefix):
            client.send_change("DELETE", f"/1.0/profiles/{profile['name']}")
    for network in client.get_list("/1.0/networks?recursion=1"):
        if network["name"].startswith(prefix):
            client.send_change("DELETE", f"/1.0/networks/{network['name']}")
    for pool in client.get_list("/1.0/storage-pools?recursion=1"):
        path = f"/1.0/storage-pools/{pool['name']}/volumes/custom"
        for volume in client.get_list(f"{path}?recursion=1"):
            if volume["name"].startswith(prefix) and "/" not in volume["name"]:
                client.send_change("DELETE", f"{path}/{volume['name']}")
