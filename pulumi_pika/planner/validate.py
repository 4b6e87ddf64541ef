"""Find everything that is wrong with a spec of the right shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from .paths import (
    is_plain,
    is_within,
    reference_path_reason,
    same_directory_key,
    strict_path_reason,
)
from .spec_errors import (
    DeviceNameCollision,
    DuplicateMountGuestPath,
    EmptyField,
    InvalidPath,
    MismatchedGuestRequestPath,
    MismatchedStateRoot,
    Problem,
)
from .spec_models import LifecyclePaths

if TYPE_CHECKING:
    from .spec import RuntimeSpec

_PATH_FIELDS = tuple(LifecyclePaths.model_fields)
OUTSIDE = "must stay under lifecycle_root"

# Unicode's White_Space, which the reference planner trims. `str.strip` without an argument would
# also remove U+001C to U+001F.
_WHITE_SPACE: Final = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)


def find_problems(spec: RuntimeSpec, device_names: Sequence[str]) -> list[Problem]:
    """Return all problems of `spec`.

    Problems that the reference planner finds come first, in its order. Problems that only this
    planner refuses follow.

    Args:
        spec: the spec.
        device_names: the device name of each of its mounts, in their order.
    """
    problems = _Problems()
    _check_names(spec, problems)
    _check_paths(spec, problems)
    _check_bootstrap(spec, problems)
    _check_mounts(spec, device_names, problems)
    return problems.known + problems.strict_only


@dataclass(slots=True)
class _Problems:
    known: list[Problem] = field(default_factory=list)
    """The problems that the reference planner finds too."""
    strict_only: list[Problem] = field(default_factory=list)

    def require_text(self, name: str, value: str, location: str) -> None:
        """Report a blank `value`."""
        if _is_blank(value):
            self.known.append(EmptyField(name, location))

    def require_path(self, name: str, path: str, location: str) -> bool:
        """Report what is wrong with `path` by itself.

        Returns:
            Whether the reference planner accepts it.
        """
        if is_plain(path):
            return True
        if _is_blank(path):
            self.known.append(EmptyField(name, location))
            return False
        if reason := reference_path_reason(path):
            self.known.append(InvalidPath(name, path, reason, location))
            return False
        if reason := strict_path_reason(path):
            self.strict_only.append(InvalidPath(name, path, reason, location))
        return True


def _is_blank(text: str) -> bool:
    return not text.strip(_WHITE_SPACE)


def _check_names(spec: RuntimeSpec, problems: _Problems) -> None:
    identity, incus = spec.identity, spec.incus
    problems.require_text("identity.runtime_id", identity.runtime_id, "identity.runtime_id")
    problems.require_text(
        "identity.instance_name", identity.instance_name, "identity.instance_name"
    )
    problems.require_text("incus.project", incus.project, "incus.project")
    problems.require_text("incus.profile", incus.profile, "incus.profile")
    problems.require_text("incus.image_alias", incus.image_alias, "incus.image_alias")


def _check_paths(spec: RuntimeSpec, problems: _Problems) -> None:
    root, state_dir = spec.lifecycle_root, spec.paths.state_dir
    root_is_sound = problems.require_path("lifecycle_root", root, "lifecycle_root")
    sound: list[tuple[str, str]] = []
    for name in _PATH_FIELDS:
        path = getattr(spec.paths, name)
        if problems.require_path(f"paths.{name}", path, f"paths.{name}"):
            sound.append((name, path))

    if root != state_dir and not _is_blank(root) and not _is_blank(state_dir):
        problems.known.append(MismatchedStateRoot(root, state_dir))
    if not root_is_sound:
        return
    for name, path in sound:
        # A state directory elsewhere has just been reported as a problem of its own.
        if name == "state_dir" or is_within(path, root):
            continue
        listed = problems.strict_only if path.startswith(root) else problems.known
        listed.append(InvalidPath(f"paths.{name}", path, OUTSIDE, f"paths.{name}"))


def _check_bootstrap(spec: RuntimeSpec, problems: _Problems) -> None:
    request, expected = spec.bootstrap.guest_request_path, spec.paths.guest_request_path
    # If the two are equal, the check of paths.guest_request_path covers both.
    if request is not None and request != expected:
        location = "bootstrap.guest_request_path"
        if problems.require_path(location, request, location):
            problems.known.append(MismatchedGuestRequestPath(request, expected))
    if spec.bootstrap.entry_command is not None:
        location = "bootstrap.entry_command"
        problems.require_text(location, spec.bootstrap.entry_command, location)


def _check_mounts(spec: RuntimeSpec, device_names: Sequence[str], problems: _Problems) -> None:
    paths: set[str] = set()
    directories: set[str] = set()
    named: dict[str, tuple[str, str]] = {}
    for index, (mount, name) in enumerate(zip(spec.mounts, device_names, strict=True)):
        source, path = mount.source, mount.guest_path
        if _is_blank(source):
            problems.known.append(EmptyField("mount.source", f"mounts[{index}].source"))
        directory = path
        if not is_plain(path):
            if not problems.require_path("mount.guest_path", path, f"mounts[{index}].guest_path"):
                continue
            directory = same_directory_key(path)

        if path in paths:
            problems.known.append(DuplicateMountGuestPath(path, f"mounts[{index}].guest_path"))
        elif directory in directories:
            problems.strict_only.append(
                DuplicateMountGuestPath(path, f"mounts[{index}].guest_path")
            )
        paths.add(path)
        directories.add(directory)

        first_source, first_directory = named.setdefault(name, (source, directory))
        if first_directory != directory:
            problems.strict_only.append(
                DeviceNameCollision(
                    name,
                    f"{first_source} -> {first_directory}",
                    f"{source} -> {directory}",
                    f"mounts[{index}]",
                )
            )
