"""Create, adopt, change, release and delete a config object: one with a config and an ownership
label."""

from dataclasses import dataclass
from typing import Any, Final

from ...incus.client import IncusClient
from ...incus.config_objects import get_object, list_objects, rename_object, replace_object
from ...incus.errors import (
    AlreadyExists,
    IncusApiError,
    IncusError,
    IncusUnreachable,
    NotFound,
    OperationError,
    PreconditionFailed,
    UnexpectedResponse,
)
from ..shared.errors import (
    ForeignObject,
    ObjectExists,
    ObjectGone,
    ObjectInUse,
    ObjectRefused,
)
from ..shared.ownership import (
    BACKEND_KEY,
    GENERATION_KEY,
    OWNER_KEY,
    Claim,
    is_same_or_earlier,
    new_generation,
    relation,
    renamed_hint,
)
from ..shared.reporter import Reporter
from .live_object import ADOPTED_KEY, LiveObject, users_text
from .object_changes import ObjectChanges, find_object_changes
from .object_kind import ObjectKind
from .object_plan import ObjectPlan

_LABEL_KEYS: Final = (OWNER_KEY, BACKEND_KEY, GENERATION_KEY, ADOPTED_KEY)
_ATTEMPTS: Final = 4
"""How often a change is sent if other clients change the object in between."""

AnyKind = ObjectKind[Any]


@dataclass(frozen=True, slots=True)
class Owner:
    """Describe the resource that manages an object.

    Attributes:
        urn: the URN of the resource.
        backend: the digest of the Pulumi backend of its stack.
        adopt: whether it may adopt an object without an owner.
    """

    urn: str
    backend: str = ""
    adopt: bool = False


@dataclass(frozen=True, slots=True)
class FoundObject:
    """Hold the result of a search for a resource's own object.

    Attributes:
        live: the resource's own object, whatever its name is now.
        other: the object that has the name but is not the resource's own.
        alike: the name of an object that has the resource's ownership label, and is either its own
            one with another name, or a copy; empty for none.
    """

    live: LiveObject | None
    other: LiveObject | None = None
    alike: str = ""


def fetch_object(kind: AnyKind, client: IncusClient, name: str) -> LiveObject | None:
    """Return the object of a name as it is now, or None.

    Raises:
        PlaceMissing: its project does not exist.
    """
    entity = get_object(client, kind.collection, name)
    return LiveObject.of(entity) if entity else None


def find_owned_object(
    kind: AnyKind, client: IncusClient, plan: ObjectPlan, claim: Claim
) -> FoundObject:
    """Find the object that a state manages: by its name, else by the ownership labels.

    If objects of this kind can be copied, their labels do not prove that an object with another
    name is the same one. Then it does not count as the resource's own.

    Args:
        kind: the kind of the object.
        client: a client in its project.
        plan: the plan in the state, which has its name.
        claim: what the state knows of it.
    """
    named = fetch_object(kind, client, plan.name)
    if named is not None and claim.holds(named.config, ""):
        return FoundObject(named)
    for data in list_objects(client, kind.collection):
        name = str(data.get("name") or "")
        if name == plan.name or not _is_marked(data, claim):
            continue
        if kind.can_be_copied:
            return FoundObject(None, named, alike=name)
        return FoundObject(fetch_object(kind, client, name), named)
    return FoundObject(None, named)


def _is_marked(data: dict[str, Any], claim: Claim) -> bool:
    config = data.get("config") or {}
    generation = str(config.get(GENERATION_KEY) or "")
    # An edited label does not count here: only the generation identifies a renamed object.
    return bool(generation and claim.generation) and claim.holds(config, "")


def create_or_adopt_object(
    kind: AnyKind, client: IncusClient, plan: ObjectPlan, owner: Owner, reporter: Reporter
) -> LiveObject:
    """Create the object, or manage an existing one.

    An existing object is managed if its ownership label names this resource: the reply to its
    creation was lost, or Pulumi retained it. One without an owner is adopted only with `adopt`;
    then only the keys and devices of the plan are changed.

    Args:
        kind: the kind of the object.
        client: a client in its project.
        plan: the desired plan.
        owner: the resource.
        reporter: receives progress.

    Raises:
        ObjectExists: an object without an owner exists, and `adopt` is off.
        ForeignObject: another resource owns the existing object.
        ObjectRefused: the server refuses it; what was created is deleted again.
        IncusError: it could not be created.
    """
    live = fetch_object(kind, client, plan.name)
    if live is None:
        attempt = new_generation()
        config = {**plan.config, OWNER_KEY: owner.urn, GENERATION_KEY: attempt}
        if owner.backend:
            config[BACKEND_KEY] = owner.backend
        try:
            kind.create(client, plan, {key: value for key, value in config.items() if value})
        except AlreadyExists:
            # Another client was faster, or an earlier request whose reply was lost.
            live = fetch_object(kind, client, plan.name)
            if live is None:
                raise
        except (IncusError, KeyboardInterrupt) as error:
            _finish_or_undo(kind, client, plan, attempt, error)
        if live is None:
            made = _fetch_existing(kind, client, plan)
            # In a cluster, Incus 7.0 drops the description of a new storage pool.
            return _apply(kind, client, made, plan, None, {}, reporter)
    check_adoptable(kind, client, live, plan, owner)
    ours = relation(live.config, owner.urn, owner.backend) == "ours"
    label: dict[str, str | None] = {
        OWNER_KEY: owner.urn,
        BACKEND_KEY: owner.backend or None,
        GENERATION_KEY: new_generation(live.generation if ours else ""),
        ADOPTED_KEY: live.config.get(ADOPTED_KEY) if ours else "true",
    }
    live = _apply(kind, client, live, plan, None, label, reporter)
    did = "resumed managing" if ours else "adopted"
    reporter.info(f"{did} the {kind.where(plan)}, which existed")
    return live


