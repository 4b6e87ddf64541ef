"""Define the arguments of a custom volume and of its snapshots, and check them without a server."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from pydantic import Field, JsonValue

from ...choices import ContentType
from ...incus.storage import NEVER
from ...message_templates import INVALID_VALUE, Message, invalid_value, must, reserved
from ...planner.spec_models import Part
from ...text_safety import one_line
from ..instances.desired import LABEL_PREFIX
from ..instances.runtime_options import OptionProblem, Seconds
from ..shared.ownership import (
    BACKEND_KEY,
    MARK_PREFIX,
    OWNER_KEY,
)
from ..shared.snapshot_rules import EXPIRY_RULE, SCHEDULE_RULE, is_expiry, is_schedule

SIZE_KEY: Final = "size"
_FIELD_OF: Final = {
    SIZE_KEY: "size",
    "snapshots.schedule": "snapshots_schedule",
    "snapshots.expiry": "snapshots_expiry",
    "snapshots.pattern": "snapshots_pattern",
}
_UNITS: Final = {
    "B": 1,
    **{f"{prefix}B": 1000**power for power, prefix in enumerate("kMGTPE", 1)},
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGTPE", 1)},
}
_SIZE: Final = re.compile(r"(\d+)([A-Za-z]*)", re.ASCII)
_LARGEST: Final = 2**63 - 1
# Source: shared/validate IsAPIName of Incus 7.3. Incus 6.0 accepts more, including names such as
# `..`.
_NAME: Final = re.compile(r"[a-zA-Z0-9](?:[^\s$?&+\"'`*/]*[a-zA-Z0-9])?")
_LONGEST_NAME: Final = 64
_KEY_RULE: Final = "use no control character and no space at an end"


class VolumeTimeouts(Part):
    """Set the time limits, in seconds.

    `restore` limits the restore of a snapshot, and the creation of the safety snapshot before it.
    `stop` limits the shutdown of each instance that uses the volume. `delete` limits the deletion.
    """

    restore: Seconds = 3600.0
    """How long a restore, and the safety snapshot before it, may each take, in seconds. Default:
    3600."""
    stop: Seconds = 60.0
    """How long each instance that uses the volume may take to shut down, in seconds. Default:
    60."""
    delete: Seconds = 600.0
    """How long Incus may take to delete the volume, in seconds. Default: 600."""


class VolumeOptions(Part):
    """Hold the arguments of a `PersistentVolume`."""

    volume_name: str
    storage_pool: str = "default"
    project: str = "default"
    content_type: ContentType = "filesystem"
    size: str | None = None
    config: dict[str, str] = Field(default_factory=dict)
    labels: dict[str, str] = Field(default_factory=dict)
    description: str | None = None
    snapshots_schedule: str | None = None
    snapshots_expiry: str | None = None
    snapshots_pattern: str | None = None
    restore_from: str | None = None
    snapshot_before_restore: bool = True
    adopt: bool = False
    delete_data: bool = False
    timeouts: VolumeTimeouts = VolumeTimeouts()
    owner: str = ""
    backend: str = ""

    @property
    def where(self) -> str:
        """Return the volume's place, for messages."""
        return f"volume {self.volume_name} in pool {self.storage_pool} (project {self.project})"

    def desired_config(self) -> dict[str, str]:
        """Return all config keys that the options set. Incus stores no empty values."""
        config = dict(self.config)
        for key, field in _FIELD_OF.items():
            if (value := getattr(self, field)) is not None:
                config[key] = value
        for label, value in self.labels.items():
            config[LABEL_PREFIX + label] = value
        if self.owner:
            config[OWNER_KEY] = self.owner
        if self.backend:
            config[BACKEND_KEY] = self.backend
        return {key: value for key, value in config.items() if value != ""}


class SnapshotTimeouts(Part):
    """Set the time limits for the creation and the deletion of a snapshot, in seconds."""

    create: Seconds = 3600.0
    """How long Incus may take to create the snapshot, in seconds. Default: 3600."""
    delete: Seconds = 600.0
    """How long Incus may take to delete the snapshot, in seconds. Default: 600."""


