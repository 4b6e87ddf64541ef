"""Check a host: connection, trust, versions, rights, storage, networks and images."""

import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Final

from ..incus.client import IncusClient, Server, url
from ..incus.errors import IncusError, IncusUnreachable, NotFound, Unauthorised
from ..incus.transport import HttpsTransport
from ..reconcile.instances.desired import AUTORESTART_EXTENSION
from ..reconcile.instances.placement import is_root
from ..reconcile.preflight import IO_BUS_EXTENSION, HostFacts
from .certificate_dates import validity
from .finding import Finding, Level

_OLDEST_INCUS: Final = (6, 0)
_SOON: Final = timedelta(days=30)
_CLOCKS_APART: Final = 30.0
"""How far two clocks may differ, in seconds."""
_LITTLE: Final = 2 * 2**30
"""How much free space is little for a pool, in bytes."""
_NO_INSTANCES_OF_TYPE: Final = "Instance type not operational"
_LIMITS: Final = re.compile(r"CGroup (CPU|memory|pids) controller")
"""Controllers without which Incus ignores limits that programs often set."""
_ADVICE_ON_MACHINES: Final = (
    (
        r"no /dev/kvm",
        "turn on hardware virtualization in the firmware, or nested virtualization where the host "
        "is a virtual machine, and load the module: modprobe kvm_intel, or modprobe kvm_amd",
    ),
    (r"vhost_vsock", "load the module on the host, and restart Incus: modprobe vhost_vsock"),
    (r"/dev/vsock", "load the module on the host, and restart Incus: modprobe vsock"),
    (r"QEMU command", "install QEMU on the host (Debian: incus-base and qemu-system-x86)"),
)
_ADVICE_ON_WARNINGS: Final = (
    (
        r"CGroup",
        "turn the controller on in the host's kernel, or accept that Incus does not enforce the "
        "limit",
    ),
    (r"AppArmor", "accept it, or boot the host's kernel with AppArmor"),
    (r"virtiofsd", "install virtiofsd on the host; without it, mounts in virtual machines use 9p"),
    (r"Time skew", "synchronize the clocks of the cluster members"),
)


