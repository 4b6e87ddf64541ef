"""Read a live instance: its properties, and the plan and options that it shows."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Any, Final

from ...incus.errors import UnexpectedResponse
from ...planner.device_names import DEVICE_NAME_PREFIX
from ...planner.plan import IncusRuntimePlan
from ..shared.ownership import (
    GENERATION_KEY,
    OWNER_KEY,
    RUNTIME_ID_KEY,
)
from .cloud_config import cloud_init_config
from .desired import (
    DIGEST_KEY,
    LABEL_PREFIX,
    LIFECYCLE_ROOT_KEY,
    WAITING_KEY,
    Device,
    Devices,
    mount_device,
    mount_storage_pools,
)
from .key_options import observed_key_options
from .placement import is_root
from .profile_list import NO_PROFILE
from .runtime_options import USER_DATA_KEY, RuntimeOptions

RUNNING: Final = frozenset({"Running", "Ready"})
"""The statuses of a running instance. A guest that reports itself Ready is running too."""

FROZEN: Final = "Frozen"
"""The status of an instance that `incus pause` froze: it keeps its memory and does nothing."""
PROTECTION_KEY: Final = "security.protection.delete"

_UNITS: Final = {
    "": 1, "B": 1, "kB": 1000, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class LiveInstance:
    """Hold an instance as the server shows it (GET /1.0/instances/NAME?recursion=1)."""

    name: str
    project: str
    instance_type: str
    status: str
    description: str
    config: dict[str, str]
    devices: Devices
    profiles: list[str]
    location: str
    etag: str
    raw: dict[str, Any]

    @classmethod
    def of(cls, data: dict[str, Any], etag: str) -> "LiveInstance":
        """Return the instance in a server's reply; missing parts become empty."""
        return cls(
            name=str(data.get("name", "")),
            project=str(data.get("project", "")),
            instance_type=str(data.get("type", "")),
            status=str(data.get("status", "")),
            description=str(data.get("description") or ""),
            config=dict(data.get("config") or {}),
            devices={name: dict(device) for name, device in (data.get("devices") or {}).items()},
            profiles=list(data.get("profiles") or ()),
            location=str(data.get("location") or ""),
            etag=etag,
            raw=data,
        )

    @property
    def running(self) -> bool:
        """Return whether the instance is running."""
        return self.status in RUNNING

    @property
    def alive(self) -> bool:
        """Return whether the instance has processes: it is running or frozen."""
        return self.running or self.status == FROZEN

    @property
    def ephemeral(self) -> bool:
        """Return whether Incus deletes it when it stops (Incus doc/explanation/instances.md)."""
        return bool(self.raw.get("ephemeral"))

    @property
    def protected(self) -> bool:
        """Return whether Incus refuses to delete it because of its own config or a profile's."""
        expanded = self.raw.get("expanded_config")
        config = expanded if isinstance(expanded, dict) else self.config
        return str(config.get(PROTECTION_KEY, "")).lower() in ("true", "1", "yes", "on")

    @property
    def fingerprint(self) -> str:
        """Return the fingerprint of the image that it was created from."""
        return self.config.get("volatile.base_image", "")

    @property
    def uuid(self) -> str:
        """Return its own id, which a new instance of the same name does not share."""
        return self.config.get("volatile.uuid", "")

    @property
    def generation(self) -> str:
        """Return the generation in its ownership label; empty if it has none."""
        return self.config.get(GENERATION_KEY, "")

    @property
    def root_pool(self) -> str:
        """Return the storage pool of its root disk, which its own or a profile's device names."""
        devices = _devices(self.raw.get("expanded_devices"))
        name = root_device_name(devices)
        return str(devices[name].get("pool") or "") if name else ""

    @property
    def processes(self) -> int:
        """Return the number of processes in the guest.

        It is -1 if the agent of a virtual machine does not reply.
        """
        count = (self.raw.get("state") or {}).get("processes", -1)
        return count if isinstance(count, int) else -1

    @property
    def has_stale_addresses(self) -> bool:
        """Return whether the addresses may be those of an earlier boot.

        If the agent of a virtual machine does not reply, Incus reports the addresses of the DHCP
        leases. They outlive a restart. A guest that has not sent a packet yet has not got its
        address by itself (Incus 6.0.4, nic_bridged.go, `State`).
        """
        if self.instance_type != "virtual-machine" or self.processes >= 0:
            return False
        counters = [network.get("counters") for network in self._networks().values()]
        sent = [it.get("packets_sent") for it in counters if isinstance(it, dict)]
        return bool(sent) and not any(sent)

    def address(self, family: str, access_interface: str | None = None) -> str | None:
        """Return its first global address of a family, or None.

        Args:
            family: ``inet`` or ``inet6``.
            access_interface: the nic to use, by the name of its device or of its interface;
                default: the first of Incus's own nics. Interfaces that the guest itself creates,
                such as docker0, count only if the instance has no nic of Incus's.
        """
        networks = self._networks()
        nics = self._nics()
        if access_interface:
            counted = [
                interface
                for interface in sorted(networks)
                if access_interface in (interface, nics.get(interface))
            ]
        else:
            counted = sorted(nics) or sorted(networks)
        found = (address for name in counted for address in _global(networks[name], family))
        return next(found, None)

    def addresses(self) -> dict[str, dict[str, list[str]]]:
        """Return the global addresses of each of Incus's own nics, by the name of its device."""
        networks = self._networks()
        by_nic: dict[str, dict[str, list[str]]] = {}
        for interface, nic in sorted(self._nics().items()):
            addresses = by_nic.setdefault(nic, {"ipv4": [], "ipv6": []})
            addresses["ipv4"] += _global(networks[interface], "inet")
            addresses["ipv6"] += _global(networks[interface], "inet6")
        return by_nic

    def _networks(self) -> dict[str, dict[str, Any]]:
        """Return the guest's interfaces by name, as the server reports them."""
        networks = (self.raw.get("state") or {}).get("network") or {}
        return {str(name): dict(state or {}) for name, state in networks.items()}

    def _nics(self) -> dict[str, str]:
        """Return the interfaces that Incus's own nic devices created, each with its device's name.

        An interface belongs to a device if it has the device's hardware address, or, in a
        container, the device's interface name. Incus stores the address as
        ``volatile.<device>.hwaddr``. A bridge or bond that the guest creates of a nic has the nic's
        hardware address, and then its addresses too. If neither is known, the interfaces with a
        counterpart on the host (``host_name``) count, each under its own name.
        """
        nics: dict[str, str] = {}
        networks = self._networks()
        devices = _devices(self.raw.get("expanded_devices")) or self.devices
        for device, settings in devices.items():
            if settings.get("type") != "nic":
                continue
            volatile = f"volatile.{device}."
            hwaddr = settings.get("hwaddr") or self.config.get(volatile + "hwaddr", "")
            named = settings.get("name") or self.config.get(volatile + "name", "")
            for interface, state in networks.items():
                same = hwaddr and str(state.get("hwaddr", "")).lower() == hwaddr.lower()
                if same or (named == interface and self.instance_type == "container"):
                    nics[interface] = device
        return nics or {
            interface: interface for interface, state in networks.items() if state.get("host_name")
        }

    def owned_devices(self, names: set[str]) -> Devices:
        """Return its devices that a plan names, and all devices with the plan's prefix."""
        return {
            name: device
            for name, device in self.devices.items()
            if name in names or name.startswith(DEVICE_NAME_PREFIX)
        }


