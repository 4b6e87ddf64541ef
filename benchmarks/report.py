"""The measured figures, and their form in the results."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Row:
    """A measured figure.

    Attributes:
        what: What was measured.
        value: The figure.
        target: The target for the figure.
        floor: The figure to compare with, measured in the same run.
        ratio: The figure divided by the floor.
    """

    what: str
    value: str
    target: str = ""
    floor: str = ""
    ratio: str = ""


@dataclass(frozen=True)
class Section:
    """A group of figures."""

    title: str
    how: str
    rows: Sequence[Row]
    notes: Sequence[str] = field(default_factory=tuple)

    def lines(self) -> Iterable[str]:
        """Return the section as lines of Markdown."""
        heads = ("what", "value", "floor", "ratio", "target")
        used = [head for head in heads if any(getattr(row, head) for row in self.rows)]
        names = {"what": "", "value": "ours", "floor": "floor", "ratio": "ratio", "target": "aim"}
        yield f"## {self.title}"
        yield ""
        yield self.how
        yield ""
        yield f"| {' | '.join(names[head] for head in used)} |"
        yield f"| {' | '.join('---' if head == 'what' else '---:' for head in used)} |"
        for row in self.rows:
            yield f"| {' | '.join(getattr(row, head) for head in used)} |"
        for note in self.notes:
            yield ""
            yield note
        yield ""


def median(values: Sequence[float]) -> float:
    """Return the median; of two values, the mean."""
    return statistics.median(values)


def seconds(values: Sequence[float]) -> str:
    """Return the median and the range of the values as text."""
    if len(values) == 1:
        return f"{values[0]:.2f} s"
    return f"{median(values):.2f} s ({min(values):.2f} to {max(values):.2f})"
