"""Find the line and column of each property of a spec file, and its duplicate keys."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from json import JSONDecoder
from typing import TYPE_CHECKING, Final, NamedTuple

from ..message_templates import CONFLICT, Message
from ..validation.lenient_validation import Failure
from ..validation.property_tree import Path

if TYPE_CHECKING:
    import yaml

_MOST: Final = 100_000
"""The most locations that are recorded; only YAML aliases create more."""
_BLANK: Final = re.compile(r"[ \t\n\r]*")
_ATOM: Final = re.compile(r"[^\s,\]}]+")


class SourceLocation(NamedTuple):
    """A line and a column, both from 1."""

    line: int
    column: int


@dataclass(slots=True)
class SourceMap:
    """The locations of the properties of one file."""

    _keys: dict[Path, SourceLocation] = field(default_factory=dict)
    _values: dict[Path, SourceLocation] = field(default_factory=dict)
    _nested: set[Path] = field(default_factory=set)
    """The paths of mappings and lists."""
    _within: dict[Path, list[Path]] = field(default_factory=dict)
    """The paths directly in a mapping or list."""
    duplicate_keys: list[tuple[Failure, SourceLocation]] = field(default_factory=list)
    """The duplicate keys of mappings, each with the location of the repetition. JSON and YAML
    parsers silently keep the last value."""

    def location_of(self, path: Path, *, key: bool = False) -> SourceLocation:
        """Return the location of a property, or of the mapping that would contain it.

        Args:
            path: The property path.
            key: Whether the location of the key is returned even if the value is not a mapping or
                list.
        """
        while path not in self._values and path:
            path, key = path[:-1], True
        if (key or path in self._nested) and path in self._keys:
            return self._keys[path]
        return self._values.get(path, SourceLocation(1, 1))

    def add(
        self, path: Path, value: SourceLocation, key: SourceLocation | None, *, nested: bool = False
    ) -> bool:
        """Record the location of a value and of its key; return whether the path was new.

        If a key is repeated, the last value counts, as in the parsed tree.

        Args:
            path: The property path.
            value: The location of the value.
            key: The location of the key; None for an item of a list.
            nested: Whether the value is a mapping or a list.
        """
        new = path not in self._values
        if new and path:
            self._within.setdefault(path[:-1], []).append(path)
        if not new and key is not None:
            if path in self._nested:
                self._forget(path)
            first = self._keys.get(path)
            where = f"; first in line {first.line}, column {first.column}" if first else ""
            problem = Message(f"is a duplicate key{where}", CONFLICT)
            self.duplicate_keys.append((Failure(path, problem), key))
        self._values[path] = value
        if key is not None:
            self._keys[path] = key
        if nested:
            self._nested.add(path)
        else:
            self._nested.discard(path)
        return new

    def _forget(self, path: Path) -> None:
        """Remove the locations below a value that a repeated key replaces."""
        left = self._within.pop(path, [])
        while left:
            known = left.pop()
            left += self._within.pop(known, [])
            del self._values[known]
            self._keys.pop(known, None)
            self._nested.discard(known)


def map_source(text: str, *, as_yaml: bool) -> SourceMap:
    """Return the locations in a text that was already parsed as a spec.

    Args:
        text: The text of the file.
        as_yaml: Whether the text is YAML. If False, it is JSON.
    """
    places = SourceMap()
    if as_yaml:
        import yaml  # loaded only for YAML files

        if (root := yaml.compose(text, Loader=yaml.SafeLoader)) is not None:
            _Yaml(places).visit(root, (), None)
    else:
        _Json(text, places).visit(0, (), None)
    return places


class _Json:
    """Scans JSON. PyYAML would also give locations, but it rejects JSON with tabs, long keys or
    U+2028, or counts lines differently from editors."""

    def __init__(self, text: str, places: SourceMap) -> None:
        self._text = text
        self._places = places
        self._strings = JSONDecoder(strict=True)
        self._starts = [0, *(found.end() for found in re.finditer(r"\n", text))]
        self._line = 0

    def visit(self, at: int, path: Path, key: SourceLocation | None) -> int:
        """Record the value at a position; return the position of its end."""
        at = self._next(at)
        first = self._text[at]
        self._places.add(path, self._place(at), key, nested=first in "{[")
        if first == "{":
            return self._map(at, path)
        if first == "[":
            return self._list(at, path)
        if first == '"':
            return self._string(at)[1]
        found = _ATOM.match(self._text, at)
        return found.end() if found else at + 1

    def _map(self, at: int, path: Path) -> int:
        at = self._next(at + 1)
        while self._text[at] != "}":
            place = self._place(at)
            name, at = self._string(at)
            # After the colon.
            at = self._next(self.visit(self._next(at) + 1, (*path, name), place))
            if self._text[at] == ",":
                at = self._next(at + 1)
        return at + 1

    def _list(self, at: int, path: Path) -> int:
        at, index = self._next(at + 1), 0
        while self._text[at] != "]":
            at = self._next(self.visit(at, (*path, index), None))
            index += 1
            if self._text[at] == ",":
                at = self._next(at + 1)
        return at + 1

    def _string(self, at: int) -> tuple[str, int]:
        value, end = self._strings.raw_decode(self._text, at)
        return str(value), end

    def _next(self, at: int) -> int:
        found = _BLANK.match(self._text, at)
        return found.end() if found else at

    def _place(self, at: int) -> SourceLocation:
        # The position only increases.
        while self._line + 1 < len(self._starts) and self._starts[self._line + 1] <= at:
            self._line += 1
        return SourceLocation(self._line + 1, at - self._starts[self._line] + 1)


class _Yaml:
    """Scans the nodes of YAML."""

    def __init__(self, places: SourceMap) -> None:
        self._places = places
        self._left = _MOST

    def visit(self, node: "yaml.Node", path: Path, key: SourceLocation | None) -> None:
        """Record a node and everything below it."""
        import yaml

        self._left -= 1
        if self._left < 0:
            return
        nested = isinstance(node, yaml.CollectionNode)
        self._places.add(path, _place(node), key, nested=nested)
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                self.visit(item, (*path, index), None)
        elif isinstance(node, yaml.MappingNode):
            self._map(node, path)

    def _map(self, node: "yaml.MappingNode", path: Path) -> None:
        own, merged = [], []
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                merged += list(_merged(value))
            elif isinstance(key.value, str):
                own.append((key, value))
        names = {key.value for key, _ in own}
        # A mapping's own keys take precedence over merged ones, and an earlier merged mapping over
        # a later one.
        for key, value in merged:
            if key.value not in names:
                names.add(key.value)
                self.visit(value, (*path, key.value), _place(key))
        for key, value in own:
            self.visit(value, (*path, key.value), _place(key))


def _merged(node: "yaml.Node") -> Iterator[tuple["yaml.Node", "yaml.Node"]]:
    """Yield the keys and values that `<<` names: those of a mapping, or of a list of mappings."""
    import yaml

    for item in node.value if isinstance(node, yaml.SequenceNode) else [node]:
        if isinstance(item, yaml.MappingNode):
            yield from ((key, value) for key, value in item.value if isinstance(key.value, str))


def _place(node: "yaml.Node") -> SourceLocation:
    return SourceLocation(node.start_mark.line + 1, node.start_mark.column + 1)
