"""Define the flat arguments: what each of them means in a spec, and their defaults.

Resources, `run_job` and the programs that `import` writes read the table here.
"""

from typing import Final

FLAT_ARGUMENTS: Final[dict[str, tuple[str, str]]] = {
    "image": ("incus", "image_alias"),
    "project": ("incus", "project"),
    "profile": ("incus", "profile"),
    "instance_name": ("identity", "instance_name"),
    "runtime_id": ("identity", "runtime_id"),
    "vcpu_count": ("resources", "vcpu_count"),
    "memory_mib": ("resources", "memory_mib"),
    "root_disk_gib": ("resources", "root_disk_gib"),
}
"""The part of the spec, and the field in it, that each flat argument fills."""

DEFAULT_PROFILE: Final = "default"
"""The profile if a program names none."""
