"""The calls of `IncusRuntimeProvider`. Each reads its properties, calls `reconcile`, and writes the
result."""

import time
from typing import Any, Final

from pulumi.dynamic import (
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    UpdateResult,
)
from pulumi.runtime.rpc import UNKNOWN

from ..incus.client import IncusClient
from ..incus.errors import IncusError, MemberOffline
from ..planner.plan import IncusRuntimePlan
from ..reconcile.feasibility import Predecessor, refuse_holder, refuse_kept
from ..reconcile.instances.changes import LastApplied
from ..reconcile.instances.create import create_runtime
from ..reconcile.instances.data_volumes import own_volumes
from ..reconcile.instances.delete import delete_runtime
from ..reconcile.instances.desired import desired_config, desired_profiles
from ..reconcile.instances.guest_status import fetch_guest_status, no_status_yet
from ..reconcile.instances.lifecycle import find_owned_instance, why_not_owned
from ..reconcile.instances.live_instance import LiveInstance
from ..reconcile.instances.location import evacuated_member
from ..reconcile.instances.moved_instance import describe_moved, find_moved
from ..reconcile.instances.update import update_runtime
from ..reconcile.shared.errors import (
    ForeignInstance,
    InstanceGone,
    ReconcileError,
    ReplacementFailed,
)
from ..reconcile.shared.ownership import OWNER_KEY, relation
from ..validation.hidden_property import CREATE_FIRST, RETAINED
from ..validation.plan_inputs import (
    PlannedInputs,
    plan_inputs,
    without_plans_devices,
)
from ..validation.property_tree import (
    Path,
    get_path,
    without_provider,
)
from .check_flow import (
    finish_check,
    read_inputs,
    with_argument_names,
)
from .diff_decision import decide_diff
from .engine_log import PulumiReporter
from .host_checks import before_create, before_replacement, host_changed
from .host_connection import (
    client_for,
    current_host,
    with_host_digest,
)
from .live_checks import (
    adoption_warnings,
    in_place_if_moved,
    live_warnings,
    replacement_failures,
    root_failures,
)
from .messages import on_delete, warnings
from .provider_errors import (
    nesting_failure,
    raise_if_failed,
    user_facing_errors,
)
from .replacement_refusal import refuse_same_name, retention_changed
from .runtime_state import (
    INPUTS,
    State,
    outputs_after,
)
from .secret_marking import (
    check_failures,
    is_secret,
    mark_secrets,
    secret_paths,
    secret_paths_after_refresh,
)
from .unfinished_creates import record_create, warn_of_unfinished

UNSEEN: Final = "Error"
"""The status that Incus reports for an instance on a cluster member that does not answer."""


def check(news: dict[str, Any], olds: dict[str, Any] | None = None) -> CheckResult:
    """Validate the inputs, and add the plan, the devices and the instance's name.

    Args:
        news: The inputs of the program.
        olds: The inputs that an earlier `check` returned; None or empty for a new instance.
    """
    try:
        before, inputs = read_inputs(news, olds, INPUTS)
        inputs = without_plans_devices(before, inputs)
        examined = plan_inputs(inputs)
        found = (
            examined.failures
            or replacement_failures(before, inputs)
            or root_failures(before, inputs, examined)
        )
        failures = check_failures(with_argument_names(found), inputs, examined.plan_tree)
    except RecursionError:
        return nesting_failure()
    if failures:
        return CheckResult({}, failures)
    inputs["devices"] = examined.devices
    with user_facing_errors(inputs) as report:
        for warning in adoption_warnings(before, examined):
            report().warn(warning)
    # If one of these inputs is unknown, so is the sentence.
    known = not any(path[0] in ("mounts", "delete_data") for path in examined.unknown)
    inputs["on_delete"] = on_delete(examined.plan, examined.options, inputs) if known else UNKNOWN
    # Without old inputs, the instance is created while a resource option keeps the old one.
    kept = bool(inputs.get(CREATE_FIRST)) and not before
    return finish_check(news, before, inputs, examined, refuse_kept if kept else refuse_holder)


