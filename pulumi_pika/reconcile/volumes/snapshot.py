"""Makes, changes and removes the snapshot of a `VolumeSnapshot`.

Incus takes no config with a snapshot: a snapshot copies its volume's, and that copy never changes.
So the mark that says who owns a snapshot is set on the volume just before, and taken off it after;
the copy stays. The generation, which a take-over changes, is kept on the volume, and so is the URN
of a resource that was renamed since.
"""

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ...incus.client import IncusClient
from ...incus.errors import (
    AlreadyExists,
    IncusError,
    IncusUnreachable,
    NotFound,
    OperationFailed,
    OperationLost,
    PreconditionFailed,
    UnexpectedResponse,
)
from ...incus.operations import operations_at
from ...incus.storage import (
    NEVER,
    create_snapshot,
    delete_snapshot,
    get_snapshot,
    patch_snapshot,
    patch_volume,
    snapshot_url,
)
from ..shared.errors import SnapshotExists, VolumeGone
from ..shared.ownership import (
    MARK_PREFIX,
    new_generation,
    renamed_hint,
)
from ..shared.reporter import Progress, Reporter
from ..shared.volume_lock import volume_lock
from .volume import (
    LiveVolume,
    fetch_volume,
    retry_on_conflict,
)
from .volume_options import SnapshotOptions, instant

SNAPSHOT_OWNER_PREFIX: Final = MARK_PREFIX + "snapshot."
"""Followed by a snapshot's name: the URN of the resource that makes it."""
GENERATION_PREFIX: Final = MARK_PREFIX + "snapshot-generation."
"""Followed by a snapshot's name: a `SnapshotRecord`."""

_APPEARS_WITHIN: Final = 3.0
"""Seconds for which a snapshot is looked for whose making got no answer."""

_ANOTHER: Final = (
    "run `pulumi refresh`, and `pulumi up` takes another, of what the volume has by then"
)


@dataclass(frozen=True, slots=True)
class SnapshotRecord:
    """What the config of a volume says of one of its snapshots, as ``GENERATION BACKEND OWNER``."""

    generation: str = ""
    backend: str = ""
    """The digest of the backend of the stack that took it; empty if it is not known."""
    owner: str = ""
    """The URN of the resource, if it has been renamed since; empty otherwise."""

    @classmethod
    def of(cls, config: Mapping[str, str], name: str) -> "SnapshotRecord":
        """Return the record of a snapshot in a config, or an empty one."""
        # A URN may have blanks.
        parts = config.get(GENERATION_PREFIX + name, "").split(" ", 2)
        return cls(*parts)

    def text(self) -> str:
        """Return the value of the config key."""
        return f"{self.generation} {self.backend} {self.owner}".rstrip()


@dataclass(frozen=True, slots=True)
class LiveSnapshot:
    """A snapshot of a custom volume as the server shows it."""

    name: str
    description: str
    expires_at: datetime | None
    """None where it never expires."""
    expires_text: str
    created_at: str
    config: dict[str, str]
    etag: str

    @property
    def backend(self) -> str:
        """The digest of the backend of the stack that took it; empty if it is not known."""
        return SnapshotRecord.of(self.config, self.name).backend

    @property
    def owner(self) -> str:
        """The URN of the resource that made it; empty where none did."""
        return self.config.get(SNAPSHOT_OWNER_PREFIX + self.name, "")


def fetch_snapshot(client: IncusClient, pool: str, volume: str, name: str) -> LiveSnapshot | None:
    """The snapshot as it is now, or None."""
    entity = get_snapshot(client, pool, volume, name)
    if entity is None:
        return None
    data = entity.data
    expires = str(data.get("expires_at") or NEVER)
    expiry = instant(expires)
    return LiveSnapshot(
        name=name,
        description=str(data.get("description") or ""),
        expires_at=None if expiry == instant(NEVER) else expiry,
        expires_text="never" if expiry == instant(NEVER) else expires,
        created_at=str(data.get("created_at") or ""),
        config={str(key): str(value) for key, value in (data.get("config") or {}).items()},
        etag=entity.etag,
    )


