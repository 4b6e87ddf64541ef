"""The calls of the providers of config objects: profiles, projects, networks and storage pools.

All kinds have the same calls; `reconcile.objects.object_kind.ObjectKind` has the differences.
"""

from collections.abc import Iterable
from functools import partial
from typing import Any, Final, TypeAlias

from pulumi.dynamic import DiffResult

from ..incus.client import IncusClient
from ..incus.errors import IncusError, PlaceMissing
from ..message_templates import IN_USE, Message, could_not
from ..reconcile.objects.config_object import find_owned_object
from ..reconcile.objects.live_object import LiveObject, users_text
from ..reconcile.objects.network import NETWORK
from ..reconcile.objects.object_changes import changed_parts, replacing_parts
from ..reconcile.objects.object_creation import create_or_adopt_object
from ..reconcile.objects.object_errors import (
    describe_alike,
    unchangeable_while_used,
    why_not_owned,
)
from ..reconcile.objects.object_kind import AnyKind
from ..reconcile.objects.object_removal import remove_object
from ..reconcile.objects.object_update import change_object
from ..reconcile.objects.pool import POOL
from ..reconcile.objects.profile import PROFILE
from ..reconcile.objects.project import PROJECT
from ..reconcile.shared.errors import ReplacementFailed
from ..validation.hidden_property import CREATE_FIRST, RETAINED
from ..validation.lenient_validation import Failure
from ..validation.plan_inputs import SECRET_INPUTS
from ..validation.property_tree import path_text
from ..validation.warning_codes import REPLACE, coded
from .declared_objects import declare
from .engine_log import PulumiReporter
from .host_connection import client_for, default_place
from .object_checks import find_change_failures, find_host_failures
from .object_state import RENAMED_TO, ObjectInputs, ObjectState, plan_path
from .properties import REPLACE_ON, Properties
from .replace_on_changes import replaced_by_changed_options
from .replacement_refusal import refuse_same_name, retention_changed, was_checked
from .resource_kind import Created, Kind, Refreshed, Updated
from .secret_marking import mark_planned_inputs

Inputs: TypeAlias = ObjectInputs[Any]
State: TypeAlias = ObjectState[Any]


def fill_inputs(kind: AnyKind, old: Properties, new: Properties) -> Properties:
    """Return the inputs with the host's default project, which is used at creation only.

    Args:
        kind: The kind of the object.
        old: The old inputs; empty for a new object.
        new: The new inputs.
    """
    if not kind.in_project or "project" in new.names():
        return new
    return new.with_values({"project": old.text("project") or default_place()[0]})


def check(new: Inputs, old: Inputs | None, _report: PulumiReporter) -> Iterable[Failure]:
    """Return everything that is wrong with the new inputs.

    Args:
        new: The new inputs.
        old: The inputs that an earlier `check` returned; None for a new object.
    """
    failures = new.failures or find_change_failures(new, old) or find_host_failures(new, old)
    if not failures and not new.is_unknown("name", "project"):
        declare(new.kind.collection, new.plan.project, new.plan.name)
    return failures


def shown(new: Inputs) -> dict[str, Any]:
    """Return `plan` and `on_delete`, which are inputs, so that every preview shows them."""
    return {"plan": new.plan_tree(), "on_delete": _on_delete(new)}


def diff(state: State, new: Inputs, report: PulumiReporter) -> DiffResult:
    """Compare the plan in the state with the new plan."""
    kind = state.kind
    changes = _changes(state, new)
    replaces = replacing_parts(kind, state.plan, new.plan, adopted=state.adopted)
    replaces += replaced_by_changed_options(new.hidden, state.options, new.given, replaces)
    if replaces:
        _refuse_replacement(state, new, replaces)
        report.warn(
            coded(
                f"because of {', '.join(replaces)}, {kind.where(state.plan)} is "
                + ("released" if state.is_released else "deleted")
                + " and another one is created",
                REPLACE,
            )
        )
    else:
        _refuse_used_change(state, new)
        if state.plan.name != new.plan.name:
            report.info(f"{kind.where(state.plan)} is renamed to {new.plan.name}")
    return DiffResult(
        changes=bool(changes or replaces), replaces=replaces, delete_before_replace=True
    )


def create(new: Inputs, report: PulumiReporter) -> Created:
    """Create the object, or adopt or resume managing an existing one."""
    client = _client(new.plan.project)
    live = create_or_adopt_object(new.kind, client, new.plan, new.owner, report)
    return Created(_id_of(new), new.outputs(live))


def read(state: State, report: PulumiReporter) -> Refreshed | None:
    """Return the state of the object; None if it is deleted."""
    kind = state.kind
    try:
        client = _client(state.plan.project)
        found = find_owned_object(kind, client, state.applied, state.claim())
    except PlaceMissing as error:
        report.warn(f"{kind.where(state.plan)} no longer exists: {error}")
        return None
    live = found.live
    if live is None:
        if found.alike:
            report.warn(describe_alike(kind, state.applied, found.alike))
        if found.other is not None:
            report.warn(
                f"{kind.where(state.plan)} {why_not_owned(found.other, state.claim())}; this "
                "resource has none now"
            )
        return None
    if live.name != state.applied.name:
        report.warn(
            f"{kind.where(state.applied)} was renamed to {live.name} outside Pulumi; `pulumi up` "
            "renames it back"
        )
    return state.refreshed(live)


