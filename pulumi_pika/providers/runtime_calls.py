"""The calls of `IncusRuntimeProvider`, from typed inputs to `reconcile` and back."""

import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from pulumi.dynamic import DiffResult
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
from ..validation.hidden_property import CREATE_FIRST, HOST, MANAGED_MOUNTS, RETAINED
from ..validation.lenient_validation import Failure
from ..validation.plan_inputs import OPTION_FIELDS, SECRET_INPUTS, SPEC_FIELDS, PlannedInputs
from .diff_decision import decide_diff
from .engine_log import PulumiReporter
from .host_checks import before_create, before_replacement, check_host, host_changed
from .host_connection import client_for, current_host, host_digest
from .instance_inputs import RuntimeInputs, filled_runtime_inputs
from .live_checks import (
    adoption_warnings,
    in_place_if_moved,
    live_warnings,
    replacement_failures,
    root_failures,
)
from .messages import on_delete, warnings
from .properties import REPLACE_ON, HiddenOptions
from .replacement_refusal import refuse_same_name, retention_changed
from .resource_kind import Created, Kind, Refreshed, Updated
from .runtime_state import RuntimeState, outputs_after
from .secret_marking import mark_secrets
from .unfinished_creates import record_create, warn_of_unfinished

UNSEEN: Final = "Error"
"""The status that Incus reports for an instance on a cluster member that does not answer."""


def check(
    new: RuntimeInputs, old: RuntimeInputs | None, report: PulumiReporter
) -> Iterable[Failure]:
    """Return everything that is wrong with the new inputs.

    Args:
        new: The new inputs.
        old: The inputs that an earlier `check` returned; None for a new instance.
        report: Receives warnings.
    """
    found = new.failures or replacement_failures(old, new) or root_failures(old, new)
    if found:
        return found
    if old is None:
        for warning in adoption_warnings(new):
            report.warn(warning)
    # Without old inputs, the instance is created while a resource option keeps the old one.
    kept = new.hidden.create_first and old is None
    return check_host(old, new, report, refuse_kept if kept else refuse_holder)


def shown(new: RuntimeInputs) -> dict[str, Any]:
    """Return the plan, the devices, the instance's name and `on_delete`."""
    planned = new.planned
    # If one of these inputs is unknown, so is the sentence.
    known = not any(path[0] in ("mounts", "delete_data") for path in planned.unknown)
    text = on_delete(planned.plan, planned.options, new.hidden) if known else UNKNOWN
    return {**new.shown(), "on_delete": text}


def diff(state: RuntimeState, new: RuntimeInputs, report: PulumiReporter) -> DiffResult:
    """Compare the old plan with the new plan."""
    planned = new.planned
    decision = decide_diff(state, new, same_image=_is_same_image(state, planned))
    if retention_changed(state.hidden, new.hidden):
        decision.changes.append(RETAINED)
    decision = in_place_if_moved(state, planned.plan, decision)
    if decision.replaces:
        _refuse_same_name(state, new, decision.replaces)
    for warning in warnings(decision, state, new):
        report.warn(warning)
    for warning in live_warnings(decision, state, planned.options):
        report.warn(warning)
    if host_changed(planned.options.owner):
        _warn_of_another_server(state, report)
    if decision.replaces:
        predecessor = Predecessor(state.plan, state.options, state.uuid)
        before_replacement(new, None if new.hidden.create_first else predecessor, report)
    return DiffResult(
        changes=bool(decision.changes),
        replaces=decision.replaces,
        # The user chooses the names, and the old instance occupies its name until it is deleted.
        delete_before_replace=True,
    )


def create(new: RuntimeInputs, report: PulumiReporter) -> Created:
    """Create the instance and its missing volumes; after a failure, nothing of them is left."""
    plan, options = new.planned.plan, new.planned.options
    client, owner = client_for(plan.incus.project), options.owner
    try:
        before_create(new)
        with record_create(client, new):
            desired, live = create_runtime(client, plan, options, report)
    except (IncusError, ReconcileError) as error:
        if owner in _deleted:
            raise ReplacementFailed(f"{str(error).rstrip('. ')}. {_deleted[owner]}") from error
        raise
    _deleted.pop(owner, None)
    outputs = outputs_after(desired, live)
    outputs["server_fingerprint"] = client.server().fingerprint
    if live.running and options.wait_for == "running" and not options.adopt:
        # The guest is still booting, and reading from it is the most expensive request of a
        # create.
        outputs["guest_status"] = no_status_yet(desired.plan.paths.status_path).to_dict()
    else:
        outputs["guest_status"] = _guest(client, live, desired.plan)
    return Created(_id_of(live, desired.plan, new.hidden), outputs)


