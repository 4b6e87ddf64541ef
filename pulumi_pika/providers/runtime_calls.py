"""The calls of `IncusRuntimeProvider`: each reads its properties, has the layer below do the work,
and writes what came of it."""

from typing import Any

from pulumi.dynamic import (
    CheckFailure,
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    UpdateResult,
)

from ..reconcile.changes import Previous
from ..reconcile.create import create_runtime
from ..reconcile.delete import delete_runtime
from ..reconcile.power import look
from ..reconcile.update import is_ours, update_runtime
from .clients import client_for
from .decide import decide
from .errors import ProviderError, for_people
from .examine import examine
from .secrets import Redactor, seal, secret_paths
from .shape import Failure
from .state import INPUTS, State, outputs_after
from .values import path_text, plain

_PROVIDER_KEY = "__provider"


def check(news: dict[str, Any]) -> CheckResult:
    """Validates the inputs and adds the plan, the devices and the instance's name to them."""
    try:
        inputs = {name: plain(news[name]) for name in INPUTS if name in news}
        examined = examine(inputs)
    except RecursionError:
        failure = CheckFailure("", "the inputs are nested too deeply to be read")
        return CheckResult(dict(news), [failure])
    redact = Redactor({**inputs, "plan": examined.plan_tree})
    failures = [
        CheckFailure(path_text(failure.path), redact(failure.reason))
        for failure in examined.failures
    ]
    if failures:
        return CheckResult(inputs, failures)
    inputs["plan"] = examined.plan_tree
    inputs["devices"] = examined.devices
    inputs["instance_name"] = examined.plan_tree["identity"]["instance_name"]
    return CheckResult(seal(inputs, secret_paths(inputs)), [])


def diff(olds: dict[str, Any], props: dict[str, Any]) -> DiffResult:
    """Compares plan with plan."""
    news: dict[str, Any] = plain(_without_provider(props))
    with for_people(olds, news) as report:
        state = State.read(olds)
        decision = decide(state, examine(news), news)
        if decision.restarts:
            reporter = report()
            allowed = state.options.allow_restart and news.get("allow_restart", True)
            reporter.warn(
                f"{state.plan.identity.instance_name} may have to restart for "
                f"{', '.join(decision.restarts)}"
                + ("" if allowed else "; allow_restart is off, so that the update would fail")
            )
    return DiffResult(
        changes=bool(decision.changes),
        replaces=decision.replaces,
        # Names are the user's own, and taken as long as the old instance is there.
        delete_before_replace=True,
    )


def create(props: dict[str, Any]) -> CreateResult:
    """Makes the instance and the volumes that it lacks, or nothing."""
    inputs = plain(_without_provider(props))
    with for_people(inputs) as report:
        examined = examine(inputs)
        _refuse(examined.failures)
        client = client_for(examined.plan.incus.project)
        desired, live = create_runtime(client, examined.plan, examined.options, report())
        outputs = outputs_after(inputs, desired, live)
    return CreateResult(
        f"{examined.plan.incus.project}/{live.name}", seal(outputs, secret_paths(inputs))
    )


def read(id_: str, props: dict[str, Any]) -> ReadResult:
    """Reads the live instance back; an instance that is gone reads as a resource that is."""
    with for_people(props) as report:
        state = State.read(props)
        identity = state.plan.identity
        client = client_for(state.plan.incus.project)
        live = look(client, identity.instance_name)
        if live is None:
            return ReadResult("", {})
        if not is_ours(live, identity.runtime_id, state.uuid):
            report().warn(
                f"the instance {live.name} in project {client.project} is not the one that "
                "this resource made (another was put in its place); the resource's own is gone"
            )
            return ReadResult("", {})
        outputs, inputs = state.refreshed(live)
    secret = secret_paths(outputs)
    return ReadResult(id_, seal(outputs, secret), seal(inputs, secret))


def update(olds: dict[str, Any], props: dict[str, Any]) -> UpdateResult:
    """Changes the instance in place."""
    inputs = plain(_without_provider(props))
    with for_people(olds, inputs) as report:
        state, examined = State.read(olds), examine(inputs)
        _refuse(examined.failures)
        client = client_for(examined.plan.incus.project)
        desired, live = update_runtime(
            client,
            examined.plan,
            examined.options,
            report(),
            previous=Previous(config=state.options.config, devices=state.devices),
            uuid=state.uuid,
            known_pool=state.pool,
        )
        outputs = outputs_after(inputs, desired, live)
    return UpdateResult(seal(outputs, secret_paths(inputs)))


def delete(props: dict[str, Any]) -> None:
    """Removes the instance. Its volumes stay."""
    with for_people(props) as report:
        state = State.read(props)
        identity = state.plan.identity
        delete_runtime(
            client_for(state.plan.incus.project),
            identity.instance_name,
            state.options.timeouts,
            report(),
            runtime_id=identity.runtime_id,
            uuid=state.uuid,
        )


def _without_provider(props: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in props.items() if key != _PROVIDER_KEY}


def _refuse(failures: list[Failure]) -> None:
    if failures:
        raise ProviderError(
            "; ".join(f"{path_text(failure.path)}: {failure.reason}" for failure in failures)
        )
