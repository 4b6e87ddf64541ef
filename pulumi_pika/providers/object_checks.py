"""Check a new config object against the host: its name, and what it needs there."""

import time
from typing import Any

from ..incus.client import IncusClient
from ..incus.config_objects import get_object
from ..incus.errors import IncusError, NotFound, Unauthorised
from ..message_templates import could_not, missing
from ..reconcile.objects.config_object import fetch_object
from ..reconcile.objects.object_creation import check_adoptable
from ..reconcile.shared.ownership import relation
from ..validation.lenient_validation import Failure
from ..validation.property_tree import paths_overlap
from .host_connection import current_host, requested_preflight
from .object_state import ObjectInputs
from .taken_names import taken_failures


def find_change_failures(new: ObjectInputs[Any], old: ObjectInputs[Any] | None) -> list[Failure]:
    """Return the changes that the existing object cannot take; see `find_host_failures`."""
    if old is None:
        return []
    return [
        Failure(path, reason)
        for path, reason in new.kind.refused_change(old.plan, new.plan)
        if not any(paths_overlap(path, other) for other in new.given.unknown)
    ]


def find_host_failures(new: ObjectInputs[Any], old: ObjectInputs[Any] | None) -> list[Failure]:
    """Return everything on the host for which a create or an update would be refused.

    If nothing changed, no request is sent.

    Args:
        new: The new inputs, which are valid by themselves.
        old: The inputs before; None for a new object.
    """
    failures = []
    plan = new.plan
    place = (plan.name, plan.project)
    if old is None or place != (old.plan.name, old.plan.project):
        failures += _taken(new)
    if old is None or old.plan != plan:
        failures += _missing(new)
    return failures


def _taken(new: ObjectInputs[Any]) -> list[Failure]:
    """Return why the object cannot be created or renamed: another object has its name."""
    kind, plan, owner = new.kind, new.plan, new.owner

    def refuse_existing(client: IncusClient) -> None:
        found = fetch_object(kind, client, plan.name)
        # An own one is managed again, or replaced and deleted first.
        if found and relation(found.config, owner.urn, owner.backend) != "ours":
            check_adoptable(kind, client, found, plan, owner)

    def holder(client: IncusClient) -> str:
        found = fetch_object(kind, client, plan.name)
        return found.owner if found else ""

    return taken_failures(
        ("name",),
        owner.urn,
        plan.project or "default",
        new.given.unknown,
        tuple(kind.model.model_fields),
        refuse_existing,
        holder,
    )


def _missing(new: ObjectInputs[Any]) -> list[Failure]:
    """Return what the object needs and the host does not have or cannot do."""
    if requested_preflight() == "off":
        return []
    try:
        here = current_host()
        if not here.enrolled or time.monotonic() < here.away_until:
            return []
        client = here.client.in_project(new.plan.project or here.client.project)
        failures = []
        for need in new.kind.needs(new.options):
            if any(paths_overlap(need.path, path) for path in new.given.unknown):
                continue
            if new.hidden.has_dependencies:
                continue  # Another resource of the program may create it before it is needed.
            if not _exists(client, need.collection, need.name):
                name = "of this name" if new.hidden.is_secret(need.path) else need.name
                advice = "create it first, or name another one"
                reason = missing(f"{need.noun} {name}", f"at {client.host}", advice)
                failures.append(Failure(need.path, reason))
        failures += [
            Failure(path, problem)
            for path, problem in new.kind.find_host_problems(client, new.options)
            if not any(paths_overlap(path, other) for other in new.given.unknown)
        ]
    except IncusError as error:
        if requested_preflight() == "required":
            return [Failure((), could_not("inspect the host", str(error)))]
        return []  # The create reports it.
    return failures


def _exists(client: IncusClient, collection: str, name: str) -> bool:
    try:
        return get_object(client, collection, name) is not None
    except Unauthorised:
        return True  # It may be usable nevertheless.
    except NotFound:
        return True  # The project is missing, which is a finding of its own.
