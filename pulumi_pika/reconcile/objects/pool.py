"""Define storage pools."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Final

from pydantic import Field

from ...choices import StorageDriver
from ...incus.client import IncusClient
from ...message_templates import INVALID_VALUE, Message, conflict, invalid_value, unsupported
from ..instances.runtime_options import OptionProblem
from ..volumes.volume_options import SIZE_KEY, same_size, shrinks, size_problems
from .live_object import LiveObject
from .member_creation import create_on_members
from .object_kind import ObjectKind
from .object_plan import ObjectOptions, ObjectPlan, Path

_SOURCE: Final = "source"
_INITIAL_SOURCE: Final = "volatile.initial_source"
"""The key with the source as it was given; Incus rewrites `source` for some drivers."""
_OF_MEMBER: Final = frozenset(
    {
        _SOURCE,
        SIZE_KEY,
        "source.wipe",
        "zfs.pool_name",
        "lvm.thinpool_name",
        "lvm.vg_name",
        "lvm.vg.force_reuse",
    }
)
"""Source: NodeSpecificStorageConfig of Incus 7.3."""
_FIXED: Final = frozenset(
    {
        _SOURCE,
        "source.wipe",
        "zfs.pool_name",
        "lvm.vg_name",
        "lvm.vg.force_reuse",
        "lvm.use_thinpool",
        "lvm.thinpool_metadata_size",
        "lvm.metadata_size",
        "ceph.cluster_name",
        "ceph.osd.pool_name",
        "ceph.osd.data_pool_name",
        "cephfs.cluster_name",
        "cephfs.path",
        "cephobject.cluster_name",
        "linstor.resource_group.name",
        "linstor.volume.prefix",
        "truenas.dataset",
    }
)
"""The keys that a driver reads at the creation and refuses, or ignores, later (the method `Update`
of the drivers in Incus internal/server/storage/drivers)."""


class PoolOptions(ObjectOptions):
    """Hold the arguments of a `StoragePool`."""

    driver: StorageDriver
    source: str | None = None
    size: str | None = None
    member_config: dict[str, dict[str, str]] = Field(default_factory=dict)


class PoolKind(ObjectKind[PoolOptions]):
    """Describe storage pools."""

    noun = "storage pool"
    collection = "storage-pools"
    command = "incus storage"
    can_be_renamed = False
    permanent = frozenset()
    model = PoolOptions
    arguments: ClassVar[Mapping[str, Path]] = {
        "driver": ("driver",),
        "source": ("config", _SOURCE),
        "size": ("config", SIZE_KEY),
    }

    def plan(self, options: PoolOptions) -> ObjectPlan:
        """Return the plan of the arguments."""
        return ObjectPlan(
            name=options.name,
            fixed={"driver": options.driver},
            description=options.description,
            config=self.config_of(options),
            members=options.member_config,
        )

    def find_problems(self, options: PoolOptions) -> Iterator[OptionProblem]:
        """Find values that Incus would refuse. No server is asked."""
        yield from super().find_problems(options)
        yield from self.find_member_problems(options.member_config)
        if options.size is not None:
            yield from size_problems(options.size)
            if options.driver == "dir":
                yield ("size",), conflict('`driver="dir"`, which has no size of its own')
        if options.source is not None and not (
            options.source.strip() and options.source.isprintable()
        ):
            # The value may be a secret, and is not shown.
            text = "must not be empty, and must not have control characters"
            yield ("source",), Message(text, INVALID_VALUE)

    def find_host_problems(
        self, client: IncusClient, options: PoolOptions
    ) -> Iterator[OptionProblem]:
        """Find a driver that the host does not have."""
        environment: Any = client.get("/1.0").data.get("environment") or {}
        listed = environment.get("storage_supported_drivers")
        names = [str(it.get("Name")) for it in listed or () if isinstance(it, dict)]
        if names and options.driver not in names:
            advice = f"use one of {', '.join(sorted(names))}"
            thing, reason = f"driver {options.driver}", "the host does not have it"
            yield ("driver",), unsupported(thing, f"at {client.host}", reason, advice)
        if options.member_config and not client.server().clustered:
            reason = "the server is not part of a cluster"
            place, advice = f"at {client.host}", "use `config` instead"
            yield ("member_config",), unsupported("keys of members", place, reason, advice)

    def is_same(self, key: str, wanted: str, config: Mapping[str, str]) -> bool:
        """Return whether a config key is as wanted."""
        seen = config.get(key)
        if key == _SOURCE:
            return wanted in (seen, config.get(_INITIAL_SOURCE))
        if key == "source.wipe" and seen is None and _INITIAL_SOURCE in config:
            return True  # Incus does not store what it used once.
        return same_size(wanted, seen) if key == SIZE_KEY else wanted == seen

    def keeps(self, key: str) -> bool:
        """Return whether a config key stays on the host after the program drops it."""
        return key == SIZE_KEY

    def is_fixed(self, key: str) -> bool:
        """Return whether only a replacement can change a config key."""
        return key in _FIXED

    def is_of_member(self, key: str) -> bool:
        """Return whether each member of a cluster has a value of its own for a config key."""
        return key in _OF_MEMBER

    def refused_change(self, old: ObjectPlan, new: ObjectPlan) -> Iterator[OptionProblem]:
        """Find a smaller size, which no driver can apply."""
        before, after = old.config.get(SIZE_KEY), new.config.get(SIZE_KEY)
        if old.name == new.name and shrinks(before, after):
            rule = f"Incus does not shrink a pool; keep {before}, or create another pool"
            yield (SIZE_KEY,), invalid_value(after, f"size of a pool that has {before}", rule)

    def users(self, live: LiveObject) -> tuple[str, ...]:
        """Return the URLs of its users; Incus deletes its copies of images with it."""
        return tuple(user for user in live.used_by if not user.startswith("/1.0/images/"))

    def create(self, client: IncusClient, plan: ObjectPlan, config: Mapping[str, str]) -> None:
        """Create the pool; in a cluster, on every member."""
        if client.server().clustered:
            create_on_members(self, client, plan, config)
        else:
            super().create(client, plan, config)

    def outputs(self, live: LiveObject) -> dict[str, Any]:
        """Return the source that the pool has."""
        return {"status": str(live.data.get("status") or "")}


POOL: Final = PoolKind()
"""The kind of a `StoragePool`."""