def diff(olds: dict[str, Any], props: dict[str, Any]) -> DiffResult:
    """Compare the old plan with the new plan.

    Args:
        olds: The outputs in the state.
        props: The new inputs.
    """
    news: dict[str, Any] = without_provider(props)
    with user_facing_errors(olds, news) as report:
        state = State.read(olds)
        new = plan_inputs(news)
        decision = decide_diff(state, new, news, same_image=_is_same_image(state, new))
        if retention_changed(state.outputs, news):
            decision.changes.append(RETAINED)
        decision = in_place_if_moved(state, new.plan, decision)
        if decision.replaces:
            _refuse_same_name(state, new.plan, news, decision.replaces)
        for warning in warnings(decision, state, new, news):
            report().warn(warning)
        for warning in live_warnings(decision, state, new.options):
            report().warn(warning)
        if host_changed(new.options.owner):
            _warn_of_another_server(state, report())
        if decision.replaces:
            predecessor = Predecessor(state.plan, state.options, state.uuid)
            goes_first = None if news.get(CREATE_FIRST) else predecessor
            before_replacement(new, news, goes_first, report)
    return DiffResult(
        changes=bool(decision.changes),
        replaces=decision.replaces,
        # The user chooses the names, and the old instance occupies its name until it is deleted.
        delete_before_replace=True,
    )


def create(props: dict[str, Any]) -> CreateResult:
    """Create the instance and its missing volumes; after a failure, nothing of them is left.

    Args:
        props: The inputs that `check` returned.
    """
    inputs = without_provider(props)
    with user_facing_errors(inputs, undoable=True) as report:
        examined = plan_inputs(inputs)
        raise_if_failed(examined.failures)
        client = client_for(examined.plan.incus.project)
        owner = examined.options.owner
        try:
            before_create(examined, inputs)
            with record_create(client, examined, inputs):
                desired, live = create_runtime(client, examined.plan, examined.options, report())
        except (IncusError, ReconcileError) as error:
            if owner in _deleted:
                raise ReplacementFailed(f"{str(error).rstrip('. ')}. {_deleted[owner]}") from error
            raise
        _deleted.pop(owner, None)
        outputs = outputs_after(inputs, desired, live)
        outputs["server_fingerprint"] = client.server().fingerprint
        options = examined.options
        if live.running and options.wait_for == "running" and not options.adopt:
            # The guest is still booting, and reading from it is the most expensive request of a
            # create.
            outputs["guest_status"] = no_status_yet(desired.plan.paths.status_path).to_dict()
        else:
            outputs["guest_status"] = _guest(client, live, desired.plan)
    return CreateResult(
        _id_of(live, desired.plan, inputs), mark_secrets(outputs, secret_paths(inputs), inputs)
    )


def read(id_: str, props: dict[str, Any]) -> ReadResult:
    """Return the state of the live instance; a deleted instance is returned as a deleted resource.

    Args:
        id_: The id of the resource.
        props: The outputs in the state.
    """
    with user_facing_errors(props) as report:
        state = State.read(props)
        identity = state.plan.identity
        client = client_for(state.plan.incus.project)
        try:
            found = find_owned_instance(client, identity.instance_name, state.claim())
        except MemberOffline as error:
            # The instance exists, and must not be created elsewhere: only its status is updated.
            report().warn(str(error))
            outputs = {**state.outputs, "status": UNSEEN}
            return ReadResult(
                id_, mark_secrets(outputs, _secret_seen(state, outputs), state.inputs)
            )
        live = found.live
        if live is None and (elsewhere := find_moved(client, state.uuid)):
            # The instance exists, and must not be created again: the state stays as it is.
            report().warn(describe_moved(client, identity.instance_name, elsewhere))
            outputs = {**state.outputs, "status": elsewhere.status}
            return ReadResult(
                id_, mark_secrets(outputs, _secret_seen(state, outputs), state.inputs)
            )
        if live is None:
            if found.other is None:
                _refuse_another_server(client, state)
            else:
                options = state.options
                same = relation(found.other.config, options.owner, options.backend) == "ours"
                report().warn(
                    f"{why_not_owned(client, found.other, state.claim())}; this resource has none "
                    f"any more{_taken_over_next(client, found.other) if same else ''}"
                )
            return ReadResult("", {})
        outputs, inputs = state.refreshed(live)
        if state.options.running and (member := evacuated_member(client, live)):
            report().warn(
                f"{live.name} is stopped since its cluster member {member} is evacuated; "
                f"`incus cluster restore {member}` starts it again"
            )
            outputs["running"] = inputs["running"] = True
        outputs["guest_status"] = _guest(client, live, state.plan)
        outputs["current_alias_fingerprint"] = _alias_target(state)
        outputs["server_fingerprint"] = client.server().fingerprint
    inputs = with_host_digest(inputs)
    secret = _secret_seen(state, outputs)
    return ReadResult(
        id_, mark_secrets(outputs, secret, state.inputs), mark_secrets(inputs, secret, state.inputs)
    )


