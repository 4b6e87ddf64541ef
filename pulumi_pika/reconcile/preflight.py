"""Check, before anything is created, whether a host has what a runtime needs.

The facts belong to the host or to a project, not to a runtime. Each is requested once and serves
all runtimes that are checked in the next half minute.
"""

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final, TypeVar
from urllib.parse import unquote

from ..incus.catalog import looks_like_fingerprint
from ..incus.client import IncusClient, Server, url
from ..incus.cluster import Member, list_groups, list_members
from ..incus.errors import BadRequest, NotFound, ServerFailure, Unauthorised
from ..incus.storage import get_volume, list_all_volumes, list_volumes
from ..message_templates import (
    CONFLICT,
    INVALID_VALUE,
    MISSING,
    NOT_ALLOWED,
    REQUIRED,
    UNREACHABLE,
    UNSUPPORTED,
    Message,
    missing,
    not_allowed,
    unsupported,
)
from ..planner.plan import IncusRuntimePlan
from .instances.abilities import (
    find_ignored_limits,
    find_image_problems,
    find_missing_virtiofsd,
    has_limits,
    lacks_network,
    why_inoperative,
)
from .instances.cloud_init import STRICT_EXTENSION, find_refused_yaml
from .instances.data_volumes import VolumeRef
from .instances.desired import (
    AUTORESTART_EXTENSION,
    Devices,
    desired_profiles,
    is_host_path,
    volume_name,
)
from .instances.key_options import key_config
from .instances.live_instance import LiveInstance
from .instances.location import not_clustered
from .instances.placement import (
    find_elsewhere,
    in_another_pool,
    is_root,
)
from .instances.profile_list import profile_paths
from .instances.runtime_options import RuntimeOptions
from .shared.ownership import OWNER_KEY, split_urn
from .volumes.volume_options import name_problems, size_bytes

IO_BUS_EXTENSION: Final = "disk_io_bus_cache_filesystem"
NAMES_EXTENSION: Final = "container_disk_tmpfs"
"""The first API extension after the rule for names of new volumes.

The rule has no extension of its own.
"""
_REMOTE_IMAGE: Final = re.compile(r"[a-zA-Z0-9_.-]+:[^:]+")
_KEPT_FOR: Final = 30.0
"""How long a reply is reused, in seconds."""

Path = tuple[str | int, ...]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Finding:
    """Describe something that is missing on the host, and the property that needs it.

    Attributes:
        path: the property, such as ``("incus", "profile")``.
        reason: the problem, and what to do.
        may_be_created: whether another resource of the program may create it before it is needed.
        suggestion: similar objects that the host has. The text follows the reason, unless the
            property is secret: a similar name would reveal the secret.
        awaited: the condition that a preview shows for the time of the creation, if
            `may_be_created`.
        advisory: whether it is only reported, since the create succeeds nevertheless.
        needs: further properties that the finding depends on. It is dropped if one is unknown.
    """

    path: Path
    reason: Message
    may_be_created: bool = False
    suggestion: str = ""
    awaited: str = "It must exist"
    advisory: bool = False
    needs: tuple[Path, ...] = ()

    def message(self, *, secret: bool) -> Message:
        """Return the reason and, unless the property is secret, the similar objects on the host."""
        if secret:
            return self.reason
        return Message(self.reason + self.suggestion, self.reason.code)


@dataclass(frozen=True, slots=True)
class Share:
    """Hold an instance's use of its project's limits.

    Attributes:
        memory: bytes of `limits.memory`.
        cpu: CPUs of `limits.cpu`.
        instance_type: `container` or `virtual-machine`; empty if it is not to count as one.
    """

    memory: float = 0
    cpu: float = 0
    instance_type: str = ""

    @classmethod
    def of_plan(cls, plan: IncusRuntimePlan) -> "Share":
        """Return the share of an instance that is changed in place."""
        resources = plan.resources
        return cls((resources.memory_mib or 0) * 2**20, resources.vcpu_count or 0)

    @classmethod
    def of_live(cls, live: LiveInstance) -> "Share":
        """Return the share of an instance that is deleted or adopted, as Incus counts it."""
        config = live.raw.get("expanded_config") or live.config
        memory = size_bytes(str(config.get("limits.memory", ""))) or 0
        cpu = str(config.get("limits.cpu", ""))
        return cls(memory, int(cpu) if cpu.isdecimal() else 0, live.instance_type)


