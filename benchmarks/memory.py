"""Measure the memory of a provider process that the engine starts, and of one in a long run.

Most of the 500 runtimes are never created: their state is a copy of that of a created one, with
other names. The measurement is still valid: without changes, `pulumi preview` calls check and diff
for each runtime and sends no request to the host.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from dev.paths import ROOT

from .calls import arguments, existing, wire
from .machine import Sandbox
from .report import Row, Section
from .stack import EMPTY, RUNTIMES, Stack

_FEW: Final = 50
_MANY: Final = 500
_PARALLEL: Final = 8
_PAUSE: Final = 0.05
_MODULE: Final = b"\0-m\0pulumi.dynamic\0"
"""A part of the command line that only the process of a dynamic provider has."""

Resource = dict[str, Any]


def memory(box: Sandbox, cycles: int) -> Section:
    """Measure the memory for check and diff of many resources, and that it does not grow."""
    empty = _Stack(box.folder / "memory-empty", EMPTY, box.socket, _PARALLEL)
    empty.declare(_declared(1))
    empty.up()
    floor = {}
    for count in (_FEW, _MANY):
        empty.declare(_declared(count))
        empty.pretend(count, _renamed)
        floor[count] = _peak(empty.unchanged)

    ours = _Stack(box.folder / "memory", RUNTIMES, box.socket, _PARALLEL)
    ours.declare(_declared(_FEW))
    made = _peak(ours.up)
    few = _peak(ours.unchanged)
    ours.declare(_declared(_MANY))
    with ours.kept():
        ours.pretend(_MANY, _another)
        many = _peak(ours.unchanged)
    ours.destroy()

    before, after = _long_run(cycles)
    return Section(
        "Memory of a provider process",
        "The peak of the resident set of the process that the engine starts, in "
        f"`pulumi preview --parallel {_PARALLEL}` of a stack in which nothing has changed: check "
        "and diff of each resource, by gRPC. Runtimes have a volume each; the floor is as many "
        f"empty resources. {_FEW} runtimes were made; the others are in the state alone, as the "
        "first of them under other names.",
        [
            Row(
                f"{_FEW} runtimes",
                f"{few:.1f} MiB",
                floor=f"{floor[_FEW]:.1f} MiB",
                ratio=f"{few / floor[_FEW]:.2f}",
            ),
            Row(
                f"{_MANY} runtimes",
                f"{many:.1f} MiB, {many - few:+.1f} MiB",
                floor=f"{floor[_MANY]:.1f} MiB, {floor[_MANY] - floor[_FEW]:+.1f} MiB",
                ratio=f"{many / floor[_MANY]:.2f}",
            ),
            Row(f"`pulumi up` that makes {_FEW} runtimes", f"{made:.1f} MiB"),
            Row(
                f"without an engine: {cycles:,} cycles of check and diff after {_MANY} runtimes",
                f"{after:.0f} MiB, {after - before:+.1f} MiB",
                "no growth (below 1 MiB)",
            ),
        ],
    )


def _name(number: int) -> str:
    # No name is a part of another name.
    return f"held-{number:04}"


def _declared(count: int) -> dict[str, dict[str, Any]]:
    return {
        name: {"mounts": [_mount(name)], "delete_data": True} for name in map(_name, range(count))
    }


def _mount(name: str) -> dict[str, Any]:
    return {
        "kind": "persistent_volume",
        "source": f"{name}-state",
        "guest_path": "/mnt/state",
        "mode": "read_write",
    }


class _Stack(Stack):
    """A stack whose state can contain resources that were never created."""

    def unchanged(self) -> None:
        """Run `pulumi preview`, which must find no change."""
        self._run("preview", "--expect-no-changes", "--parallel", str(self.parallel))

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Restore the former state at the end of the context."""
        before = self._run("stack", "export")
        try:
            yield
        finally:
            self._import(before)

    def pretend(self, count: int, another: Callable[[Resource, str], Resource]) -> None:
        """Add copies of the first resource to the state until it has `count` resources."""
        state = json.loads(self._run("stack", "export"))
        resources: list[Resource] = state["deployment"]["resources"]
        of_urn = {resource["urn"]: resource for resource in resources}
        first = next(it for it in resources if it["urn"].endswith(f"::{_name(0)}"))
        for name in map(_name, range(count)):
            if first["urn"].replace(_name(0), name) not in of_urn:
                resources.append(another(first, name))
        self._import(json.dumps(state))

    def _import(self, state: str) -> None:
        file = self.folder / "state.json"
        file.write_text(state)
        self._run("stack", "import", "--file", str(file))


def _renamed(first: Resource, name: str) -> Resource:
    resource: Resource = json.loads(json.dumps(first).replace(_name(0), name))
    return resource


def _another(first: Resource, name: str) -> Resource:
    """Return the state of the runtime as if it had been created under this name."""
    from pulumi_pika import RuntimeSpec
    from pulumi_pika.reconcile.instances.desired import plan_digest

    resource = _renamed(first, name)
    given = {key: resource["inputs"][key] for key in ("identity", "incus", "mounts")}
    plan = RuntimeSpec.model_validate({**given, "provider": "incus"}).build_incus_plan()
    outputs = first["outputs"]
    text = json.dumps(resource)
    for old, new in (
        (outputs["plan"]["mounts"][0]["device_name"], plan.mounts[0].device_name),
        (outputs["plan_digest"], plan_digest(plan)),
        (outputs["uuid"], str(uuid.uuid4())),
    ):
        text = text.replace(old, new)
    another: Resource = json.loads(text)
    return another


def _peak(command: Callable[[], object]) -> float:
    """Return the peak resident memory, in MiB, of the provider process of a Pulumi command."""
    peaks: dict[int, float] = {}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_PAUSE):
            for pid in _below(os.getpid()):
                # A process may end at any time.
                with contextlib.suppress(OSError):
                    if _MODULE in Path(f"/proc/{pid}/cmdline").read_bytes():
                        peaks[pid] = _high_water(pid) or peaks.get(pid, 0.0)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        command()
    finally:
        done.set()
        watcher.join()
    if len(peaks) != 1:
        raise RuntimeError(f"one provider process was expected, not {peaks}")
    return next(iter(peaks.values()))


def _below(pid: int) -> list[int]:
    """Return all descendants of a process."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *_below(child)]
    return found


def _high_water(pid: int) -> float:
    """Return the peak of the resident set in MiB; 0 for a process that has just ended."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _long_run(cycles: int) -> tuple[float, float]:
    """Return the MiB of a new process after check and diff of many runtimes, and then of one
    runtime many times."""
    done = subprocess.run(
        [sys.executable, "-c", f"from benchmarks.memory import _cycles; _cycles({cycles})"],
        cwd=ROOT,
        env={**os.environ, "INCUS_SOCKET": "/nonexistent"},
        capture_output=True,
        text=True,
        check=True,
    )
    before, after = json.loads(done.stdout)
    return before, after


def _cycles(cycles: int) -> None:
    import grpc  # noqa: F401
    import pulumi.dynamic  # noqa: F401

    for number in range(_MANY):
        inputs, outputs, calls = existing(f"box-{number}", 8)
        calls.diff(outputs, inputs)
    figures = [_resident()]
    given = wire(arguments("first", 8))
    inputs, outputs, calls = existing("first", 8)
    for _ in range(cycles):
        calls.check(given, inputs)
        calls.diff(outputs, inputs)
    print(json.dumps([*figures, _resident()]))


def _resident() -> float:
    """Return the resident memory in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
