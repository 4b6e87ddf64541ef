"""Create, adopt, change and delete the custom volume of a `PersistentVolume`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from ...incus.client import IncusClient
from ...incus.errors import (
    AlreadyExists,
    BadRequest,
    IncusApiError,
    IncusUnreachable,
    NotFound,
    PreconditionFailed,
    UnexpectedResponse,
)
from ...incus.storage import (
    create_volume,
    delete_volume,
    get_volume,
    list_pool_volumes,
    patch_volume,
    rename_volume,
)
from ...message_templates import (
    FAILED,
    IN_USE,
    Message,
    could_not,
    exists,
    in_use,
    missing,
    other_owner,
)
from ..instances.changes import description_to_set
from ..instances.desired import LABEL_PREFIX
from ..instances.location import select_member_for_new_volume
from ..shared.errors import (
    ForeignVolume,
    SnapshotMissing,
    VolumeExists,
    VolumeGone,
    VolumeInUse,
    VolumeRefused,
)
from ..shared.ownership import (
    GENERATION_KEY,
    IDENTITY_KEYS,
    MARK_PREFIX,
    OWNER_KEY,
    RUNTIME_ID_KEY,
    Claim,
    is_same_or_earlier,
    new_generation,
    relation,
    renamed_hint,
)
from ..shared.reporter import Reporter
from ..shared.volume_lock import volume_lock
from .volume_options import (
    SIZE_KEY,
    VolumeOptions,
    same_size,
    shrink_reason,
    shrinks,
)

_RECREATE_EMPTY: Final = "run `pulumi refresh`, then `pulumi up` to recreate it, empty"

RESTORED_KEY: Final = MARK_PREFIX + "restored"
"""The key of the name of the snapshot that was restored last.

The request that restores it also sets the key. So a restore whose reply was lost is known to be
done.
"""
SAFETY_KEY: Final = MARK_PREFIX + "safety_snapshot"
"""The key of the name of the safety snapshot that was taken before that."""


@dataclass(frozen=True, slots=True)
class LiveVolume:
    """Hold a custom volume as the server shows it."""

    name: str
    pool: str
    project: str
    """The project in which the volume was fetched.

    If that project has no volumes of its own, the volume is in ``default``.
    """
    content_type: str
    description: str
    config: dict[str, str]
    location: str
    created_at: str
    used_by: tuple[str, ...]
    """The URLs of its users, such as ``/1.0/instances/x?project=p``.

    For an instance that uses it through a profile, the profile is listed, not the instance.
    """
    etag: str

    @property
    def owner(self) -> str:
        """Return the URN in its ownership label."""
        return self.config.get(OWNER_KEY, "")

    @property
    def generation(self) -> str:
        """Return the generation in its ownership label; empty if it has none."""
        return self.config.get(GENERATION_KEY, "")

    @property
    def restored(self) -> str:
        """Return the name of the snapshot that was restored last; empty for none."""
        return self.config.get(RESTORED_KEY, "")

    @property
    def safety_snapshot(self) -> str:
        """Return the name of the last restore's safety snapshot; empty for none."""
        return self.config.get(SAFETY_KEY, "")


def fetch_volume(client: IncusClient, pool: str, name: str) -> LiveVolume | None:
    """Return the volume as it is now, or None."""
    entity = get_volume(client, pool, name)
    if entity is None:
        return None
    data = entity.data
    return LiveVolume(
        name=name,
        pool=pool,
        project=client.project,
        content_type=str(data.get("content_type", "")),
        description=str(data.get("description") or ""),
        config={str(key): str(value) for key, value in (data.get("config") or {}).items()},
        location=str(data.get("location") or ""),
        created_at=str(data.get("created_at") or ""),
        used_by=tuple(str(user) for user in data.get("used_by") or ()),
        etag=entity.etag,
    )


@dataclass(slots=True)
class VolumeChanges:
    """Hold the difference between a live and a desired volume, in Incus's terms."""

    config: dict[str, str] = field(default_factory=dict)
    """The config keys to set; an empty value unsets the key."""
    description: str | None = None
    foreign_values: list[str] = field(default_factory=list)
    """Values that the program no longer sets and that another client changed; they stay."""

    def __bool__(self) -> bool:
        return bool(self.config) or self.description is not None