def create_or_adopt_snapshot(
    client: IncusClient, options: SnapshotOptions, reporter: Reporter
) -> LiveSnapshot:
    """Takes the snapshot, or takes up the one that an earlier attempt of this resource made.

    Raises:
        VolumeGone: there is no such volume.
        SnapshotExists: there is such a snapshot, and it is another's.
        IncusError: it could not be taken.
    """
    pool, volume, name = options.storage_pool, options.volume_name, options.snapshot_name
    live = fetch_snapshot(client, pool, volume, name)
    if live is None:
        live = _take(client, options, reporter)
    else:
        check_retainable(client, live, options)
        _await_operations(client, options, reporter)
        reporter.info(f"the {options.where} is there (made {live.created_at}) and is kept as it is")
        source = fetch_volume(client, pool, volume)
        if source is not None:
            _set_record(client, source, options, new_generation())
    return change_snapshot(client, options, created_at=live.created_at)


def check_retainable(client: IncusClient, live: LiveSnapshot, options: SnapshotOptions) -> None:
    """Raise if an existing snapshot is not this resource's.

    Raises:
        SnapshotExists: another resource, or none, owns it.
    """
    if not options.owner or owner_of(client, live, options) != options.owner:
        raise _another(client, options, live)
    if live.backend and options.backend and live.backend != options.backend:
        raise SnapshotExists(
            f"the {options.where} exists at {client.host} (made {live.created_at}) and is owned by "
            f"{live.owner} of another Pulumi backend (or of another machine), whose stack has the "
            "same name as this one; nothing of it was touched. Choose another snapshot_name"
        )


def generation_of(client: IncusClient, options: SnapshotOptions) -> str:
    """Return the generation that a snapshot's volume has for it; empty without one."""
    return _record_of(client, options).generation


def owner_of(client: IncusClient, live: LiveSnapshot, options: SnapshotOptions) -> str:
    """Return the URN of the resource that has a snapshot, also if it was renamed since.

    Args:
        client: a client in the volume's project.
        live: the snapshot.
        options: for where it is.
    """
    # A snapshot that no resource took has no record, whatever an earlier one of its name left.
    return live.owner and (_record_of(client, options).owner or live.owner)


def pass_on(client: IncusClient, live: LiveSnapshot, options: SnapshotOptions) -> None:
    """Write the URN of a resource that was renamed on the snapshot's volume.

    Args:
        client: a client in the volume's project.
        live: the snapshot, which the resource owns.
        options: what it is to be.

    Raises:
        IncusError: it could not be written.
    """
    if not options.owner or owner_of(client, live, options) in ("", options.owner):
        return
    volume = fetch_volume(client, options.storage_pool, options.volume_name)
    if volume is not None:
        generation = SnapshotRecord.of(volume.config, options.snapshot_name).generation
        _set_record(client, volume, options, generation)


def _record_of(client: IncusClient, options: SnapshotOptions) -> SnapshotRecord:
    volume = fetch_volume(client, options.storage_pool, options.volume_name)
    return SnapshotRecord.of(volume.config if volume else {}, options.snapshot_name)


def _set_record(
    client: IncusClient, volume: LiveVolume, options: SnapshotOptions, generation: str
) -> None:
    record = SnapshotRecord(generation, options.backend, options.owner)
    with volume_lock(options.storage_pool, options.volume_name):
        _set_keys(client, volume, {GENERATION_PREFIX + options.snapshot_name: record.text()})


def with_dropped_options(options: SnapshotOptions, before: SnapshotOptions) -> SnapshotOptions:
    """Return the options with what they no longer say set to what that means in Incus.

    Without an expiry that it had, a snapshot never expires: whoever takes it out of the program
    wants to keep the snapshot. A description is cleared.

    Args:
        options: what the snapshot is to be.
        before: what it was.
    """
    dropped = {}
    if before.expires_at is not None and options.expires_at is None:
        dropped["expires_at"] = "never"
    if before.description is not None and options.description is None:
        dropped["description"] = ""
    return options.model_copy(update=dropped)


