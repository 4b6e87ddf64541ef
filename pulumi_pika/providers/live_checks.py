"""What the live instance adds to a preview: what would refuse a change, and what it does beyond the
diff."""

from collections.abc import Iterator
from typing import Any

from ..incus.errors import IncusError
from ..reconcile.delete import protection
from ..reconcile.observe import LiveInstance
from ..reconcile.options import RuntimeOptions
from ..reconcile.power import look
from .clients import client_for
from .decide import REPLACING, Decision
from .shape import Failure
from .state import State
from .values import Path, find

_REPLACING: tuple[Path, ...] = (*REPLACING, ("instance_type",), ("storage_pool",))


def replacement_failures(before: dict[str, Any], inputs: dict[str, Any]) -> list[Failure]:
    """Return why a replacement would be refused, so that nothing is stopped or deleted for it.

    Args:
        before: the inputs as they were; empty for a new instance.
        inputs: the inputs as they are to be.
    """
    changed = [path for path in _REPLACING if before and find(before, path) != find(inputs, path)]
    name = find(before, ("identity", "instance_name"))
    project = find(before, ("incus", "project"))
    if not changed or not isinstance(name, str) or not isinstance(project, str):
        return []
    live = _look(project, name)
    if live is None or not live.protected:
        return []
    return [Failure(changed[0], f"replaces the instance, and {protection(project, live)}")]


def live_warnings(decision: Decision, state: State, new: RuntimeOptions) -> Iterator[str]:
    """Yield what a stop does to an instance that Incus deletes when it stops."""
    stops = new.running is False and "running" in decision.changes
    if decision.replaces or not (stops or decision.recovers or decision.restarts):
        return
    live = _look(state.plan.incus.project, state.plan.identity.instance_name)
    if live is not None and live.ephemeral:
        yield (
            f"{live.name} is ephemeral, which means that Incus deletes it when it stops; it is "
            "made lasting (ephemeral: false) before it is stopped"
        )


def _look(project: str, name: str) -> LiveInstance | None:
    """The instance without a look inside; None if there is none or the host cannot be asked."""
    try:
        return look(client_for(project), name, inside=False)
    except IncusError:
        return None
