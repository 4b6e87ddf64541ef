"""Match the paths of files below a directory against shell patterns."""

import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

_WILD: Final = frozenset("*?[")
_Part = re.Pattern[str] | None
"""The expression that one component of a path must match; None for any number of components
(``**``)."""


def matcher(globs: Iterable[str]) -> Callable[[str], bool]:
    """Return a function that tells whether a file matches one of the patterns.

    ``*``, ``?`` and ``[...]`` (``[!...]`` or ``[^...]`` for all others) stay within one component
    of a path; ``**`` as a component stands for any number of components, also none. A pattern that
    ends with ``/`` matches everything below the directories that it names. So does a pattern whose
    last component is a plain name of a directory. Names that begin with a dot are matched like
    others. ``./`` at the beginning is ignored; ``.`` alone matches everything. There is no escape
    character: ``[*]`` is a star. A pattern that is empty, absolute or has ``..`` matches nothing
    (see `unusable`).

    Args:
        globs: The patterns, relative to the directory.

    Returns:
        A function of a file's path relative to the directory, with ``/`` between components.
    """
    patterns = _compiled(globs)

    def matches(path: str) -> bool:
        components = path.split("/")
        return any(len(parts) in _reached(parts, components) for parts in patterns)

    return matches


def holder(globs: Iterable[str]) -> Callable[[str], bool]:
    """Return a function that tells whether a directory can contain, at any depth, matching files.

    Args:
        globs: See `matcher`.

    Returns:
        A function of the directory's path, in the form that `matcher` describes.
    """
    patterns = _compiled(globs)

    def holds(path: str) -> bool:
        components = path.split("/")
        return any(
            any(index < len(parts) for index in _reached(parts, components)) for parts in patterns
        )

    return holds


def unusable(glob: str) -> str | None:
    """Return why a pattern cannot match anything, or None."""
    if not glob:
        return "is empty"
    if glob.startswith("/"):
        return "is absolute; patterns are relative to the artifacts directory"
    if ".." in glob.split("/"):
        return "leads out of the artifacts directory"
    return None


def _compiled(globs: Iterable[str]) -> list[list[_Part]]:
    """Return the patterns as lists of parts; the components of a matching path use up all parts."""
    patterns: list[list[_Part]] = []
    for glob in globs:
        if unusable(glob):
            continue
        texts = [text for text in glob.split("/") if text not in ("", ".")]
        if not texts or glob.endswith(("/", "/.")):
            texts.append("**")
        parts = [None if text == "**" else re.compile(_expression(text)) for text in texts]
        if parts[-1] is None:
            # A pattern matches files in the directory, never the directory itself.
            parts.append(re.compile(_expression("*")))
        elif _WILD.isdisjoint(texts[-1]):
            patterns.append([*parts, None, re.compile(_expression("*"))])
        patterns.append(parts)
    return patterns


def _expression(text: str) -> str:
    """Return the regular expression of one component; ``[^`` means the same as ``[!``."""
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
    """Return the index of the ``]`` that closes the ``[`` at `index`; -1 if there is none."""
    first = index + 1
    if text[first : first + 1] in ("!", "^"):
        first += 1
    # A ``]`` directly after the beginning is a member of the class.
    return text.find("]", first + 1)


def _reached(parts: Sequence[_Part], components: Sequence[str]) -> set[int]:
    """Return the numbers of parts that all components together can use up, one for each way to
    match."""
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
    """Return the states, and those that are reached if a ``**`` stands for no component."""
    reached = set(states)
    for index in states:
        while index < len(parts) and parts[index] is None:
            index += 1
            reached.add(index)
    return reached
