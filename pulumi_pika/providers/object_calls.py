"""The calls of the providers of config objects: profiles, projects, networks and storage pools.

All kinds have the same calls; `reconcile.objects.object_kind.ObjectKind` has the differences.
"""

from typing import Any, Final

from pulumi.dynamic import (
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    UpdateResult,
)

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
from ..validation.object_inputs import (
    ADOPTED,
    RENAMED_TO,
    ObjectInputs,
    ObjectState,
    secret_paths_of,
)
from ..validation.plan_inputs import SECRET_INPUTS
from ..validation.property_tree import Path
from ..validation.warning_codes import REPLACE, coded
from .declared_objects import declare
from .host_connection import client_for, default_place
from .object_checks import find_change_failures, find_host_failures
from .provider_errors import nesting_failure, raise_if_failed, user_facing_errors
from .replace_on_changes import replaced_by_option
from .replacement_refusal import refuse_same_name, retention_changed, was_checked
from .schema_version import GENERATION, SCHEMA_VERSION
from .secret_marking import check_failures, is_secret, mark_secret_inputs

DRIFT: Final = "drift"
"""The output with the names of the parts that a refresh found changed."""
UNMANAGED: Final = "unmanaged"
"""The output with the names of what the object has beside the plan."""


class ObjectCalls:
    """The calls for one kind of object. Thread-safe: an instance has no state."""

    def __init__(self, kind: ObjectKind[Any]) -> None:
        self.kind = kind

    def check(self, olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Validate the inputs, and add `plan` and `on_delete`, which every preview shows.

        Args:
            olds: The inputs that an earlier `check` returned; empty for a new object.
            news: The inputs of the program.
        """
        kind = self.kind
        if kind.in_project and "project" not in news:
            news = {**news, "project": olds.get("project") or default_place()[0]}
        try:
            given = ObjectInputs.parse(kind, news)
            old = ObjectInputs.parse(kind, olds) if olds else None
        except RecursionError:
            return nesting_failure()
        failures = given.failures or find_change_failures(kind, given, old)
        failures = failures or find_host_failures(kind, given, old)
        if failures:
            return CheckResult({}, check_failures(failures, given.tree))
        plan = given.plan
        if not given.is_unknown("name", "project"):
            declare(kind.collection, plan.project, plan.name)
        inputs = {
            **given.tree,
            "plan": given.plan_tree(kind),
            "on_delete": self._on_delete(given),
        }
        return CheckResult(self._seal(inputs, given), [])

    def diff(self, olds: dict[str, Any], news: dict[str, Any]) -> DiffResult:
        """Compare the plan in the state with the new plan.

        Args:
            olds: The outputs in the state.
            news: The new inputs.
        """
        with user_facing_errors(olds, news) as report:
            kind = self.kind
            state, given = ObjectState.parse(kind, olds), ObjectInputs.parse(kind, news)
            changes = self._changes(state, given)
            replaces = replacing_parts(kind, state.plan, given.plan, adopted=state.adopted)
            before, after = (it.options.model_dump() for it in (state.inputs, given))
            replaces += replaced_by_option(given.tree, before, after, given.unknown, replaces)
            if replaces:
                where = kind.where(state.plan)
                self._refuse_replacement(state, given, replaces)
                report().warn(
                    coded(
                        f"because of {', '.join(replaces)}, {where} is "
                        + ("released" if self._is_released(state) else "deleted")
                        + " and another one is created",
                        REPLACE,
                    )
                )
            else:
                self._refuse_used_change(state, given)
            if not replaces and state.plan.name != given.plan.name:
                report().info(f"{kind.where(state.plan)} is renamed to {given.plan.name}")
        return DiffResult(
            changes=bool(changes or replaces),
            replaces=replaces,
            delete_before_replace=True,
        )

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Create the object, or adopt or resume managing an existing one.

        Args:
            props: The inputs that `check` returned.
        """
        kind = self.kind
        with user_facing_errors(props) as report:
            given = self._given(props)
            client = self._client(given.plan.project)
            live = create_or_adopt_object(kind, client, given.plan, _owner(given), report())
            outputs = self._outputs(given, live)
        return CreateResult(self._id_of(given), self._seal(outputs, given))

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Return the state of the live object; a deleted object is returned as a deleted resource.

        Args:
            id_: The id of the resource.
            props: The outputs in the state.
        """
        kind = self.kind
        with user_facing_errors(props) as report:
            state = ObjectState.parse(kind, props)
            try:
                client = self._client(state.plan.project)
                found = find_owned_object(kind, client, state.applied, state.claim())
            except PlaceMissing as error:
                report().warn(f"{kind.where(state.plan)} no longer exists: {error}")
                return ReadResult("", {})
            if found.live is None:
                if found.alike:
                    report().warn(describe_alike(kind, state.applied, found.alike))
                if found.other is not None:
                    report().warn(
                        f"{kind.where(state.plan)} "
                        f"{why_not_owned(found.other, state.claim())}; this resource has none now"
                    )
                return ReadResult("", {})
            outputs = self._refreshed(state, found.live)
            if RENAMED_TO in outputs:
                report().warn(
                    f"{kind.where(state.applied)} was renamed to {found.live.name} outside "
                    "Pulumi; `pulumi up` renames it back"
                )
        inputs = {name: outputs[name] for name in (*state.inputs.tree, "plan") if name in outputs}
        return ReadResult(id_, self._seal(outputs, state.inputs), self._seal(inputs, state.inputs))

    def update(self, olds: dict[str, Any], props: dict[str, Any]) -> UpdateResult:
        """Change the object in place.

        Args:
            olds: The outputs in the state.
            props: The new inputs.
        """
        kind = self.kind
        with user_facing_errors(olds, props) as report:
            state, given = ObjectState.parse(kind, olds), self._given(props)
            live = change_object(
                kind,
                self._client(given.plan.project),
                given.plan,
                state.plan,
                _owner(given),
                report(),
                claim=state.claim(given.options.owner),
                adopted=state.adopted,
            )
            outputs = self._outputs(given, live)
        return UpdateResult(self._seal(outputs, given))

    def delete(self, props: dict[str, Any]) -> None:
        """Delete the object if nothing uses it; release it if it existed before.

        Args:
            props: The outputs in the state.
        """
        kind = self.kind
        with user_facing_errors(props) as report:
            state = ObjectState.parse(kind, props)
            try:
                remove_object(
                    kind,
                    self._client(state.plan.project),
                    state.applied,
                    report(),
                    claim=state.claim(),
                    adopted=state.adopted,
                )
            except PlaceMissing as error:
                report().warn(f"{kind.where(state.plan)} no longer exists: {error}")

    def _given(self, props: dict[str, Any]) -> ObjectInputs[Any]:
        given = ObjectInputs.parse(self.kind, props)
        raise_if_failed(given.failures)
        return given

    def _client(self, project: str) -> IncusClient:
        return client_for(project or default_place()[0])

    def _changes(self, state: ObjectState[Any], given: ObjectInputs[Any]) -> list[str]:
        changes = changed_parts(self.kind, state.plan, given.plan)
        changes += [".".join(str(step) for step in path) for path in given.unknown]
        before, after = state.inputs.options, given.options
        changes += [
            name
            for name in type(after).model_fields
            if name != "backend" and getattr(before, name) != getattr(after, name)
        ]
        if state.owner != given.options.owner:
            changes.append("owner")
        if state.renamed_to:
            changes.append(RENAMED_TO)
        if sorted(state.inputs.secret) != sorted(given.secret):
            changes.append(SECRET_INPUTS)
        if retention_changed(state.tree, given.tree):
            changes.append("retain_on_delete")
        return changes

    def _is_released(self, state: ObjectState[Any]) -> bool:
        return state.adopted or state.plan.name in self.kind.permanent

    def _refuse_replacement(
        self, state: ObjectState[Any], given: ObjectInputs[Any], replaces: list[str]
    ) -> None:
        """Refuse a replacement that would fail after it began.

        Raises:
            ReplacementFailed: The object is in use, or an option of the resource is in the way;
                nothing was changed.
        """
        kind, where = self.kind, self.kind.where(state.plan)
        same_place = (state.plan.name, state.plan.project) == (given.plan.name, given.plan.project)
        if same_place and not given.is_unknown("name", "project"):
            refuse_same_name(
                state.tree,
                given.tree,
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

    def _refuse_used_change(self, state: ObjectState[Any], given: ObjectInputs[Any]) -> None:
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

    def _on_delete(self, given: ObjectInputs[Any]) -> str:
        noun = self.kind.noun
        if given.retained:
            return f"keeps the {noun} (retain_on_delete)"
        if given.plan.name in self.kind.permanent:
            return f"releases the {noun}, which stays as it is"
        deletes = f"deletes the {noun}, if nothing uses it"
        if given.options.adopt:
            return f"releases the {noun} if it was adopted; else {deletes}"
        return deletes

    def _outputs(self, given: ObjectInputs[Any], live: LiveObject) -> dict[str, Any]:
        kind = self.kind
        return {
            **given.tree,
            "plan": observe(kind, given.plan, live).to_tree(),
            **kind.outputs(live),
            UNMANAGED: unmanaged_parts(kind, given.plan, live),
            DRIFT: [],
            ADOPTED: live.adopted,
            GENERATION: live.generation,
            "schema_version": SCHEMA_VERSION,
        }

    def _refreshed(self, state: ObjectState[Any], live: LiveObject) -> dict[str, Any]:
        """Return outputs that describe the live object; without drift, they are unchanged."""
        kind = self.kind
        seen = observe(kind, state.applied, live)
        outputs = {
            **state.tree,
            "plan": seen.to_tree(),
            **kind.outputs(live),
            UNMANAGED: unmanaged_parts(kind, state.applied, live),
            DRIFT: changed_parts(kind, seen, state.applied),
            GENERATION: state.generation or live.generation,
        }
        if state.owner and live.owner != state.owner:
            outputs["owner"] = live.owner
        outputs.pop(RENAMED_TO, None)
        if live.name != state.applied.name:
            outputs[RENAMED_TO] = live.name
        return outputs

    def _id_of(self, given: ObjectInputs[Any]) -> str:
        """Return the id of the resource, which is in plain text in the state."""
        parts = [("project", given.plan.project)] if self.kind.in_project else []
        parts.append(("name", given.plan.name))
        return "/".join("-" if is_secret((name,), given.tree) else text for name, text in parts)

    def _seal(self, tree: dict[str, Any], given: ObjectInputs[Any]) -> dict[str, Any]:
        paths: list[Path] = secret_paths_of(self.kind, given.secret)
        # The program's own values in the plan are not made safe either: they are not untrusted.
        own = {**given.tree, "plan": given.plan_tree(self.kind)}
        return mark_secret_inputs(tree, paths, {}, own)


_CALLS: Final = {kind.noun: ObjectCalls(kind) for kind in (PROFILE, PROJECT, NETWORK, POOL)}


def calls_of(noun: str) -> ObjectCalls:
    """Return the calls for the kind of object with a noun, such as `profile`."""
    return _CALLS[noun]


def _owner(given: ObjectInputs[Any]) -> Owner:
    options = given.options
    return Owner(options.owner, options.backend, options.adopt)
