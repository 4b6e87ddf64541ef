"""Tells in `check` that the name of a new volume or snapshot is taken, as its create would."""

import time
from collections.abc import Callable, Iterable

from ..incus.client import IncusClient
from ..incus.errors import IncusError
from ..reconcile.shared.errors import ReconcileError
from ..reconcile.shared.ownership import split_urn
from ..validation.lenient_validation import Failure
from ..validation.property_tree import Path
from .host_connection import current_host, requested_preflight


def taken_failures(
    where: Path,
    owner: str,
    project: str,
    unknown: Iterable[Path],
    needed: Iterable[str],
    refuse: Callable[[IncusClient], None],
    holder: Callable[[IncusClient], str],
) -> list[Failure]:
    """Return why a new thing cannot be created, as far as the host can be asked.

    What another resource of the same stack owns may still be given up in this very `up`: that is
    left to the create.

    Args:
        where: the property that names the thing.
        owner: the URN of the resource.
        project: the Incus project.
        unknown: the inputs that are not known yet.
        needed: the inputs without which nothing can be told.
        refuse: raises what the create would raise.
        holder: returns the URN that the thing of that name is marked with.
    """
    if requested_preflight() == "off" or any(path[0] in set(needed) for path in unknown):
        return []
    try:
        here = current_host()
        if not here.enrolled or time.monotonic() < here.away_until:
            return []
        client = here.client.in_project(project)
        try:
            refuse(client)
        except ReconcileError as error:
            marked = holder(client)
            if marked and marked != owner and split_urn(marked)[0] == split_urn(owner)[0]:
                return []
            return [Failure(where, str(error))]
    except IncusError:
        pass  # The create says it.
    return []