def _finish_or_undo(
    kind: AnyKind, client: IncusClient, plan: ObjectPlan, attempt: str, error: BaseException
) -> None:
    """Return if the object was created although the reply was lost; else delete what is left.

    Raises:
        ObjectRefused: the server refused it, and the message says what was undone.
        IncusError: the object may not exist.
    """
    if isinstance(error, IncusUnreachable) and not error.sent:
        raise error
    live = fetch_object(kind, client, plan.name)
    made = live is not None and live.generation == attempt
    lost = isinstance(error, IncusUnreachable | UnexpectedResponse | OperationError)
    if made and lost and live is not None and live.data.get("status", "Created") == "Created":
        return
    undone = "Nothing was created"
    if made:
        try:
            kind.delete(client, plan.name)
            undone = "What was created of it was deleted again"
        except IncusError as left:
            undone = (
                f"What was created of it could not be deleted ({left}); delete it with "
                f"{kind.shell('delete', plan)}"
            )
    if isinstance(error, IncusApiError | OperationError):
        raise ObjectRefused(
            f"could not create the {kind.where(plan)} at {client.host}: {error.reason}. {undone}"
        ) from error
    raise error


def check_adoptable(
    kind: AnyKind, client: IncusClient, live: LiveObject, plan: ObjectPlan, owner: Owner
) -> None:
    """Raise an error if a resource may not, or cannot, manage an existing object.

    Args:
        kind: the kind of the object.
        client: a client in its project.
        live: the object as last fetched.
        plan: the desired plan.
        owner: the resource.

    Raises:
        ObjectExists: it has no owner, and `adopt` is off.
        ForeignObject: another resource owns it.
        ObjectRefused: it cannot be changed to match the plan.
    """
    where = f"the {kind.where(plan)} exists at {client.host}"
    if refusal := kind.refusal(live):
        raise ObjectExists(f"{where} and cannot be managed: {refusal}. Choose another name")
    whose = relation(live.config, owner.urn, owner.backend)
    if live.data.get("status") == "Pending" and whose == "unmarked":
        raise ObjectExists(
            f"{where} and is only prepared on members of the cluster, by a create that was "
            f"interrupted or is still running. If it is not running, delete what is prepared with "
            f"{kind.shell('delete', plan)}, and run `pulumi up` again"
        )
    if whose == "other" or (whose == "other_backend" and not owner.adopt):
        of = " of another Pulumi backend" if whose == "other_backend" else ""
        hint = renamed_hint(owner.urn, live.owner) if whose == "other" else ""
        raise ForeignObject(
            f"{where} and is owned by {live.owner}{of}; it was not changed. Choose another name"
            + ("" if of == "" else ", or set adopt=True to adopt it from that stack")
            + (f". {hint}" if hint else "")
        )
    if whose == "unmarked" and not owner.adopt:
        used = users_text(kind.users(live)) or "nothing"
        raise ObjectExists(
            f"{where} and has no owner (it is used by {used}); it was not changed. Set adopt=True "
            "to manage the keys and devices that the program names, or choose another name"
        )
    wrong = [
        f"{key} is {live.data.get(key)}, and the program says {value}"
        for key, value in plan.fixed.items()
        if str(live.data.get(key)) != value
    ]
    wrong += [
        f"{key} is {live.config.get(key, 'not set')}, and the program says otherwise"
        for key, value in plan.config.items()
        if kind.is_fixed(key)
        and not (live.in_cluster and kind.is_of_member(key))
        and not kind.is_same(key, value, live.config)
    ]
    if wrong:
        raise ObjectRefused(
            f"{where} and cannot be changed to match the program: {'; '.join(wrong)}. It was not "
            "changed. Correct the program, or choose another name"
        )