def find_volume_changes(
    live: LiveVolume, options: VolumeOptions, previous: VolumeOptions | None
) -> VolumeChanges:
    """Return the smallest set of changes that brings `live` to the options.

    Keys that neither the current nor the previous options name are left alone. A size that is no
    longer given is no longer managed, and stays.

    Args:
        live: the volume as last fetched.
        options: the desired volume.
        previous: the options that were applied before; None if there is no state.
    """
    desired = options.desired_config()
    before = previous.desired_config() if previous else {}
    changes = VolumeChanges()
    for key, value in desired.items():
        if key in IDENTITY_KEYS:
            continue  # Written last, on its own; see `write_identity`.
        seen = live.config.get(key)
        if not (same_size(seen, value) if key == SIZE_KEY else seen == value):
            changes.config[key] = value
    for key, seen in live.config.items():
        if key in desired or key == SIZE_KEY:
            continue
        if key.startswith(LABEL_PREFIX):
            changes.config[key] = ""
        elif key in before and not key.startswith(MARK_PREFIX):
            if before[key] == seen:
                changes.config[key] = ""
            else:
                changes.foreign_values.append(key)
    if options.restore_from is None:
        # A snapshot that is named again later is then restored again.
        changes.config.update({key: "" for key in (RESTORED_KEY, SAFETY_KEY) if key in live.config})
    changes.description = description_to_set(
        live.description,
        options.description,
        previous.description if previous else None,
        changes.foreign_values,
    )
    return changes


def create_or_adopt_volume(
    client: IncusClient, options: VolumeOptions, reporter: Reporter
) -> LiveVolume:
    """Create the volume, or use the existing one; everything except a restore.

    An existing volume is used if its ownership label names this resource: it was retained when the
    resource was deleted, or the reply to its creation was lost. A volume without an owner is
    adopted only with `adopt`.

    Args:
        client: a client in the volume's project.
        options: the desired volume.
        reporter: receives progress and warnings.

    Raises:
        VolumeExists: a volume without an owner exists, and `adopt` is off.
        ForeignVolume: another resource owns the existing volume.
        VolumeRefused: the existing volume cannot be changed as requested.
        SnapshotMissing: `restore_from` is given, and the volume does not exist yet.
        IncusError: it could not be created.
    """
    live = fetch_volume(client, options.storage_pool, options.volume_name)
    if live is not None:
        return _resume_or_adopt(client, live, options, reporter)
    if options.restore_from is not None:
        renamed = find_renamed_volume(client, options, Claim((options.owner,), copies=False))
        raise SnapshotMissing(
            f"the {options.where} does not exist, so that restore_from {options.restore_from} "
            "cannot be restored; nothing was created. To create an empty volume, remove "
            "restore_from for now. "
            + (
                f"Volume {renamed.name} has the ownership label of this resource. If it was "
                f"renamed, first rename it back: `incus storage volume rename --project "
                f"{options.project} {options.storage_pool} {renamed.name} {options.volume_name}`"
                if renamed
                else "If the volume existed before, first search for it: `incus storage volume "
                f"list --project {options.project} {options.storage_pool}`"
            )
        )
    client = select_member_for_new_volume(client, options.storage_pool, options.volume_name)
    attempt = new_generation()
    try:
        create_volume(
            client,
            options.storage_pool,
            options.volume_name,
            description=options.description or "",
            config={**options.desired_config(), GENERATION_KEY: attempt},
            content_type=options.content_type,
        )
    except AlreadyExists:
        live = fetch_volume(client, options.storage_pool, options.volume_name)
        if live is None:
            raise
        if _has_own_label(live, options):
            return _resume_or_adopt(client, live, options, reporter)
        raise _not_owned(client, live, options.owner) from None
    except (IncusUnreachable, UnexpectedResponse) as error:
        # The reply is lost, but the volume may exist: check whether this attempt created it.
        if isinstance(error, IncusUnreachable) and not error.sent:
            raise
        live = fetch_volume(client, options.storage_pool, options.volume_name)
        if live is None or live.config.get(GENERATION_KEY) != attempt:
            raise
    return _fetch_existing(client, options)