def update(olds: dict[str, Any], props: dict[str, Any]) -> UpdateResult:
    """Change the instance in place.

    Args:
        olds: The outputs in the state.
        props: The new inputs.
    """
    inputs = without_provider(props)
    with user_facing_errors(olds, inputs) as report:
        state, examined = State.read(olds), plan_inputs(inputs)
        raise_if_failed(examined.failures)
        client = client_for(examined.plan.incus.project)
        try:
            desired, live = update_runtime(
                client,
                examined.plan,
                examined.options,
                report(),
                previous=_previous(state),
                claim=state.claim(examined.options.owner),
                known_pool=state.pool if state.has_volumes else None,
            )
        except InstanceGone:
            if elsewhere := find_moved(client, state.uuid):
                name = examined.plan.identity.instance_name
                raise ForeignInstance(
                    f"{describe_moved(client, name, elsewhere)}. Nothing of it was touched"
                ) from None
            _refuse_another_server(client, state)
            raise
        outputs = outputs_after(inputs, desired, live)
        outputs["guest_status"] = _guest(client, live, desired.plan)
        if examined.plan.incus.image_alias == state.plan.incus.image_alias:
            outputs["current_alias_fingerprint"] = state.outputs.get(
                "current_alias_fingerprint", ""
            )
        outputs["server_fingerprint"] = client.server().fingerprint
    return UpdateResult(mark_secrets(outputs, secret_paths(inputs), inputs))


def delete(props: dict[str, Any]) -> None:
    """Delete the instance. Its volumes are kept, unless `delete_data` is on.

    Args:
        props: The outputs in the state.
    """
    with user_facing_errors(props) as report:
        state = State.read(props)
        client = client_for(state.plan.incus.project)
        outcome = delete_runtime(
            client, state.plan, state.options, report(), claim=state.claim(), pool=state.pool
        )
        if outcome == "missing" and (elsewhere := find_moved(client, state.uuid)):
            name = state.plan.identity.instance_name
            report().warn(
                f"{describe_moved(client, name, elsewhere)}. It is left there; to remove it, run "
                f"`incus delete --force --project {elsewhere.project} {elsewhere.name}`"
            )
        elif outcome == "missing":
            _refuse_another_server(client, state)
        elif outcome == "deleted":
            _deleted[state.options.owner] = _after_delete(state)
        warn_of_unfinished(state.options.owner, report())


def _taken_over_next(client: IncusClient, other: LiveInstance) -> str:
    """Return a sentence on another instance with the ownership label of a resource, as a copy has
    it."""
    return (
        ". It has this resource's marks, as a copy of an instance has: the next `pulumi up` takes "
        "it for what an interrupted create left, and manages it. If it is not to, take the mark "
        f"off it first: `incus config unset --project {client.project} {other.name} {OWNER_KEY}`"
    )


_deleted: dict[str, str] = {}
"""By owner: the text to add to the error if the create of a replacement fails after the delete."""


def _after_delete(state: State) -> str:
    name, volumes = f" {state.plan.identity.instance_name}", own_volumes(state.plan)
    kept = f"; its volumes ({', '.join(volumes)}) are kept" if volumes else ""
    if state.options.delete_data:
        kept = "; what delete_data names is deleted too"
    if any(path[0] in ("identity", "mounts") for path in secret_paths(state.outputs)):
        # The create that shows this text knows only the new secrets.
        name = kept = ""
    return (
        f"The old instance{name} had been deleted for this replacement{kept}. Correct what is "
        "named above and run `pulumi up` again: it creates the new instance. To have the instance "
        "as it was before, put the old values back into the program and run `pulumi up`"
    )


