"""Parse the property trees that Pulumi passes to a provider, and hold them as typed objects."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from ..validation.hidden_property import (
    CREATE_FIRST,
    MANAGED_MOUNTS,
    PREVIEWING,
    RETAINED,
    open_hidden,
)
from ..validation.hidden_property import HOST as HOST_DIGEST
from ..validation.plan_inputs import SECRET_INPUTS
from ..validation.property_tree import (
    PROVIDER_KEY,
    Path,
    get_path,
    normalize,
    parse_path,
    paths_overlap,
)
from .schema_version import GENERATION

REPLACE_ON: Final = "replace_on_changes"
"""The input with the paths of Pulumi's option of that name."""
HAS_DEPENDENCIES: Final = "after_others"
"""An input that only `check` reads: whether the resource depends on others of the program."""
CHECK_ONLY: Final = (HAS_DEPENDENCIES, PREVIEWING)
"""The inputs that `check` reads and does not return."""


@dataclass(frozen=True, slots=True)
class HiddenOptions:
    """What the resource passes to the provider beside its arguments; see
    `validation.hidden_property`."""

    owner: str
    """The URN of the resource; empty if it is unknown."""
    secret_inputs: tuple[str, ...]
    """The paths of the secret inputs, as the program passed them."""
    secret: tuple[Path, ...]
    """The same paths, parsed."""
    replace_on: tuple[Path, ...]
    """The paths of the option `replace_on_changes`."""
    managed_mounts: frozenset[int]
    """The indices of the mounts whose volume is a `PersistentVolume` of the program."""
    retained: bool
    """Whether the option `retain_on_delete` is set."""
    create_first: bool
    """Whether the option `delete_before_replace` is False."""
    host_digest: str
    """The digest of the host at the last `check`; empty if there was none."""
    generation: str
    """The generation of the object in a state; see `reconcile.shared.ownership`."""
    has_dependencies: bool = False
    """Whether the resource depends on others, which may create what is missing now (in `check`)."""
    previewing: bool = False
    """Whether the program runs for a preview (in `check`)."""

    @classmethod
    def parse(cls, tree: Mapping[str, Any]) -> "HiddenOptions":
        """Return the options in the properties of a resource; wrong types count as missing."""
        secret_inputs = _strings(tree.get(SECRET_INPUTS))
        mounts = tree.get(MANAGED_MOUNTS)
        return cls(
            owner=_string(tree.get("owner")),
            secret_inputs=secret_inputs,
            secret=tuple(path for text in secret_inputs if (path := parse_path(text))),
            replace_on=tuple(
                path for text in _strings(tree.get(REPLACE_ON)) if (path := parse_path(text))
            ),
            managed_mounts=frozenset(
                index
                for index in (mounts if isinstance(mounts, list) else ())
                if isinstance(index, int)
            ),
            retained=bool(tree.get(RETAINED)),
            create_first=bool(tree.get(CREATE_FIRST)),
            host_digest=_string(tree.get(HOST_DIGEST)),
            generation=_string(tree.get(GENERATION)),
            has_dependencies=bool(tree.get(HAS_DEPENDENCIES)),
            previewing=bool(tree.get(PREVIEWING)),
        )

    def is_secret(self, path: Path) -> bool:
        """Return whether a part of the inputs, or a value in it, is secret."""
        return any(paths_overlap(path, other) for other in self.secret)


class Values:
    """Values by path, for comparison with another version of the same resource.

    Args:
        tree: The values. They are not copied, and must not be changed.
    """

    __slots__ = ("_tree",)

    def __init__(self, tree: dict[str, Any]) -> None:
        self._tree = tree

    def at(self, path: Path) -> Any:
        """Return the value at a path; None if there is none."""
        # Only the value goes on to the function for paths, so that the tree stays here.
        return get_path(self._tree.get(str(path[0])), path[1:]) if path else self._tree

    def text(self, name: str) -> str:
        """Return the value of a name as a string; empty if there is none."""
        return str(self._tree.get(name) or "")

    def part(self, names: Iterable[str]) -> dict[str, Any]:
        """Return the values with some names, for their parser."""
        return {name: self._tree[name] for name in names if name in self._tree}

    def names(self) -> set[str]:
        """Return the names of the values."""
        return set(self._tree)

    def names_that_differ(self, other: "Values") -> list[str]:
        """Return the sorted names of the values that differ."""
        names = sorted(self.names() | other.names())
        return [name for name in names if self._tree.get(name) != other._tree.get(name)]

    def differs(self, path: Path, other: "Values") -> bool:
        """Return whether the values at a path differ."""
        return bool(self.at(path) != other.at(path))


class Properties(Values):
    """All properties of a resource, as they came in or as they go out.

    Numbers and unknown values have one form (`property_tree.normalize`), and the hidden property is
    open.
    """

    __slots__ = ("hidden",)

    def __init__(self, tree: dict[str, Any], hidden: HiddenOptions) -> None:
        super().__init__(tree)
        self.hidden = hidden

    @classmethod
    def parse(cls, props: Mapping[str, Any], names: Collection[str] | None = None) -> "Properties":
        """Return the properties that Pulumi passes to a provider.

        Args:
            props: The property tree.
            names: The names of the properties to read, hidden ones included; None for all.

        Raises:
            RecursionError: The tree is nested too deeply.
        """
        wanted = None if names is None else frozenset(names)
        tree = {
            name: normalize(value)
            for name, value in open_hidden(props).items()
            if (name != PROVIDER_KEY if wanted is None else name in wanted)
        }
        return cls(tree, HiddenOptions.parse(tree))

    def with_values(self, values: Mapping[str, Any]) -> "Properties":
        """Return the properties with other values."""
        hidden = self.hidden
        if HOST_DIGEST in values:
            hidden = replace(hidden, host_digest=_string(values[HOST_DIGEST]))
        return Properties({**self._tree, **values}, hidden)

    def selected(self, names: Collection[str]) -> "Properties":
        """Return the properties with some names."""
        return Properties(self.part(names), self.hidden)

    def without(self, names: Collection[str]) -> "Properties":
        """Return the properties without some names."""
        return self.selected([name for name in self._tree if name not in names])


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _strings(value: Any) -> tuple[str, ...]:
    return tuple(text for text in value if isinstance(text, str)) if isinstance(value, list) else ()
