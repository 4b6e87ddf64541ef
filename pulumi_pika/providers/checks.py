"""How the `check` of a resource that is an instance begins and ends."""

from collections.abc import Collection
from typing import Any, Final

from pulumi.dynamic import CheckResult
from pulumi.runtime.rpc import UNKNOWN

from ..reconcile.feasibility import HolderRule, refuse_holder
from .clients import host_digest
from .errors import for_people
from .examine import Examined
from .hidden import HOST, PREVIEWING
from .host_checks import AFTER_OTHERS, check_host, with_defaults
from .secrets import check_failures, seal, secret_paths
from .shape import Failure
from .values import Path, find, plain

_ARGUMENTS: Final[dict[Path, str]] = {
    ("incus", "image_alias"): " (argument `image`, or `incus.image_alias`)",
    ("identity", "instance_name"): " (argument `instance_name`; by default the resource's name)",
}


def inputs_of(
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
    before = {name: plain(olds[name]) for name in names if olds and name in olds}
    given = {name: plain(news[name]) for name in names if name in news}
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


def answer(
    news: dict[str, Any],
    before: dict[str, Any],
    inputs: dict[str, Any],
    examined: Examined,
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
    name = find(examined.plan_tree, ("identity", "instance_name"))
    inputs = {
        **inputs,
        "plan": examined.plan_tree,
        "instance_name": UNKNOWN if name is None else name,
    }
    with for_people(inputs) as report:
        lacking = check_host(
            before,
            inputs,
            examined,
            after_others=bool(news.get(AFTER_OTHERS)),
            previewing=bool(news.get(PREVIEWING)),
            report=report,
            holder_rule=holder_rule,
        )
        failures = check_failures(lacking, inputs, examined.plan_tree)
    if failures:
        return CheckResult({}, failures)
    return CheckResult(seal(inputs, secret_paths(inputs), inputs), [])
