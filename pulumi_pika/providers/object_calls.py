"""The calls of the providers of config objects: profiles, projects, networks and storage pools.

All kinds have the same calls; `reconcile.objects.object_kind.ObjectKind` has the differences.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

from pulumi.dynamic import DiffResult

from ..incus.client import IncusClient
from ..incus.errors import IncusError, PlaceMissing
from ..message_templates import IN_USE, Message, could_not
from ..reconcile.objects.config_object import Owner, find_owned_object
from ..reconcile.objects.live_object import LiveObject, users_text
from ..reconcile.objects.network import NETWORK
from ..reconcile.objects.object_changes import (
    changed_parts,
    observe,
    replacing_parts,
    unmanaged_parts,
)
from ..reconcile.objects.object_creation import create_or_adopt_object
from ..reconcile.objects.object_errors import (
    describe_alike,
    unchangeable_while_used,
    why_not_owned,
)
from ..reconcile.objects.object_kind import ObjectKind
from ..reconcile.objects.object_removal import remove_object
from ..reconcile.objects.object_update import change_object
from ..reconcile.objects.pool import POOL
from ..reconcile.objects.profile import PROFILE
from ..reconcile.objects.project import PROJECT
from ..reconcile.shared.errors import ReplacementFailed
from ..validation.hidden_property import CREATE_FIRST, RETAINED
from ..validation.lenient_validation import Failure
from ..validation.plan_inputs import SECRET_INPUTS
from ..validation.property_tree import Path
from ..validation.warning_codes import REPLACE, coded
from .declared_objects import declare
from .engine_log import PulumiReporter
from .host_connection import client_for, default_place
from .object_checks import find_change_failures, find_host_failures
from .object_state import ADOPTED, RENAMED_TO, ObjectInputs, ObjectState, revealed_paths
from .properties import REPLACE_ON, Properties, Values
from .replace_on_changes import replaced_by_option
from .replacement_refusal import refuse_same_name, retention_changed, was_checked
from .resource_kind import Created, Kind, Refreshed, Updated
from .schema_version import GENERATION
from .secret_marking import mark_object_secrets

Inputs = ObjectInputs[Any]
State = ObjectState[Any]

DRIFT: Final = "drift"
"""The output with the names of the parts that a refresh found changed."""
UNMANAGED: Final = "unmanaged"
"""The output with the names of what the object has beside the plan."""


class ObjectCalls:
    """The calls for one kind of object. Thread-safe: an instance has no state."""

    def __init__(self, kind: ObjectKind[Any]) -> None:
        self.kind = kind

    def resource_kind(self) -> Kind[Inputs, State]:
        """Return the kind of the resource, for `call_boundary`."""
        hidden = (SECRET_INPUTS, REPLACE_ON, RETAINED, CREATE_FIRST)
        return Kind(
            input_names=(*self.kind.model.model_fields, *hidden, "plan", "on_delete"),
            parse_inputs=lambda properties: ObjectInputs.parse(self.kind, properties),
            parse_state=lambda properties: ObjectState.parse(self.kind, properties),
            mark_secrets=partial(
                mark_object_secrets, planned=self._planned, revealed=self._revealed
            ),
            check=self.check,
            diff=self.diff,
            create=self.create,
            read=self.read,
            update=self.update,
            delete=self.delete,
            fill_inputs=self._fill_inputs,
            shown=self._shown,
        )

    def check(self, new: Inputs, old: Inputs | None, _report: PulumiReporter) -> Iterable[Failure]:
        """Return everything that is wrong with the new inputs, also on the host.

        Args:
            new: The new inputs.
            old: The inputs that an earlier `check` returned; None for a new object.
        """
        kind = self.kind
        failures = new.failures or find_change_failures(kind, new, old)
        failures = failures or find_host_failures(kind, new, old)
        if not failures and not new.is_unknown("name", "project"):
            declare(kind.collection, new.plan.project, new.plan.name)
        return failures

    def diff(self, state: State, new: Inputs, report: PulumiReporter) -> DiffResult:
        """Compare the plan in the state with the new plan."""
        kind = self.kind
        changes = self._changes(state, new)
        replaces = replacing_parts(kind, state.plan, new.plan, adopted=state.adopted)
        replaces += replaced_by_option(
            new.hidden.replace_on,
            lambda: Values(state.inputs.options.model_dump()),
            lambda: Values(new.options.model_dump()),
            new.unknown,
            replaces,
        )
        if replaces:
            self._refuse_replacement(state, new, replaces)
            report.warn(
                coded(
                    f"because of {', '.join(replaces)}, {kind.where(state.plan)} is "
                    + ("released" if self._is_released(state) else "deleted")
                    + " and another one is created",
                    REPLACE,
                )
            )
        else:
            self._refuse_used_change(state, new)
            if state.plan.name != new.plan.name:
                report.info(f"{kind.where(state.plan)} is renamed to {new.plan.name}")
        return DiffResult(
            changes=bool(changes or replaces),
            replaces=replaces,
            delete_before_replace=True,
        )

    def create(self, new: Inputs, report: PulumiReporter) -> Created:
        """Create the object, or adopt or resume managing an existing one."""
        client = self._client(new.plan.project)
        live = create_or_adopt_object(self.kind, client, new.plan, _owner(new), report)
        return Created(self._id_of(new), self._outputs(new, live))

    def read(self, state: State, report: PulumiReporter) -> Refreshed | None:
        """Return the state of the live object; None if it is deleted."""
        kind = self.kind
        try:
            client = self._client(state.plan.project)
            found = find_owned_object(kind, client, state.applied, state.claim())
        except PlaceMissing as error:
            report.warn(f"{kind.where(state.plan)} no longer exists: {error}")
            return None
        if found.live is None:
            if found.alike:
                report.warn(describe_alike(kind, state.applied, found.alike))
            if found.other is not None:
                report.warn(
                    f"{kind.where(state.plan)} {why_not_owned(found.other, state.claim())}; this "
                    "resource has none now"
                )
            return None
        live = found.live
        seen = observe(kind, state.applied, live)
        outputs: dict[str, Any] = {
            "plan": seen.to_tree(),
            **kind.outputs(live),
            UNMANAGED: unmanaged_parts(kind, state.applied, live),
            DRIFT: changed_parts(kind, seen, state.applied),
            GENERATION: state.hidden.generation or live.generation,
        }
        if state.hidden.owner and live.owner != state.hidden.owner:
            outputs["owner"] = live.owner
        if live.name == state.applied.name:
            return Refreshed(outputs, removed=(RENAMED_TO,))
        report.warn(
            f"{kind.where(state.applied)} was renamed to {live.name} outside Pulumi; `pulumi up` "
            "renames it back"
        )
        return Refreshed({**outputs, RENAMED_TO: live.name})

    def update(self, state: State, new: Inputs, report: PulumiReporter) -> Updated:
        """Change the object in place."""
        live = change_object(
            self.kind,
            self._client(new.plan.project),
            new.plan,
            state.plan,
            _owner(new),
            report,
            claim=state.claim(new.options.owner),
            adopted=state.adopted,
        )
        return Updated(self._outputs(new, live))

    def delete(self, state: State, report: PulumiReporter) -> None:
        """Delete the object if nothing uses it; release it if it existed before."""
        kind = self.kind
        try:
            remove_object(
                kind,
                self._client(state.plan.project),
                state.applied,
                report,
                claim=state.claim(),
                adopted=state.adopted,
            )
        except PlaceMissing as error:
            report.warn(f"{kind.where(state.plan)} no longer exists: {error}")

    def _fill_inputs(self, old: Properties, new: Properties) -> Properties:
        """Return the new inputs with the host's default project, which counts at the creation."""
        if not self.kind.in_project or "project" in new.names():
            return new
        return new.with_values({"project": old.at(("project",)) or default_place()[0]})

    def _shown(self, new: Inputs) -> Mapping[str, Any]:
        return {"plan": new.plan_tree(self.kind), "on_delete": self._on_delete(new)}

    def _planned(self, given: Properties) -> dict[str, Any]:
        return ObjectInputs.parse(self.kind, given).plan_tree(self.kind)

    def _revealed(self, secret: Iterable[Path]) -> list[Path]:
        return revealed_paths(self.kind, secret)

    def _client(self, project: str) -> IncusClient:
        return client_for(project or default_place()[0])

    def _changes(self, state: State, new: Inputs) -> list[str]:
        changes = changed_parts(self.kind, state.plan, new.plan)
        changes += [".".join(str(step) for step in path) for path in new.unknown]
        before, after = state.inputs.options, new.options
        changes += [
            name
            for name in type(after).model_fields
            if name != "backend" and getattr(before, name) != getattr(after, name)
        ]
        if state.renamed_to:
            changes.append(RENAMED_TO)
        if state.hidden.secret_inputs != new.hidden.secret_inputs:
            changes.append(SECRET_INPUTS)
        if retention_changed(state.hidden, new.hidden):
            changes.append(RETAINED)
        return changes

    def _is_released(self, state: State) -> bool:
        return state.adopted or state.plan.name in self.kind.permanent

    def _refuse_replacement(self, state: State, given: Inputs, replaces: list[str]) -> None:
        """Refuse a replacement that would fail after it began.

        Raises:
            ReplacementFailed: The object is in use, or an option of the resource is in the way;
                nothing was changed.
        """
        kind, where = self.kind, self.kind.where(state.plan)
        same_place = (state.plan.name, state.plan.project) == (given.plan.name, given.plan.project)
        if same_place and not given.is_unknown("name", "project"):
            refuse_same_name(
                state.hidden,
                given.hidden,
                replaces,
                name=where,
                kind=kind.noun,
                argument="name",
                otherwise=f"the old {kind.noun} is deleted first, if nothing uses it",
            )
        if self._is_released(state) or not was_checked(given.options.owner):
            return
        try:
            client = self._client(state.plan.project)
            live = find_owned_object(kind, client, state.applied, state.claim()).live
        except IncusError:
            return  # An unreachable host cannot delete anything either.
        if live is not None and kind.users(live):
            text = could_not(
                f"replace {where} (because of {', '.join(replaces)})",
                f"it would be deleted first, and is used by {users_text(kind.users(live))}",
                undone="Nothing was deleted",
                advice="To keep it and its users, declare the changed one as another resource "
                "with another name, and move the users to it",
            )
            raise ReplacementFailed(Message(text, IN_USE))

    def _refuse_used_change(self, state: State, given: Inputs) -> None:
        """Refuse a change in place that Incus refuses while anything uses the object.

        Raises:
            ObjectInUse: The object is in use; nothing was changed.
        """
        kind = self.kind
        parts = kind.needs_no_users(state.plan, given.plan)
        if not parts or given.unknown or not was_checked(given.options.owner):
            return
        try:
            client = self._client(state.plan.project)
            live = find_owned_object(kind, client, state.applied, state.claim()).live
        except IncusError:
            return  # The update reports it.
        if live is not None and kind.users(live):
            raise unchangeable_while_used(kind, client, live, state.plan, parts)

    def _on_delete(self, given: Inputs) -> str:
        noun = self.kind.noun
        if given.hidden.retained:
            return f"keeps the {noun} (retain_on_delete)"
        if given.plan.name in self.kind.permanent:
            return f"releases the {noun}, which stays as it is"
        deletes = f"deletes the {noun}, if nothing uses it"
        if given.options.adopt:
            return f"releases the {noun} if it was adopted; else {deletes}"
        return deletes

    def _outputs(self, new: Inputs, live: LiveObject) -> dict[str, Any]:
        kind = self.kind
        return {
            "plan": observe(kind, new.plan, live).to_tree(),
            **kind.outputs(live),
            UNMANAGED: unmanaged_parts(kind, new.plan, live),
            DRIFT: [],
            ADOPTED: live.adopted,
            GENERATION: live.generation,
        }

    def _id_of(self, new: Inputs) -> str:
        """Return the id of the resource, which is in plain text in the state."""
        parts = [("project", new.plan.project)] if self.kind.in_project else []
        parts.append(("name", new.plan.name))
        return "/".join("-" if new.hidden.is_secret((name,)) else text for name, text in parts)


_CALLS: Final = {kind.noun: ObjectCalls(kind) for kind in (PROFILE, PROJECT, NETWORK, POOL)}
_KINDS: Final = {noun: calls.resource_kind() for noun, calls in _CALLS.items()}


def kind_of(noun: str) -> Kind[Inputs, State]:
    """Return the kind of resource for the objects with a noun, such as `profile`."""
    return _KINDS[noun]


def _owner(new: Inputs) -> Owner:
    options = new.options
    return Owner(options.owner, options.backend, options.adopt)
