"""Build the errors of config objects, each with its code."""

from ...incus.client import IncusClient
from ...message_templates import (
    CONFLICT,
    IN_USE,
    Message,
    could_not,
    exists,
    missing,
    other_owner,
)
from ..shared.errors import (
    ForeignObject,
    ObjectExists,
    ObjectGone,
    ObjectInUse,
    ObjectRefused,
)
from ..shared.ownership import Claim, is_same_or_earlier, renamed_hint
from .live_object import LiveObject, users_text
from .object_kind import AnyKind
from .object_plan import ObjectPlan

UNCHANGED = "It was not changed"


def without_owner(
    kind: AnyKind, client: IncusClient, live: LiveObject, plan: ObjectPlan
) -> ObjectExists:
    """Return the error for an existing object without an owner, which `adopt` could adopt."""
    used = users_text(kind.users(live)) or "nothing"
    advice = (
        f"it has no owner, is used by {used}, and was not changed. Set adopt=True to manage the "
        "keys and devices that the program names, or choose another name"
    )
    return ObjectExists(exists(kind.where(plan), f"at {client.host}", advice))


def never_manageable(
    kind: AnyKind, client: IncusClient, plan: ObjectPlan, reason: str
) -> ObjectExists:
    """Return the error for an existing object that cannot be managed at all."""
    advice = f"it cannot be managed: {reason}. Choose another name"
    return ObjectExists(exists(kind.where(plan), f"at {client.host}", advice))


def only_prepared(kind: AnyKind, client: IncusClient, plan: ObjectPlan) -> ObjectExists:
    """Return the error for an object that is prepared on cluster members and not created."""
    advice = (
        "it is only prepared on members of the cluster, by a create that was interrupted or is "
        "still running. If none is running, delete what is prepared with "
        f"{kind.shell('delete', plan)}, and run `pulumi up` again"
    )
    return ObjectExists(exists(kind.where(plan), f"at {client.host}", advice))


def owned_by_other(
    kind: AnyKind, live: LiveObject, plan: ObjectPlan, urn: str, *, other_backend: bool
) -> ForeignObject:
    """Return the error for an object of another resource.

    Args:
        kind: the kind of the object.
        live: the object.
        plan: the desired plan.
        urn: the URN of the resource that wants it.
        other_backend: whether a stack of the same name in another Pulumi backend owns it.
    """
    if other_backend:
        owner = f"{live.owner} of another Pulumi backend"
        advice = "choose another name, or set adopt=True to adopt it from that stack"
    else:
        owner, advice = live.owner, "choose another name"
        if hint := renamed_hint(urn, live.owner):
            advice += f". {hint}"
    return ForeignObject(other_owner(kind.where(plan), owner, f"it was not changed; {advice}"))


def mismatch(
    kind: AnyKind, client: IncusClient, plan: ObjectPlan, wrong: list[str]
) -> ObjectRefused:
    """Return the error for an existing object that cannot be changed to match the plan."""
    text = could_not(
        f"adopt {kind.where(plan)} at {client.host}",
        "; ".join(wrong),
        undone=UNCHANGED,
        advice="Correct the program, or choose another name",
    )
    return ObjectRefused(Message(text, CONFLICT))


def used(kind: AnyKind, client: IncusClient, live: LiveObject, plan: ObjectPlan) -> ObjectInUse:
    """Return the error for an object that cannot be deleted, with the list of its users."""
    text = could_not(
        f"delete {kind.where(plan)} at {client.host}",
        f"it is used by {users_text(kind.users(live))}",
        undone=UNCHANGED,
        advice="Delete its users, or let them use another one, and run the same command again",
    )
    return ObjectInUse(Message(text, IN_USE))


def unchangeable_while_used(
    kind: AnyKind, client: IncusClient, live: LiveObject, plan: ObjectPlan, parts: list[str]
) -> ObjectInUse:
    """Return the error for a change in place that Incus refuses while the object is used.

    Args:
        kind: the kind of the object.
        client: a client of the host.
        live: the object.
        plan: the plan in the state.
        parts: what was to change, such as `name`.
    """
    text = could_not(
        f"change {', '.join(parts)} of {kind.where(plan)} at {client.host}",
        f"Incus allows that only while nothing uses the {kind.noun}, and it is used by "
        f"{users_text(kind.users(live))}",
        undone=UNCHANGED,
        advice="Undo the change in the program, or delete the users first",
    )
    return ObjectInUse(Message(text, IN_USE))


def not_renamed(
    kind: AnyKind, client: IncusClient, live: LiveObject, plan: ObjectPlan, reason: str
) -> ObjectInUse:
    """Return the error for a rename that Incus refused."""
    users = users_text(kind.users(live))
    text = could_not(
        f"rename {kind.noun} {live.name} to {plan.name} at {client.host}",
        reason,
        undone=UNCHANGED + (f". It is used by {users}" if users else ""),
        advice="Keep its name in the program, or delete what uses it first",
    )
    return ObjectInUse(Message(text, IN_USE))


def each_members_own(
    kind: AnyKind, client: IncusClient, plan: ObjectPlan, keys: list[str]
) -> ObjectRefused:
    """Return the error for a change of keys that each member of a cluster has for itself."""
    return ObjectRefused(
        could_not(
            f"change {kind.where(plan)} at {client.host}",
            f"in a cluster, each member has its own {', '.join(keys)}",
            undone=UNCHANGED,
            advice="Keep the present values in the program, or declare the changed object under "
            "another name",
        )
    )


def refused(
    verb: str, kind: AnyKind, client: IncusClient, plan: ObjectPlan, reason: str, undone: str = ""
) -> ObjectRefused:
    """Return the error for an action that Incus refused.

    Args:
        verb: the action, such as `create`.
        kind: the kind of the object.
        client: a client of the host.
        plan: the plan.
        reason: Incus's reason.
        undone: what was undone.
    """
    action = f"{verb} {kind.where(plan)} at {client.host}"
    advice = "Correct what Incus names, and run the same command again"
    return ObjectRefused(could_not(action, reason, undone=undone, advice=advice))


def gone(kind: AnyKind, client: IncusClient, plan: ObjectPlan) -> ObjectGone:
    """Return the error for an object that no longer exists."""
    advice = "run `pulumi refresh`, and then `pulumi up`, which creates it again"
    return ObjectGone(missing(kind.where(plan), f"at {client.host}", advice))


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


def describe_alike(kind: AnyKind, plan: ObjectPlan, alike: str) -> str:
    """Return a text about an object with another name that has the resource's ownership label.

    Args:
        kind: the kind of the object.
        plan: the plan in the state.
        alike: the name of that object.
    """
    return (
        f"{kind.where(plan)} does not exist; the {kind.noun} {alike} has its ownership label, and "
        "is either the same one with another name, or a copy. To delete it, run "
        f"{kind.shell('delete', plan, name=alike)}"
    )
