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
    _steps: list[tuple[str, str, Callable[[], bool]]] = field(default_factory=list)

    def push(self, what: str, step: Callable[[], bool], *, verb: str = "deleted") -> None:
        """Add a step.

        Args:
            what: the object that the step deletes, such as ``volume x in pool y``.
            step: deletes it; returns whether there was anything to delete.
            verb: what the step did to the object, for the message. Default: ``deleted``.
        """
        self._steps.append((verb, what, step))

    def drop(self) -> None:
        """Remove the last step, because its request never reached the server."""
        self._steps.pop()

    def run(self) -> str:
        """Take all steps; return a sentence on the result, without a full stop, for a message.

        An interruption during the steps is raised after the last one. The interrupted step is
        repeated.
        """
        undone: dict[str, list[str]] = {}
        left = []
        interrupted: KeyboardInterrupt | None = None
        while self._steps:
            verb, what, step = self._steps.pop()
            try:
                try:
                    was_done = step()
                except KeyboardInterrupt as error:
                    interrupted = error
                    was_done = step()
                if was_done:
                    undone.setdefault(verb, []).append(what)
            except (IncusError, ReconcileError) as error:
                left.append(f"{what} ({error})")
        if interrupted is not None:
            raise interrupted
        parts = []
        if undone:
            listed = "; ".join(f"{verb} {', '.join(whats)}" for verb, whats in undone.items())
            parts.append(f"Undone: {listed}")
        if left:
            parts.append(
                "Could NOT be undone: run the same command again, which continues from there. Or "
                f"undo by hand what may be left: {'; '.join(left)}"
            )
        return ". ".join(parts) or NOTHING_CREATED