class SnapshotOptions(Part):
    """Hold the arguments of a `VolumeSnapshot`."""

    volume_name: str
    snapshot_name: str
    storage_pool: str = "default"
    project: str = "default"
    description: str | None = None
    expires_at: str | None = None
    triggers: JsonValue = None
    timeouts: SnapshotTimeouts = SnapshotTimeouts()
    owner: str = ""
    backend: str = ""

    @property
    def where(self) -> str:
        """Return the snapshot's place, for messages."""
        return (
            f"snapshot {self.snapshot_name} of volume {self.volume_name} in pool "
            f"{self.storage_pool} (project {self.project})"
        )


def size_bytes(text: str) -> int | None:
    """Return an Incus size (doc/reference/units.md) in bytes; None if it is not a valid size.

    A bare number, which Incus reads as bytes, is valid here too: a live volume may have one.
    """
    match = _SIZE.fullmatch(text)
    if not match:
        return None
    unit = _UNITS.get(match[2] or "B")
    return None if unit is None else int(match[1]) * unit


def same_size(one: str | None, other: str | None) -> bool:
    """Return whether two sizes are equal, however they are written: 1GiB is 1024MiB."""
    return one == other or (
        one is not None
        and other is not None
        and size_bytes(one) is not None
        and size_bytes(one) == size_bytes(other)
    )


def shrinks(old: str | None, new: str | None) -> bool:
    """Return whether a volume would shrink."""
    before, after = size_bytes(old or ""), size_bytes(new or "")
    return before is not None and after is not None and after < before


def shrink_reason(old: str, new: str) -> Message:
    """Return why a smaller size is refused."""
    return Message(
        f"would shrink the volume from {old} to {new}, which is refused: data beyond the new end "
        f"would be lost, and most storage drivers do not support it. Keep {old}, or create a "
        "smaller volume with another volume_name and copy the data",
        INVALID_VALUE,
    )


