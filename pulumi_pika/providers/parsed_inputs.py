"""Hold what every resource has in its properties, as typed values that no call can change."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..validation.hidden_property import CREATE_FIRST, MANAGED_MOUNTS, PREVIEWING, RETAINED
from ..validation.hidden_property import HOST as HOST_DIGEST
from ..validation.plan_inputs import SECRET_INPUTS
from ..validation.property_tree import Path, get_path, parse_path, paths_overlap
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

    def __init__(self, tree: Mapping[str, Any]) -> None:
        self._tree = dict(tree)

    def at(self, path: Path) -> Any:
        """Return the value at a path; None if there is none."""
        return get_path(self._tree, path)

    def tree(self) -> dict[str, Any]:
        """Return the values themselves, for a parser."""
        return self._tree

    def names(self) -> set[str]:
        """Return the names of the values at the top."""
        return set(self._tree)

    def names_that_differ(self, other: "Values") -> list[str]:
        """Return the sorted names of the values at the top that differ."""
        names = sorted(self.names() | other.names())
        return [name for name in names if self._tree.get(name) != other._tree.get(name)]

    def differs(self, path: Path, other: "Values") -> bool:
        """Return whether the values at a path differ."""
        return bool(self.at(path) != other.at(path))

    def equals(self, other: "Values", *, besides: Collection[str]) -> bool:
        """Return whether all values are equal.

        Args:
            other: The other version.
            besides: The names that are not compared.
        """
        names = (self.names() | other.names()).difference(besides)
        return all(self._tree.get(name) == other._tree.get(name) for name in names)


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _strings(value: Any) -> tuple[str, ...]:
    return tuple(text for text in value if isinstance(text, str)) if isinstance(value, list) else ()
