"""A private Incus daemon with a directory and a socket of its own.

A host's own Incus is never used, started or touched. Everything of a sandbox is found by its
directory: the daemon's files, its processes (by their environment or by where their root file
system is), and its mounts. So a sandbox can be taken down completely even when its daemon was
killed or never came up.
"""

from __future__ import annotations

import contextlib
import grp
import hashlib
import ipaddress
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from dev import leftovers, rest
from dev.console import CommandFailed, Failure, run, say
from dev.namespace import Namespace
from dev.paths import ROOT
from dev.root import as_root, is_root

# What `struct sockaddr_un` has room for, less the closing zero byte.
_SOCKET_LIMIT = 107
_USUAL_PLACES = ("/usr/libexec/incus/incusd", "/opt/incus/bin/incusd", "/usr/lib/incus/incusd")


# Of the file that a pool of another driver than `dir` is in; it has holes, and takes what is used.
_POOL_SIZE = "8GiB"


class DaemonError(Failure):
    """The daemon did not do what was asked."""


def incusd() -> Path | None:
    """The daemon's program, wherever a package put it."""
    on_path = shutil.which("incusd")
    for place in (*_USUAL_PLACES, *([on_path] if on_path else [])):
        if os.access(place, os.X_OK):
            return Path(place)
    return None


def clear_abandoned(prefix: str) -> None:
    """Destroy the sandboxes of runs that were interrupted; see `leftovers.abandoned`.

    One that can't be removed is named and stays: it is in nobody's way.
    """
    with leftovers.abandoned(prefix) as directories:
        for directory in directories:
            try:
                Daemon(directory).destroy()
            except (Failure, OSError) as error:
                say(f"{directory} of an interrupted run stays: {error}")


