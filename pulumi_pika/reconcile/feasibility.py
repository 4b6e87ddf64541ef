"""Check whether a runtime can be created after its predecessor is deleted.

A replacement deletes the old instance first, because the user chooses instance names. So everything
that would make the create fail is checked before that: objects that are missing on the host
(`preflight`), a name that is in use, and volumes that cannot be mounted.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from ..incus.client import IncusClient
from ..incus.errors import Unauthorised
from ..message_templates import CONFLICT, EXISTS, MISSING, OTHER_OWNER, Message, could_not
from ..planner.plan import IncusRuntimePlan
from .instances.adopt import (
    different_advice,
    fixed_differences,
    is_incomplete,
    may_adopt,
)
from .instances.create import describe_existing
from .instances.data_volumes import own_volumes
from .instances.desired import is_host_path, volume_name
from .instances.lifecycle import fetch_instance, fetch_instance_by_uuid
from .instances.live_instance import LiveInstance
from .instances.location import select_member_for_volumes
from .instances.placement import (
    FOREIGN_ADVICE,
    MISSING_ADVICE,
    resolve_placement,
    resolve_pool,
    survey_mounts,
)
from .instances.runtime_options import RuntimeOptions
from .preflight import (
    Finding,
    HostFacts,
    Path,
    Share,
    run_preflight,
)
from .shared.errors import PlacementError
from .shared.ownership import (
    OWNER_KEY,
    RUNTIME_ID_KEY,
    relation,
)

NAME: Final[Path] = ("identity", "instance_name")
_MARKS: Final[tuple[Path, ...]] = (("owner",), ("adopt",))
"""The properties that, besides the identity, decide who owns an instance or a volume."""


@dataclass(frozen=True, slots=True)
class Predecessor:
    """Describe the instance that is deleted before the new one is created."""

    plan: IncusRuntimePlan
    options: RuntimeOptions
    uuid: str = ""
    """The ``volatile.uuid`` of the instance; empty if it is not known."""

    def is_it(self, live: LiveInstance) -> bool:
        """Return whether a live instance is the predecessor, which the delete removes."""
        if self.uuid and live.uuid:
            return live.uuid == self.uuid
        owner = live.config.get(OWNER_KEY, "")
        if owner:
            return relation(live.config, self.options.owner, self.options.backend) == "ours"
        return live.config.get(RUNTIME_ID_KEY) == self.plan.identity.runtime_id


HolderRule = Callable[[IncusClient, LiveInstance, IncusRuntimePlan, RuntimeOptions], str | None]
"""Returns why a create refuses the live instance that has its name; None or an empty string if it
does not. A reason that is not a `Message` gets the code of an existing object."""


def refuse_holder(
    client: IncusClient, live: LiveInstance, plan: IncusRuntimePlan, options: RuntimeOptions
) -> Message | None:
    """Return why an `IncusRuntime` cannot be created while a live instance has its name.

    An instance with the runtime's own ownership label is its predecessor, or is left over from an
    interrupted create. The result is None if the create is not refused.
    """
    if not may_adopt(live, plan, options):
        return describe_existing(client, live, options)
    if live.config.get(OWNER_KEY):
        return None
    return _refuse_different(client, live, plan, options)


def refuse_kept(
    client: IncusClient, live: LiveInstance, plan: IncusRuntimePlan, options: RuntimeOptions
) -> Message | None:
    """Return why a create before the delete of the predecessor is refused because of its name.

    Such a create keeps an instance that has the runtime's own ownership label, and changes it in
    place.

    Returns:
        The reason; None if the live instance that has the name is no obstacle.
    """
    if not may_adopt(live, plan, options):
        return describe_existing(client, live, options)
    return _refuse_different(client, live, plan, options)


def _refuse_different(
    client: IncusClient, live: LiveInstance, plan: IncusRuntimePlan, options: RuntimeOptions
) -> Message | None:
    """Return why a live instance cannot be changed in place to the desired one; None if it can."""
    if is_incomplete(live):
        return None
    if differences := fixed_differences(client, live, plan, options):
        verb = "replace" if live.config.get(OWNER_KEY) else "adopt"
        return could_not(
            f"{verb} instance {live.name} in project {client.project}",
            "; ".join(differences),
            undone="It was not changed",
            advice=different_advice(live, options),
        )
    return None


def find_obstacles(
    facts: HostFacts,
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    *,
    predecessor: Predecessor | None = None,
    unknown: Collection[Path] = (),
    holder_rule: HolderRule = refuse_holder,
) -> list[Finding]:
    """Return everything that would make a create of the runtime fail.

    Whatever the delete of the predecessor frees counts as free: its name, its share of the
    project's limits and, with `delete_data`, its own volumes.

    Args:
        facts: what the host has.
        plan: the plan.
        options: the options.
        predecessor: the instance that is deleted first, if there is one.
        unknown: the properties that are not known yet; checks that depend on them are skipped.
        holder_rule: see `HolderRule`.

    Raises:
        IncusError: the host could not be asked.
    """
    client = facts.client.in_project(plan.incus.project)
    found = run_preflight(
        facts, plan, options, lambda: free_share(client, plan, options, predecessor, holder_rule)
    )
    found = _without_mounted(client, found, plan, options, predecessor)
    missing = {finding.path[0] for finding in found if finding.path}
    open_ = [path for path in unknown if path in (("incus",), ("incus", "project"))]
    if open_ or any(finding.path == ("incus", "project") for finding in found):
        return found
    marks_known = not any(path[0] == "identity" or path in _MARKS for path in unknown)
    try:
        if marks_known:
            found += _name_obstacles(client, plan, options, predecessor, holder_rule, found)
        pool_inputs = {"incus", "extra_profiles", "storage_pool"}
        if not missing & {"extra_profiles", "storage_pool"} and not any(
            finding.path == ("incus", "profile") for finding in found
        ):
            pool_known = not any(
                path[0] in pool_inputs and path != ("incus", "image_alias") for path in unknown
            )
            found += _mount_obstacles(
                client,
                plan,
                options,
                predecessor,
                unknown,
                pool_known=pool_known,
                marks_known=marks_known,
            )
    except Unauthorised:
        pass  # A restricted certificate may create instances, but may not read all of this.
    return found


def _without_mounted(
    client: IncusClient,
    found: list[Finding],
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    predecessor: Predecessor | None,
) -> list[Finding]:
    """Remove the findings about volumes that the instance already has mounted.

    Nothing is removed if the instance is replaced. A `storage_pool` that names the pool of the
    existing root disk changes nothing else.
    """
    sources = [it for it in found if len(it.path) == 3 and it.path[::2] == ("mounts", "source")]
    if not sources or predecessor is None or options.storage_pool is None:
        return found
    live = fetch_instance(client, predecessor.plan.identity.instance_name, inside=False)
    if live is None or not predecessor.is_it(live) or live.root_pool != options.storage_pool:
        return found
    mounted = {
        ("mounts", index, "source")
        for index, mount in enumerate(plan.mounts)
        if live.devices.get(mount.device_name, {}).get("source") == mount.source
    }
    return [finding for finding in found if finding.path not in mounted]


def free_share(
    client: IncusClient,
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    predecessor: Predecessor | None,
    holder_rule: HolderRule = refuse_holder,
) -> Share | None:
    """Return the share of the project's limits that is in use now and becomes free for a runtime.

    It belongs to the predecessor, to an instance that the runtime adopts, or to one that an
    interrupted create left.

    Args:
        client: a client in the runtime's project.
        plan: the plan.
        options: the options.
        predecessor: the instance that is deleted first, if there is one.
        holder_rule: see `HolderRule`.
    """
    if predecessor is not None:
        if predecessor.plan.incus.project != client.project:
            return None
        live = fetch_instance(client, predecessor.plan.identity.instance_name, inside=False)
        if live is None or not predecessor.is_it(live):
            live = fetch_instance_by_uuid(client, predecessor.uuid)
        if live is not None and predecessor.is_it(live):
            return Share.of_live(live)
    live = fetch_instance(client, plan.identity.instance_name, inside=False)
    if live is not None and not holder_rule(client, live, plan, options):
        return Share.of_live(live)
    return _share_of_marked(client, options.owner) if predecessor is None else None


def _share_of_marked(client: IncusClient, owner: str) -> Share | None:
    """Return the share of the one instance that has an owner's label, whatever its name is.

    With `--target-replace` and another name, the engine does not report which instance it replaces.
    """
    listed = client.get_list("/1.0/instances", recursion="1") if owner else []
    marked = [
        LiveInstance.of(data, "")
        for data in listed
        if isinstance(data, dict) and (data.get("config") or {}).get(OWNER_KEY) == owner
    ]
    return Share.of_live(marked[0]) if len(marked) == 1 else None


def _name_obstacles(
    client: IncusClient,
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    predecessor: Predecessor | None,
    holder_rule: HolderRule,
    found: list[Finding],
) -> list[Finding]:
    live = fetch_instance(client, plan.identity.instance_name, inside=False)
    if live is None or (predecessor is not None and predecessor.is_it(live)):
        return []
    owner = live.config.get(OWNER_KEY, "")
    # Missing objects are already reported, and may be all that the adoption would be refused for.
    reported = any(finding.path[:1] in (("incus",), ("instance_type",)) for finding in found)
    if reported and not owner and may_adopt(live, plan, options):
        return []
    reason = holder_rule(client, live, plan, options)
    if not reason:
        return []
    if not isinstance(reason, Message):
        reason = Message(reason, EXISTS)
    if owner == options.owner or not _same_stack(owner, options.owner):
        return [Finding(NAME, reason)]
    return [
        Finding(
            NAME,
            Message(
                f"{reason}. If {owner} no longer has this name in the program, add it to "
                "depends_on of this resource. If it is an earlier URN of this resource, add it to "
                "aliases",
                reason.code,
            ),
            may_be_created=True,
            awaited="The name must be free",
        )
    ]


def _same_stack(one: str, other: str) -> bool:
    """Return whether two URNs (``urn:pulumi:STACK::PROJECT::TYPE::NAME``) have the same stack."""
    return one.startswith("urn:pulumi:") and one.split("::")[:2] == other.split("::")[:2]


def _mount_obstacles(
    client: IncusClient,
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    predecessor: Predecessor | None,
    unknown: Collection[Path],
    *,
    pool_known: bool,
    marks_known: bool,
) -> list[Finding]:
    """Return why mounts could not be created. Mounts whose sources are not known are skipped."""
    deleted = _volumes_deleted_with(predecessor)
    known = [
        (index, mount)
        for index, mount in enumerate(plan.mounts)
        if not any(path[:2] in (("mounts",), ("mounts", index)) for path in unknown)
        and (is_host_path(mount.source) or pool_known)
        and volume_name(mount.source) not in deleted
    ]
    checked = plan.model_copy(update={"mounts": tuple(mount for _, mount in known)})
    # `mount_storage_pools` is in the order of the mounts, so it is reduced to the known ones.
    pools = [options.pool_of(index) for index, _ in known]
    options = options.model_copy(update={"mount_storage_pools": pools})
    try:
        pool, _ = resolve_pool(client, checked, options) if pool_known else ("", "")
    except PlacementError as error:
        return [Finding(("storage_pool",), Message(str(error), error.code), may_be_created=True)]
    survey = survey_mounts(client, checked, options, pool)
    found = []
    for index, mount in known:
        where: Path = ("mounts", index, "source")
        name = mount.device_name
        if name in survey.foreign and marks_known:
            found.append(
                Finding(where, Message(survey.foreign[name] + FOREIGN_ADVICE, OTHER_OWNER))
            )
        if name in survey.unusable:
            found.append(Finding(where, Message(survey.unusable[name], CONFLICT)))
        if name in survey.without_directory:
            reason = Message(survey.without_directory[name], MISSING)
            found.append(Finding(where, reason, may_be_created=True))
        if name in survey.missing:
            reason = Message(survey.missing[name] + MISSING_ADVICE, MISSING)
            found.append(Finding(where, reason, may_be_created=True))
    if not found and pool_known and client.server().clustered:
        try:
            select_member_for_volumes(client, resolve_placement(client, checked, options))
        except PlacementError as error:
            found.append(Finding((), Message(str(error), error.code)))
    return found


def _volumes_deleted_with(predecessor: Predecessor | None) -> Collection[str]:
    """Return the volumes that are deleted with the predecessor and become free."""
    if predecessor is None or not predecessor.options.delete_data:
        return ()
    return own_volumes(predecessor.plan)
