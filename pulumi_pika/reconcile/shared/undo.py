"""Undo, in reverse order, what a piece of work has created."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ...incus.errors import IncusError
from .errors import ReconcileError
from .reporter import Reporter

NOTHING_CREATED: Final = "Nothing was created"
"""The result of `Undo.run` if no step had anything to undo."""


@dataclass(slots=True)
class Undo:
    """Hold a stack of undo steps.

    `run` takes all of them, even if some fail, and returns what was undone and what was not.
    """

    reporter: Reporter
    _steps: list[tuple[str, Callable[[], bool]]] = field(default_factory=list)

    def push(self, what: str, step: Callable[[], bool]) -> None:
        """Add a step.

        Args:
            what: the object that the step deletes, such as ``volume x in pool y``.
            step: deletes it; returns whether there was anything to delete.
        """
        self._steps.append((what, step))

    def drop(self) -> None:
        """Remove the last step, because its request never reached the server."""
        self._steps.pop()

    def run(self) -> str:
        """Take all steps; return a sentence on the result, without a full stop, for a message.

        An interruption during the steps is raised after the last one. The interrupted step is
        repeated.
        """
        undone, left = [], []
        interrupted: KeyboardInterrupt | None = None
        while self._steps:
            what, step = self._steps.pop()
            try:
                try:
                    removed = step()
                except KeyboardInterrupt as error:
                    interrupted = error
                    removed = step()
                if removed:
                    undone.append(what)
            except (IncusError, ReconcileError) as error:
                left.append(f"{what} ({error})")
        if interrupted is not None:
            raise interrupted
        parts = []
        if undone:
            parts.append(f"Undone: deleted {', '.join(undone)}")
        if left:
            parts.append(
                "Could NOT be undone: run the same command again, which continues from there. Or "
                f"delete by hand what may be left: {'; '.join(left)}"
            )
        return ". ".join(parts) or NOTHING_CREATED
