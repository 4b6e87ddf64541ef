"""The times of the tests on virtual machines, from the file that keeps their outcomes."""

from collections.abc import Iterable

from dev import vm_lane

from .report import Row, Section


def virtual_machines() -> Section:
    """Return the kept times of the steps, and of the boots in them."""
    steps = [
        step for step in vm_lane.read() if step.outcome == "passed" and step.seconds is not None
    ]
    rows = [
        Row(f"{step.what} ({_host(step)})", f"{step.seconds} s", floor=_boot(step))
        for step in steps
    ]
    how = (
        "Not measured in this run: the times that `python3 dev test tests/system/vm --vm-host "
        f"HOST --vm-record` kept{_dates(steps)}. A step has its `pulumi` commands and the checks "
        "in the guest. The floor is the time from Incus's start of the machine to the end of the "
        "command that waits for its guest. In an emulated host everything takes a multiple."
    )
    return Section("Virtual machines", how, rows)


def _host(step: vm_lane.Step) -> str:
    return f"Incus {step.server}, {step.pool}, {step.host}"


def _boot(step: vm_lane.Step) -> str:
    return "" if step.boot is None else f"{step.boot} s"


def _dates(steps: Iterable[vm_lane.Step]) -> str:
    dates = sorted({step.date for step in steps})
    return f" ({' to '.join(dict.fromkeys((dates[0], dates[-1])))})" if dates else ""
