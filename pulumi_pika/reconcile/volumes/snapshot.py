"""Create, change and delete the snapshot of a `VolumeSnapshot`.

Incus takes no config for a snapshot: a snapshot copies its volume's config, and the copy never
changes. So the owner of a snapshot is written to the volume just before the snapshot, and removed
afterwards; the copy stays. The generation, which an adoption changes, is stored on the volume. The
URN of a resource that was renamed later is stored there too.
"""

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
from ...message_templates import OTHER_OWNER, Message, exists, missing, other_owner
from ..shared.errors import SnapshotExists, VolumeGone
from ..shared.ownership import (
    MARK_PREFIX,
    new_generation,
    renamed_hint,
)
from ..shared.polling import poll_until
from ..shared.reporter import Progress, Reporter
from ..shared.volume_lock import volume_lock
from .volume import (
    LiveVolume,
    fetch_volume,
    retry_on_conflict,
)
from .volume_options import SnapshotOptions, instant

SNAPSHOT_OWNER_PREFIX: Final = MARK_PREFIX + "snapshot."
"""The key prefix before a snapshot's name; the value is the URN of the resource that creates it."""
GENERATION_PREFIX: Final = MARK_PREFIX + "snapshot-generation."
"""The key prefix before a snapshot's name; the value is a `SnapshotRecord`."""


_TAKE_AGAIN: Final = (
    "run `pulumi refresh`, then `pulumi up` to take a new one, with the volume's data at that time"
)


@dataclass(frozen=True, slots=True)
class SnapshotRecord:
    """Hold the record of a snapshot in its volume's config: ``GENERATION BACKEND OWNER``."""

    generation: str = ""
    backend: str = ""
    """The digest of the backend of the stack that took it; empty if it is not known."""
    owner: str = ""
    """The URN of the resource if it was renamed after the creation; empty otherwise."""

    @classmethod
    def of(cls, config: Mapping[str, str], name: str) -> "SnapshotRecord":
        """Return the record of a snapshot in a config, or an empty one."""
        # A URN may contain spaces.
        parts = config.get(GENERATION_PREFIX + name, "").split(" ", 2)
        return cls(*parts)

    def text(self) -> str:
        """Return the value of the config key."""
        return f"{self.generation} {self.backend} {self.owner}".rstrip()


@dataclass(frozen=True, slots=True)
class LiveSnapshot:
    """Hold a snapshot of a custom volume as the server shows it."""

    name: str
    description: str
    expires_at: datetime | None
    """When the snapshot expires; None for never."""
    expires_text: str
    created_at: str
    config: dict[str, str]
    etag: str

    @property
    def backend(self) -> str:
        """Return the digest of the backend of the stack that took it; empty if it is not known."""
        return SnapshotRecord.of(self.config, self.name).backend

    @property
    def owner(self) -> str:
        """Return the URN of the resource that created it; empty if no resource did."""
        return self.config.get(SNAPSHOT_OWNER_PREFIX + self.name, "")


def fetch_snapshot(client: IncusClient, pool: str, volume: str, name: str) -> LiveSnapshot | None:
    """Return the snapshot as it is now, or None."""
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
    """Take the snapshot, or resume managing one that an earlier attempt of this resource took.

    Args:
        client: a client in the volume's project.
        options: the desired snapshot.
        reporter: receives progress and warnings.

    Raises:
        VolumeGone: the volume does not exist.
        SnapshotExists: the snapshot exists, and this resource does not own it.
        IncusError: it could not be taken.
    """
    pool, volume, name = options.storage_pool, options.volume_name, options.snapshot_name
    live = fetch_snapshot(client, pool, volume, name)
    if live is None:
        live = _take(client, options, reporter)
    else:
        check_retainable(client, live, options)
        _await_operations(client, options, reporter)
        reporter.info(f"resumed managing the {options.where} (created {live.created_at})")
        source = fetch_volume(client, pool, volume)
        if source is not None:
            _set_record(client, source, options, new_generation())
    return change_snapshot(client, options, created_at=live.created_at)


