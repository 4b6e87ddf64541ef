"""Measure what needs no server: the planner, the import, and provider calls."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from dev.paths import ROOT

from .report import Row, Section

_KINDS: Final = ("persistent_volume", "cache", "read_only_snapshot", "artifact_output")


def arguments(name: str, mounts: int) -> dict[str, Any]:
    """Return the arguments of a container, as they reach its provider."""
    return {
        "identity": {"runtime_id": f"id-{name}", "instance_name": name},
        "incus": {"project": "default", "profile": "default", "image_alias": "pika/bench"},
        "mounts": [
            {
                "kind": _KINDS[number % 4],
                "source": f"{name}-data-{number}",
                "guest_path": f"/mnt/data-{number}",
                "mode": "read_only" if number % 4 == 2 else "read_write",
            }
            for number in range(mounts)
        ],
        "instance_type": "container",
        "storage_pool": "default",
        "running": True,
        "owner": f"urn:pulumi:bench::bench::pulumi-python:dynamic/pika:IncusRuntime::{name}",
        "secret_inputs": [],
    }


def wire(tree: Any) -> Any:
    """Return the tree as Pulumi transfers it: every number is a float."""
    return json.loads(json.dumps(tree), parse_int=float)


def planner(rounds: int) -> Section:
    """Measure specs per second, and whether the time grows linearly with the number of mounts."""
    from pulumi_pika import RuntimeSpec

    def spec(mounts: int) -> dict[str, Any]:
        given = arguments("box", mounts)
        return {key: given[key] for key in ("identity", "incus", "mounts")} | {"provider": "incus"}

    def plan(fields: dict[str, Any]) -> Callable[[], object]:
        return lambda: RuntimeSpec.model_validate(fields).build_incus_plan()

    eight, hundred, thousand = (_best(plan(spec(n)), rounds) for n in (8, 100, 1000))
    return Section(
        "Planner",
        "`RuntimeSpec.model_validate(dict)` and `build_incus_plan()`, one thread.",
        [
            Row("specs with 8 mounts", f"{1 / eight:,.0f} / s", "at least 10,000 / s"),
            Row("a spec with 100 mounts", f"{hundred * 1e3:.2f} ms"),
            Row(
                "a spec with 1,000 mounts",
                f"{thousand * 1e3:.2f} ms, {thousand / hundred:.1f} x as long",
                "about 10 x: linear",
            ),
        ],
    )


def imports(rounds: int) -> Section:
    """Measure the import of the package after the import of pulumi, in new processes."""
    base, above = [], []
    for _ in range(rounds):
        first, second = _imports()
        base.append(first * 1e3)
        above.append(second * 1e3)
    return Section(
        "Import",
        f"Fresh processes, medians of {rounds} (CPU time, which another process does not disturb).",
        [
            Row("`import pulumi`", f"{statistics.median(base):.0f} ms"),
            Row(
                "`from pulumi_pika import IncusRuntime` above that",
                f"{statistics.median(above):.0f} ms",
                "at most 60 ms",
            ),
        ],
    )


def provider_calls(rounds: int) -> Section:
    """Measure calls of the provider code that send no request to the host, without gRPC."""
    rows = []
    for mounts in (0, 8):
        inputs, outputs, provider = existing(f"box-{mounts}", mounts)
        given = wire(arguments(f"box-{mounts}", mounts))
        if provider.diff("", outputs, inputs).changes:
            raise RuntimeError("a diff of what did not change says that it did")
        for name, call in (
            ("check", partial(provider.check, inputs, given)),
            ("diff", partial(provider.diff, "", outputs, inputs)),
        ):
            taken = _best(call, rounds) * 1e3
            rows.append(
                Row(f"{name}, {mounts} mounts, nothing changed", f"{taken:.2f} ms", "under 1 ms")
            )
    return Section("Provider calls that touch no host", "Our own code alone, one thread.", rows)


def existing(name: str, mounts: int) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """Return the inputs and outputs of a created runtime without changes."""
    from pulumi_pika.providers import host_connection
    from pulumi_pika.providers.runtime import IncusRuntimeProvider
    from pulumi_pika.reconcile.instances.desired import declared_devices, plan_digest
    from pulumi_pika.validation.plan_inputs import plan_inputs
    from pulumi_pika.validation.property_tree import normalize

    host_connection.configure({"pika:preflight": "off"})
    provider = IncusRuntimeProvider()
    checked = provider.check({}, wire(arguments(name, mounts)))
    if checked.failures:
        raise RuntimeError(str([failure.reason for failure in checked.failures]))
    inputs = wire(checked.inputs)
    examined = plan_inputs(normalize(inputs))
    outputs = {
        **inputs,
        "devices": declared_devices(examined.plan, examined.options),
        "plan_digest": plan_digest(examined.plan),
        "status": "Running",
        "volume_storage_pool": "default",
        "uuid": "c6b8d770-982c-4c46-8213-5b40031513d6",
        "skipped_mounts": [],
        "schema_version": 1.0,
    }
    return inputs, outputs, provider


def _best(call: Callable[[], object], rounds: int) -> float:
    """Return the seconds of one call: the median of rounds of about 0.2 CPU seconds each."""
    begun = time.process_time()
    call()
    times = max(1, int(0.2 / max(time.process_time() - begun, 1e-5)))
    taken = []
    for _ in range(rounds):
        begun = time.process_time()
        for _ in range(times):
            call()
        taken.append((time.process_time() - begun) / times)
    return statistics.median(taken)


_IMPORTS: Final = """
from time import process_time
begun = process_time()
import pulumi
then = process_time()
from pulumi_pika import IncusRuntime
print(then - begun, process_time() - then)
"""


def _imports() -> tuple[float, float]:
    """Return the CPU seconds of a new process for both imports."""
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTS], cwd=ROOT, capture_output=True, text=True, check=True
    )
    first, second = map(float, done.stdout.split())
    return first, second