def check_adoptable(client: IncusClient, live: LiveVolume, options: VolumeOptions) -> None:
    """Raise an error if this resource may not, or cannot, manage an existing volume.

    Args:
        client: a client in the volume's project.
        live: the volume as last fetched.
        options: the desired volume.

    Raises:
        VolumeExists: it has no owner, and `adopt` is off.
        ForeignVolume: another resource owns it.
        VolumeRefused: it cannot be changed as requested.
    """
    ours = _has_own_label(live, options)
    whose = relation(live.config, options.owner, options.backend)
    if whose == "other_backend" and not options.adopt:
        raise ForeignVolume(
            other_owner(
                f"the {options.where} at {client.host} (created {live.created_at})",
                f"{live.owner} of a stack with the same name in another Pulumi backend (or on "
                "another machine)",
                "it was not changed. Set another volume_name, or adopt the volume with its data "
                "from that stack with adopt=True",
            )
        )
    if not ours and whose != "other_backend" and (live.owner or live.config.get(RUNTIME_ID_KEY)):
        raise _not_owned(client, live, options.owner)
    if not ours and not options.adopt:
        raise VolumeExists(
            exists(
                f"the {options.where}",
                f"at {client.host} and has no owner (created {live.created_at}, used by "
                f"{users_text(live.used_by) or 'nothing'})",
                "it was not changed. Set adopt=True to adopt it with its data, or set another "
                "volume_name",
            )
        )
    problems = []
    if live.content_type != options.content_type:
        problems.append(
            f"content_type: it is {live.content_type}, not {options.content_type}, and cannot be "
            "changed"
        )
    size = live.config.get(SIZE_KEY)
    if size and options.size and shrinks(size, options.size):
        problems.append(f"size: {shrink_reason(size, options.size)}")
    if problems:
        verb = "resume managing" if ours else "adopt"
        raise VolumeRefused(
            could_not(
                f"{verb} the {options.where}", "; ".join(problems), undone="It was not changed"
            )
        )


def change_volume(
    client: IncusClient,
    options: VolumeOptions,
    previous: VolumeOptions,
    reporter: Reporter,
    *,
    claim: Claim,
) -> LiveVolume:
    """Change the volume in place: everything except a restore and the ownership label.

    For the label, see `write_identity`.

    Args:
        client: a client in the volume's project.
        options: the desired volume.
        previous: the volume as it was applied, or last observed, before.
        reporter: receives warnings.
        claim: what the state knows of it.

    Raises:
        VolumeGone: the volume no longer exists.
        ForeignVolume: another resource owns it now.
        VolumeRefused: it would shrink.
        IncusError: the server refuses the change; settings that it accepted stay.
    """
    live = fetch_owned_volume(client, options, claim, reporter)
    return _apply_changes(client, live, options, previous, reporter)


def find_renamed_volume(
    client: IncusClient, options: VolumeOptions, claim: Claim
) -> LiveVolume | None:
    """Return the resource's volume if it has another name now, as the pool shows it.

    A copy of a volume has its label too, but another creation time.

    Args:
        client: a client in the volume's project.
        options: the volume as it was, with its earlier name.
        claim: what the state knows of it.
    """
    for data in list_pool_volumes(client, options.storage_pool):
        name = str(data.get("name") or "")
        config, created_at = data.get("config") or {}, str(data.get("created_at") or "")
        if name == options.volume_name or not config.get(OWNER_KEY):
            continue
        moved = bool(claim.identity) and created_at != claim.identity
        if moved or not claim.holds(config, created_at):
            continue
        return fetch_volume(client, options.storage_pool, name)
    return None


def _rename_back(
    client: IncusClient, live: LiveVolume, options: VolumeOptions, reporter: Reporter
) -> LiveVolume:
    back = (
        f"`incus storage volume rename --project {options.project} {live.pool} {live.name} "
        f"{options.volume_name}`"
    )
    reporter.info(f"renaming volume {live.name} in pool {live.pool} to {options.volume_name}")
    try:
        rename_volume(client, live.pool, live.name, options.volume_name)
    except IncusApiError as error:
        used = users_text(live.used_by)
        raise VolumeInUse(
            Message(
                f"the {options.where} was renamed to {live.name} outside Pulumi, and could not be "
                f"renamed back: {error.reason}. It was not changed. "
                + (
                    f"It is used by {used}: stop the running instances of these, and run `pulumi "
                    f"up` again, which runs {back}"
                    if used
                    else f"Run {back}, and then `pulumi up` again"
                ),
                IN_USE if used else FAILED,
            )
        ) from error
    return _fetch_existing(client, options)