@dataclass(slots=True)
class _Project:
    config: dict[str, str]
    usage: dict[str, tuple[float, float]]
    """The limit and the use by resource; only resources with a limit have an entry."""


@dataclass(slots=True)
class HostFacts:
    """Hold the facts about a host that have been requested so far. Thread-safe."""

    client: IncusClient
    _kept: dict[tuple[str, ...], tuple[float, Any]] = field(default_factory=dict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def invalidate_before(self, before: float) -> None:
        """Drop the facts from before a moment (monotonic), so that they are requested again."""
        with self._lock:
            self._kept = {key: found for key, found in self._kept.items() if found[0] >= before}

    def server(self) -> Server:
        """Return the server's description of itself."""
        return self.client.server()

    def project(self, name: str) -> "_Project | None":
        """Return a project, or None.

        Raises:
            Unauthorised: this client may not use the project.
        """
        return self._ask(("project", name), lambda: self._project(name))

    def projects(self) -> list[str]:
        """Return the projects that this client may use."""
        return self._ask(("projects",), lambda: _names(self.client.get_list("/1.0/projects")))

    def profiles(self, project: str) -> dict[str, dict[str, Any]]:
        """Return the profiles that a project uses, by name."""

        def ask() -> dict[str, dict[str, Any]]:
            listed = self.client.in_project(project).get_list("/1.0/profiles", recursion="1")
            return {str(data["name"]): data for data in listed if isinstance(data, dict)}

        return self._ask(("profiles", project), ask)

    def aliases(self, project: str) -> dict[str, dict[str, str]]:
        """Return the image aliases that a project sees: the fingerprint for each instance type."""

        def ask() -> dict[str, dict[str, str]]:
            listed = self.client.in_project(project).get_list("/1.0/images/aliases", recursion="1")
            found: dict[str, dict[str, str]] = {}
            for data in listed:
                if isinstance(data, dict):
                    targets = found.setdefault(str(data.get("name")), {})
                    targets[str(data.get("type"))] = str(data.get("target"))
            return found

        return self._ask(("aliases", project), ask)

    def image_targets(self, project: str, name: str) -> dict[str, str]:
        """Return the fingerprint of an image for each instance type; empty if it does not exist.

        Args:
            project: the project.
            name: the alias, the fingerprint, or at least the first 12 characters of it.
        """
        targets = self.aliases(project).get(name)
        if targets or not looks_like_fingerprint(name):
            return targets or {}

        def ask() -> dict[str, str]:
            try:
                image = self.client.in_project(project).get(url("images", name.lower())).data
            except NotFound:
                return {}
            return {str(image.get("type")): str(image.get("fingerprint"))}

        return self._ask(("image target", project, name), ask)

    def volumes(self, project: str, since: float = 0.0) -> list[VolumeRef]:
        """Return pool and name of each custom volume of a project.

        The list is as of `since` (monotonic) or later.
        """
        return self._ask(
            ("volumes", project), lambda: list_volumes(self.client.in_project(project)), since
        )

    def all_volumes(self, since: float) -> list[tuple[str, str, str]]:
        """Return project, pool and name of all custom volumes.

        The list is as of `since` (monotonic) or later.
        """
        return self._ask(("all volumes",), lambda: list_all_volumes(self.client), since)

    def has_pool(self, name: str) -> bool:
        """Return whether a storage pool exists."""
        return self.pool_driver(name) is not None

    def pool_driver(self, name: str) -> str | None:
        """Return the driver of a storage pool; None if the pool does not exist."""

        # Pools are requested one by one: a restricted certificate may read each of them, but may
        # not list them.
        def ask() -> str | None:
            try:
                return str(self.client.get(url("storage-pools", name)).data.get("driver", ""))
            except NotFound:
                return None

        return self._ask(("pool", name), ask)

    def ignores_sizes(self, project: str, pool: str) -> bool:
        """Return whether a pool is known not to enforce the sizes of file systems.

        A pool of the driver dir enforces them only if its file system has project quotas. Incus
        says so in one place only: without them, it knows no usage of a volume. So the result is
        False if the project has no volume there.
        """

        def ask() -> bool:
            if self.pool_driver(pool) != "dir":
                return False
            client = self.client.in_project(project)
            for _, name in (ref for ref in self.volumes(project) if ref[0] == pool):
                path = url("storage-pools", pool, "volumes", "custom", name, "state")
                try:
                    return not client.get(path).data.get("usage")
                except (BadRequest, NotFound, ServerFailure):
                    continue
            return False

        return self._ask(("ignores sizes", project, pool), ask)

    def image_properties(self, project: str, fingerprint: str) -> dict[str, str]:
        """Return the properties of an image; empty if this client may not read it."""

        def ask() -> dict[str, str]:
            try:
                image = self.client.in_project(project).get(url("images", fingerprint))
            except NotFound:
                return {}
            properties = image.data.get("properties") or {}
            return {str(key): str(value) for key, value in properties.items()}

        return self._ask(("image", project, fingerprint), ask)

    def warnings(self) -> list[dict[str, Any]]:
        """Return the warnings that the server has recorded about itself.

        The list is empty for a client that may not read them. In a cluster with a target, only the
        warnings of that member are in it.
        """

        def ask() -> list[dict[str, Any]]:
            try:
                # A project would leave out the warnings about the server itself.
                listed = self.client.get_list("/1.0/warnings", recursion="1", project="")
            except Unauthorised:
                return []
            target = self.client.target
            return [
                warning
                for warning in listed
                if isinstance(warning, dict)
                and (target in ("", warning.get("location")) or target.startswith("@"))
            ]

        return self._ask(("warnings",), ask)

    def members(self) -> list[Member]:
        """Return the cluster's members."""
        return self._ask(("members",), lambda: list_members(self.client))

    def groups(self) -> list[str]:
        """Return the cluster's groups."""
        return self._ask(("groups",), lambda: list_groups(self.client))

    def _project(self, name: str) -> "_Project | None":
        client = self.client.in_project(name)
        try:
            config = client.get(url("projects", name)).data.get("config") or {}
        except NotFound:
            return None
        usage: dict[str, tuple[float, float]] = {}
        if any(key.startswith("limits.") for key in config):
            resources = client.get(url("projects", name, "state")).data.get("resources") or {}
            for resource, state in resources.items():
                limit = state.get("Limit", -1)
                if isinstance(limit, int | float) and limit >= 0:
                    usage[resource] = (limit, state.get("Usage", 0))
        return _Project(config, usage)

    def _ask(self, key: tuple[str, ...], ask: Callable[[], T], since: float = 0.0) -> T:
        # The lock is held during the request, so that other threads wait for this reply instead of
        # asking again.
        with self._lock:
            found = self._kept.get(key)
            now = time.monotonic()
            if found is None or found[0] < since or now - found[0] > _KEPT_FOR:
                try:
                    answer: Any = ask()
                except Unauthorised as error:
                    answer = error
                # The time of the request counts: the reply may not include objects that were
                # created meanwhile.
                found = self._kept[key] = (now, answer)
        if isinstance(found[1], Unauthorised):
            raise found[1]
        answered: T = found[1]
        return answered


def run_preflight(
    facts: HostFacts,
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    before: IncusRuntimePlan | Callable[[], Share | None] | None = None,
) -> list[Finding]:
    """Return everything that prevents a runtime on a host and can be found without a create.

    Args:
        facts: what the host has.
        plan: the plan.
        options: the options.
        before: the plan of the instance that is changed, whose share of the project's limits is
            already in use. Or a function that returns the share of an instance that is deleted
            first or adopted; it is called only if the project has too little left.

    Raises:
        IncusUnreachable: the host does not reply.
        IncusError: the host could not be asked.
    """
    return [
        *_server_problems(facts, plan, options),
        *_target_problems(facts, options),
        *_pool_problems(facts, options),
        *_project_problems(facts, plan, options, before),
        *_volume_problems(facts, plan, options),
    ]


def _server_problems(
    facts: HostFacts, plan: IncusRuntimePlan, options: RuntimeOptions
) -> Iterator[Finding]:
    server = facts.server()
    place = f"at {facts.client.host} (Incus {server.version})"
    if options.instance_type not in server.instance_types:
        able = ", ".join(sorted(server.instance_types)) or "none"
        why = why_inoperative(facts.warnings(), options.instance_type) or (
            "it has no QEMU or no KVM (`incus info` and `incus warning list` there show more)"
            if options.instance_type == "virtual-machine"
            else "it has no LXC"
        )
        yield Finding(
            ("instance_type",),
            unsupported(
                f"instance_type {options.instance_type} is",
                place,
                why,
                f"it supports these types: {able}",
            ),
        )
    policy = plan.policies.restart_policy
    if policy != "never" and not server.has(AUTORESTART_EXTENSION):
        yield Finding(
            ("policies", "restart_policy"),
            unsupported(
                f"{policy} is",
                place,
                f"it does not have the API extension {AUTORESTART_EXTENSION}",
                "upgrade Incus, or use `never`",
            ),
        )
    if server.has(STRICT_EXTENSION):
        for path, reason in find_refused_yaml(options):
            yield Finding(path, Message(f"{reason}; the server {place} requires it", reason.code))
    if options.instance_type == "virtual-machine" and not server.has(IO_BUS_EXTENSION):
        for index, mount in enumerate(plan.mounts):
            if mount.io_bus:
                yield Finding(
                    ("mounts", index, "mode"),
                    unsupported(
                        f"a read-only mount in a virtual machine (io.bus={mount.io_bus}) is",
                        place,
                        f"it does not have the API extension {IO_BUS_EXTENSION}",
                        "upgrade Incus",
                    ),
                )
    shares = any(mount.io_bus for mount in plan.mounts)
    if has_limits(plan, options) or (options.instance_type == "virtual-machine" and shares):
        recorded = facts.warnings()
        for where_set, told in (
            *find_ignored_limits(recorded, plan, options),
            *find_missing_virtiofsd(recorded, plan, options),
        ):
            yield Finding(where_set, Message(told, UNSUPPORTED), advisory=True)


def _target_problems(facts: HostFacts, options: RuntimeOptions) -> Iterator[Finding]:
    where: Path = () if options.target is None else ("target",)
    target = facts.client.target if options.target is None else options.target
    if not target:
        return
    if not facts.server().clustered:
        yield Finding(where, not_clustered(facts.client.aimed_at(target)))
        return
    try:
        if target.startswith("@"):
            group = target[1:]
            if group not in (known := facts.groups()):
                yield Finding(
                    where,
                    missing(
                        f"cluster_group {group!r}", f"at {facts.client.host}", "set another group"
                    ),
                    suggestion=_suggest(group, known),
                )
            elif not any(member.takes(group) for member in facts.members()):
                yield Finding(
                    where,
                    Message(
                        f"cluster_group {group!r}: none of its members is online and accepts new "
                        "instances; start one, or set another group",
                        UNREACHABLE,
                    ),
                )
            return
        members = {member.name: member for member in facts.members()}
    except Unauthorised:
        return  # A restricted certificate may place instances, but may not read the cluster.
    if target not in members:
        yield Finding(
            where,
            missing(
                f"target {target!r}",
                f"in the cluster at {facts.client.host}",
                "set the name of a member",
            ),
            suggestion=_suggest(target, members),
        )
    elif not members[target].online:
        member = members[target]
        yield Finding(
            where,
            Message(
                f"target {target!r} is {member.status} ({member.message}); start it, or set "
                "another member",
                UNREACHABLE,
            ),
        )


def _pool_problems(facts: HostFacts, options: RuntimeOptions) -> Iterator[Finding]:
    pool = options.storage_pool
    if pool is None:
        return
    try:
        there = facts.has_pool(pool)
    except Unauthorised:
        return  # The pool may be usable nevertheless.
    if not there:
        yield Finding(
            ("storage_pool",),
            missing(
                f"storage pool {pool}",
                f"at {facts.client.host}",
                "set another one (`incus storage list` shows what exists)",
            ),
            may_be_created=True,
        )


def _volume_problems(
    facts: HostFacts, plan: IncusRuntimePlan, options: RuntimeOptions
) -> Iterator[Finding]:
    """Find persistent mounts whose volume would be created although another pool has it."""
    project = plan.incus.project
    mounts = [
        (index, mount)
        for index, mount in enumerate(plan.mounts)
        if mount.kind == "persistent_volume"
        and not is_host_path(mount.source)
        and not options.pool_of(index)
    ]
    if not mounts:
        return
    begun = time.monotonic()
    try:
        pool = options.storage_pool or _root_pool(facts.profiles(project), plan, options)
        wanted = {(pool, volume_name(mount.source)) for _, mount in mounts}
        if not pool or wanted <= set(facts.volumes(project)):
            return
        # An earlier list may not include a volume that this `up` has created in another pool.
        volumes = facts.volumes(project, since=begun)
    except (Unauthorised, BadRequest, NotFound):
        return  # Problems of the project are already reported; the create reports the rest.
    client = facts.client.in_project(project)
    for index, mount in mounts:
        ref = (pool, volume_name(mount.source))
        if ref in volumes:
            continue
        where: Path = ("mounts", index, "source")
        if elsewhere := find_elsewhere(client, plan, options, mount, ref, volumes):
            yield Finding(where, in_another_pool(ref, elsewhere), may_be_created=True)
        elif there := _in_other_project(facts, begun, ref[1], project, options.owner):
            yield Finding(
                where,
                Message(
                    f"custom volume {ref[1]} does not exist in project {project}, but the "
                    f"PersistentVolume {there[1]} of this stack has it in project {there[0]}. An "
                    "instance can only mount volumes of its own project, so that a second, empty "
                    "volume would be created. Set the same project in both resources, or set "
                    "another source. To create an empty volume intentionally, add "
                    f'`"storage_pool": "{pool}"` to the mount',
                    MISSING,
                ),
            )
        elif facts.server().has(NAMES_EXTENSION):
            for _, problem in name_problems(where, ref[1]):
                yield Finding(
                    where,
                    Message(
                        f"custom volume {ref[1]} does not exist in pool {pool}, and "
                        f"{facts.client.host} cannot create it: {problem}",
                        MISSING,
                    ),
                    may_be_created=True,
                )


def _in_other_project(
    facts: HostFacts, since: float, name: str, project: str, owner: str
) -> tuple[str, str] | None:
    """Return the project and the resource of a volume of that name in another project.

    Only a volume of a `PersistentVolume` of the same stack counts. The result is None without one.
    """
    stack = split_urn(owner)[0]
    try:
        listed = facts.all_volumes(since) if stack else []
    except (Unauthorised, BadRequest, NotFound):
        return None  # A restricted certificate may not list all volumes.
    for there, pool, listed_name in listed:
        if listed_name != name or there == project:
            continue
        volume = get_volume(facts.client.in_project(there), pool, name)
        config = (volume.data.get("config") or {}) if volume else {}
        of_stack, kind, resource = split_urn(str(config.get(OWNER_KEY, "")))
        if of_stack == stack and kind.endswith(":PersistentVolume"):
            return there, resource
    return None


def _root_pool(
    profiles: dict[str, dict[str, Any]], plan: IncusRuntimePlan, options: RuntimeOptions
) -> str:
    """Return the pool of the root disk that the profiles define; empty if they define none."""
    devices: dict[str, dict[str, str]] = {}
    for name in desired_profiles(plan, options):
        devices.update((profiles.get(name) or {}).get("devices") or {})
    return next((device.get("pool", "") for device in devices.values() if is_root(device)), "")


def _pool_of_root(
    profiles: dict[str, dict[str, Any]], plan: IncusRuntimePlan, options: RuntimeOptions
) -> str:
    """Return the pool of the root disk of a new instance; empty if nothing names one."""
    own = (device.get("pool", "") for device in options.devices.values() if is_root(device))
    return options.storage_pool or next(own, "") or _root_pool(profiles, plan, options)


def size_ignored(pool: str) -> str:
    """Return a sentence on a size that a pool does not enforce."""
    return (
        f"the server accepts this size and does not enforce it: the storage pool {pool} has the "
        "driver dir, and its file system has no project quotas"
    )


def _project_problems(
    facts: HostFacts,
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    before: IncusRuntimePlan | Callable[[], Share | None] | None,
) -> Iterator[Finding]:
    name, host = plan.incus.project, facts.client.host
    where: Path = ("incus", "project")
    try:
        project = facts.project(name)
    except Unauthorised as error:
        allowed = ", ".join(facts.projects()) or "none"
        shown = facts.client.transport.client_fingerprint[:12]
        advice = (
            f"add the project on the server (`incus config trust edit {shown}`), or set another"
            if shown
            else "set another project"
        )
        yield Finding(
            where,
            not_allowed(
                f"the client certificate {shown}" if shown else "this user",
                f"use project {name} at {host} ({error.reason})",
                advice,
            ),
            suggestion=f"; it may use: {allowed}",
        )
        return
    if project is None:
        yield Finding(
            where,
            missing(f"project {name}", f"at {host}", "create it, or set another one"),
            may_be_created=True,
            suggestion=_suggest(name, facts.projects()),
        )
        return
    profiles = facts.profiles(name)
    yield from _profile_problems(plan, options, profiles, host)
    yield from _root_disk_problems(plan, options, profiles)
    yield from _image_problems(facts, plan, options)
    if not isinstance(before, IncusRuntimePlan):
        yield from _start_problems(facts, plan, options, profiles)
    if options.instance_type == "container" and plan.resources.root_disk_gib is not None:
        pool = _pool_of_root(profiles, plan, options)
        if pool and facts.ignores_sizes(name, pool):
            path: Path = ("resources", "root_disk_gib")
            yield Finding(
                path,
                Message(size_ignored(pool), UNSUPPORTED),
                advisory=True,
                needs=(("storage_pool",),),
            )
    yield from _restrictions(plan, project)
    yield from _hidden_pools(plan, options, project, profiles)
    if isinstance(before, IncusRuntimePlan):
        share = Share.of_plan(before)
        yield from _limit_problems(plan, options, project, profiles, share, counted=True)
        return
    full = list(_limit_problems(plan, options, project, profiles, Share(), counted=False))
    if full and before is not None and (freed := before()):
        full = list(_limit_problems(plan, options, project, profiles, freed, counted=False))
    yield from full


def _profile_problems(
    plan: IncusRuntimePlan, options: RuntimeOptions, profiles: Iterable[str], host: str
) -> Iterator[Finding]:
    for where, name in profile_paths(plan, options):
        if name not in profiles:
            yield Finding(
                where,
                missing(
                    f"profile {name}",
                    f"in project {plan.incus.project} at {host}",
                    "create it, or set another one",
                ),
                may_be_created=True,
                suggestion=_suggest(name, profiles),
            )


def _root_disk_problems(
    plan: IncusRuntimePlan, options: RuntimeOptions, profiles: dict[str, dict[str, Any]]
) -> Iterator[Finding]:
    """Find root disks that conflict with each other.

    Incus merges devices by name and accepts one root disk (6.0.4: "More than one root device").
    """
    names = desired_profiles(plan, options)
    devices: dict[str, tuple[dict[str, str], str]] = {}
    for profile in names:
        for device, settings in ((profiles.get(profile) or {}).get("devices") or {}).items():
            devices[device] = settings, f"{device} of profile {profile}"
    for device, settings in options.devices.items():
        devices[device] = settings, f"{device} of devices"
    roots = [whose for settings, whose in devices.values() if is_root(settings)]
    if len(roots) > 1:
        yield Finding(
            next(
                ((name,) for name in ("profiles", "extra_profiles") if getattr(options, name)),
                ("devices",),
            ),
            Message(
                f"these root disks conflict: {', '.join(roots)}. An instance has one root disk, "
                "and Incus merges devices only if they have the same name: give them the same "
                "name, or remove one",
                CONFLICT,
            ),
        )


def _image_problems(
    facts: HostFacts, plan: IncusRuntimePlan, options: RuntimeOptions
) -> Iterator[Finding]:
    name, project, host = plan.incus.image_alias, plan.incus.project, facts.client.host
    where: Path = ("incus", "image_alias")
    targets = facts.image_targets(project, name)
    if not targets:
        what = "alias"
        if looks_like_fingerprint(name):
            what, suggestion = "alias or fingerprint", ""
        elif _REMOTE_IMAGE.fullmatch(name):
            suggestion = _of_remote(name)
        else:
            suggestion = _suggest(name, facts.aliases(project))
        yield Finding(
            where,
            missing(
                f"image {what} {name}",
                f"in project {project} at {host}",
                "create it, or set another one",
            ),
            may_be_created=True,
            suggestion=suggestion,
        )
    elif options.instance_type not in targets:
        yield Finding(
            where,
            Message(
                f"image {name} in project {project} at {host} is for "
                f"{', '.join(sorted(targets))}, but instance_type is "
                f"{options.instance_type}; change one of them",
                CONFLICT,
            ),
            may_be_created=True,
        )


def _start_problems(
    facts: HostFacts,
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    profiles: dict[str, dict[str, Any]],
) -> Iterator[Finding]:
    """Find what prevents the first start of a new instance, or the end of the wait after it."""
    names = desired_profiles(plan, options)
    if options.running is False or any(name not in profiles for name in names):
        return
    config: dict[str, str] = {}
    devices: Devices = {}
    for name in names:
        config.update(profiles[name].get("config") or {})
        devices.update(profiles[name].get("devices") or {})
    config.update(options.config)
    devices.update(options.devices)
    needs: tuple[Path, ...] = (("devices",), ("config",), ("incus", "profile"), ("extra_profiles",))
    if options.wait_for == "ipv4" and not options.adopt and lacks_network(devices):
        yield Finding(
            ("wait_for",),
            Message(
                "is ipv4, and the instance has no network: neither `devices` nor the profiles "
                f"({', '.join(names)}) have a nic. Add one, or set another `wait_for`",
                CONFLICT,
            ),
            needs=needs,
        )
    # The request is sent only for virtual machines: the properties of images for containers hardly
    # ever have requirements.
    if options.instance_type != "virtual-machine":
        return
    alias, project = plan.incus.image_alias, plan.incus.project
    fingerprint = facts.image_targets(project, alias).get(options.instance_type)
    if not fingerprint:
        return
    for problem in find_image_problems(
        facts.image_properties(project, fingerprint),
        config,
        devices,
        options.instance_type,
        checks_cloud_init=facts.server().has(STRICT_EXTENSION),
    ):
        yield Finding(
            ("incus", "image_alias"), Message(f"image {alias} {problem}", CONFLICT), needs=needs
        )


def _restrictions(plan: IncusRuntimePlan, project: _Project) -> Iterator[Finding]:
    """Find the restrictions of a project that the plan violates.

    Source: Incus doc/reference/projects.md; `managed` is the default of `restricted`.
    """
    disks = project.config.get("restricted.devices.disk", "managed")
    if project.config.get("restricted") != "true" or disks == "allow":
        return
    for index, mount in enumerate(plan.mounts):
        if disks == "block" or is_host_path(mount.source):
            what = "host paths" if disks == "managed" else "disks"
            yield Finding(
                ("mounts", index, "source"),
                not_allowed(
                    f"an instance of the restricted project {plan.incus.project}",
                    f"mount {what} (restricted.devices.disk is {disks})",
                    "use a custom volume, or another project"
                    if disks == "managed"
                    else "remove the mount, or use another project",
                ),
            )


def _hidden_pools(
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    project: _Project,
    profiles: dict[str, dict[str, Any]],
) -> Iterator[Finding]:
    """Find storage pools that a project may not use.

    Source: Incus internal/server/project, `StoragePoolAllowed`. Older servers have one of the two
    keys, or none.
    """
    listed = project.config.get("restricted.storage-pools.access", "")
    allowed = [name.strip() for name in listed.split(",")] if listed else None
    if project.config.get("restricted") not in ("true", "1", "yes", "on"):
        allowed = None
    needs: tuple[Path, ...] = (("storage_pool",), ("devices",), ("incus", "profile"))
    of_root = _pool_of_root(profiles, plan, options)
    wanted: dict[str, Path] = {of_root: ("storage_pool",)} if of_root else {}
    for index, pool in enumerate(options.mount_storage_pools):
        if pool:
            wanted.setdefault(pool, ("mounts", index, "source"))
    for pool, where in wanted.items():
        key = f"limits.disk.pool.{pool}"
        if project.config.get(key) == "0":
            why = f"{key} is 0"
        elif allowed is not None and pool not in allowed:
            why = f"restricted.storage-pools.access is {listed}"
        else:
            continue
        yield Finding(
            where,
            Message(
                f"the project {plan.incus.project} may not use the storage pool {pool} ({why}); "
                "name another pool, or have the project changed",
                NOT_ALLOWED,
            ),
            needs=needs,
        )


def _limit_problems(
    plan: IncusRuntimePlan,
    options: RuntimeOptions,
    project: _Project,
    profiles: dict[str, dict[str, Any]],
    share: Share,
    *,
    counted: bool,
) -> Iterator[Finding]:
    """Find the limits of a project that an instance would exceed.

    Args:
        plan: the plan.
        options: the options.
        project: the project.
        profiles: the project's profiles, by name.
        share: the part of the project's use that is the instance's own, or becomes free for it.
        counted: whether the project already counts the instance.
    """
    name = plan.incus.project
    by_profile: dict[str, str] = {}
    for profile in desired_profiles(plan, options):
        by_profile.update((profiles.get(profile) or {}).get("config") or {})
    wanted = (
        ("memory", "memory_mib", "limits.memory", 2**20, "MiB", share.memory),
        ("cpu", "vcpu_count", "limits.cpu", 1, "CPUs", share.cpu),
    )
    for resource, attribute, key, unit, unit_name, free in wanted:
        if resource not in project.usage:
            continue
        limit, used = project.usage[resource]
        value = getattr(plan.resources, attribute)
        if value is None:
            if key not in by_profile and key not in key_config(options):
                yield Finding(
                    ("resources", attribute),
                    Message(
                        f"is required: project {name} limits it to {limit / unit:g} {unit_name} "
                        f"in total, and neither the program nor a profile ({key}) sets it",
                        REQUIRED,
                    ),
                )
            continue
        left = (limit - used + free) / unit
        if value > left:
            yield Finding(
                ("resources", attribute),
                Message(
                    f"is {value} {unit_name}, but project {name} has {max(left, 0):g} of its "
                    f"{limit / unit:g} {unit_name} left; use less, or raise {key} of the project",
                    INVALID_VALUE,
                ),
            )
    if counted:
        return
    kind = "virtual-machines" if options.instance_type == "virtual-machine" else "containers"
    going = {"instances": 1, f"{share.instance_type}s": 1} if share.instance_type else {}
    for resource in ("instances", kind):
        limit, used = project.usage.get(resource, (0, -1))
        if used - going.get(resource, 0) >= limit:
            yield Finding(
                ("incus", "project"),
                Message(
                    f"project {name} has {used:g} {resource.replace('-', ' ')}, and its "
                    f"limits.{resource} allows no more; raise it, or delete one",
                    CONFLICT,
                ),
            )


def _of_remote(image: str) -> str:
    """Return advice on an image of another server, as `incus launch` accepts it."""
    _, _, alias = image.partition(":")
    return (
        "; the image must be on the host itself: copy it there with `incus image copy "
        f"{image} local: --alias {alias}`, and set {alias}"
    )


def _suggest(name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    if close := get_close_matches(name, known, n=1):
        return f"; did you mean {close[0]}?"
    if not known:
        return "; none exists"
    listed = ", ".join(known[:10]) + (", ..." if len(known) > 10 else "")
    return f"; existing: {listed}"


def _names(paths: Iterable[Any]) -> list[str]:
    return [unquote(str(path).partition("?")[0].rpartition("/")[2]) for path in paths]
