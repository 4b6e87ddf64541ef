"""Takes back, in reverse, what a piece of work has made."""

from collections.abc import Callable
from dataclasses import dataclass, field

from ..incus.errors import IncusError
from .errors import ReconcileError
from .reporter import Reporter


@dataclass(slots=True)
class Undo:
    """A stack of steps back.

    `run` takes all of them, whatever fails, and returns what was done and what could not be.
    """

    reporter: Reporter
    _steps: list[tuple[str, Callable[[], bool]]] = field(default_factory=list)

    def push(self, what: str, step: Callable[[], bool]) -> None:
        """Adds a step.

        Args:
            what: the thing that it removes, as ``volume x in pool y``.
            step: removes it; returns whether there was anything to remove.
        """
        self._steps.append((what, step))

    def run(self) -> str:
        """Takes all steps back; a sentence on what came of it, for the end of an error message."""
        undone, left = [], []
        while self._steps:
            what, step = self._steps.pop()
            try:
                if step():
                    undone.append(what)
            except (IncusError, ReconcileError) as error:
                left.append(f"{what} ({error})")
        said = []
        if undone:
            said.append(f"Undone: removed {', '.join(undone)}.")
        if left:
            said.append(
                f"Could NOT be undone, remove by hand: {'; '.join(left)}. "
                "Or run the same command again, which goes on from there."
            )
        return " ".join(said) or "Nothing had been made."
