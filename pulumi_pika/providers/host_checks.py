"""What the host has to say to a runtime's inputs: its defaults, and what it lacks."""

import time
from collections.abc import Callable
from typing import Any, Final

from ..incus.errors import IncusError, IncusUnreachable, ServerCertificateChanged
from ..planner.plan import IncusRuntimePlan
from ..reconcile.errors import PreflightFailed
from ..reconcile.preflight import Finding, find_problems
from .clients import Host, host, requested_preflight
from .examine import Examined, examine
from .report import PulumiReporter
from .secrets import is_secret
from .shape import Failure
from .values import Path, find, path_text, touches

_AWAY_FOR: Final = 20.0
"""Seconds for which a host that did not answer is not asked again."""
_NEW: Final[tuple[Path, ...]] = (
    ("identity", "instance_name"),
    ("incus", "project"),
    ("incus", "image_alias"),
    ("instance_type",),
    ("storage_pool",),
)
"""What makes another instance of it; then all that the host lacks counts anew."""
AFTER_OTHERS: Final = "after_others"
"""An argument that `check` takes and drops: whether the resource waits for others."""

Report = Callable[[], PulumiReporter]


def with_defaults(olds: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    """The inputs with the host's project and storage pool, where the program names none.

    They count when a runtime is made. Afterwards it stays where it is: another default must not
    move, that is replace, what is there.

    Args:
        olds: the inputs as they were, with the defaults of then.
        inputs: the inputs, which are left as they are.
    """
    target = inputs.get("incus")
    named = not isinstance(target, dict) or "project" in target
    if named and "storage_pool" in inputs:
        return inputs
    try:
        settings = host().settings
    except IncusError:
        return inputs  # It is said where the host is needed.
    if not named and isinstance(target, dict):
        project = find(olds, ("incus", "project")) or settings.project
        if project:
            inputs = {**inputs, "incus": {**target, "project": project}}
    if "storage_pool" not in inputs:
        pool = olds.get("storage_pool") if olds else settings.storage_pool
        if pool:
            inputs = {**inputs, "storage_pool": pool}
    return inputs


def check_host(
    olds: dict[str, Any],
    inputs: dict[str, Any],
    examined: Examined,
    *,
    after_others: bool,
    report: Report,
) -> list[Failure]:
    """What the host lacks, as failures; without any request where nothing changed.

    Args:
        olds: the inputs as they were; empty for a new instance.
        inputs: the inputs as they are going to be.
        examined: what they come to.
        after_others: whether the resource waits for others, which may bring what is missing now.
        report: where to warn.
    """
    if olds and all(olds.get(name) == inputs.get(name) for name in inputs.keys() | olds.keys()):
        return []
    mode = requested_preflight()
    if mode == "off":
        return []
    try:
        found = _look(examined, None if _is_new(olds, inputs) else olds, report)
    except IncusError as error:
        return _not_asked(error, mode, report)
    failures = []
    for finding in found:
        if any(touches(finding.path, path) for path in examined.unknown if finding.path):
            continue
        if not _is_new(olds, inputs) and not _changed(finding.path, olds, inputs):
            continue
        reason = finding.told(secret=is_secret(finding.path, inputs))
        if finding.may_come and after_others and mode == "auto":
            report().warn(
                f"{path_text(finding.path)}: {reason}. It has to be there when "
                f"{examined.plan.identity.instance_name} is made"
                + (", and the instance that this replaces is deleted before that" if olds else "")
            )
            continue
        failures.append(Failure(finding.path, reason))
    return failures


def before_create(examined: Examined, inputs: dict[str, Any]) -> None:
    """Looks once more, right before an instance is made; from what `check` found out, as a rule.

    Args:
        examined: what the inputs come to.
        inputs: the inputs, for which of them are secret.

    Raises:
        PreflightFailed: the host lacks something.
        IncusError: it cannot be asked.
    """
    if requested_preflight() == "off":
        return
    found = _problems(host(), examined)
    if getattr(examined.options, "adopt", False):
        # What is taken over needs no image any more.
        found = [finding for finding in found if finding.path != ("incus", "image_alias")]
    if found:
        listed = "; ".join(_sentence(finding, inputs) for finding in found)
        raise PreflightFailed(
            f"{examined.plan.identity.instance_name} cannot be made, and nothing was: {listed}"
        )


def _look(examined: Examined, olds: dict[str, Any] | None, report: Report) -> list[Finding]:
    here = host()
    if here.settings.insecure and here.first("insecure"):
        report().warn(
            f"insecure: any server that answers at {here.client.host} is taken for the right one; "
            "give server_fingerprint instead"
        )
    if time.monotonic() < here.away_until:
        return []
    try:
        if not here.enrolled and not here.knows_us():
            if here.first("token"):
                report().info(
                    f"the host at {here.client.host} does not know this client yet; the first "
                    "`pulumi up` uses the trust_token, and until then nothing can be looked up"
                )
            return []
        return _problems(here, examined, _plan_of(olds) if olds else None)
    except IncusUnreachable:
        here.away_until = time.monotonic() + _AWAY_FOR
        raise


def _problems(
    here: Host, examined: Examined, before: IncusRuntimePlan | None = None
) -> list[Finding]:
    """What the host lacks; as it is now, not as it was when another resource was checked."""
    begun = time.monotonic()
    found = find_problems(here.facts, examined.plan, examined.options, before)
    if found:
        # It may have come since it was last asked for. Of many that are checked at once, each
        # takes what any of them asked for after it began.
        here.facts.forget(begun)
        found = find_problems(here.facts, examined.plan, examined.options, before)
    return found


def _plan_of(olds: dict[str, Any]) -> IncusRuntimePlan | None:
    examined = examine(olds)
    return None if examined.failures else examined.plan


def _not_asked(error: IncusError, mode: str, report: Report) -> list[Failure]:
    if mode == "required" or isinstance(error, ServerCertificateChanged):
        return [Failure((), f"the host could not be looked at: {error}")]
    if _first_time(error):
        report().warn(
            f"the host could not be looked at, so that only the plan itself was checked: {error}"
        )
    return []


_said: set[str] = set()


def _first_time(error: IncusError) -> bool:
    """Whether this was not said yet in this process; the host itself may not be known."""
    key = type(error).__name__
    try:
        return host().first(key)
    except IncusError:
        if key in _said:
            return False
        _said.add(key)
        return True


def _is_new(olds: dict[str, Any], inputs: dict[str, Any]) -> bool:
    return not olds or any(_changed(path, olds, inputs) for path in _NEW)


def _changed(path: Path, olds: dict[str, Any], inputs: dict[str, Any]) -> bool:
    return bool(find(olds, path) != find(inputs, path))


def _sentence(finding: Finding, inputs: dict[str, Any]) -> str:
    reason = finding.told(secret=is_secret(finding.path, inputs))
    return f"{path_text(finding.path)}: {reason}" if finding.path else reason