def check_retainable(client: IncusClient, live: LiveSnapshot, options: SnapshotOptions) -> None:
    """Raise an error if this resource does not own an existing snapshot.

    Args:
        client: a client in the volume's project.
        live: the snapshot as last fetched.
        options: the desired snapshot.

    Raises:
        SnapshotExists: another resource, or none, owns it.
    """
    if not options.owner or owner_of(client, live, options) != options.owner:
        raise _another(client, options, live)
    if live.backend and options.backend and live.backend != options.backend:
        raise SnapshotExists(
            other_owner(
                f"the {options.where} at {client.host} (created {live.created_at})",
                f"{live.owner} of a stack with the same name in another Pulumi backend (or on "
                "another machine)",
                "it was not changed. Set another snapshot_name",
            )
        )


def generation_of(client: IncusClient, options: SnapshotOptions) -> str:
    """Return the generation of a snapshot in its volume's config; empty if there is none."""
    return _record_of(client, options).generation


def owner_of(client: IncusClient, live: LiveSnapshot, options: SnapshotOptions) -> str:
    """Return the URN of the resource that owns a snapshot, even if it was renamed later.

    Args:
        client: a client in the volume's project.
        live: the snapshot.
        options: the options, which locate it.
    """
    # A record that an earlier snapshot of the name left does not apply to a snapshot without an
    # owner.
    return live.owner and (_record_of(client, options).owner or live.owner)


def pass_on(client: IncusClient, live: LiveSnapshot, options: SnapshotOptions) -> None:
    """Write the URN of a renamed resource to the snapshot's volume.

    Args:
        client: a client in the volume's project.
        live: the snapshot, which the resource owns.
        options: the desired snapshot.

    Raises:
        IncusError: the URN could not be written.
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
    """Return the options with dropped values set to what their absence means in Incus.

    If the expiry is dropped, the snapshot never expires: the user wants to keep it. A dropped
    description is cleared.

    Args:
        options: the desired snapshot.
        before: the options before.
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
    """Set the description and the expiry if they are given and differ.

    Args:
        client: a client in the volume's project.
        options: the desired snapshot.
        created_at: the time of its creation, from the state.

    Raises:
        VolumeGone: the snapshot is missing.
        SnapshotExists: another snapshot has its name.
    """
    for last in (False, True):
        live = fetch_snapshot(
            client, options.storage_pool, options.volume_name, options.snapshot_name
        )
        if live is None:
            raise VolumeGone(
                missing(f"the {options.where}", f"at {client.host} any more", _TAKE_AGAIN)
            )
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
        raise VolumeGone(
            f"another client deleted the {options.where} during its change; {_TAKE_AGAIN}"
        )
    return found


def snapshot_differs(live: LiveSnapshot, options: SnapshotOptions) -> bool:
    """Return whether the snapshot's description or expiry differs from the options."""
    if options.description is not None and live.description != options.description:
        return True
    return options.expires_at is not None and not same_instant(
        options.expires_at, live.expires_text
    )


def same_instant(one: str, other: str) -> bool:
    """Return whether two strings name the same point in time, whatever their offsets."""
    return instant(one) == instant(other)


