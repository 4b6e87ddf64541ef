"""Check the inputs of a runtime or a job against the host: report what is missing there."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ..incus.errors import (
    BadHostSettings,
    IncusError,
    IncusUnreachable,
    ServerCertificateChanged,
)
from ..message_templates import could_not
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
from ..validation.lenient_validation import Failure
from ..validation.plan_inputs import PlannedInputs
from ..validation.property_tree import (
    Path,
    path_text,
    paths_overlap,
)
from ..validation.warning_codes import coded
from .declared_objects import is_declared
from .engine_log import PulumiReporter
from .host_connection import (
    Host,
    current_host,
    requested_preflight,
)
from .instance_inputs import InstanceInputs
from .properties import HiddenOptions

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
    ("profiles",),
    ("storage_pool",),
)
"""The inputs that an existing instance needs on its host. The image, for example, may be
deleted."""

Ask = Callable[[HostFacts], list[Finding]]


@dataclass(frozen=True, slots=True)
class _Checked:
    """The findings of the last `check` of a resource, for later calls in this process."""

    old: InstanceInputs | None
    """The inputs of the instance that exists."""
    has_dependencies: bool
    host_changed: bool


_checked: dict[str, _Checked] = {}
"""By owner. For a replacement, the engine calls `check` again, without the old inputs."""


def check_host(
    old: InstanceInputs | None,
    new: InstanceInputs,
    report: PulumiReporter,
    holder_rule: HolderRule = refuse_holder,
) -> list[Failure]:
    """Return what is missing on the host, as failures. If nothing changed, no request is sent.

    Args:
        old: The inputs that an earlier `check` returned; None for a new instance.
        new: The new inputs.
        report: Receives warnings.
        holder_rule: See `feasibility.HolderRule`.
    """
    planned, hidden = new.planned, new.hidden
    owner = planned.options.owner
    last = _checked.get(owner)
    replaced = old or (last.old if last else None)
    # No call reports a change of an `IncusHost`. A state without a digest counts as unchanged.
    digest = old.hidden.host_digest if old else ""
    moved = bool(digest) and digest != hidden.host_digest
    _checked[owner] = _Checked(replaced, hidden.has_dependencies, moved)
    if old and not moved and new.unchanged_since(old):
        return []
    mode = requested_preflight()
    if mode == "off":
        return []
    is_new = old is None or any(_differs(path, old, new) for path in _IDENTITY_PATHS)

    def ask(facts: HostFacts) -> list[Finding]:
        before = _predecessor(replaced)
        if is_new:
            goes_first = None if hidden.create_first else before
            return _obstacles(facts, planned, goes_first, holder_rule)
        return run_preflight(facts, planned.plan, planned.options, before.plan if before else None)

    try:
        found = _run_checks(ask, report, previewing=hidden.previewing)
    except IncusError as error:
        return _not_asked(error, mode, report)
    failures = []
    for finding in _known(found, planned):
        concerns = _differs(finding.path, old, new) or (moved and finding.path in _OF_HOST)
        if not is_new and not concerns:
            continue
        if finding.advisory:
            # What the program does not set, such as the limits of a job, is not worth a warning.
            if new.properties.at(finding.path) is not None:
                report.warn(coded(_sentence(finding, hidden), codes.HOST))
            continue
        if finding.may_be_created and hidden.has_dependencies and mode == "auto":
            if _is_declared(finding.path, new):
                continue  # An object of this program, which a preview has not created.
            text = (
                f"{_sentence(finding, hidden)}. {finding.awaited} when "
                f"{planned.plan.identity.instance_name} is created"
                + (", and the instance that this replaces is deleted before that" if old else "")
            )
            report.warn(coded(text, codes.HOST))
            continue
        reason = finding.message(secret=hidden.is_secret(finding.path))
        failures.append(Failure(finding.path, reason))
    return failures


def _is_declared(path: Path, new: InstanceInputs) -> bool:
    """Return whether the program declares the image, profile, project or pool of a property."""
    name, project = new.properties.at(path), new.properties.at(("incus", "project"))
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
    new: InstanceInputs,
    predecessor: Predecessor | None,
    report: PulumiReporter,
    holder_rule: HolderRule = refuse_holder,
) -> None:
    """Check the host again, right before the engine deletes an instance in order to replace it.

    `check` sends no request if no input changed, but drift alone can cause a replacement. A `diff`
    without a `check` before it, as in a refresh, replaces nothing.

    Args:
        new: The new inputs.
        predecessor: The instance that is deleted first; None if there is none.
        report: Receives warnings.
        holder_rule: See `feasibility.HolderRule`.

    Raises:
        PreflightFailed: The new instance could not be created; nothing was changed.
    """
    planned = new.planned
    mode, checked = requested_preflight(), _checked.get(planned.options.owner)
    if mode == "off" or checked is None:
        return

    def ask(facts: HostFacts) -> list[Finding]:
        # Cached facts are not good enough: the engine's next step is the delete.
        facts.invalidate_before(time.monotonic())
        return _obstacles(facts, planned, predecessor, holder_rule)

    try:
        found = _run_checks(ask, report)
    except IncusError:
        return  # An unreachable host cannot delete anything either.
    may_be_created = checked.has_dependencies and mode == "auto"
    found = [
        it
        for it in _known(found, planned)
        if not it.advisory and not (it.may_be_created and may_be_created)
    ]
    if found:
        name = planned.plan.identity.instance_name
        listed = "; ".join(_sentence(finding, new.hidden) for finding in found)
        raise PreflightFailed(
            could_not(
                f"replace instance {name}",
                f"the new instance cannot be created: {listed}",
                undone="Nothing was changed",
            )
        )


def before_create(new: InstanceInputs, holder_rule: HolderRule = refuse_holder) -> None:
    """Check the host again, right before an instance is created. Usually the facts are cached from
    `check`.

    The create itself checks the instance's name and mounts.

    Args:
        new: The inputs.
        holder_rule: See `feasibility.HolderRule`.

    Raises:
        PreflightFailed: Something is missing on the host.
        IncusError: A request to the host failed.
    """
    plan, options = new.planned.plan, new.planned.options
    _checked.pop(options.owner, None)
    if requested_preflight() == "off":
        return

    def ask(facts: HostFacts) -> list[Finding]:
        client = facts.client.in_project(plan.incus.project)
        return run_preflight(
            facts, plan, options, lambda: free_share(client, plan, options, None, holder_rule)
        )

    found = [finding for finding in _recheck(current_host(), ask) if not finding.advisory]
    if options.adopt:
        # An adopted instance does not need the image.
        found = [finding for finding in found if finding.path != ("incus", "image_alias")]
    if found:
        listed = "; ".join(_sentence(finding, new.hidden) for finding in found)
        name = plan.identity.instance_name
        raise PreflightFailed(
            could_not(f"create instance {name}", listed, undone="Nothing was created")
        )


def _obstacles(
    facts: HostFacts,
    planned: PlannedInputs,
    goes_first: Predecessor | None,
    holder_rule: HolderRule,
) -> list[Finding]:
    """Return everything for which a create would be refused after `goes_first` is deleted."""
    return find_obstacles(
        facts,
        planned.plan,
        planned.options,
        predecessor=goes_first,
        unknown=planned.unknown,
        holder_rule=holder_rule,
    )


def _known(found: list[Finding], planned: PlannedInputs) -> list[Finding]:
    """Return the findings that are not about an unknown property."""
    return [
        finding
        for finding in found
        if not any(
            paths_overlap(property_, unknown)
            for property_ in ((finding.path,) if finding.path else ()) + finding.needs
            for unknown in planned.unknown
        )
    ]


def _run_checks(ask: Ask, report: PulumiReporter, *, previewing: bool = False) -> list[Finding]:
    here = current_host()
    if here.settings.insecure and here.warn_once("insecure"):
        report.warn(
            f"insecure is on: pulumi_pika accepts every server that answers at {here.client.host}; "
            "set server_fingerprint instead"
        )
    if time.monotonic() < here.away_until:
        return []
    try:
        if not here.enrolled and not here.is_trusted():
            if previewing and here.warn_once("token"):
                report.info(
                    f"the server at {here.client.host} does not trust this client yet; the first "
                    "`pulumi up` uses the trust_token. Until then a preview cannot check the host"
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
    if any(not finding.advisory for finding in found):
        # It may have been created since the last request. If many resources are checked at once,
        # each uses the replies to all requests that were sent after its own start.
        here.facts.invalidate_before(begun)
        found = ask(here.facts)
    return found


def _predecessor(old: InstanceInputs | None) -> Predecessor | None:
    if old is None or old.planned.failures:
        return None
    return Predecessor(old.planned.plan, old.planned.options)


def _not_asked(error: IncusError, mode: str, report: PulumiReporter) -> list[Failure]:
    if mode == "required" or isinstance(error, ServerCertificateChanged | BadHostSettings):
        return [Failure((), f"could not check the host: {error}")]
    if _first_time(error):
        text = f"could not check the host, so that only the plan was checked: {error}"
        report.warn(coded(text, codes.HOST))
    return []


_shown: set[str] = set()


def _first_time(error: IncusError) -> bool:
    """Return whether this error was not yet shown in this process; the host itself may be
    unknown."""
    key = type(error).__name__
    try:
        return current_host().warn_once(key)
    except IncusError:
        if key in _shown:
            return False
        _shown.add(key)
        return True


def _differs(path: Path, old: InstanceInputs | None, new: InstanceInputs) -> bool:
    return old is None or old.properties.differs(path, new.properties)


def _sentence(finding: Finding, hidden: HiddenOptions) -> str:
    reason = finding.message(secret=hidden.is_secret(finding.path))
    return f"{path_text(finding.path)}: {reason}" if finding.path else reason