def _global(network: dict[str, Any], family: str) -> list[str]:
    """Return the global addresses of a family that an interface has."""
    return [
        str(address.get("address", ""))
        for address in network.get("addresses") or ()
        if address.get("family") == family
        and address.get("scope") == "global"
        and not _is_loopback(str(address.get("address", "")))
    ]


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        raise UnexpectedResponse(f"{address!r}, an address of an instance, is none") from None


@dataclass(frozen=True, slots=True)
class Expected:
    """Hold what the state expects of an instance."""

    plan: IncusRuntimePlan
    options: RuntimeOptions
    devices: Devices
    left_out: frozenset[str]
    pool: str | None
    status: str = ""
    """The instance's status when it was last inspected."""
    fingerprint: str = ""
    """The fingerprint of the image that the instance was created from; empty if it is not known."""


def observed_plan(live: LiveInstance, expected: Expected) -> dict[str, Any]:
    """Return the expected plan with the values of the live instance where they differ.

    Values that no instance can show (paths, bootstrap, metadata, the other policies) stay as
    expected. The plan's digest in the instance's config shows whether they are right.
    """
    plan = expected.plan
    observed = plan.to_dict()
    observed["identity"] = {
        "instance_name": live.name,
        "runtime_id": live.config.get(RUNTIME_ID_KEY, ""),
    }
    observed["lifecycle_root"] = live.config.get(LIFECYCLE_ROOT_KEY, "")
    observed["incus"] = {
        **observed["incus"],
        "project": live.project or plan.incus.project,
        "profile": _observed_profiles(live, expected)[0],
    }
    if expected.fingerprint and live.fingerprint != expected.fingerprint:
        # Rebuilt from another image: no alias shows which one, but the fingerprint does.
        observed["incus"]["image_alias"] = live.fingerprint
    observed["resources"] = _observed_resources(live, plan)
    observed["mounts"] = _observed_mounts(live, expected)
    observed["policies"] = {
        **observed["policies"],
        "restart_policy": _observed_restart_policy(live, plan.policies.restart_policy),
    }
    observed["labels"] = _observed_labels(live, plan)
    return observed