def fetch_owned_volume(
    client: IncusClient,
    options: VolumeOptions,
    claim: Claim,
    reporter: Reporter,
) -> LiveVolume:
    """Return the volume, which must exist and belong to this resource.

    A volume that was renamed outside Pulumi gets its name back.

    Args:
        client: a client in the volume's project.
        options: the volume's options, which locate it.
        claim: what the state knows of it.
        reporter: receives progress and warnings.

    Raises:
        VolumeInUse: it was renamed, and a running instance uses it.
        VolumeGone: it does not exist.
        ForeignVolume: another resource owns it.
    """
    found = find_owned_volume(client, options, claim)
    if found.live is not None and found.live.name == options.volume_name:
        return found.live
    if found.other is not None:
        error = _not_owned(client, found.other, options.owner)
        if found.live is None:
            raise error
        raise ForeignVolume(
            f"{error}. The volume of this resource was renamed to {found.live.name} in pool "
            f"{options.storage_pool} outside Pulumi. Rename the other volume, and run `pulumi up` "
            "again"
        )
    if found.live is None:
        raise VolumeGone(
            missing(f"the {options.where}", f"at {client.host} any more", _RECREATE_EMPTY)
        )
    return _rename_back(client, found.live, options, reporter)


@dataclass(frozen=True, slots=True)
class FoundVolume:
    """Hold the result of a search for a resource's own volume."""

    live: LiveVolume | None
    """The resource's own volume, whatever its name is now."""
    other: LiveVolume | None = None
    """The volume that has the name but is not the resource's own."""


def find_owned_volume(client: IncusClient, options: VolumeOptions, claim: Claim) -> FoundVolume:
    """Find the volume that a state manages.

    The search is by its name. If the name is not in use, or another volume has it, the search is by
    the ownership labels in the pool.

    Args:
        client: a client in the volume's project.
        options: the volume's options, which locate it.
        claim: what the state knows of it.
    """
    named = fetch_volume(client, options.storage_pool, options.volume_name)
    if named is not None and is_owned(named, claim):
        return FoundVolume(named)
    return FoundVolume(find_renamed_volume(client, options, claim), named)


def is_owned(live: LiveVolume, claim: Claim) -> bool:
    """Return whether a live volume is the one that a state manages."""
    if live.config.get(RUNTIME_ID_KEY) and not live.owner:
        return False
    return claim.holds(live.config, live.created_at)


def write_identity(
    client: IncusClient, live: LiveVolume, options: VolumeOptions, generation: str = ""
) -> LiveVolume:
    """Write the ownership label of a volume, as far as it differs; return the volume.

    Args:
        client: a client in its project.
        live: the volume as last fetched.
        options: the desired volume.
        generation: the new generation; empty to keep the present one.

    Raises:
        IncusError: the label could not be written; the volume is otherwise as desired.
    """
    desired = options.desired_config()
    wanted = {key: desired[key] for key in IDENTITY_KEYS if key in desired}
    if generation:
        wanted[GENERATION_KEY] = generation
        if RUNTIME_ID_KEY in live.config:
            wanted[RUNTIME_ID_KEY] = ""

    def differing(now: LiveVolume) -> dict[str, str]:
        return {key: v for key, v in wanted.items() if now.config.get(key, "") != v}

    def send(now: LiveVolume) -> None:
        config = differing(now)
        if config:
            patch_volume(
                client,
                now.pool,
                now.name,
                description=now.description,
                config=config,
                etag=now.etag,
            )

    if not differing(live):
        return live
    try:
        retry_on_conflict(client, live, send)
    except (IncusUnreachable, UnexpectedResponse) as error:
        if isinstance(error, IncusUnreachable) and not error.sent:
            raise
        if differing(_fetch_existing(client, options)):
            raise
    return _fetch_existing(client, options)


