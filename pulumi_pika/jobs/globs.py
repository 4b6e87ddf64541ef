"""Which files below a directory are meant by shell patterns."""

import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

_WILD: Final = frozenset("*?[")
_Part = re.Pattern[str] | None
"""What one component has to match; None stands for any number of components (``**``)."""


def matcher(globs: Iterable[str]) -> Callable[[str], bool]:
    """Tells whether a file is meant by one of the patterns.

    ``*``, ``?`` and ``[...]`` (``[!...]`` or ``[^...]`` for all others) stay within one component
    of a path; ``**`` as a component stands for any number of them, none too. A pattern that ends
    with ``/`` means everything beneath the directories that it names, and so does one whose last
    component is a plain name that is a directory's. Names that begin with a dot are matched as
    others are. ``./`` at the beginning is dropped; ``.`` alone means everything. There is no
    escape: ``[*]`` is a star. A pattern that is empty, absolute or has ``..`` matches nothing
    (see `unusable`).

    Args:
        globs: the patterns, relative to the directory.

    Returns:
        a function of a file's path relative to the directory, with ``/`` between components.
    """
    patterns = _compiled(globs)

    def matches(path: str) -> bool:
        components = path.split("/")
        return any(len(parts) in _reached(parts, components) for parts in patterns)

    return matches


def holder(globs: Iterable[str]) -> Callable[[str], bool]:
    """Tells whether a directory can hold, at any depth, files that are meant by the patterns.

    Args:
        globs: see `matcher`.

    Returns:
        a function of the directory's path as `matcher` takes it.
    """
    patterns = _compiled(globs)

    def holds(path: str) -> bool:
        components = path.split("/")
        return any(
            any(index < len(parts) for index in _reached(parts, components)) for parts in patterns
        )

    return holds


def unusable(glob: str) -> str | None:
    """Why a pattern cannot match anything, or None."""
    if not glob:
        return "is empty"
    if glob.startswith("/"):
        return "is absolute; patterns are relative to the artifacts directory"
    if ".." in glob.split("/"):
        return "leads out of the artifacts directory"
    return None


def _compiled(globs: Iterable[str]) -> list[list[_Part]]:
    """The patterns as lists of parts, all of which have to be used up by a file's components."""
    patterns: list[list[_Part]] = []
    for glob in globs:
        if unusable(glob):
            continue
        texts = [text for text in glob.split("/") if text not in ("", ".")]
        if not texts or glob.endswith(("/", "/.")):
            texts.append("**")
        parts = [None if text == "**" else re.compile(_expression(text)) for text in texts]
        if parts[-1] is None:
            # A file is something in the directory, never the directory.
            parts.append(re.compile(_expression("*")))
        elif _WILD.isdisjoint(texts[-1]):
            patterns.append([*parts, None, re.compile(_expression("*"))])
        patterns.append(parts)
    return patterns


def _expression(text: str) -> str:
    """The regular expression for a component; ``[^`` is for shells what ``[!`` is."""
    out, index = [], 0
    while index < len(text):
        end = _class_end(text, index) if text[index] == "[" else -1
        if end < 0:
            out.append(text[index])
            index += 1
            continue
        body = text[index + 1 : end]
        out.append(f"[!{body[1:]}]" if body.startswith("^") else f"[{body}]")
        index = end + 1
    return fnmatch.translate("".join(out))


def _class_end(text: str, index: int) -> int:
    """Where the ``]`` is that closes the ``[`` at `index`; -1 where nothing does."""
    first = index + 1
    if text[first : first + 1] in ("!", "^"):
        first += 1
    # Directly after the beginning it is a member.
    return text.find("]", first + 1)


def _reached(parts: Sequence[_Part], components: Sequence[str]) -> set[int]:
    """How many of the parts can be used up by all of the components, in every way to do it."""
    states = _skipping(parts, {0})
    for component in components:
        after = set()
        for index in states:
            if index == len(parts):
                continue
            part = parts[index]
            if part is None:
                after.add(index)
            elif part.match(component):
                after.add(index + 1)
        states = _skipping(parts, after)
    return states


def _skipping(parts: Sequence[_Part], states: set[int]) -> set[int]:
    """The states, and those that are reached where a ``**`` stands for nothing."""
    reached = set(states)
    for index in states:
        while index < len(parts) and parts[index] is None:
            index += 1
            reached.add(index)
    return reached