def read(state: RuntimeState, report: PulumiReporter) -> Refreshed | None:
    """Return the state of the live instance; None if it is deleted."""
    identity = state.plan.identity
    client = client_for(state.plan.incus.project)
    try:
        found = find_owned_instance(client, identity.instance_name, state.claim())
    except MemberOffline as error:
        # The instance exists, and must not be created elsewhere: only its status is updated.
        report.warn(str(error))
        return state.unseen(UNSEEN)
    live = found.live
    if live is None and (elsewhere := find_moved(client, state.uuid)):
        # The instance exists, and must not be created again: the state stays as it is.
        report.warn(describe_moved(client, identity.instance_name, elsewhere))
        return state.unseen(elsewhere.status)
    if live is None:
        if found.other is None:
            _refuse_another_server(client, state)
        else:
            options = state.options
            same = relation(found.other.config, options.owner, options.backend) == "ours"
            report.warn(
                f"{why_not_owned(client, found.other, state.claim())}; the resource's own "
                f"instance no longer exists{_managed_next(client, found.other) if same else ''}"
            )
        return None
    refreshed = state.refreshed(live)
    outputs, inputs = dict(refreshed.outputs), dict(refreshed.inputs or {})
    if state.options.running and (member := evacuated_member(client, live)):
        report.warn(
            f"{live.name} is stopped because its cluster member {member} is evacuated; "
            f"`incus cluster restore {member}` starts it again"
        )
        outputs["running"] = inputs["running"] = True
    outputs["guest_status"] = _guest(client, live, state.plan)
    outputs["current_alias_fingerprint"] = _alias_target(state)
    outputs["server_fingerprint"] = client.server().fingerprint
    # Inputs of a state without a digest stay without one: a refresh alone changes nothing.
    if state.hidden.host_digest:
        inputs[HOST] = host_digest() or state.hidden.host_digest
    return replace(refreshed, outputs=outputs, inputs=inputs)


def update(state: RuntimeState, new: RuntimeInputs, report: PulumiReporter) -> Updated:
    """Change the instance in place."""
    plan, options = new.planned.plan, new.planned.options
    client = client_for(plan.incus.project)
    try:
        desired, live = update_runtime(
            client,
            plan,
            options,
            report,
            previous=_previous(state),
            claim=state.claim(options.owner),
            known_pool=state.pool if state.has_volumes else None,
        )
    except InstanceGone:
        if elsewhere := find_moved(client, state.uuid):
            name = plan.identity.instance_name
            raise ForeignInstance(
                f"{describe_moved(client, name, elsewhere)}. It was not changed"
            ) from None
        _refuse_another_server(client, state)
        raise
    outputs = outputs_after(desired, live)
    outputs["guest_status"] = _guest(client, live, desired.plan)
    if plan.incus.image_alias == state.plan.incus.image_alias:
        outputs["current_alias_fingerprint"] = state.current_alias_fingerprint
    outputs["server_fingerprint"] = client.server().fingerprint
    return Updated(outputs)


def delete(state: RuntimeState, report: PulumiReporter) -> None:
    """Delete the instance. Its volumes are kept, unless `delete_data` is on."""
    client = client_for(state.plan.incus.project)
    outcome = delete_runtime(
        client, state.plan, state.options, report, claim=state.claim(), pool=state.pool
    )
    if outcome == "missing" and (elsewhere := find_moved(client, state.uuid)):
        name = state.plan.identity.instance_name
        report.warn(
            f"{describe_moved(client, name, elsewhere)}. It was not deleted. To delete it, run "
            f"`incus delete --force --project {elsewhere.project} {elsewhere.name}`"
        )
    elif outcome == "missing":
        _refuse_another_server(client, state)
    elif outcome == "deleted":
        _deleted[state.options.owner] = _after_delete(state)
    warn_of_unfinished(state.options.owner, report)


def _managed_next(client: IncusClient, other: LiveInstance) -> str:
    """Return a sentence on another instance with the ownership label of a resource, as a copy has
    it."""
    return (
        ". That instance has the ownership label of this resource, as a copy does. The next "
        "`pulumi up` treats it as the result of an interrupted create, and manages it. To prevent "
        "that, remove the label first: "
        f"`incus config unset --project {client.project} {other.name} {OWNER_KEY}`"
    )


_deleted: dict[str, str] = {}
"""By owner: the text to add to the error if the create of a replacement fails after the delete."""