def change_snapshot(
    client: IncusClient, options: SnapshotOptions, *, created_at: str
) -> LiveSnapshot:
    """Sets description and expiry, where they are given and differ.

    Raises:
        VolumeGone: the snapshot is gone.
        SnapshotExists: another one has taken its place.
    """
    for last in (False, True):
        live = fetch_snapshot(
            client, options.storage_pool, options.volume_name, options.snapshot_name
        )
        if live is None:
            raise VolumeGone(f"there is no {options.where} at {client.host} any more; {_ANOTHER}")
        if created_at and live.created_at != created_at:
            raise _another(client, options, live)
        if not snapshot_differs(live, options):
            break
        expires = options.expires_at or live.expires_text
        try:
            patch_snapshot(
                client,
                options.storage_pool,
                options.volume_name,
                options.snapshot_name,
                description=(
                    live.description if options.description is None else options.description
                ),
                expires_at=NEVER if expires == "never" else expires,
                etag=live.etag,
            )
        except PreconditionFailed:
            if last:
                raise
    found = fetch_snapshot(client, options.storage_pool, options.volume_name, options.snapshot_name)
    if found is None:
        raise VolumeGone(f"the {options.where} vanished while it was being changed; {_ANOTHER}")
    return found


def snapshot_differs(live: LiveSnapshot, options: SnapshotOptions) -> bool:
    """Whether the snapshot's description or expiry is not what the options say."""
    if options.description is not None and live.description != options.description:
        return True
    return options.expires_at is not None and not same_instant(
        options.expires_at, live.expires_text
    )


def same_instant(one: str, other: str) -> bool:
    """Whether two texts name one point in time, whatever the offset."""
    return instant(one) == instant(other)


def remove_snapshot(
    client: IncusClient,
    options: SnapshotOptions,
    reporter: Reporter,
    *,
    created_at: str,
    generation: str,
) -> None:
    """Removes the snapshot. One that is gone is done. Another one in its place stays, and so does
    one that a later create of the resource has taken over.

    Args:
        client: a client in the volume's project.
        options: what it was made to be.
        reporter: takes progress and warnings.
        created_at: when it was made, as the state has it.
        generation: its generation, as the state has it; empty in an older state.

    Raises:
        IncusError: it could not be removed.
    """
    pool, volume, name = options.storage_pool, options.volume_name, options.snapshot_name
    live = fetch_snapshot(client, pool, volume, name)
    if live is None:
        return
    if live.created_at != created_at:
        reporter.warn(
            f"the {options.where} is not the one that this resource made, and is left alone"
        )
        return
    found = generation_of(client, options)
    if generation and found and found != generation:
        reporter.warn(
            f"the {options.where} was taken over since by a later create of this resource (a "
            "replacement that created first); it is left alone"
        )
        return
    progress = Progress(reporter, f"removing the {options.where}")
    try:
        delete_snapshot(
            client,
            pool,
            volume,
            name,
            timeout=options.timeouts.delete,
            on_progress=progress.operation,
        )
    except NotFound:
        pass
    except (OperationFailed, OperationLost, IncusUnreachable, UnexpectedResponse):
        if fetch_snapshot(client, pool, volume, name) is not None:
            raise
    if found:
        # The mark of a snapshot that is gone means nothing, so that its end is not waited for.
        with suppress(IncusError, VolumeGone), volume_lock(pool, volume):
            left = fetch_volume(client, pool, volume)
            if left is not None:
                _set_keys(client, left, {GENERATION_PREFIX + name: ""})


def take_snapshot(
    client: IncusClient,
    options: SnapshotOptions,
    expires_at: str | None,
    reporter: Reporter,
) -> LiveSnapshot:
    """Takes a snapshot that is known to be missing.

    Raises:
        AlreadyExists: somebody took one of that name first.
        IncusError: it could not be taken.
    """
    pool, volume, name = options.storage_pool, options.volume_name, options.snapshot_name
    progress = Progress(reporter, f"taking the {options.where}")
    try:
        operation = create_snapshot(client, pool, volume, name, expires_at)
        client.wait(
            operation,
            timeout=options.timeouts.create,
            what=f"taking the {options.where}",
            progress=progress.operation,
        )
    except OperationFailed as error:
        # Two at once: the loser's operation fails with the text of the server's database.
        if "unique constraint failed" not in error.reason.lower():
            raise
        raise AlreadyExists(str(error), status=409, reason=error.reason) from error
    except (IncusUnreachable, OperationLost, UnexpectedResponse) as error:
        # The answer is lost, not the snapshot: wait for it, and look.
        if isinstance(error, IncusUnreachable) and not error.sent:
            raise
        deadline = time.monotonic() + _APPEARS_WITHIN
        while fetch_snapshot(client, pool, volume, name) is None:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
        _await_operations(client, options, reporter)
        if fetch_snapshot(client, pool, volume, name) is None:
            raise
    live = fetch_snapshot(client, pool, volume, name)
    if live is None:
        raise VolumeGone(
            f"the {options.where} was taken, and is gone again: somebody removed it; {_ANOTHER}"
        )
    return live