def instant(text: str) -> datetime | None:
    """Return a point in time of RFC 3339, with its offset; None if it is not a valid one."""
    if text == "never":
        text = NEVER
    # Go writes up to nine digits of a second; Python reads six.
    text = re.sub(r"(\.\d{6})\d+", r"\1", text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo is not None else None


def find_volume_problems(options: VolumeOptions) -> Iterator[OptionProblem]:
    """Find values that Incus would refuse, or would interpret differently than intended.

    No server is asked.
    """
    yield from _place_problems(options.volume_name, options.storage_pool, options.project)
    if options.size is not None:
        yield from size_problems(options.size)
    for key, value in options.config.items():
        where = ("config", key)
        if field := _FIELD_OF.get(key):
            yield where, reserved("pulumi_pika", f"set `{field}` instead")
        elif key.startswith(MARK_PREFIX):
            yield (
                where,
                reserved(
                    "pulumi_pika",
                    f"keys below `{MARK_PREFIX}` store the ownership label; use another key",
                ),
            )
        elif key.startswith("volatile."):
            yield where, reserved("Incus", "remove it")
        elif not key or not key.isprintable() or key != key.strip():
            yield where, invalid_value(one_line(key), "config key", _KEY_RULE)
        elif value == "":
            yield where, must("be non-empty: for Incus, an empty value is unset; remove the key")
    for label in options.labels:
        if not label or not label.isprintable() or label != label.strip():
            yield ("labels", label), invalid_value(one_line(label), "label key", _KEY_RULE)
    if (schedule := options.snapshots_schedule) is not None and not is_schedule(schedule):
        yield (
            ("snapshots_schedule",),
            invalid_value(
                schedule,
                "schedule",
                SCHEDULE_RULE,
            ),
        )
    if (expiry := options.snapshots_expiry) is not None and not is_expiry(expiry):
        yield (
            ("snapshots_expiry",),
            invalid_value(expiry, "expiry", EXPIRY_RULE),
        )
    if options.snapshots_pattern == "":
        yield ("snapshots_pattern",), must("be non-empty; remove it for the default")
    if options.restore_from is not None:
        yield from name_problems(("restore_from",), options.restore_from)


def find_volume_change_problems(old: VolumeOptions, new: VolumeOptions) -> Iterator[OptionProblem]:
    """Find the changes that an existing volume cannot take."""
    if (old.volume_name, old.storage_pool, old.project) != (
        new.volume_name,
        new.storage_pool,
        new.project,
    ):
        return  # It is another volume.
    if old.content_type != new.content_type:
        if not old.delete_data:
            yield (
                ("content_type",),
                Message(
                    f"cannot change from {old.content_type} to {new.content_type}: this needs "
                    "another volume, and the data of this one would be deleted first. Choose "
                    "another volume_name. Or, to delete the data, first run `pulumi up` with "
                    "delete_data=True and the old content_type",
                    INVALID_VALUE,
                ),
            )
        return
    if old.size is not None and new.size is not None and shrinks(old.size, new.size):
        yield ("size",), shrink_reason(old.size, new.size)
    was, is_ = old.config.get("block.filesystem"), new.config.get("block.filesystem")
    if was != is_:
        yield (
            ("config", "block.filesystem"),
            must("stay the same on an existing volume; choose another volume_name"),
        )


def find_snapshot_problems(options: SnapshotOptions) -> Iterator[OptionProblem]:
    """Find everything that is wrong with a snapshot, without asking a server."""
    yield from _place_problems(options.volume_name, options.storage_pool, options.project)
    yield from name_problems(("snapshot_name",), options.snapshot_name)
    if options.expires_at is not None and instant(options.expires_at) is None:
        yield (
            ("expires_at",),
            invalid_value(
                options.expires_at,
                "time",
                "use RFC 3339 with an offset, as in `2030-01-31T00:00:00Z`, or `never`",
            ),
        )


def find_expiry_problems(
    old: SnapshotOptions | None, new: SnapshotOptions, now: datetime
) -> Iterator[OptionProblem]:
    """Find what is wrong with a snapshot's expiry if it is taken, or its expiry changed, now.

    Args:
        old: the options before; None for a snapshot that is still to be taken.
        new: the desired options.
        now: the current time.
    """
    if new.expires_at is None or (old is not None and old.expires_at == new.expires_at):
        return
    expiry = instant(new.expires_at)
    if expiry is not None and expiry != instant(NEVER) and expiry <= now:
        yield (
            ("expires_at",),
            Message(
                f"`{new.expires_at}` is in the past: Incus would delete the snapshot within a "
                "minute. Set a later time or `never`; or remove the resource from the program if "
                "the snapshot is no longer needed",
                INVALID_VALUE,
            ),
        )


def name_problems(where: tuple[str | int, ...], name: str) -> Iterator[OptionProblem]:
    """Find what is wrong with the name of a volume or a snapshot."""
    if not name.strip():
        yield where, must("be non-empty")
    elif len(name.encode(errors="replace")) > _LONGEST_NAME:
        yield where, invalid_value(name, "name", f"use at most {_LONGEST_NAME} bytes")
    elif not _NAME.fullmatch(name) or not name.isprintable():
        yield (
            where,
            invalid_value(
                name,
                "name",
                "use an ASCII letter or digit at both ends, no space, no slash, and none of "
                "$?&+\"'`*",
            ),
        )


def _place_problems(volume: str, pool: str, project: str) -> Iterator[OptionProblem]:
    yield from name_problems(("volume_name",), volume)
    for field, value in (("storage_pool", pool), ("project", project)):
        if not value.strip():
            yield (field,), must("be non-empty")
        elif value in (".", "..") or "/" in value or not value.isprintable():
            yield (field,), invalid_value(value, "name", "use no slash and no control character")


def size_problems(size: str) -> Iterator[OptionProblem]:
    """Find what is wrong with the argument `size` of a volume or a storage pool."""
    match = _SIZE.fullmatch(size)
    if match and not match[2]:
        yield (
            ("size",),
            invalid_value(
                size,
                "size",
                f"add a unit, as in {size}GiB or {size}MiB (for Incus, it would be {size} bytes)",
            ),
        )
    elif not match or match[2] not in _UNITS:
        yield (
            ("size",),
            invalid_value(
                size,
                "size",
                f"use an integer and a unit, as in `10GiB` (units: {', '.join(_UNITS)})",
            ),
        )
    elif not 0 < (size_bytes(size) or 0) <= _LARGEST:
        yield ("size",), invalid_value(size, "size", "use at least 1B and less than 8EiB")