def update(state: State, new: Inputs, report: PulumiReporter) -> Updated:
    """Change the object in place."""
    live = change_object(
        new.kind,
        _client(new.plan.project),
        new.plan,
        state.plan,
        new.owner,
        report,
        claim=state.claim(new.options.owner),
        adopted=state.adopted,
    )
    return Updated(new.outputs(live))


def delete(state: State, report: PulumiReporter) -> None:
    """Delete the object if nothing uses it; release it if it existed before."""
    kind = state.kind
    try:
        remove_object(
            kind,
            _client(state.plan.project),
            state.applied,
            report,
            claim=state.claim(),
            adopted=state.adopted,
        )
    except PlaceMissing as error:
        report.warn(f"{kind.where(state.plan)} no longer exists: {error}")


def _client(project: str) -> IncusClient:
    return client_for(project or default_place()[0])


def _changes(state: State, new: Inputs) -> list[str]:
    changes = changed_parts(state.kind, state.plan, new.plan)
    changes += [path_text(path) for path in new.given.unknown]
    changes += [
        name
        for name in state.kind.model.model_fields
        if name != "backend" and getattr(state.options, name) != getattr(new.options, name)
    ]
    if state.renamed:
        changes.append(RENAMED_TO)
    if sorted(state.hidden.secret_inputs) != sorted(new.hidden.secret_inputs):
        changes.append(SECRET_INPUTS)
    if retention_changed(state.hidden, new.hidden):
        changes.append(RETAINED)
    return changes


def _refuse_replacement(state: State, new: Inputs, replaces: list[str]) -> None:
    """Refuse a replacement that would fail after it began.

    Raises:
        ReplacementFailed: The object is in use, or an option of the resource is in the way; nothing
            was changed.
    """
    kind, where = state.kind, state.kind.where(state.plan)
    same_place = (state.plan.name, state.plan.project) == (new.plan.name, new.plan.project)
    if same_place and not new.is_unknown("name", "project"):
        refuse_same_name(
            state.hidden,
            new.hidden,
            replaces,
            name=where,
            kind=kind.noun,
            argument="name",
            otherwise=f"the old {kind.noun} is deleted first, if nothing uses it",
        )
    if state.is_released or not was_checked(new.options.owner):
        return
    # An unreachable host cannot delete anything either.
    live = _find_live(state)
    if live is not None and kind.users(live):
        text = could_not(
            f"replace {where} (because of {', '.join(replaces)})",
            f"it would be deleted first, and is used by {users_text(kind.users(live))}",
            undone="Nothing was deleted",
            advice="To keep it and its users, declare the changed one as another resource "
            "with another name, and move the users to it",
        )
        raise ReplacementFailed(Message(text, IN_USE))


def _refuse_used_change(state: State, new: Inputs) -> None:
    """Refuse a change in place that Incus refuses while anything uses the object.

    Raises:
        ObjectInUse: The object is in use; nothing was changed.
    """
    kind = state.kind
    parts = kind.needs_no_users(state.plan, new.plan)
    if not parts or new.given.unknown or not was_checked(new.options.owner):
        return
    # The update reports an unreachable host.
    live = _find_live(state)
    if live is not None and kind.users(live):
        raise unchangeable_while_used(kind, _client(state.plan.project), live, state.plan, parts)


def _find_live(state: State) -> LiveObject | None:
    """Return the object of the state; None if it does not exist or the host cannot be reached."""
    try:
        client = _client(state.plan.project)
        return find_owned_object(state.kind, client, state.applied, state.claim()).live
    except IncusError:
        return None


def _on_delete(new: Inputs) -> str:
    noun = new.kind.noun
    if new.hidden.retained:
        return f"keeps the {noun} (retain_on_delete)"
    if new.plan.name in new.kind.permanent:
        return f"releases the {noun}, which stays as it is"
    deletes = f"deletes the {noun}, if nothing uses it"
    if new.options.adopt:
        return f"releases the {noun} if it was adopted; else {deletes}"
    return deletes


def _id_of(new: Inputs) -> str:
    """Return the id of the resource, which is in plain text in the state."""
    parts = [("project", new.plan.project)] if new.kind.in_project else []
    parts.append(("name", new.plan.name))
    return "/".join("-" if new.hidden.is_secret((name,)) else text for name, text in parts)


def _kind_of(kind: AnyKind) -> Kind[Inputs, State]:
    """Return how the properties of a kind of config object are parsed and sealed, and its calls."""
    hidden = (SECRET_INPUTS, REPLACE_ON, RETAINED, CREATE_FIRST)
    parse = partial(ObjectInputs.parse, kind)
    return Kind(
        input_names=(*kind.model.model_fields, *hidden, "plan", "on_delete"),
        parse_inputs=parse,
        parse_state=partial(ObjectState.parse, kind),
        mark_secrets=partial(
            mark_planned_inputs,
            derived=kind.revealing,
            plan_of=lambda given: parse(given).plan_tree(),
            plan_path=partial(plan_path, kind),
        ),
        check=check,
        diff=diff,
        create=create,
        read=read,
        update=update,
        delete=delete,
        fill_inputs=partial(fill_inputs, kind),
        shown=shown,
    )


KINDS: Final = {kind.noun: _kind_of(kind) for kind in (PROFILE, PROJECT, NETWORK, POOL)}
"""The kinds of config objects, by their nouns."""