def change_object(
    kind: AnyKind,
    client: IncusClient,
    plan: ObjectPlan,
    previous: ObjectPlan,
    owner: Owner,
    reporter: Reporter,
    *,
    claim: Claim,
    adopted: bool,
) -> LiveObject:
    """Change the object in place, also its name.

    Args:
        kind: the kind of the object.
        client: a client in its project.
        plan: the desired plan.
        previous: the plan that was applied, or observed, before.
        owner: the resource.
        reporter: receives progress and warnings.
        claim: what the state knows of it.
        adopted: whether the state says that it existed before it was managed.

    Raises:
        ObjectGone: the object no longer exists.
        ForeignObject: another resource owns it now.
        ObjectInUse: it cannot be renamed while it is used.
        ObjectRefused: the server refuses the change.
    """
    found = find_owned_object(kind, client, previous, claim)
    if found.live is None and plan.name != previous.name:
        # An earlier update may have been interrupted after it renamed the object.
        found = find_owned_object(kind, client, plan, claim)
    if found.live is None and found.other is not None:
        raise ForeignObject(
            f"the {kind.where(previous)} {why_not_owned(found.other, claim)}; it was not changed. "
            "Run `pulumi refresh`, and then `pulumi up`"
        )
    if found.live is None:
        raise ObjectGone(
            f"the {kind.where(previous)} does not exist at {client.host}; run `pulumi refresh`, "
            "and then `pulumi up`, which creates it again"
        )
    live = found.live
    if live.in_cluster:
        _refuse_member_keys(kind, client, plan, previous)
    if live.name != plan.name:
        live = _rename(kind, client, live, plan, claim, reporter)
    label: dict[str, str | None] = {
        OWNER_KEY: owner.urn or None,
        BACKEND_KEY: owner.backend or None,
        # A label that another client removed is written again.
        GENERATION_KEY: live.generation or claim.generation or None,
        ADOPTED_KEY: "true" if adopted or live.adopted else None,
    }
    return _apply(kind, client, live, plan, previous, label, reporter)


def _refuse_member_keys(
    kind: AnyKind, client: IncusClient, plan: ObjectPlan, previous: ObjectPlan
) -> None:
    """Refuse a change of keys that each member of a cluster has for itself.

    Raises:
        ObjectRefused: one of them changes.
    """
    keys = [
        key
        for key in sorted(plan.config.keys() | previous.config.keys())
        if kind.is_of_member(key) and plan.config.get(key) != previous.config.get(key)
    ]
    keys += ["member_config"] if plan.members != previous.members else []
    if keys:
        raise ObjectRefused(
            f"could not change the {kind.where(plan)} at {client.host}: in a cluster, each member "
            f"has its own {', '.join(keys)}. It was not changed. Keep the present values in the "
            "program, or declare the changed object under another name"
        )


def _rename(
    kind: AnyKind,
    client: IncusClient,
    live: LiveObject,
    plan: ObjectPlan,
    claim: Claim,
    reporter: Reporter,
) -> LiveObject:
    reporter.info(f"renaming the {kind.noun} {live.name} to {plan.name}")
    try:
        rename_object(client, kind.collection, live.name, plan.name)
    except (IncusApiError, OperationError) as error:
        used = users_text(kind.users(live))
        raise ObjectInUse(
            f"could not rename the {kind.noun} {live.name} to {plan.name} at {client.host}: "
            f"{error.reason}. It was not changed. "
            + (f"It is used by {used}: " if used else "")
            + "Keep its name, or delete what uses it first"
        ) from error
    except (IncusUnreachable, UnexpectedResponse):
        renamed = fetch_object(kind, client, plan.name)
        if renamed is None or not claim.holds(renamed.config, ""):
            raise
    return _fetch_existing(kind, client, plan)


def _apply(
    kind: AnyKind,
    client: IncusClient,
    live: LiveObject,
    plan: ObjectPlan,
    previous: ObjectPlan | None,
    label: dict[str, str | None],
    reporter: Reporter,
) -> LiveObject:
    """Send all changes and the ownership label in one request, and return the object afterwards."""
    announced = False
    for attempt in range(_ATTEMPTS):
        changes = find_object_changes(kind, live, plan, previous)
        if changes.kept and not announced:
            announced = True
            reporter.warn(
                f"the {kind.where(plan)}: left as it is, since another client changed it: "
                f"{', '.join(changes.kept)}"
            )
        changes.config.update(
            {key: value for key, value in label.items() if live.config.get(key) != value}
        )
        if not changes:
            return live
        try:
            _send(kind, client, live, changes)
        except PreconditionFailed:
            if attempt == _ATTEMPTS - 1:
                raise
        except (IncusUnreachable, UnexpectedResponse) as error:
            if isinstance(error, IncusUnreachable) and not error.sent:
                raise
            seen = _fetch_existing(kind, client, plan)
            if find_object_changes(kind, seen, plan, previous) or any(
                seen.config.get(key) != value for key, value in label.items()
            ):
                raise
        except (IncusApiError, OperationError) as error:
            raise ObjectRefused(
                f"could not change the {kind.where(plan)} at {client.host}: {error.reason}. "
                f"Correct the program, and run `pulumi up` again"
            ) from error
        else:
            return _fetch_existing(kind, client, plan)
        live = _fetch_existing(kind, client, plan)
    return live


