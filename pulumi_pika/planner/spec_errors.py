"""Define the problems of a spec that has the right shape.

`str(problem)` is the message; the attributes hold its parts. `location` is the property path of the
field, such as ``mounts[2].source``, for tools that point at it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import PikaError


@dataclass(frozen=True, slots=True)
class EmptyField:
    """Report a required string that is empty or blank."""

    field: str
    """The name of the field, for the message."""
    location: str = ""
    """The property path of the field."""

    def __str__(self) -> str:
        return f"runtime spec field `{self.field}` must be non-empty"


@dataclass(frozen=True, slots=True)
class InvalidPath:
    """Report a path that is relative, has ``..``, lies outside its root, or is ambiguous."""

    field: str
    """The name of the field, for the message."""
    path: str
    """The path as given."""
    reason: str
    """Why it is not valid."""
    location: str = ""
    """The property path of the field."""

    def __str__(self) -> str:
        return f"runtime spec path `{self.field}` = `{self.path}` is invalid: {self.reason}"


@dataclass(frozen=True, slots=True)
class MismatchedStateRoot:
    """Report that `lifecycle_root` and `paths.state_dir` are not the same directory."""

    lifecycle_root: str
    """The root as given."""
    state_dir: str
    """The state directory as given."""
    location: str = "lifecycle_root"
    """The property path: `lifecycle_root`."""

    def __str__(self) -> str:
        return (
            f"runtime spec lifecycle_root `{self.lifecycle_root}` "
            f"must match paths.state_dir `{self.state_dir}`"
        )


@dataclass(frozen=True, slots=True)
class MismatchedGuestRequestPath:
    """Report that `bootstrap` and `paths` name different request files."""

    bootstrap_path: str
    """The path in `bootstrap`."""
    runtime_path: str
    """The path in `paths`."""
    location: str = "bootstrap.guest_request_path"
    """The property path: `bootstrap.guest_request_path`."""

    def __str__(self) -> str:
        return (
            f"runtime spec bootstrap guest_request_path `{self.bootstrap_path}` "
            f"must match paths.guest_request_path `{self.runtime_path}`"
        )


@dataclass(frozen=True, slots=True)
class DuplicateMountGuestPath:
    """Report two mounts with the same directory of the guest."""

    guest_path: str
    """The path that two mounts have."""
    location: str = ""
    """The property path of the second mount's `guest_path`."""

    def __str__(self) -> str:
        return f"runtime spec mount guest_path `{self.guest_path}` must be unique"


@dataclass(frozen=True, slots=True)
class DeviceNameCollision:
    """Report two mounts with the same device name.

    Names ignore all characters except ASCII letters and digits.
    """

    device_name: str
    """The device name that both mounts get."""
    first: str
    """The first mount, as `SOURCE -> GUEST_PATH`."""
    second: str
    """The second mount, as `SOURCE -> GUEST_PATH`."""
    location: str = ""
    """The property path of the second mount."""

    def __str__(self) -> str:
        return (
            f"runtime spec mounts `{self.first}` and `{self.second}` get the same device name "
            f"`{self.device_name}`: rename a source or a guest path so that they differ in an "
            "ASCII letter or digit"
        )


Problem = (
    EmptyField
    | InvalidPath
    | MismatchedStateRoot
    | MismatchedGuestRequestPath
    | DuplicateMountGuestPath
    | DeviceNameCollision
)


class RuntimeSpecError(PikaError, ValueError):
    """Signal that a spec has the right shape but is not valid.

    Attributes:
        problems: everything that is wrong, as a tuple of the problem types of this module. Problems
            that the reference planner also finds come first, in its order. Problems that only this
            planner refuses come after them.
    """

    problems: tuple[Problem, ...]

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    def __reduce__(self) -> tuple[type["RuntimeSpecError"], tuple[tuple[Problem, ...]]]:
        return type(self), (self.problems,)
