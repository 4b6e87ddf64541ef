"""How the `check` of a resource that is an instance begins and ends."""

from collections.abc import Collection
from typing import Any, Final

from pulumi.dynamic import CheckResult
from pulumi.runtime.rpc import UNKNOWN

from ..reconcile.feasibility import HolderRule, refuse_holder
from ..validation.hidden_property import HOST, PREVIEWING
from ..validation.lenient_validation import Failure
from ..validation.plan_inputs import PlannedInputs
from ..validation.property_tree import (
    Path,
    get_path,
    normalize,
)
from .host_checks import (
    HAS_DEPENDENCIES,
    check_host,
    with_defaults,
)
from .host_connection import host_digest
from .provider_errors import user_facing_errors
from .secret_marking import (
    check_failures,
    mark_secrets,
    secret_paths,
)

_ARGUMENTS: Final[dict[Path, str]] = {
    ("incus", "image_alias"): " (argument `image`, or `incus.image_alias`)",
    ("identity", "instance_name"): " (argument `instance_name`; by default the resource's name)",
}


def read_inputs(
    news: dict[str, Any], olds: dict[str, Any] | None, names: Collection[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The inputs as they were, and as they are to be with the host's defaults, as plain trees.

    Args:
        news: the inputs as the program gives them.
        olds: the inputs that an earlier `check` returned; None or empty without one.
        names: those that count.

    Raises:
        RecursionError: they are nested too deeply to be read.
    """
    before = {name: normalize(olds[name]) for name in names if olds and name in olds}
    given = {name: normalize(news[name]) for name in names if name in news}
    given = with_defaults(before, given)
    # Without a host here, nothing is known of a change.
    if HOST in names and (digest := host_digest() or before.get(HOST)):
        given = {**given, HOST: digest}
    return before, given


def with_argument_names(failures: list[Failure]) -> list[Failure]:
    """Return the failures, with the argument to set where a default or a flat argument is meant."""
    return [
        Failure(failure.path, failure.reason + _ARGUMENTS.get(failure.path, ""))
        for failure in failures
    ]


def finish_check(
    news: dict[str, Any],
    before: dict[str, Any],
    inputs: dict[str, Any],
    examined: PlannedInputs,
    holder_rule: HolderRule = refuse_holder,
) -> CheckResult:
    """The answer to inputs with which nothing is wrong by themselves: what the host lacks, or the
    inputs with the plan and the instance's name, so that a preview shows them.

    Args:
        news: the inputs as the program gives them.
        before: the inputs as they were.
        inputs: the inputs as they are to be, and what else is shown.
        examined: what they come to.
        holder_rule: see `feasibility.HolderRule`.
    """
    name = get_path(examined.plan_tree, ("identity", "instance_name"))
    inputs = {
        **inputs,
        "plan": examined.plan_tree,
        "instance_name": UNKNOWN if name is None else name,
    }
    with user_facing_errors(inputs) as report:
        lacking = check_host(
            before,
            inputs,
            examined,
            after_others=bool(news.get(HAS_DEPENDENCIES)),
            previewing=bool(news.get(PREVIEWING)),
            report=report,
            holder_rule=holder_rule,
        )
        failures = check_failures(lacking, inputs, examined.plan_tree)
    if failures:
        return CheckResult({}, failures)
    return CheckResult(mark_secrets(inputs, secret_paths(inputs), inputs), [])