def _refuse_same_name(
    state: State, new: IncusRuntimePlan, inputs: dict[str, Any], replaces: list[str]
) -> None:
    """Refuse a replacement under the same name if an option of the resource makes it impossible.

    Raises:
        ReplacementFailed: The replacement could only fail; nothing was changed.
    """
    old = state.plan
    name = old.identity.instance_name
    if (name, old.incus.project) == (new.identity.instance_name, new.incus.project):
        refuse_same_name(
            state.outputs,
            inputs,
            replaces,
            name=name,
            kind="instance",
            argument="identity.instance_name",
            otherwise="the old instance and its root disk are deleted first",
        )


def _refuse_another_server(client: IncusClient, state: State) -> None:
    """Refuse to treat an instance as deleted if the program now names another host.

    Raises:
        ForeignInstance: The instance was last found on another server.
    """
    known, here = state.outputs.get("server_fingerprint"), client.server().fingerprint
    if known and here and known != here:
        raise ForeignInstance(
            f"there is no instance {state.plan.identity.instance_name} in project "
            f"{client.project} at {client.host}, and it was last seen at another server: one with "
            f"the certificate {str(known)[:12]}, and this one has {here[:12]}. Let the program "
            "name the host that it is at; if it is really gone (the server was set up anew), "
            "forget it with `pulumi state delete`"
        )


def _warn_of_another_server(state: State, report: PulumiReporter) -> None:
    """Warn in a preview that the host that the program names now does not have the instance."""
    try:
        here = current_host()
        if not here.enrolled or time.monotonic() < here.away_until:
            return
        client = here.client.in_project(state.plan.incus.project)
        if (
            find_owned_instance(client, state.plan.identity.instance_name, state.claim()).live
            is None
        ):
            _refuse_another_server(client, state)
    except ForeignInstance as error:
        report.warn(str(error))
    except (IncusError, ReconcileError):
        pass  # `check` reports it.


def _secret_seen(state: State, outputs: dict[str, Any]) -> list[Path]:
    """Return the paths of the secrets in the outputs and the inputs of a refresh."""
    applied = [mount.device_name for mount in state.plan.mounts]
    seen = get_path(outputs, ("plan", "mounts")) or []
    return secret_paths_after_refresh(
        secret_paths(outputs), applied, [str(m.get("device_name")) for m in seen]
    )


def _id_of(live: LiveInstance, plan: IncusRuntimePlan, inputs: dict[str, Any]) -> str:
    """Return the id of the resource, which is in plain text in the state."""
    name, project = live.name, plan.incus.project
    if is_secret(("identity", "instance_name"), inputs):
        name = live.uuid
    if is_secret(("incus", "project"), inputs):
        project = "-"
    return f"{project}/{name}"


def _is_same_image(state: State, new: PlannedInputs) -> bool:
    """Return whether a new alias points to the image that the instance was created from.

    A request is sent only if the alias changed, and project and instance type did not.
    """
    before, after = state.plan.incus, new.plan.incus
    kind = new.options.instance_type
    open_ = any(path[0] in ("incus", "instance_type") for path in new.unknown)
    stays = before.project == after.project and state.options.instance_type == kind
    if (
        open_
        or not stays
        or before.image_alias == after.image_alias
        or not state.original_image_fingerprint
    ):
        return False
    try:
        here = current_host()
        if not here.enrolled or time.monotonic() < here.away_until:
            return False
        # The alias may have been moved to another image a moment ago.
        here.facts.forget(time.monotonic())
        found = here.facts.image_targets(after.project, after.image_alias)
    except IncusError:
        return False
    return found.get(kind) == state.original_image_fingerprint


def _alias_target(state: State) -> str:
    """Return the fingerprint that the plan's image alias points to now; the old one if the request
    fails."""
    incus, kind = state.plan.incus, state.options.instance_type
    try:
        targets = current_host().facts.image_targets(incus.project, incus.image_alias)
        return targets.get(kind, "")
    except IncusError:
        return str(state.outputs.get("current_alias_fingerprint") or "")


def _guest(client: IncusClient, live: LiveInstance, plan: IncusRuntimePlan) -> dict[str, Any]:
    return fetch_guest_status(client, live, plan.paths.status_path).to_dict()


def _previous(state: State) -> LastApplied:
    return LastApplied(
        config=desired_config(state.plan, state.options, autorestart=True),
        devices=state.devices,
        profiles=desired_profiles(state.plan, state.options),
        description=state.options.description,
        owner=state.options.owner,
        generation=state.generation,
        restart_triggers=state.options.restart_triggers,
        running=state.options.running,
    )