class Daemon:
    """A private `incusd` on one directory, which must be dedicated to it and short of path.

    Started daemons survive this process. An object made later for the same directory, also by
    another process, controls the same daemon.

    Args:
        directory: the daemon's.
        core: the only one that it is to run on, by number, with all that it starts. Its threads and
            its database take turns, so that it gains nothing from two; and in a virtual machine,
            where waking another core is dear, it needs twice the time on them.
        tree: a folder with the programs to start it with, of `incus_tree`; the machine's own if
            None.
        driver: that of the pool `default` that `init` makes.
    """

    def __init__(
        self,
        directory: Path | str,
        *,
        core: int | None = None,
        tree: Path | None = None,
        driver: str = "dir",
    ) -> None:
        self.directory = Path(directory).absolute()
        self.core = core
        self.tree = tree
        self.driver = driver
        self.socket = self.directory / "unix.socket"
        self.log = self.directory / "daemon.log"
        if len(bytes(self.socket)) > _SOCKET_LIMIT:
            raise DaemonError(
                f"{self.socket} is too long for a socket ({_SOCKET_LIMIT} bytes at most)"
            )

    # Requests

    def request(self, method: str, path: str, body: object | None = None, **more: Any) -> Any:
        """Send a request below `/1.0`; see `rest.request`."""
        return rest.request(self.socket, method, path, body, **more)

    def answers(self) -> bool:
        """Whether the daemon answers on its socket."""
        try:
            self.request("GET", "", timeout=5)
        except (OSError, Failure):
            return False
        return True

    def as_daemon(self, argv: Sequence[str]) -> list[str]:
        """The command that runs `argv` as root, where files and mounts are as the daemon sees them.

        That is in its mount namespace, where it has one: its storage pools are mounted there.
        """
        namespace = self._namespace()
        return as_root(namespace.command(argv) if namespace else argv)

    # Life

    def start(self, timeout: float = 60.0, *, group: str | None = None) -> None:
        """Start the daemon unless it answers already, and wait until it does.

        Its socket is open to `group`, the user's own one if not given.
        """
        if self.answers():
            return
        group = group or _own_group()
        with _only_on(self.core):
            if is_root():
                self._launch(group, timeout)
            else:
                self._delegate("start", timeout, group)

    def stop(self, timeout: float = 30.0) -> None:
        """Stop all instances and the daemon; leave no process and no mount, but all data."""
        self._clean_up("stop", timeout)

    def destroy(self, timeout: float = 30.0) -> None:
        """Stop everything and remove the directory and all that Incus made elsewhere."""
        self._clean_up("destroy", timeout)

    def kill(self) -> None:
        """End the daemon as a crash would, at once; its containers run on."""
        if is_root():
            _signal(leftovers.processes(self.directory).daemons, signal.SIGKILL, 10.0)
        else:
            self._delegate("kill")

    def restart(self, timeout: float = 60.0, *, group: str | None = None) -> None:
        """End the daemon in order and start it again; its containers run on meanwhile."""
        group = group or _own_group()
        with _only_on(self.core):
            if not is_root():
                self._delegate("restart", timeout, group)
                return
            daemons = leftovers.processes(self.directory).daemons
            if not _signal(daemons, signal.SIGTERM, timeout):
                raise DaemonError(f"incusd did not end within {timeout:.0f} s")
            self._launch(group, timeout)

    # Content

    def init(self) -> None:
        """Make the storage pool `default` and a root disk in the default profile."""
        pools = self.request("GET", "/storage-pools") or []
        if "/1.0/storage-pools/default" not in pools:
            config = {} if self.driver == "dir" else {"size": _POOL_SIZE}
            pool = {"name": "default", "driver": self.driver, "config": config}
            self.request("POST", "/storage-pools", pool)
        profile = self.request("GET", "/profiles/default")
        if "root" not in profile["devices"]:
            root = {"type": "disk", "path": "/", "pool": "default"}
            self.request("PATCH", "/profiles/default", {"devices": {"root": root}})

    def add_network(self, name: str) -> None:
        """Make a bridge with DHCP, and an `eth0` on it in the default profile.

        A bridge is visible on the whole machine: the name must be this sandbox's own, and have 15
        characters at most. Firewall, routing and NAT of the machine are left as they are, so
        instances reach each other and the machine, and nothing else.
        """
        if f"/1.0/networks/{name}" not in self.request("GET", "/networks"):
            config = {
                "ipv4.address": _free_address(name),
                "ipv4.firewall": "false",
                "ipv4.nat": "false",
                "ipv4.routing": "false",
                "ipv6.address": "none",
                "ipv6.firewall": "false",
            }
            self.request("POST", "/networks", {"name": name, "type": "bridge", "config": config})
        nic = {"type": "nic", "name": "eth0", "network": name}
        self.request("PATCH", "/profiles/default", {"devices": {"eth0": nic}})

    def import_image(self, image: Path, alias: str) -> str:
        """Import an image file unless it is there, let `alias` point to it; its fingerprint."""
        with image.open("rb") as file:
            fingerprint = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            if f"/1.0/images/{fingerprint}" not in (self.request("GET", "/images") or []):
                self.request("POST", "/images", upload=file)
        target = {"target": fingerprint}
        try:
            self.request("PATCH", f"/images/aliases/{rest.part(alias)}", target)
        except rest.ApiError as error:
            if error.status != 404:
                raise
            self.request("POST", "/images/aliases", {"name": alias, **target})
        return fingerprint

    # Inside

    def _namespace(self) -> Namespace | None:
        return Namespace(self.directory, self.tree) if self.tree else None

    def _launch(self, group: str, timeout: float) -> None:
        program = Path(_USUAL_PLACES[0]) if self.tree else incusd()
        if program is None:
            raise DaemonError("incusd is not installed; `python3 dev tools` gets it")
        leftovers.claim(self.directory)
        # One that runs but does not answer would hold the database's lock.
        self.kill()
        # The daemon wants this one whatever its own directory is.
        Path("/var/log/incus").mkdir(parents=True, exist_ok=True)
        position = self.log.stat().st_size if self.log.exists() else 0
        argv = [str(program), "--group", group, "--logfile", str(self.log)]
        if namespace := self._namespace():
            namespace.ensure()
            argv = namespace.command(argv)
        with (self.directory / "daemon.out").open("ab") as output:
            # Forked, so that it is no child of this process, which may end long before it.
            subprocess.run(
                ["setsid", "--fork", *argv],
                env=_environment(program, self.directory),
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=True,
            )
        begun = time.monotonic()
        while not self.answers():
            waited = time.monotonic() - begun
            # It takes a moment until the forked process is the daemon.
            ended = waited > 1 and not leftovers.processes(self.directory).daemons
            if ended or waited > timeout:
                state = "ended at once" if ended else f"is not up after {timeout:.0f} s"
                raise DaemonError(
                    f"incusd {state}; the end of {self.log}:\n{_tail(self.log, position)}"
                )
            time.sleep(0.05)

    def _clean_up(self, action: str, timeout: float) -> None:
        if not os.path.lexists(self.directory):
            return
        if not is_root():
            self._delegate(action, timeout)
            return
        if self.answers():
            self._stop_instances(timeout)
        if not _signal(leftovers.processes(self.directory).daemons, signal.SIGTERM, timeout):
            self.kill()
        leftovers.end(self.directory)
        if action == "destroy":
            leftovers.remove(self.directory)

    def _stop_instances(self, timeout: float) -> None:
        with contextlib.suppress(OSError, Failure):
            instances = self.request("GET", "/instances?recursion=1&all-projects=true") or []
            paths = [
                f"/instances/{rest.part(it['name'])}/state?project={rest.part(it['project'])}"
                for it in instances
                if it["status"] not in ("Stopped", "Error")
            ]

            def stop(path: str) -> None:
                # What does not stop in order is killed afterwards.
                with contextlib.suppress(OSError, Failure):
                    body = {"action": "stop", "force": True, "timeout": 0}
                    self.request("PUT", path, body, timeout=timeout)

            with ThreadPoolExecutor(8) as pool:
                list(pool.map(stop, paths))

    def _delegate(self, action: str, *arguments: object) -> None:
        command = [sys.executable, str(ROOT / "dev"), "daemon", action, str(self.directory)]
        command += map(str, arguments)
        if self.tree:
            command += ["--tree", str(self.tree)]
        try:
            run(as_root(command))
        except CommandFailed as error:
            raise DaemonError(str(error)) from error