def remove_volume(
    client: IncusClient, options: VolumeOptions, reporter: Reporter, *, claim: Claim
) -> None:
    """Delete the volume with its data and snapshots if `delete_data` allows it.

    Otherwise, report that it is retained, and how to go on.

    Args:
        client: a client in the volume's project.
        options: the options that were applied.
        reporter: receives progress and warnings.
        claim: what the state knows of it.

    Raises:
        VolumeInUse: it is in use.
        IncusError: it could not be deleted.
    """
    found = find_owned_volume(client, options, claim)
    live = found.live
    if found.other is not None:
        reporter.warn(f"the {options.where} {why_not_owned(found.other, claim)}; it is not deleted")
    if live is None:
        return
    if live.name != options.volume_name:
        reporter.warn(f"the {options.where} was renamed to {live.name} outside Pulumi")
        options = options.model_copy(update={"volume_name": live.name})
    if not options.delete_data:
        owner = f" {options.owner}" if options.owner else ""
        reporter.warn(
            f"the {options.where} is retained with its data, because delete_data is off. The same "
            f"resource{owner} can resume managing it. To delete it with its data: `incus storage "
            f"volume delete --project {options.project} {options.storage_pool} "
            f"{options.volume_name}`"
        )
        return
    if live.used_by:
        raise _in_use(options, live)
    try:
        delete_volume(client, live.pool, live.name, timeout=options.timeouts.delete)
    except NotFound:
        return
    except BadRequest as error:
        live = fetch_volume(client, options.storage_pool, options.volume_name)
        if live is None:
            return
        if live.used_by or "in use" in error.reason.lower():
            raise _in_use(options, live) from error
        raise
    except (IncusUnreachable, UnexpectedResponse):
        if fetch_volume(client, options.storage_pool, options.volume_name) is not None:
            raise
    reporter.info(f"deleted the {options.where} with its data (delete_data)")


def retry_on_conflict(
    client: IncusClient, live: LiveVolume, send: Callable[[LiveVolume], None]
) -> None:
    """Send a change, and retry once if another client changed the volume in the meantime.

    Args:
        client: a client in the volume's project.
        live: the volume as last fetched.
        send: sends the change for the volume as last fetched.

    Raises:
        PreconditionFailed: it was changed again.
        VolumeGone: it no longer exists.
    """
    with volume_lock(live.pool, live.name):
        try:
            send(live)
        except PreconditionFailed:
            again = fetch_volume(client, live.pool, live.name)
            if again is None:
                raise VolumeGone(
                    f"another client deleted volume {live.name} in pool {live.pool} during its "
                    f"change; {_RECREATE_EMPTY}"
                ) from None
            send(again)


def users_text(used_by: tuple[str, ...]) -> str:
    """Return the users of a volume: ``instance x (project p), profile y (project p)``."""
    return ", ".join(f"{kind} {name} (project {project})" for kind, name, project in users(used_by))