def _take(client: IncusClient, options: SnapshotOptions, reporter: Reporter) -> LiveSnapshot:
    volume = fetch_volume(client, options.storage_pool, options.volume_name)
    if volume is None:
        raise VolumeGone(
            f"there is no volume {options.volume_name} in pool {options.storage_pool} (project "
            f"{options.project}) at {client.host} to take a snapshot of; make it first"
        )
    _mark(client, volume, options)
    try:
        expires = NEVER if options.expires_at == "never" else options.expires_at
        live = take_snapshot(client, options, expires, reporter)
    except AlreadyExists:
        found = fetch_snapshot(
            client, options.storage_pool, options.volume_name, options.snapshot_name
        )
        # With our mark it was taken after we set that: it is ours, whoever asked first.
        if found is None:
            raise
        if not options.owner or found.owner != options.owner:
            raise _another(client, options, found) from None
        live = found
    finally:
        # A mark that stays is no harm: it says only who was about to take a snapshot.
        with suppress(IncusError, VolumeGone):
            _unmark(client, options)
    if options.owner and live.owner not in ("", options.owner):
        # Somebody else set a mark between ours and the snapshot, and takes it for theirs.
        raise _another(client, options, live)
    return live


def _mark(client: IncusClient, volume: LiveVolume, options: SnapshotOptions) -> None:
    if options.owner:
        with volume_lock(options.storage_pool, options.volume_name):
            record = SnapshotRecord(new_generation(), options.backend)
            marks = {
                SNAPSHOT_OWNER_PREFIX + options.snapshot_name: options.owner,
                GENERATION_PREFIX + options.snapshot_name: record.text(),
            }
            _set_keys(client, volume, marks)


def _unmark(client: IncusClient, options: SnapshotOptions) -> None:
    if not options.owner:
        return
    with volume_lock(options.storage_pool, options.volume_name):
        volume = fetch_volume(client, options.storage_pool, options.volume_name)
        key = SNAPSHOT_OWNER_PREFIX + options.snapshot_name
        if volume is not None and volume.config.get(key) == options.owner:
            _set_keys(client, volume, {key: ""})


def _set_keys(client: IncusClient, volume: LiveVolume, keys: dict[str, str]) -> None:
    def send(now: LiveVolume) -> None:
        patch_volume(
            client,
            now.pool,
            now.name,
            description=now.description,
            config=keys,
            etag=now.etag,
        )

    retry_on_conflict(client, volume, send)


def _await_operations(client: IncusClient, options: SnapshotOptions, reporter: Reporter) -> None:
    """Waits for what is going on at a snapshot: it is listed before its contents are complete."""
    path = snapshot_url(options.storage_pool, options.volume_name, options.snapshot_name)
    progress = Progress(reporter, f"taking the {options.where}")
    for operation in operations_at(client, path):
        with suppress(OperationLost):
            client.wait(
                operation,
                timeout=options.timeouts.create,
                what=f"taking the {options.where}",
                progress=progress.operation,
            )


def _another(client: IncusClient, options: SnapshotOptions, live: LiveSnapshot) -> SnapshotExists:
    owner = f"taken by {live.owner}" if live.owner else "not taken by this resource"
    hint = renamed_hint(options.owner, live.owner) if live.owner else ""
    return SnapshotExists(
        f"the {options.where} exists at {client.host} (made {live.created_at}, {owner}); nothing "
        "of it was touched. Choose another snapshot_name, or remove it: `incus storage volume "
        f"snapshot delete --project {options.project} {options.storage_pool} {options.volume_name} "
        f"{options.snapshot_name}`" + (f". {hint}" if hint else "")
    )