class HostExamination:
    """Check one host.

    Args:
        client: a client of the host, in the project of the program.
        instance_type: the type of instance that the program needs; empty for any.
    """

    def __init__(self, client: IncusClient, instance_type: str = "") -> None:
        self.client = client
        self._type = instance_type
        self._facts = HostFacts(client)
        self._restricted = False
        self._warnings: list[dict[str, Any]] = []

    def examine(self) -> Iterator[Finding]:
        """Yield a finding for each check; an unreachable or untrusting host ends the examination.

        A check that the host does not allow, or does not answer, is a finding too.
        """
        try:
            reply = self.client.get_raw("/1.0")
            about = self.client.get("/1.0").data
        except IncusError as error:
            yield _unreachable(error)
            return
        yield _host("connection", "ok", f"{self.client.host} answers")
        yield from self._clock(reply.headers.get("Date", ""))
        yield from self._client_certificate()
        try:
            server = self.client.server()
        except Unauthorised as error:
            yield _host("trust", "error", str(error))
            return
        yield _host("trust", "ok", "the host trusts this client")
        checks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
            ("rights", self._rights),
            ("version", lambda: self._version(server)),
            ("server_certificate", lambda: _server_certificate(about)),
            ("instance_types", lambda: self._instance_types(server)),
            ("host_warnings", self._host_warnings),
            ("members", lambda: self._members(server)),
            ("pools", self._pools),
            ("project", self._project),
            ("images", self._images),
        )
        for code, check in checks:
            try:
                yield from check()
            except Unauthorised:
                yield _host(
                    code, "note", "not checked: this client may not read it",
                    "" if self._restricted else "ask the administrator of the host",
                )  # fmt: skip
            except IncusUnreachable as error:
                yield _unreachable(error)
                return
            except IncusError as error:
                yield _host(code, "warning", f"could not be checked: {error}")

    def _clock(self, date: str) -> Iterator[Finding]:
        try:
            apart = time.time() - parsedate_to_datetime(date).timestamp()
        except ValueError:
            return
        if abs(apart) <= _CLOCKS_APART:
            yield _host("clock", "ok", "the clocks agree")
            return
        yield _host(
            "clock", "warning",
            f"this machine's clock is {abs(apart):.0f} s {'ahead of' if apart > 0 else 'behind'} "
            "the host's",
            "synchronize both clocks: certificates, trust tokens and expiry times depend on them",
        )  # fmt: skip

    def _client_certificate(self) -> Iterator[Finding]:
        transport = self.client.transport
        if not isinstance(transport, HttpsTransport) or transport.identity is None:
            return
        yield from _certificate(
            "client_certificate",
            f"the client certificate {transport.identity.fingerprint[:12]}",
            transport.identity.certificate,
            "error",
            "create a new one, and have the host trust it: `incus config trust add-certificate`",
        )
        if transport.trust.insecure:
            yield _host(
                "server_identity", "warning", "any server certificate is accepted (insecure)",
                "give server_fingerprint; `incus info` on the host shows certificate_fingerprint",
            )  # fmt: skip

    def _rights(self) -> Iterator[Finding]:
        try:
            # With a project, Incus leaves out the warnings about the server itself.
            listed = self.client.get_list("/1.0/warnings", recursion="1", project="")
        except Unauthorised:
            self._restricted = True
            allowed = ", ".join(sorted(self._facts.projects())) or "none"
            yield _host(
                "rights", "note",
                f"this client is restricted; it may use the projects: {allowed}. It cannot create "
                "projects, storage pools or networks of the host",
                "have an unrestricted client create them, or lift the restriction on the host: "
                "`incus config trust edit FINGERPRINT`",
            )  # fmt: skip
            return
        self._warnings = [
            data
            for data in listed
            if isinstance(data, dict) and data.get("status") in ("new", "acknowledged")
        ]
        yield _host("rights", "ok", "this client may use and change the whole host")

    def _version(self, server: Server) -> Iterator[Finding]:
        numbers = tuple(int(number) for number in re.findall(r"\d+", server.version)[:2])
        if numbers < _OLDEST_INCUS:
            oldest = ".".join(map(str, _OLDEST_INCUS))
            yield _host(
                "version", "error", f"Incus {server.version} is not supported",
                f"upgrade it to {oldest} or newer",
            )  # fmt: skip
            return
        missing = [
            what
            for extension, what in (
                (AUTORESTART_EXTENSION, "restart_policy other than never"),
                (IO_BUS_EXTENSION, "read-only mounts in virtual machines"),
            )
            if not server.has(extension)
        ]
        if missing:
            yield _host(
                "version", "warning",
                f"Incus {server.version} is too old for: {', '.join(missing)}",
                "upgrade it if a program needs that",
            )  # fmt: skip
        else:
            yield _host("version", "ok", f"Incus {server.version}")

    def _instance_types(self, server: Server) -> Iterator[Finding]:
        said = (
            "; ".join(
                str(warning.get("last_message") or "")
                for warning in self._warnings
                if warning.get("type") == _NO_INSTANCES_OF_TYPE
            )
            or self._local_reason()
        )
        for kind, name in (("virtual-machine", "virtual machines"), ("container", "containers")):
            code = name.replace(" ", "_")
            if kind in server.instance_types:
                yield _host(code, "ok", f"the host runs {name}")
                continue
            wanted = self._type == kind or not server.instance_types
            if self._type and not wanted:
                continue
            advice = _advice(_ADVICE_ON_MACHINES, said) if kind == "virtual-machine" else ""
            if not wanted:
                advice = f'{advice}. Or declare containers: instance_type="container"'.lstrip(". ")
            yield _host(
                code, "error" if wanted else "warning",
                f"the host cannot run {name}" + (f": {said}" if said else ""),
                advice or "see `incus info` and `incus warning list` on the host",
            )  # fmt: skip

    def _local_reason(self) -> str:
        """Return why a local host has no virtual machines, if this client may not list warnings."""
        if not self.client.is_local:
            return ""
        for file, said in (
            ("/dev/kvm", "KVM support is missing (no /dev/kvm)"),
            ("/dev/vhost-vsock", "vhost_vsock kernel module not loaded"),
            ("/dev/vsock", "Vsock support is missing (no /dev/vsock)"),
        ):
            if not Path(file).exists():
                return said
        return ""

    def _host_warnings(self) -> Iterator[Finding]:
        for warning in self._warnings:
            kind, said = str(warning.get("type") or ""), str(warning.get("last_message") or "")
            if kind == _NO_INSTANCES_OF_TYPE:
                continue
            where = str(warning.get("location") or "none")
            minor = warning.get("severity") == "low" and not _LIMITS.search(kind)
            yield _host(
                "cgroups" if "CGroup" in kind else "host_warnings",
                "note" if minor else "warning",
                f"Incus warns{f' on {where}' if where != 'none' else ''}: {kind}"
                + (f" ({said})" if said else ""),
                _advice(_ADVICE_ON_WARNINGS, kind) or "see `incus warning list` on the host",
            )  # fmt: skip

    def _members(self, server: Server) -> Iterator[Finding]:
        if not server.clustered:
            return
        members = self._facts.members()
        away = [member for member in members if not member.online]
        for member in away:
            yield _host(
                "members", "warning",
                f"the cluster member {member.name} is {member.status}: {member.message}",
                "bring it back; its instances and local volumes cannot be changed until then",
            )  # fmt: skip
        if not away:
            yield _host("members", "ok", f"all {len(members)} cluster members are online")

    def _pools(self) -> Iterator[Finding]:
        pools = [
            data
            for data in self.client.get_list("/1.0/storage-pools", recursion="1")
            if isinstance(data, dict)
        ]
        if not pools:
            yield _host(
                "pools", "error", "the host has no storage pool",
                "create one: `incus storage create default dir` (or zfs, btrfs, lvm)",
            )  # fmt: skip
        for pool in pools:
            name, status = str(pool.get("name", "")), str(pool.get("status", ""))
            if status not in ("Created", ""):
                yield _host(
                    "pools", "error", f"the storage pool {name} is {status}",
                    f"see `incus storage info {name}` and the log of the host",
                )  # fmt: skip
                continue
            yield self._pool_space(name, str(pool.get("driver", "")))

    def _pool_space(self, name: str, driver: str) -> Finding:
        what = f"the storage pool {name} ({driver})"
        try:
            space = self.client.get(url("storage-pools", name, "resources")).data.get("space")
        except (Unauthorised, NotFound):
            return _host("pools", "ok", what)
        total, used = (
            (space.get("total"), space.get("used")) if isinstance(space, dict) else (None, None)
        )
        if not isinstance(total, int) or not isinstance(used, int) or total <= 0:
            return _host("pools", "ok", what)
        free = max(total - used, 0)
        shown = f"{what} has {free / 2**30:.1f} of {total / 2**30:.1f} GiB left"
        if free < _LITTLE:
            return _host(
                "pool_space", "warning", shown,
                "delete unused images, snapshots or volumes there, or enlarge the pool",
            )  # fmt: skip
        return _host("pools", "ok", shown)

    def _project(self) -> Iterator[Finding]:
        name = self.client.project
        try:
            project = self._facts.project(name)
        except Unauthorised as error:
            allowed = ", ".join(sorted(self._facts.projects())) or "none"
            yield _host(
                "project", "error", f"this client may not use the project {name}: {error.reason}",
                f"name one of the projects that it may use ({allowed}), or have the administrator "
                "of the host allow it",
            )  # fmt: skip
            return
        if project is None:
            yield _host(
                "project", "error", f"project {name} does not exist",
                f"create it (`incus project create {name}`), or name one of: "
                + ", ".join(sorted(self._facts.projects())),
            )  # fmt: skip
            return
        yield _host("project", "ok", f"the project {name} can be used")
        for resource, (limit, used) in sorted(project.usage.items()):
            if used >= limit:
                yield _host(
                    "project_limits", "warning",
                    f"the project {name} has reached its limits.{resource} ({used:g} of {limit:g})",
                    f"raise it: `incus project set {name} limits.{resource}=VALUE`",
                )  # fmt: skip
        yield from self._profile(name)

    def _profile(self, project: str) -> Iterator[Finding]:
        profiles = self._facts.profiles(project)
        devices = (profiles.get("default") or {}).get("devices") or {}
        if any(is_root(device) for device in devices.values()):
            yield _host("root_disk", "ok", "the profile default has a root disk")
        else:
            yield _host(
                "root_disk", "warning",
                f"the profile default of project {project} has no root disk",
                "add one (`incus profile device add default root disk path=/ pool=POOL --project "
                f"{project}`), or set storage_pool of each runtime",
            )  # fmt: skip
        nics = [device for device in devices.values() if device.get("type") == "nic"]
        if not nics:
            yield _host(
                "network", "warning",
                f"the profile default of project {project} has no network device, so that its "
                "instances have no network",
                "create a bridge and add it: `incus network create incusbr0`, then `incus profile "
                f"device add default eth0 nic network=incusbr0 --project {project}`",
            )  # fmt: skip
            return
        for name in sorted({nic["network"] for nic in nics if nic.get("network")}):
            yield self._network(name)
        if not any(nic.get("network") for nic in nics):
            yield _host("network", "ok", "the profile default has a network device")

    def _network(self, name: str) -> Finding:
        try:
            network = self.client.get(url("networks", name)).data
        except NotFound:
            return _host(
                "network", "error",
                f"the profile default uses the network {name}, which is missing",
                f"create it (`incus network create {name}`), or change the profile",
            )  # fmt: skip
        status = str(network.get("status", ""))
        if status not in ("Created", ""):
            return _host(
                "network", "error", f"the network {name} is {status}",
                f"see `incus network info {name}` and the log of the host",
            )  # fmt: skip
        return _host("network", "ok", f"the network {name} ({network.get('type', '')})")

    def _images(self) -> Iterator[Finding]:
        kinds: dict[str, int] = {}
        for targets in self._facts.aliases(self.client.project).values():
            for kind in targets:
                kinds[kind] = kinds.get(kind, 0) + 1
        wanted = [self._type] if self._type else sorted(kinds) or [""]
        for kind in wanted:
            if kinds.get(kind):
                number = f"{kinds[kind]} image alias{'' if kinds[kind] == 1 else 'es'}"
                yield _host("images", "ok", f"the project has {number} for a {kind}")
            else:
                yield _host(
                    "images", "warning",
                    f"the project {self.client.project} has no image alias"
                    + (f" for a {kind}" if kind else ""),
                    "declare an IncusImage, or copy one: `incus image copy images:debian/12/cloud "
                    "local: --alias debian-12" + (" --vm" if kind == "virtual-machine" else "")
                    + "`",
                )  # fmt: skip


