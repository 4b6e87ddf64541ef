"""Report in `check` that the name of a new volume or snapshot is taken, as its create would."""

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
    """Return why a new volume or snapshot cannot be created, if the host can be reached.

    If another resource of the same stack owns the name, the same `up` may still free it. Then only
    the create decides.

    Args:
        where: The property that sets the name.
        owner: The URN of the resource.
        project: The Incus project.
        unknown: The unknown inputs.
        needed: The inputs that must be known for the check.
        refuse: Raises what the create would raise.
        holder: Returns the URN in the ownership label of the object with that name.
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
        pass  # The create reports it.
    return []
