"""Define the options that are one Incus config key each: pinned CPUs, relative limits, snapshots.

The limits of a plan are numbers of CPUs and MiB, since other tools use the same form of plans.
Other forms of a limit are options beside the plan.

Source: Incus doc/reference/instance_options.md, and `IsValidCPUSet` in internal/instance/config.go.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from ...message_templates import conflict, invalid_value, must
from ...planner.plan import IncusRuntimePlan
from ..shared.snapshot_rules import EXPIRY_RULE, SCHEDULE_RULE, is_expiry, is_schedule

if TYPE_CHECKING:
    from .live_instance import LiveInstance
    from .runtime_options import OptionProblem, RuntimeOptions

KEY_OF_OPTION: Final = {
    "cpu_pinning": "limits.cpu",
    "cpu_allowance": "limits.cpu.allowance",
    "memory_percent": "limits.memory",
    "snapshots_schedule": "snapshots.schedule",
    "snapshots_expiry": "snapshots.expiry",
    "snapshots_pattern": "snapshots.pattern",
}
_PLAN_FIELDS: Final = {"cpu_pinning": "vcpu_count", "memory_percent": "memory_mib"}
"""The limits of the plan that are the same config key as an option."""
_CPU_RANGE: Final = re.compile(r"\d+-\d+", re.ASCII)
_CPU: Final = re.compile(r"\d+", re.ASCII)
_ALLOWANCE: Final = re.compile(r"[1-9]\d*%|[1-9]\d*ms/[1-9]\d*ms", re.ASCII)


def key_config(options: "RuntimeOptions") -> dict[str, str]:
    """Return the config keys of these options."""
    found = {
        key: getattr(options, name)
        for name, key in KEY_OF_OPTION.items()
        if getattr(options, name) is not None
    }
    if options.memory_percent is not None:
        found["limits.memory"] = f"{options.memory_percent}%"
    return found


def observed_key_options(live: "LiveInstance", options: "RuntimeOptions") -> dict[str, Any]:
    """Return the options that are set, as a live instance has them."""
    wanted = key_config(options)
    found: dict[str, Any] = {}
    for name, key in KEY_OF_OPTION.items():
        given = getattr(options, name)
        if given is None:
            continue
        seen = live.config.get(key, "")
        found[name] = given if seen == wanted[key] else seen
    percent = found.get("memory_percent")
    if isinstance(percent, str) and re.fullmatch(r"\d+%", percent, re.ASCII):
        found["memory_percent"] = int(percent[:-1])
    return found


def find_key_problems(
    plan: IncusRuntimePlan, options: "RuntimeOptions"
) -> "Iterator[OptionProblem]":
    """Yield what is wrong with these options, without asking a server."""
    for name, key in KEY_OF_OPTION.items():
        if getattr(options, name) is None:
            continue
        field = _PLAN_FIELDS.get(name)
        if field and getattr(plan.resources, field) is not None:
            yield (name,), conflict(f"`resources.{field}`")
        elif key in options.config:
            yield ("config", key), conflict(f"`{name}`")
    if (cpus := options.cpu_pinning) is not None and not is_cpu_set(cpus):
        rule = 'use ranges and numbers of CPUs, as "0-3" or "0,2,5-7"; one CPU is "3-3"'
        yield ("cpu_pinning",), invalid_value(cpus, "set of CPUs", rule)
    allowance = options.cpu_allowance
    if allowance is not None and options.instance_type == "virtual-machine":
        yield (
            ("cpu_allowance",),
            conflict(
                '`instance_type="virtual-machine"`', "set it for a container only, or `vcpu_count`"
            ),
        )
    elif allowance is not None and not _ALLOWANCE.fullmatch(allowance):
        rule = 'use a share, as "50%", or a time in each period, as "25ms/100ms"'
        yield ("cpu_allowance",), invalid_value(allowance, "share of CPU time", rule)
    schedule, expiry = options.snapshots_schedule, options.snapshots_expiry
    if schedule is not None and not is_schedule(schedule):
        yield ("snapshots_schedule",), invalid_value(schedule, "schedule", SCHEDULE_RULE)
    if expiry is not None and not is_expiry(expiry):
        yield ("snapshots_expiry",), invalid_value(expiry, "expiry", EXPIRY_RULE)
    if options.snapshots_pattern is not None and not options.snapshots_pattern.strip():
        yield ("snapshots_pattern",), must("be non-empty; remove it for the default")


def is_cpu_set(text: str) -> bool:
    """Return whether a value of `limits.cpu` is a set of CPUs, and not a number of them."""
    parts = [part.strip() for part in text.split(",")]
    # A single number is a number of CPUs to Incus, and not the CPU of that number.
    return all(_CPU_RANGE.fullmatch(part) or _CPU.fullmatch(part) for part in parts) and (
        len(parts) > 1 or not _CPU.fullmatch(parts[0])
    )