def remove_snapshot(
    client: IncusClient,
    options: SnapshotOptions,
    reporter: Reporter,
    *,
    created_at: str,
    generation: str,
) -> None:
    """Delete the snapshot.

    A snapshot that is already missing counts as deleted. Another snapshot of its name stays, and so
    does one that a later create of the resource has adopted.

    Args:
        client: a client in the volume's project.
        options: the options of its creation.
        reporter: receives progress and warnings.
        created_at: the time of its creation, from the state.
        generation: its generation, from the state; empty in an older state.

    Raises:
        IncusError: it could not be deleted.
    """
    pool, volume, name = options.storage_pool, options.volume_name, options.snapshot_name
    live = fetch_snapshot(client, pool, volume, name)
    if live is None:
        return
    if live.created_at != created_at:
        reporter.warn(
            f"the {options.where} is not the one that this resource created; it is not deleted"
        )
        return
    found = generation_of(client, options)
    if generation and found and found != generation:
        reporter.warn(
            f"the {options.where} was adopted by a later create of this resource (a replacement "
            "that created first); it is not deleted"
        )
        return
    progress = Progress(reporter, f"deleting the {options.where}")
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
        # The config key of a deleted snapshot has no meaning, so its removal is not waited for.
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
    """Take a snapshot that is known to be missing.

    Args:
        client: a client in the volume's project.
        options: the desired snapshot.
        expires_at: when it expires, as RFC 3339; `NEVER`, or None for the volume's
            `snapshots.expiry`.
        reporter: receives progress and warnings.

    Raises:
        AlreadyExists: another client took one of that name first.
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
        # Two at once: the operation of the slower one fails with the text of the server's database.
        if "unique constraint failed" not in error.reason.lower():
            raise
        raise AlreadyExists(str(error), status=409, reason=error.reason) from error
    except (IncusUnreachable, OperationLost, UnexpectedResponse) as error:
        # The reply is lost, but the snapshot may exist: wait for it and fetch it.
        if isinstance(error, IncusUnreachable) and not error.sent:
            raise
        if poll_until(lambda: fetch_snapshot(client, pool, volume, name)) is None:
            raise
        _await_operations(client, options, reporter)
        if fetch_snapshot(client, pool, volume, name) is None:
            raise
    live = fetch_snapshot(client, pool, volume, name)
    if live is None:
        raise VolumeGone(
            f"the {options.where} was taken and then deleted by another client; {_TAKE_AGAIN}"
        )
    return live


def _take(client: IncusClient, options: SnapshotOptions, reporter: Reporter) -> LiveSnapshot:
    volume = fetch_volume(client, options.storage_pool, options.volume_name)
    if volume is None:
        raise VolumeGone(
            missing(
                f"volume {options.volume_name}",
                f"in pool {options.storage_pool} (project {options.project}) at {client.host}",
                "create it before its snapshot (`volume_name=volume.volume_name` waits for it)",
            )
        )
    _label(client, volume, options)
    try:
        expires = NEVER if options.expires_at == "never" else options.expires_at
        live = take_snapshot(client, options, expires, reporter)
    except AlreadyExists:
        found = fetch_snapshot(
            client, options.storage_pool, options.volume_name, options.snapshot_name
        )
        # A snapshot with this label was taken after the label was set, so this resource owns it,
        # whichever client asked first.
        if found is None:
            raise
        if not options.owner or found.owner != options.owner:
            raise _another(client, options, found) from None
        live = found
    finally:
        # A key that remains does no harm: it only says who was about to take a snapshot.
        with suppress(IncusError, VolumeGone):
            _remove_label(client, options)
    if options.owner and live.owner not in ("", options.owner):
        # Another resource wrote its key between this one and the snapshot, and treats the snapshot
        # as its own.
        raise _another(client, options, live)
    return live


def _label(client: IncusClient, volume: LiveVolume, options: SnapshotOptions) -> None:
    if options.owner:
        with volume_lock(options.storage_pool, options.volume_name):
            record = SnapshotRecord(new_generation(), options.backend)
            label = {
                SNAPSHOT_OWNER_PREFIX + options.snapshot_name: options.owner,
                GENERATION_PREFIX + options.snapshot_name: record.text(),
            }
            _set_keys(client, volume, label)


def _remove_label(client: IncusClient, options: SnapshotOptions) -> None:
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
    """Wait for operations on a snapshot, which is listed before its contents are complete."""
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
    hint = renamed_hint(options.owner, live.owner) if live.owner else ""
    advice = (
        "it was not changed. Set another snapshot_name, or delete the snapshot with its data: "
        f"`incus storage volume snapshot delete --project {options.project} "
        f"{options.storage_pool} {options.volume_name} {options.snapshot_name}`"
        + (f". {hint}" if hint else "")
    )
    found = exists(
        f"the {options.where}",
        f"at {client.host} (created {live.created_at}, owner: {live.owner or 'none'})",
        advice,
    )
    return SnapshotExists(Message(found, OTHER_OWNER if live.owner else found.code))
