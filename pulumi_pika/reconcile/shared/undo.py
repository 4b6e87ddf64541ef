"""Takes back, in reverse, what a piece of work has made."""

from collections.abc import Callable
from dataclasses import dataclass, field

from ...incus.errors import IncusError
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

    def drop(self) -> None:
        """Removes the last step: its request never reached the server, so that there is nothing."""
        self._steps.pop()

    def run(self) -> str:
        """Takes all steps back; a sentence on what came of it, for the end of an error message.

        An interruption in the midst of it is raised when all is done: the step that it cut off is
        taken once more.
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
        said = []
        if undone:
            said.append(f"Undone: removed {', '.join(undone)}.")
        if left:
            said.append(
                "Could NOT be undone: run the same command again, which goes on from there. Or "
                f"remove by hand what may be left: {'; '.join(left)}."
            )
        return " ".join(said) or "Nothing had been made."