def _send(kind: AnyKind, client: IncusClient, live: LiveObject, changes: ObjectChanges) -> None:
    body = changes.apply_to(live, devices=kind.has_devices)
    replace_object(client, kind.collection, live.name, body, etag=live.etag)


def remove_object(
    kind: AnyKind,
    client: IncusClient,
    plan: ObjectPlan,
    reporter: Reporter,
    *,
    claim: Claim,
    adopted: bool,
) -> None:
    """Delete the object, or release it if it existed before it was managed.

    Args:
        kind: the kind of the object.
        client: a client in its project.
        plan: the plan in the state.
        reporter: receives progress and warnings.
        claim: what the state knows of it.
        adopted: whether the state says that it existed before it was managed.

    Raises:
        ObjectInUse: it is in use; it was not changed.
        IncusError: it could not be deleted.
    """
    found = find_owned_object(kind, client, plan, claim)
    if found.other is not None:
        reporter.warn(
            f"the {kind.where(plan)} {why_not_owned(found.other, claim)}; it was not changed"
        )
    if found.alike:
        reporter.warn(f"{describe_alike(kind, plan, found.alike)}. It was not deleted")
    live = found.live
    if live is None:
        return
    if adopted or live.adopted or live.name in kind.permanent:
        _release(kind, client, live, plan, reporter)
        return
    if kind.users(live):
        raise in_use(kind, client, plan, live)
    try:
        kind.delete(client, live.name)
    except NotFound:
        return
    except (IncusApiError, OperationError) as error:
        now = fetch_object(kind, client, live.name)
        if now is None:
            return
        if kind.users(now):
            raise in_use(kind, client, plan, now) from error
        raise ObjectRefused(
            f"could not delete the {kind.where(plan)} at {client.host}: {error.reason}. It was not "
            "changed. Remove what the server names, and run the same command again"
        ) from error
    except (IncusUnreachable, UnexpectedResponse):
        now = fetch_object(kind, client, live.name)
        if now is not None and claim.holds(now.config, ""):
            raise


def describe_alike(kind: AnyKind, plan: ObjectPlan, alike: str) -> str:
    """Return a text about an object with another name that has the resource's ownership label.

    Args:
        kind: the kind of the object.
        plan: the plan in the state.
        alike: the name of that object.
    """
    return (
        f"the {kind.where(plan)} does not exist; the {kind.noun} {alike} has its ownership label, "
        "and is either the same one with another name, or a copy. To delete it, run "
        f"{kind.shell('delete', plan, name=alike)}"
    )


def in_use(kind: AnyKind, client: IncusClient, plan: ObjectPlan, live: LiveObject) -> ObjectInUse:
    """Return the error for an object that cannot be deleted, with the list of its users."""
    return ObjectInUse(
        f"could not delete the {kind.where(plan)} at {client.host}: it is used by "
        f"{users_text(kind.users(live))}. It was not changed. Delete its users or change them to "
        "use another one, and run the same command again"
    )


def _release(
    kind: AnyKind, client: IncusClient, live: LiveObject, plan: ObjectPlan, reporter: Reporter
) -> None:
    """Remove the ownership label, and leave everything else as it is."""
    reporter.info(f"released the {kind.where(plan)}: it existed before, and stays as it is")
    label = dict.fromkeys(_LABEL_KEYS)
    empty = ObjectPlan(live.name, plan.project)
    _apply(kind, client, live, empty, None, label, reporter)


def why_not_owned(live: LiveObject, claim: Claim) -> str:
    """Return why an object is not the one that a state manages, to follow its name."""
    if live.owner and live.owner not in claim.owners:
        return f"is owned by {live.owner} now"
    known = is_same_or_earlier(live.generation, claim.generation)
    if live.owner and live.generation and claim.generation and not known:
        return (
            "was adopted or created again since: by a later create of this resource, or by a "
            "stack of the same name in another backend"
        )
    return "does not have the ownership label of this resource"


def _fetch_existing(kind: AnyKind, client: IncusClient, plan: ObjectPlan) -> LiveObject:
    live = fetch_object(kind, client, plan.name)
    if live is None:
        raise ObjectGone(
            f"the {kind.where(plan)} existed at {client.host}, and another client has deleted it; "
            "run `pulumi refresh`, and then `pulumi up`, which creates it again"
        )
    return live
