"""Define which profiles an instance gets: the option `profiles`, or `extra_profiles` and the plan's
profile.

A plan names exactly one profile, since other tools use the same form of plans. `profiles` is an
option beside the plan, and takes precedence. The plan then names the last profile of the list, or
`NO_PROFILE` for an empty list.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from ...message_templates import REQUIRED, Message, conflict, invalid_value
from ...planner.plan import IncusRuntimePlan

if TYPE_CHECKING:
    from .runtime_options import OptionProblem, RuntimeOptions

NO_PROFILE: Final = "none"
"""The profile in the plan of an instance without profiles. A planner requires a name."""

Path = tuple[str | int, ...]


def profile_paths(plan: IncusRuntimePlan, options: "RuntimeOptions") -> list[tuple[Path, str]]:
    """Return the profiles in the order in which Incus applies them, each with its property."""
    if options.profiles is not None:
        return [(("profiles", i), name) for i, name in enumerate(options.profiles)]
    extra: list[tuple[Path, str]] = [
        (("extra_profiles", i), name) for i, name in enumerate(options.extra_profiles)
    ]
    return [*extra, (("incus", "profile"), plan.incus.profile)]


def profile_of_list(profiles: Any, unknown: str) -> str:
    """Return the profile that the plan names for a list of profiles.

    Args:
        profiles: the list, as the inputs have it: it may be unknown or invalid.
        unknown: what stands for an unknown value.
    """
    if not isinstance(profiles, list):
        return unknown if profiles == unknown else NO_PROFILE
    last = profiles[-1] if profiles else NO_PROFILE
    return last if isinstance(last, str) and last.strip() else NO_PROFILE


def find_profile_problems(
    plan: IncusRuntimePlan, options: "RuntimeOptions"
) -> "Iterator[OptionProblem]":
    """Yield what is wrong with the option `profiles`, without asking a server."""
    profiles = options.profiles
    if profiles is None:
        return
    if options.extra_profiles:
        yield ("extra_profiles",), conflict("`profiles`", "put all profiles into `profiles`")
    for i, profile in enumerate(profiles):
        if profile in profiles[:i]:
            yield (
                ("profiles", i),
                invalid_value(profile, "further profile", "name each profile once"),
            )
    if profiles or any(_is_root(device) for device in options.devices.values()):
        return
    if plan.resources.root_disk_gib is None:
        yield (
            ("profiles",),
            Message(
                "an instance without profiles needs a root disk of its own: set "
                "`resources.root_disk_gib` (or `root_disk_gib`) and `storage_pool`",
                REQUIRED,
            ),
        )
    elif options.storage_pool is None:
        yield (
            ("profiles",),
            Message(
                "the root disk of an instance without profiles needs a storage pool: set "
                "`storage_pool`",
                REQUIRED,
            ),
        )


def _is_root(device: Mapping[str, str]) -> bool:
    return device.get("type") == "disk" and device.get("path") == "/" and not device.get("source")