def users(used_by: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """Return kind, name and project of each user of a volume.

    The kind is ``instance``, ``profile``, ...
    """
    found = []
    for user in used_by:
        parts = urlsplit(user)
        steps = [unquote(step) for step in parts.path.split("/") if step]
        kind = steps[1].removesuffix("s") if len(steps) > 2 else "Incus"
        project = parse_qs(parts.query).get("project", ["default"])[0]
        found.append((kind, steps[2] if len(steps) > 2 else parts.fragment, project))
    return found


def _resume_or_adopt(
    client: IncusClient, live: LiveVolume, options: VolumeOptions, reporter: Reporter
) -> LiveVolume:
    check_adoptable(client, live, options)
    ours = _has_own_label(live, options)
    live = _apply_changes(client, live, options, None, reporter)
    live = write_identity(client, live, options, new_generation(live.generation if ours else ""))
    reporter.info(
        f"{'resumed managing' if ours else 'adopted'} the {options.where} with its data "
        f"(created {live.created_at})"
    )
    return live


def _has_own_label(live: LiveVolume, options: VolumeOptions) -> bool:
    return relation(live.config, options.owner, options.backend) == "ours"


def why_not_owned(live: LiveVolume, claim: Claim) -> str:
    """Return why a volume is not the one that a state manages, to follow its name."""
    if live.owner and live.owner not in claim.owners:
        return f"now belongs to {live.owner}"
    known = is_same_or_earlier(live.generation, claim.generation)
    if live.owner and live.generation and claim.generation and not known:
        return (
            "was adopted by a later create of this resource (a replacement that created first), or "
            "by a stack with the same name in another backend"
        )
    return f"does not have the ownership label of this resource (created {live.created_at})"


def _apply_changes(
    client: IncusClient,
    live: LiveVolume,
    options: VolumeOptions,
    previous: VolumeOptions | None,
    reporter: Reporter,
) -> LiveVolume:
    size = live.config.get(SIZE_KEY)
    if size and options.size and shrinks(size, options.size):
        raise VolumeRefused(shrink_reason(size, options.size).at(f"{options.where}: size"))
    changes = find_volume_changes(live, options, previous)
    if changes.foreign_values:
        reporter.warn(
            f"{options.where}: not removed, because it was changed outside Pulumi: "
            f"{', '.join(changes.foreign_values)}"
        )
    if not changes:
        return live

    def send(now: LiveVolume) -> None:
        wanted = find_volume_changes(now, options, previous)
        patch_volume(
            client,
            now.pool,
            now.name,
            description=now.description if wanted.description is None else wanted.description,
            config=wanted.config,
            etag=now.etag,
        )

    try:
        retry_on_conflict(client, live, send)
    except IncusApiError as error:
        if SIZE_KEY in changes.config and "in use" in error.reason.lower():
            raise VolumeRefused(
                in_use(
                    f"the {options.where} cannot grow while it",
                    f"{users_text(live.used_by)} ({error.reason})",
                    "stop the instances that use it, and run `pulumi up` again",
                )
            ) from error
        if SIZE_KEY in changes.config and "shrunk" in error.reason.lower():
            # Its config had no size, so only the server could know it.
            raise VolumeRefused(
                f"{options.where}: size {options.size} is smaller than the volume, which was "
                f"created without a size ({error.reason}); set a larger size, or remove size"
            ) from error
        raise
    except (IncusUnreachable, UnexpectedResponse) as error:
        if isinstance(error, IncusUnreachable) and not error.sent:
            raise
        if find_volume_changes(_fetch_existing(client, options), options, previous):
            raise
    return _fetch_existing(client, options)


def _fetch_existing(client: IncusClient, options: VolumeOptions) -> LiveVolume:
    live = fetch_volume(client, options.storage_pool, options.volume_name)
    if live is None:
        raise VolumeGone(
            f"another client deleted the {options.where} at the same time; {_RECREATE_EMPTY}"
        )
    return live


def _not_owned(client: IncusClient, live: LiveVolume, owner: str) -> ForeignVolume:
    label = {key: live.config[key] for key in (OWNER_KEY, RUNTIME_ID_KEY) if key in live.config}
    owners = [f"resource {label[OWNER_KEY]}"] if OWNER_KEY in label else []
    owners += [f"runtime id {label[RUNTIME_ID_KEY]}"] if RUNTIME_ID_KEY in label else []
    advice = ""
    if label:
        unset = " and ".join(
            f"`incus storage volume unset --project {live.project} {live.pool} {live.name} {key}`"
            for key in label
        )
        advice += (
            ". Or, if its owner no longer needs the data, remove the ownership label with "
            f"{unset}, and set adopt=True"
        )
    if RUNTIME_ID_KEY in label:
        advice += (
            ". If a mount of this program has its name as a string, the runtime created it first: "
            "write `source=volume.volume_name` with this resource, so that the runtime waits for "
            "the volume"
        )
    if hint := renamed_hint(owner, live.owner) if owner and live.owner != owner else "":
        advice += f". {hint}"
    place = f"volume {live.name} in pool {live.pool} (project {live.project}) at {client.host}"
    if not owners:
        return ForeignVolume(
            f"{place} has no owner, and is not the one that this resource created; it was not "
            "changed. Set another volume_name"
        )
    return ForeignVolume(
        other_owner(
            place, ", ".join(owners), f"it was not changed. Set another volume_name{advice}"
        )
    )


def _in_use(options: VolumeOptions, live: LiveVolume) -> VolumeInUse:
    return VolumeInUse(
        in_use(
            f"the {options.where} cannot be deleted: it",
            users_text(live.used_by) or "Incus",
            "it was not changed. Remove the device with the volume there, or delete the user "
            "first, and run the same command again",
        )
    )


def volume_outputs(live: LiveVolume) -> dict[str, Any]:
    """Return the outputs of a `PersistentVolume` that are not arguments."""
    return {
        "location": live.location,
        "created_at": live.created_at,
        # Empty rather than None: Pulumi drops None, and then treats the output as unknown.
        "restored_from": live.restored,
        "safety_snapshot": live.safety_snapshot,
    }