def observed_options(live: LiveInstance, expected: Expected) -> dict[str, Any]:
    """Return the expected options with the values of the live instance where they differ."""
    options = expected.options
    observed = options.model_dump(exclude_none=True)
    observed["instance_type"] = live.instance_type
    if options.description is not None:
        observed["description"] = live.description
    observed["extra_profiles"] = _observed_profiles(live, expected)[1]
    if options.profiles is not None:
        observed["profiles"] = live.profiles
    rendered = cloud_init_config(options) if options.cloud_init is not None else {}
    observed["config"] = {
        key: live.config[key]
        for key in options.config
        if key in live.config and key not in rendered
    }
    # No typed value can show a text that another client wrote, so that the config shows it.
    observed["config"].update(
        {
            key: live.config.get(key, "")
            for key, text in rendered.items()
            if live.config.get(key, "") != text
        }
    )
    observed.update(observed_key_options(live, options))
    if options.ephemeral is not None:
        observed["ephemeral"] = live.ephemeral
    if options.running is not None:
        observed["running"] = _observed_running(live, expected.status, options.running)
    if WAITING_KEY in live.config:
        # The state that was last waited for did not come: all that is known is that it runs.
        observed["wait_for"] = "running"
    if options.cloud_init_user_data is not None:
        observed["cloud_init_user_data"] = live.config.get(USER_DATA_KEY, "")
    if options.owner:
        observed["owner"] = live.config.get(OWNER_KEY, "")
    del observed["devices"]
    return observed


def _observed_running(live: LiveInstance, before: str, wanted: bool) -> bool:
    """Return `running` as observed.

    A frozen instance is neither running nor stopped. It is first shown as the opposite of what was
    expected. While it stays frozen, that value stays.
    """
    if live.status != FROZEN:
        return live.running
    return wanted if before == FROZEN else not wanted


def mebibytes(text: str) -> int | str:
    """Return an Incus size as an integer of MiB if it is one, else the string.

    Source: Incus doc/reference/units.md.
    """
    return _whole(text, 2**20)


def _observed_profiles(live: LiveInstance, expected: Expected) -> tuple[str, list[str]]:
    """Return the profile that takes precedence, and the profiles before it.

    Profiles that other clients put before the program's do not change the effect of the program's,
    and are not shown.
    """
    if expected.options.profiles is not None:
        return (live.profiles[-1] if live.profiles else NO_PROFILE), []
    own, extra = expected.plan.incus.profile, expected.options.extra_profiles
    ours = [profile for profile in live.profiles if profile in (own, *extra)]
    if live.profiles and live.profiles[-1] == own and ours == [*extra, own]:
        return own, extra
    return (live.profiles[-1] if live.profiles else ""), live.profiles[:-1]


def _observed_resources(live: LiveInstance, plan: IncusRuntimePlan) -> dict[str, Any]:
    """Return the limits that the plan names; limits of other clients are not shown."""
    resources: dict[str, Any] = {}
    cpu, memory = live.config.get("limits.cpu"), live.config.get("limits.memory")
    if cpu and plan.resources.vcpu_count is not None:
        resources["vcpu_count"] = int(cpu) if cpu.isdigit() else cpu
    if memory and plan.resources.memory_mib is not None:
        resources["memory_mib"] = mebibytes(memory)
    root = root_device_name(live.devices)
    if (
        root
        and plan.resources.root_disk_gib is not None
        and (size := live.devices[root].get("size"))
    ):
        resources["root_disk_gib"] = _whole(size, 2**30)
    return resources