def _after_delete(state: RuntimeState) -> str:
    name, volumes = f" {state.plan.identity.instance_name}", own_volumes(state.plan)
    kept = f"; its volumes ({', '.join(volumes)}) are kept" if volumes else ""
    if state.options.delete_data:
        kept = "; its volumes are deleted too (delete_data)"
    if any(path[0] in ("identity", "mounts") for path in state.hidden.secret):
        # The create that shows this text knows only the new secrets.
        name = kept = ""
    return (
        f"The old instance{name} had been deleted for this replacement{kept}. Correct the problem "
        "above and run `pulumi up` again, which creates the new instance. To get the instance back "
        "as it was, set the old values in the program and run `pulumi up`"
    )


def _refuse_same_name(state: RuntimeState, new: RuntimeInputs, replaces: list[str]) -> None:
    """Refuse a replacement under the same name if an option of the resource makes it impossible.

    Raises:
        ReplacementFailed: The replacement could only fail; nothing was changed.
    """
    old, plan = state.plan, new.planned.plan
    name = old.identity.instance_name
    if (name, old.incus.project) == (plan.identity.instance_name, plan.incus.project):
        refuse_same_name(
            state.hidden,
            new.hidden,
            replaces,
            name=name,
            kind="instance",
            argument="identity.instance_name",
            otherwise="the old instance and its root disk are deleted first",
        )


def _refuse_another_server(client: IncusClient, state: RuntimeState) -> None:
    """Refuse to treat an instance as deleted if the program now names another host.

    Raises:
        ForeignInstance: The instance was last found on another server.
    """
    known, here = state.server_fingerprint, client.server().fingerprint
    if known and here and known != here:
        raise ForeignInstance(
            f"instance {state.plan.identity.instance_name} does not exist in project "
            f"{client.project} at {client.host}; it was last found on another server, with the "
            f"certificate {known[:12]}, and this server has {here[:12]}. Set the host of that "
            "server in the program. If that server no longer exists or was installed again, remove "
            "the instance from the state with `pulumi state delete`"
        )


def _warn_of_another_server(state: RuntimeState, report: PulumiReporter) -> None:
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


def _id_of(live: LiveInstance, plan: IncusRuntimePlan, hidden: HiddenOptions) -> str:
    """Return the id of the resource, which is in plain text in the state."""
    name, project = live.name, plan.incus.project
    if hidden.is_secret(("identity", "instance_name")):
        name = live.uuid
    if hidden.is_secret(("incus", "project")):
        project = "-"
    return f"{project}/{name}"


def _is_same_image(state: RuntimeState, new: PlannedInputs) -> bool:
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
        here.facts.invalidate_before(time.monotonic())
        found = here.facts.image_targets(after.project, after.image_alias)
    except IncusError:
        return False
    return found.get(kind) == state.original_image_fingerprint


def _alias_target(state: RuntimeState) -> str:
    """Return the fingerprint that the plan's image alias points to now; the old one if the request
    fails."""
    incus, kind = state.plan.incus, state.options.instance_type
    try:
        targets = current_host().facts.image_targets(incus.project, incus.image_alias)
        return targets.get(kind, "")
    except IncusError:
        return state.current_alias_fingerprint


def _guest(client: IncusClient, live: LiveInstance, plan: IncusRuntimePlan) -> dict[str, Any]:
    return fetch_guest_status(client, live, plan.paths.status_path).to_dict()


def _previous(state: RuntimeState) -> LastApplied:
    return LastApplied(
        config=desired_config(state.plan, state.options, autorestart=True),
        devices=state.devices,
        profiles=desired_profiles(state.plan, state.options),
        description=state.options.description,
        owner=state.options.owner,
        generation=state.hidden.generation,
        restart_triggers=state.options.restart_triggers,
        files=tuple(state.options.files),
        running=state.options.running,
    )


KIND: Final = Kind(
    input_names=(
        *SPEC_FIELDS,
        *OPTION_FIELDS,
        SECRET_INPUTS,
        REPLACE_ON,
        MANAGED_MOUNTS,
        RETAINED,
        HOST,
        CREATE_FIRST,
        "plan",
        "instance_name",
        "on_delete",
    ),
    parse_inputs=RuntimeInputs,
    parse_state=RuntimeState.parse,
    mark_secrets=mark_secrets,
    check=check,
    diff=diff,
    create=create,
    read=read,
    update=update,
    delete=delete,
    fill_inputs=filled_runtime_inputs,
    shown=shown,
    older_names=frozenset(
        {"made_of", "left_out", "pool", "root_pool", "ipv4", "ipv6", "alias_fingerprint"}
    ),
    undoable=True,
)