def _signal(pids: list[int], number: signal.Signals, timeout: float) -> bool:
    """Send a signal to processes and wait until they are gone; whether they are."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    deadline = time.monotonic() + timeout
    while any(leftovers.alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@contextlib.contextmanager
def _only_on(core: int | None) -> Iterator[None]:
    """Have what this thread starts run on one core."""
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _own_group() -> str:
    return "root" if is_root() else grp.getgrgid(os.getgid()).gr_name


def _free_address(name: str) -> str:
    """An IPv4 address with a subnet that this machine has no route to, different for each name.

    Incus's own choice ("auto") wants nobody to answer a ping there, and finds no subnet at all
    where a router answers for everything.
    """
    listed = subprocess.run(["ip", "-4", "-j", "route"], capture_output=True, check=True).stdout
    routes = [
        ipaddress.IPv4Network(route["dst"])
        for route in json.loads(listed or b"[]")
        if route["dst"] != "default"
    ]
    for attempt in range(100):
        digest = hashlib.sha256(f"{name}{attempt}".encode()).digest()
        subnet = ipaddress.IPv4Network((bytes([10, digest[0], digest[1], 0]), 24))
        if not any(subnet.overlaps(route) for route in routes):
            return f"{subnet[1]}/24"
    raise DaemonError("no free IPv4 subnet in 10.0.0.0/8 for the sandbox's network")


def _environment(program: Path, directory: Path) -> dict[str, str]:
    kept = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "GOGC")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment["INCUS_DIR"] = str(directory)
    environment["HOME"] = "/root"
    prefix = program.parent.parent
    if prefix == Path("/opt/incus"):
        # Packages that bring everything along in /opt/incus start the daemon with these.
        environment |= {
            "INCUS_EDK2_PATH": f"{prefix}/share/qemu",
            "INCUS_LXC_HOOK": f"{prefix}/share/lxc/hooks",
            "INCUS_LXC_TEMPLATE_CONFIG": f"{prefix}/share/lxc/config",
            "LD_LIBRARY_PATH": f"{prefix}/lib",
            "PATH": f"{prefix}/bin:" + environment.get("PATH", os.defpath),
        }
    return environment


def _tail(log: Path, position: int) -> str:
    try:
        with log.open("rb") as file:
            file.seek(position)
            text = file.read().decode(errors="replace")
    except OSError as error:
        return str(error)
    return "\n".join(text.splitlines()[-15:]) or "(empty)"
