"""Check a runtime's inputs against the host: its defaults, and what is missing there."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ..incus.errors import (
    BadHostSettings,
    IncusError,
    IncusUnreachable,
    ServerCertificateChanged,
)
from ..reconcile.feasibility import (
    HolderRule,
    Predecessor,
    find_obstacles,
    free_share,
    refuse_holder,
)
from ..reconcile.preflight import (
    Finding,
    HostFacts,
    run_preflight,
)
from ..reconcile.shared.errors import PreflightFailed
from ..validation import warning_codes as codes
from ..validation.hidden_property import CREATE_FIRST, HOST
from ..validation.lenient_validation import Failure
from ..validation.plan_inputs import PlannedInputs, plan_inputs
from ..validation.property_tree import (
    Path,
    get_path,
    path_text,
    paths_overlap,
)
from ..validation.warning_codes import coded
from .declared_objects import is_declared
from .engine_log import PulumiReporter
from .host_connection import (
    Host,
    current_host,
    default_place,
    requested_preflight,
)
from .secret_marking import is_secret

_UNREACHABLE_TTL: Final = 20.0
"""Seconds for which no request is sent to a host that did not answer."""
_IDENTITY_PATHS: Final[tuple[Path, ...]] = (
    ("identity", "instance_name"),
    ("incus", "project"),
    ("incus", "image_alias"),
    ("instance_type",),
    ("storage_pool",),
)
"""The inputs whose change replaces the instance; then everything is checked on the host again."""
_OF_HOST: Final[tuple[Path, ...]] = (
    (),
    ("incus", "project"),
    ("incus", "profile"),
    ("extra_profiles",),
    ("storage_pool",),
)
"""The inputs that an existing instance needs on its host. The image, for example, may be
deleted."""
_DEFAULT_PROFILE: Final = "default"
HAS_DEPENDENCIES: Final = "after_others"
"""An argument that only `check` uses: whether the resource depends on others."""

Report = Callable[[], PulumiReporter]
Ask = Callable[[HostFacts], list[Finding]]


def with_defaults(olds: dict[str, Any], inputs: dict[str, Any]) -> dict[str, Any]:
    """Return the inputs with the defaults of project, profile and storage pool.

    The defaults of project and storage pool come from the host and are used at creation only. A new
    default must not replace an existing instance.

    Args:
        olds: The old inputs, with the defaults of that time.
        inputs: The inputs, which are not changed.
    """
    target = inputs.get("incus", {})
    default_project, default_pool = default_place()
    if isinstance(target, dict):
        project = get_path(olds, ("incus", "project")) or default_project
        inputs = {**inputs, "incus": {"project": project, "profile": _DEFAULT_PROFILE, **target}}
    if "storage_pool" not in inputs:
        pool = olds.get("storage_pool") if olds else default_pool
        if pool:
            inputs = {**inputs, "storage_pool": pool}
    return inputs


@dataclass(frozen=True, slots=True)
class _Checked:
    """The findings of the last `check` of a resource, for later calls in this process."""

    olds: dict[str, Any]
    after_others: bool
    host_changed: bool


_checked: dict[str, _Checked] = {}
"""By owner. For a replacement, the engine calls `check` again, without the old inputs."""


def check_host(
    olds: dict[str, Any],
    inputs: dict[str, Any],
    examined: PlannedInputs,
    *,
    after_others: bool,
    previewing: bool,
    report: Report,
    holder_rule: HolderRule = refuse_holder,
) -> list[Failure]:
    """Return what is missing on the host, as failures. If nothing changed, no request is sent.

    Args:
        olds: The old inputs; empty for a new instance.
        inputs: The new inputs.
        examined: The planned inputs.
        after_others: Whether the resource depends on others, which may create what is missing now.
        previewing: Whether this is a preview, in which a trust token is not used.
        report: Receives warnings.
        holder_rule: See `feasibility.HolderRule`.
    """
    owner = examined.options.owner
    last = _checked.get(owner)
    replaced = olds or (last.olds if last else {})
    # No call reports a change of an `IncusHost`. A state without a digest counts as unchanged.
    moved = HOST in olds and olds[HOST] != inputs.get(HOST)
    _checked[owner] = _Checked(replaced, after_others, moved)
    names = (inputs.keys() | olds.keys()) - {HOST}
    if olds and not moved and all(olds.get(name) == inputs.get(name) for name in names):
        return []
    mode = requested_preflight()
    if mode == "off":
        return []
    new = _is_new(olds, inputs)

    def ask(facts: HostFacts) -> list[Finding]:
        before = _predecessor(replaced)
        if new:
            goes_first = None if inputs.get(CREATE_FIRST) else before
            return _obstacles(facts, examined, goes_first, holder_rule)
        return run_preflight(
            facts, examined.plan, examined.options, before.plan if before else None
        )

    try:
        found = _run_checks(ask, report, previewing=previewing)
    except IncusError as error:
        return _not_asked(error, mode, report)
    failures = []
    for finding in _known(found, examined):
        concerns = _changed(finding.path, olds, inputs) or (moved and finding.path in _OF_HOST)
        if not new and not concerns:
            continue
        if finding.may_come and after_others and mode == "auto":
            if _is_declared(finding.path, inputs):
                continue  # An object of this program, which a preview has not created.
            text = (
                f"{_sentence(finding, inputs)}. {finding.awaited} when "
                f"{examined.plan.identity.instance_name} is made"
                + (", and the instance that this replaces is deleted before that" if olds else "")
            )
            report().warn(coded(text, codes.HOST))
            continue
        reason = finding.told(secret=is_secret(finding.path, inputs))
        failures.append(Failure(finding.path, reason))
    return failures


def _is_declared(path: Path, inputs: dict[str, Any]) -> bool:
    """Return whether the program declares the image, profile, project or pool of a property."""
    name, project = get_path(inputs, path), get_path(inputs, ("incus", "project"))
    if not isinstance(name, str):
        return False
    if path == ("incus", "project"):
        return is_declared("projects", "", name)
    if path == ("storage_pool",):
        return is_declared("storage-pools", "", name)
    if path == ("incus", "image_alias"):
        return is_declared("images", str(project), name)
    if path == ("incus", "profile") or path[0] == "extra_profiles":
        return is_declared("profiles", str(project), name)
    return False


def host_changed(owner: str) -> bool:
    """Return whether the last `check` of a resource found another host than the one before."""
    last = _checked.get(owner)
    return last is not None and last.host_changed


def before_replacement(
    examined: PlannedInputs,
    inputs: dict[str, Any],
    predecessor: Predecessor | None,
    report: Report,
    holder_rule: HolderRule = refuse_holder,
) -> None:
    """Check the host again, right before the engine deletes an instance in order to replace it.

    `check` sends no request if no input changed, but drift alone can cause a replacement. A `diff`
    without a `check` before it, as in a refresh, replaces nothing.

    Args:
        examined: The planned new inputs.
        inputs: The new inputs.
        predecessor: The instance that is deleted first; None if there is none.
        report: Receives warnings.
        holder_rule: See `feasibility.HolderRule`.

    Raises:
        PreflightFailed: The new instance could not be created; nothing was changed.
    """
    mode, checked = requested_preflight(), _checked.get(examined.options.owner)
    if mode == "off" or checked is None:
        return

    def ask(facts: HostFacts) -> list[Finding]:
        # Cached facts are not good enough: the engine's next step is the delete.
        facts.forget(time.monotonic())
        return _obstacles(facts, examined, predecessor, holder_rule)

    try:
        found = _run_checks(ask, report)
    except IncusError:
        return  # An unreachable host cannot delete anything either.
    may_come = checked.after_others and mode == "auto"
    found = [it for it in _known(found, examined) if not (it.may_come and may_come)]
    if found:
        listed = "; ".join(_sentence(finding, inputs) for finding in found)
        raise PreflightFailed(
            f"{examined.plan.identity.instance_name} cannot be replaced, and nothing was deleted, "
            f"since the new instance could not be created: {listed}"
        )


def before_create(
    examined: PlannedInputs, inputs: dict[str, Any], holder_rule: HolderRule = refuse_holder
) -> None:
    """Check the host again, right before an instance is created. Usually the facts are cached from
    `check`.

    The create itself checks the instance's name and mounts.

    Args:
        examined: The planned inputs.
        inputs: The inputs, which tell what is secret.
        holder_rule: See `feasibility.HolderRule`.

    Raises:
        PreflightFailed: Something is missing on the host.
        IncusError: A request to the host failed.
    """
    _checked.pop(examined.options.owner, None)
    if requested_preflight() == "off":
        return
    plan, options = examined.plan, examined.options

    def ask(facts: HostFacts) -> list[Finding]:
        client = facts.client.in_project(plan.incus.project)
        return run_preflight(
            facts, plan, options, lambda: free_share(client, plan, options, None, holder_rule)
        )

    found = _recheck(current_host(), ask)
    if getattr(examined.options, "adopt", False):
        # An adopted instance does not need the image.
        found = [finding for finding in found if finding.path != ("incus", "image_alias")]
    if found:
        listed = "; ".join(_sentence(finding, inputs) for finding in found)
        raise PreflightFailed(
            f"{examined.plan.identity.instance_name} cannot be made, and nothing was: {listed}"
        )


def _obstacles(
    facts: HostFacts,
    examined: PlannedInputs,
    goes_first: Predecessor | None,
    holder_rule: HolderRule,
) -> list[Finding]:
    """Return everything for which a create would be refused after `goes_first` is deleted."""
    return find_obstacles(
        facts,
        examined.plan,
        examined.options,
        predecessor=goes_first,
        unknown=examined.unknown,
        holder_rule=holder_rule,
    )


def _known(found: list[Finding], examined: PlannedInputs) -> list[Finding]:
    """Return the findings that are not about an unknown property."""
    return [
        finding
        for finding in found
        if not finding.path
        or not any(paths_overlap(finding.path, path) for path in examined.unknown)
    ]


def _run_checks(ask: Ask, report: Report, *, previewing: bool = False) -> list[Finding]:
    here = current_host()
    if here.settings.insecure and here.first("insecure"):
        report().warn(
            f"insecure: any server that answers at {here.client.host} is taken for the right one; "
            "give server_fingerprint instead"
        )
    if time.monotonic() < here.away_until:
        return []
    try:
        if not here.enrolled and not here.knows_us():
            if previewing and here.first("token"):
                report().info(
                    f"the host at {here.client.host} does not know this client yet; the first "
                    "`pulumi up` uses the trust_token, and until then nothing can be looked up"
                )
            return []
        return _recheck(here, ask)
    except IncusUnreachable:
        here.away_until = time.monotonic() + _UNREACHABLE_TTL
        raise


def _recheck(here: Host, ask: Ask) -> list[Finding]:
    """Return what is missing on the host now, not at the time at which another resource was
    checked."""
    begun = time.monotonic()
    found = ask(here.facts)
    if found:
        # It may have been created since the last request. If many resources are checked at once,
        # each uses the replies to all requests that were sent after its own start.
        here.facts.forget(begun)
        found = ask(here.facts)
    return found


def _predecessor(olds: dict[str, Any]) -> Predecessor | None:
    examined = plan_inputs(olds) if olds else None
    if examined is None or examined.failures:
        return None
    return Predecessor(examined.plan, examined.options)


def _not_asked(error: IncusError, mode: str, report: Report) -> list[Failure]:
    if mode == "required" or isinstance(error, ServerCertificateChanged | BadHostSettings):
        return [Failure((), f"the host could not be looked at: {error}")]
    if _first_time(error):
        text = f"the host could not be looked at, so that only the plan itself was checked: {error}"
        report().warn(coded(text, codes.HOST))
    return []


_said: set[str] = set()


def _first_time(error: IncusError) -> bool:
    """Return whether this error was not yet shown in this process; the host itself may be
    unknown."""
    key = type(error).__name__
    try:
        return current_host().first(key)
    except IncusError:
        if key in _said:
            return False
        _said.add(key)
        return True


def _is_new(olds: dict[str, Any], inputs: dict[str, Any]) -> bool:
    return not olds or any(_changed(path, olds, inputs) for path in _IDENTITY_PATHS)


def _changed(path: Path, olds: dict[str, Any], inputs: dict[str, Any]) -> bool:
    return bool(get_path(olds, path) != get_path(inputs, path))


def _sentence(finding: Finding, inputs: dict[str, Any]) -> str:
    reason = finding.told(secret=is_secret(finding.path, inputs))
    return f"{path_text(finding.path)}: {reason}" if finding.path else reason
