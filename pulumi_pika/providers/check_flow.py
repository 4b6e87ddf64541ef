"""Do the first and the last steps of the `check` of a runtime or a job."""

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
    """Return the old inputs, and the new inputs with the host's defaults, as plain trees.

    Args:
        news: The inputs of the program.
        olds: The inputs that an earlier `check` returned; None or empty if there was none.
        names: The names of the inputs to read.

    Raises:
        RecursionError: The inputs are nested too deeply.
    """
    before = {name: normalize(olds[name]) for name in names if olds and name in olds}
    given = {name: normalize(news[name]) for name in names if name in news}
    given = with_defaults(before, given)
    # Without a host, a change of the host cannot be detected.
    if HOST in names and (digest := host_digest() or before.get(HOST)):
        given = {**given, HOST: digest}
    return before, given


def with_argument_names(failures: list[Failure]) -> list[Failure]:
    """Return the failures; those about a default or a flat argument name the argument to set."""
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
    """Finish a `check` of inputs that are valid by themselves. Return the problems that the host
    reports, or the inputs with the plan and the instance's name, so that a preview shows them.

    Args:
        news: The inputs of the program.
        before: The old inputs.
        inputs: The new inputs, and additional values to show.
        examined: The planned inputs.
        holder_rule: See `feasibility.HolderRule`.
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
