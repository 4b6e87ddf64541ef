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
from ..incus.errors import BadRequest, NotFound, Unauthorised
from ..incus.storage import get_volume, list_all_volumes, list_volumes
from ..planner.plan import IncusRuntimePlan
from .instances.cloud_init import STRICT_EXTENSION, find_refused_yaml
from .instances.data_volumes import VolumeRef
from .instances.desired import (
    AUTORESTART_EXTENSION,
    desired_profiles,
    is_host_path,
    volume_name,
)
from .instances.live_instance import LiveInstance
from .instances.location import not_clustered
from .instances.placement import (
    find_elsewhere,
    in_another_pool,
    is_root,
)
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
        may_come: whether another resource of the program may create it before it is needed.
        instead: similar objects that the host has. The text follows the reason, unless the property
            is secret: a similar name would reveal the secret.
        awaited: the condition that a preview shows for the time of the creation, if `may_come`.
    """

    path: Path
    reason: str
    may_come: bool = False
    instead: str = ""
    awaited: str = "It has to be there"

    def told(self, *, secret: bool) -> str:
        """Return the reason and, unless the property is secret, the similar objects on the host."""
        return self.reason if secret else self.reason + self.instead


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

    def forget(self, before: float) -> None:
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

        return self._ask(("image", project, name), ask)

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

        # Pools are requested one by one: a restricted certificate may read each of them, but may
        # not list them.
        def ask() -> bool:
            try:
                self.client.get(url("storage-pools", name))
            except NotFound:
                return False
            return True

        return self._ask(("pool", name), ask)

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
        *_target_problems(facts),
        *_pool_problems(facts, options),
        *_project_problems(facts, plan, options, before),
        *_volume_problems(facts, plan, options),
    ]


def _server_problems(
    facts: HostFacts, plan: IncusRuntimePlan, options: RuntimeOptions
) -> Iterator[Finding]:
    server = facts.server()
    where = f"the server at {facts.client.host} (Incus {server.version})"
    if options.instance_type not in server.instance_types:
        able = ", ".join(sorted(server.instance_types)) or "nothing"
        why = (
            "it has no QEMU or no KVM: see `incus info` there, under `warnings` too"
            if options.instance_type == "virtual-machine"
            else "it has no LXC"
        )
        yield Finding(
            ("instance_type",),
            f"{where} runs no {options.instance_type} ({why}); it runs: {able}",
        )
    policy = plan.policies.restart_policy
    if policy != "never" and not server.has(AUTORESTART_EXTENSION):
        yield Finding(
            ("policies", "restart_policy"),
            f"{where} is too old for {policy} (API extension {AUTORESTART_EXTENSION}); upgrade "
            "it, or use `never`",
        )
    if server.has(STRICT_EXTENSION):
        for path, reason in find_refused_yaml(options):
            yield Finding(path, f"{reason}; {where} refuses such YAML")
    if options.instance_type == "virtual-machine" and not server.has(IO_BUS_EXTENSION):
        for index, mount in enumerate(plan.mounts):
            if mount.io_bus:
                yield Finding(
                    ("mounts", index, "mode"),
                    f"{where} is too old for read-only mounts in virtual machines, which need "
                    f"io.bus={mount.io_bus} (API extension {IO_BUS_EXTENSION}); upgrade it",
                )


def _target_problems(facts: HostFacts) -> Iterator[Finding]:
    target = facts.client.target
    if not target:
        return
    if not facts.server().clustered:
        yield Finding((), not_clustered(facts.client))
        return
    try:
        if target.startswith("@"):
            group = target[1:]
            if group not in (known := facts.groups()):
                yield Finding(
                    (),
                    f"cluster_group {group!r} does not exist at {facts.client.host}",
                    instead=_instead(group, known),
                )
            elif not any(member.takes(group) for member in facts.members()):
                yield Finding(
                    (), f"cluster_group {group!r}: no member of it is online and takes instances"
                )
            return
        members = {member.name: member for member in facts.members()}
    except Unauthorised:
        return  # A restricted certificate may place instances, but may not read the cluster.
    if target not in members:
        yield Finding(
            (),
            f"target {target!r} is no member of the cluster at {facts.client.host}",
            instead=_instead(target, members),
        )
    elif not members[target].online:
        member = members[target]
        yield Finding(
            (),
            f"target {target!r} is {member.status} ({member.message}); bring it back, or name "
            "another",
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
            f"there is no storage pool {pool} at {facts.client.host}; see `incus storage list`",
            may_come=True,
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
            yield Finding(where, in_another_pool(ref, elsewhere), may_come=True)
        elif there := _in_other_project(facts, begun, ref[1], project, options.owner):
            yield Finding(
                where,
                f"there is no custom volume {ref[1]} in project {project}, and the "
                f"PersistentVolume {there[1]} of this stack has one in project {there[0]}. An "
                "instance mounts volumes of its own project only; a second, empty one would be "
                "created. Give both resources the same project, or name another source. To create "
                f'an empty one on purpose, add `"storage_pool": "{pool}"` to the mount',
            )
        elif facts.server().has(NAMES_EXTENSION):
            for _, problem in name_problems(where, ref[1]):
                yield Finding(
                    where,
                    f"there is no custom volume {ref[1]} in pool {pool}, and {facts.client.host} "
                    f"cannot create it: {problem}",
                    may_come=True,
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
        who = f"the client certificate {shown}" if shown else "this user"
        yield Finding(
            where,
            f"{who} may not use the project {name} at {host} ({error.reason}). Have it allowed "
            f"there (`incus config trust edit {shown}`), or name another project",
            instead=f"; it may use: {allowed}",
        )
        return
    if project is None:
        yield Finding(
            where,
            f"there is no project {name} at {host}",
            may_come=True,
            instead=_instead(name, facts.projects()),
        )
        return
    profiles = facts.profiles(name)
    yield from _profile_problems(plan, options, profiles, host)
    yield from _root_disk_problems(plan, options, profiles)
    yield from _image_problems(facts, plan, options)
    yield from _restrictions(plan, project)
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
    wanted: list[tuple[Path, str]] = [(("incus", "profile"), plan.incus.profile)]
    wanted += [(("extra_profiles", i), name) for i, name in enumerate(options.extra_profiles)]
    for where, name in wanted:
        if name not in profiles:
            yield Finding(
                where,
                f"there is no profile {name} in project {plan.incus.project} at {host}",
                may_come=True,
                instead=_instead(name, profiles),
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
            ("extra_profiles",) if options.extra_profiles else ("devices",),
            f"there is more than one root disk: {', '.join(roots)}. Incus merges devices of the "
            "same name, and allows one root disk: use one name for them, or leave one out",
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
            what, instead = "alias or fingerprint", ""
        elif _REMOTE_IMAGE.fullmatch(name):
            instead = _of_remote(name)
        else:
            instead = _instead(name, facts.aliases(project))
        yield Finding(
            where,
            f"there is no image with the {what} {name} in project {project} at {host}",
            may_come=True,
            instead=instead,
        )
    elif options.instance_type not in targets:
        yield Finding(
            where,
            f"the image {name} in project {project} at {host} is for "
            f"{', '.join(sorted(targets))}, and instance_type is {options.instance_type}",
            may_come=True,
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
                f"the project {plan.incus.project} is restricted and lets no {what} be mounted "
                f"(restricted.devices.disk is {disks})",
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
            if key not in by_profile:
                yield Finding(
                    ("resources", attribute),
                    f"is not set, nor by a profile ({key}); the project {name} limits it to "
                    f"{limit / unit:g} {unit_name} in all, and then each instance has to say",
                )
            continue
        left = (limit - used + free) / unit
        if value > left:
            yield Finding(
                ("resources", attribute),
                f"is {value} {unit_name}, and the project {name} has {max(left, 0):g} of its "
                f"{limit / unit:g} left; ask for less, or raise its {key}",
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
                f"the project {name} has {used:g} {resource.replace('-', ' ')}, as many as its "
                f"limits.{resource} allows; raise it, or remove one",
            )


def _of_remote(image: str) -> str:
    """Return advice on an image of another server, as `incus launch` accepts it."""
    _, _, alias = image.partition(":")
    return (
        f"; images come from the host itself: copy it there first, with `incus image copy {image} "
        f"local: --alias {alias}`, and name {alias}"
    )


def _instead(name: str, known: Iterable[str]) -> str:
    known = sorted(known)
    if close := get_close_matches(name, known, n=1):
        return f"; did you mean {close[0]}?"
    if not known:
        return "; there is none at all"
    listed = ", ".join(known[:10]) + (", ..." if len(known) > 10 else "")
    return f"; there: {listed}"


def _names(paths: Iterable[Any]) -> list[str]:
    return [unquote(str(path).partition("?")[0].rpartition("/")[2]) for path in paths]