def _observed_mounts(live: LiveInstance, expected: Expected) -> list[dict[str, Any]]:
    mounts, known = [], set()
    pools = mount_storage_pools(expected.plan, expected.options, expected.pool)
    for index, mount in enumerate(expected.plan.mounts):
        known.add(mount.device_name)
        options, pool = expected.options, pools[mount.device_name]
        wanted = mount_device(mount, options.instance_type, pool, options.mount_options_of(index))
        device = live.devices.get(mount.device_name)
        if device == wanted or (device is None and mount.device_name in expected.left_out):
            mounts.append(mount.model_dump(exclude_none=True))
        elif device is not None:
            mounts.append(
                {
                    **_mount_of(mount.device_name, device, live.instance_type),
                    "kind": mount.kind,
                    "required": mount.required,
                }
            )
    mounts += [
        _mount_of(name, device, live.instance_type)
        for name, device in live.devices.items()
        if name.startswith(DEVICE_NAME_PREFIX) and name not in known
    ]
    return mounts


def _mount_of(name: str, device: Device, instance_type: str) -> dict[str, Any]:
    mount: dict[str, Any] = {
        "device_name": name,
        "source": device.get("source", ""),
        "guest_path": device.get("path", ""),
        "read_only": device.get("readonly") in ("true", "1", "yes", "on"),
    }
    # A container's device has no bus, but the plan has one nevertheless.
    bus = device.get("io.bus") or ("virtiofs" if instance_type == "container" else None)
    if mount["read_only"] and bus:
        mount["io_bus"] = bus
    return mount


def _observed_restart_policy(live: LiveInstance, expected: str) -> str:
    again = live.config.get("boot.autorestart") in ("true", "1", "yes", "on")
    at_boot = live.config.get("boot.autostart") in ("true", "1", "yes", "on")
    if not again:
        return "never"
    # `always` and `on_failure` differ in boot.autostart, which `config` may set for the latter.
    return "on_failure" if expected == "on_failure" or not at_boot else "always"


def _observed_labels(live: LiveInstance, plan: IncusRuntimePlan) -> dict[str, str]:
    labels = {
        key.removeprefix(LABEL_PREFIX): value
        for key, value in live.config.items()
        if key.startswith(LABEL_PREFIX)
    }
    # Incus stores no empty values, so an empty label does not exist there.
    empty = {key: "" for key, value in plan.labels.items() if value == "" and key not in labels}
    return {**labels, **empty}


def _whole(text: str, unit: int) -> int | str:
    match = re.fullmatch(r"(\d+)\s*([A-Za-z]*)", text)
    if not match or match[2] not in _UNITS:
        return text
    size, rest = divmod(int(match[1]) * _UNITS[match[2]], unit)
    return text if rest else size


def outputs_of(
    live: LiveInstance, devices: set[str], access_interface: str | None = None
) -> dict[str, Any]:
    """Return the outputs of an instance that are not arguments of the resource.

    Args:
        live: the instance.
        devices: the names of its devices that belong to the resource.
        access_interface: the nic whose addresses are `ipv4_address` and `ipv6_address`; None if
            none is named.
    """
    return {
        "instance_name": live.name,
        "status": live.status,
        "image_fingerprint": live.fingerprint,
        "devices": live.owned_devices(devices),
        # Empty rather than None: Pulumi drops None, and then treats the output as unknown.
        "ipv4_address": live.address("inet", access_interface) or "",
        "ipv6_address": live.address("inet6", access_interface) or "",
        "addresses": live.addresses(),
        "location": live.location,
        "root_storage_pool": live.root_pool,
        "uuid": live.uuid,
        "plan_digest": live.config.get(DIGEST_KEY, ""),
    }


def _devices(value: Any) -> Devices:
    return {
        str(name): {str(key): str(item) for key, item in device.items()}
        for name, device in (value.items() if isinstance(value, dict) else ())
        if isinstance(device, dict)
    }


def root_device_name(devices: Devices) -> str | None:
    """Return the name of the root disk among an instance's own devices, or None."""
    return next((name for name, device in devices.items() if is_root(device)), None)