def _server_certificate(about: dict[str, Any]) -> Iterator[Finding]:
    pem = str((about.get("environment") or {}).get("certificate") or "")
    if pem:
        yield from _certificate(
            "server_certificate",
            "the host's certificate",
            pem,
            "warning",
            "have the administrator of the host renew it, and then give its new fingerprint here",
        )


def _certificate(code: str, what: str, pem: str, expired: Level, advice: str) -> Iterator[Finding]:
    try:
        first, last = validity(pem)
    except ValueError:
        return
    now = datetime.now(UTC)
    if now > last or now < first:
        when = f"expired on {last:%Y-%m-%d}" if now > last else f"is valid from {first:%Y-%m-%d}"
        yield _host(code, expired, f"{what} {when}", advice)
    elif now > last - _SOON:
        yield _host(code, "warning", f"{what} expires on {last:%Y-%m-%d}", advice)
    else:
        yield _host(code, "ok", f"{what} is valid until {last:%Y-%m-%d}")


def _unreachable(error: IncusError) -> Finding:
    return _host(
        "connection", "error", str(error),
        "" if not isinstance(error, IncusUnreachable) else
        "start Incus there, and check address, socket and rights; nothing else of the host was "
        "checked",
    )  # fmt: skip


def _advice(table: tuple[tuple[str, str], ...], text: str) -> str:
    return next((advice for pattern, advice in table if re.search(pattern, text)), "")


def _host(code: str, level: Level, text: str, advice: str = "") -> Finding:
    return Finding(code, "host", level, text, advice)
