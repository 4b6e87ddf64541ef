"""What tests share: a real Incus daemon of their own, images, names that are used once.

Nothing here is a fake. A run without Incus fails at once and says how to get it.
"""

import contextlib
import os
import secrets
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dev import image, lanes
from dev.console import Failure
from dev.packages import busybox, has_btrfs
from dev.rest import ApiError
from dev.sandbox import Daemon, clear_abandoned
from dev.servers import Release, release_named, releases
from pulumi_pika.incus.client import IncusClient

PREFIX = "/var/tmp/pika-test-"
IMAGE = "pika/tiny"
OTHER_IMAGE = "pika/tiny-two"
# The files that take longest. They come first, so that no worker is left alone with one.
_LONG = (
    "system/docs/test_samples.py",
    "system/engine/test_hosts.py",
    "system/faults/test_matrix.py",
    "system/engine/test_jobs.py",
    "system/engine/test_volumes.py",
    "system/engine/test_up.py",
    "system/docs/test_samples_tutorial.py",
    "integration/cli/test_run.py",
    "system/release/test_upgrade.py",
    "system/release/test_supported.py",
    "system/secrets/test_life_cycle.py",
    "system/engine/test_report.py",
    "system/engine/test_options.py",
    "integration/jobs/test_stages.py",
    "system/examples/test_hosts.py",
    "integration/jobs/test_faults.py",
    "integration/hosts/test_cluster.py",
    "system/examples/test_agents.py",
    "system/fuzz/test_check.py",
    "system/examples/test_component.py",
    "integration/jobs/test_killed.py",
    "system/examples/test_volume.py",
    "integration/jobs/test_run.py",
    "integration/jobs/test_collect.py",
    "system/docs/test_messages.py",
    "system/examples/test_runtimes.py",
    "integration/providers/test_no_perpetual_diff.py",
)


@dataclass
class _Chosen:
    """What the daemons of this run are, by its options."""

    release: Release | None = None
    driver: str = "dir"


_chosen = _Chosen()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("incus", "the Incus daemons of the tests")
    group.addoption(
        "--incus",
        default=os.environ.get("PIKA_TEST_INCUS", "newest"),
        metavar="VERSION",
        help="the server: `6.0`, `7.0`, `oldest` or `newest` of those that are here (newest)",
    )
    group.addoption(
        "--pool",
        default=os.environ.get("PIKA_TEST_POOL", "dir"),
        choices=["dir", "btrfs"],
        help="the driver of the pool `default` (dir)",
    )
    machines = parser.getgroup("virtual machines", "tests/system/vm: a host where they run")
    machines.addoption(
        "--vm-host",
        default=os.environ.get("PIKA_TEST_VM_HOST", ""),
        metavar="HOST",
        help="`lab` (see `python3 dev vm-lab`), a remote of the incus client, or the path of a "
        "daemon's socket; without it these tests are left out",
    )
    machines.addoption(
        "--vm-image",
        default=os.environ.get("PIKA_TEST_VM_IMAGE", ""),
        metavar="ALIAS",
        help="the alias of a virtual machine's image there, with the incus-agent (the lab's own)",
    )
    machines.addoption(
        "--vm-share",
        default="/usr/share",
        metavar="FOLDER",
        help="a folder of the host that is not empty, which machines get read-only (/usr/share)",
    )
    machines.addoption(
        "--vm-pool",
        default=os.environ.get("PIKA_TEST_VM_POOL", ""),
        metavar="POOL",
        help="the storage pool of the machines and their volumes (that of the default profile)",
    )
    machines.addoption(
        "--vm-record",
        action="store_true",
        help="keep the outcomes in tests/system/vm/outcomes.json and docs/support.md",
    )
    machines.addoption(
        "--vm-keep",
        default="",
        metavar="FOLDER",
        help="keep the machine and its stack there for a next run, which may be of single tests",
    )

    group.addoption("--outcomes", type=Path, metavar="FILE", help="where to write what came out")


def pytest_configure(config: pytest.Config) -> None:
    _chosen.driver = config.getoption("--pool")
    if releases():
        try:
            _chosen.release = release_named(config.getoption("--incus"))
        except Failure as failure:
            raise pytest.UsageError(str(failure)) from None
    if _chosen.driver == "btrfs" and not has_btrfs():
        raise pytest.UsageError("this machine can make no btrfs pool; see `python3 dev tools`")


@dataclass(frozen=True)
class Sandbox:
    """A daemon with two images: the same content but for /etc/marker, and the fingerprints."""

    daemon: Daemon
    image: str
    other_image: str

    @property
    def socket(self) -> Path:
        return self.daemon.socket


def daemon_directory(number: str) -> Path:
    """A directory for one more daemon of this test run."""
    return Path(f"{PREFIX}{os.getpid()}-{number}")


def one_more_daemon(number: str) -> Daemon:
    """A daemon of this test run, not started yet; it runs on the core of its worker."""
    cores = sorted(os.sched_getaffinity(0))
    worker = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
    core = cores[int(worker) % len(cores)] if worker else None
    tree = _chosen.release.tree if _chosen.release else None
    return Daemon(daemon_directory(number), core=core, tree=tree, driver=_chosen.driver)


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    try:
        program = busybox()
    except Failure:
        program = None
    if _chosen.release is None or program is None:
        pytest.exit(
            "Incus or busybox is not installed, and nothing stands in for them: "
            "run `python3 dev tools`, or all at once `python3 dev test`",
            returncode=3,
        )
    clear_abandoned(PREFIX)
    daemon = one_more_daemon("0")
    # An interrupted run may have had this very process number.
    daemon.destroy()
    try:
        daemon.start()
        daemon.init()
        daemon.acknowledge_warnings()
        fingerprints = []
        for alias, marker in ((IMAGE, "one"), (OTHER_IMAGE, "two")):
            file = daemon.directory / f"{marker}.tar"
            image.build(file, program, marker=marker)
            fingerprints.append(daemon.import_image(file, alias))
        yield Sandbox(daemon, *fingerprints)
    finally:
        daemon.destroy()


@pytest.fixture
def client(sandbox: Sandbox) -> IncusClient:
    return IncusClient(sandbox.socket)


@pytest.fixture
def name(sandbox: Sandbox) -> Iterator[str]:
    """A name that nothing else has; instances and volumes that begin with it are removed after."""
    prefix = f"t-{secrets.token_hex(4)}"
    yield prefix
    sweep(sandbox.daemon, prefix)


@pytest.fixture
def held_limits(sandbox: Sandbox) -> None:
    """Skips a test of limits in the kernel where Incus says that it holds none.

    Incus 7 does so where the machine's control groups are of version 1, or of both versions.
    """
    listed = sandbox.daemon.request("GET", "/warnings?recursion=1")
    said = [str(warning["last_message"]) for warning in listed]
    if ignored := [text for text in said if text == "memory limits will be ignored"]:
        pytest.skip(f"Incus says of this machine: {ignored[0]}")


def sweep(daemon: Daemon, prefix: str, project: str = "default") -> None:
    """Removes the instances and custom volumes whose names begin with a prefix."""
    query = f"?project={project}"
    for path in daemon.request("GET", f"/instances{query}"):
        instance = path.partition("?")[0].rpartition("/")[2]
        if instance.startswith(prefix):
            _remove_instance(daemon, f"/instances/{instance}", query)
    for path in daemon.request("GET", "/storage-pools"):
        pool = path.rpartition("/")[2]
        for volume in custom_volumes(daemon, prefix, pool, project):
            # A snapshot goes with its volume.
            if "/" not in volume:
                daemon.request("DELETE", f"/storage-pools/{pool}/volumes/custom/{volume}{query}")


def custom_volumes(
    daemon: Daemon, prefix: str, pool: str = "default", project: str = "default"
) -> set[str]:
    """The custom volumes whose names begin with a prefix; snapshots as `VOLUME/snapshots/NAME`.

    No more than the names: to say of each who uses it costs Incus 5 ms, and it is asked often.
    """
    custom = f"/storage-pools/{pool}/volumes/custom"
    listed = daemon.request("GET", f"{custom}?project={project}")
    names = (path.partition("?")[0].removeprefix(f"/1.0{custom}/") for path in listed)
    return {name for name in names if name.startswith(prefix)}


def _remove_instance(daemon: Daemon, path: str, query: str) -> None:
    # What a failed test started may still be starting, or stopping, under our hands.
    for _ in range(20):
        with contextlib.suppress(ApiError):
            daemon.request("PUT", f"{path}/state{query}", {"action": "stop", "force": True})
        try:
            daemon.request("DELETE", f"{path}{query}")
        except ApiError as error:
            if error.status == 404:
                return
            time.sleep(0.3)
        else:
            return
    raise AssertionError(f"{path} could not be removed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    tests = Path(__file__).parent
    for item in items:
        tier = item.path.relative_to(tests).parts[0]
        item.add_marker(tier)
    order = {tests / path: number for number, path in enumerate(_LONG)}
    items.sort(key=lambda item: order.get(item.path, len(order)))


def _outcomes(reporter: pytest.TerminalReporter) -> list[lanes.Outcome]:
    """What came out, by folder of tests, with the server and the pool of this run."""
    counts: dict[str, list[int]] = {}
    for place, names in enumerate((("passed",), ("failed", "error"), ("skipped",))):
        for report in (it for name in names for it in reporter.stats.get(name, ())):
            folder = "/".join(report.nodeid.split("/")[1:3])
            counts.setdefault(folder, [0, 0, 0])[place] += 1
    version = _chosen.release.version if _chosen.release else "?"
    found = {folder: (of[0], of[1], of[2]) for folder, of in counts.items()}
    return lanes.outcomes(found, version, _chosen.driver)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Prints what became of each fault, where faults were tried; by whichever worker.

    And what came out with this run's server and pool.
    """
    from .support.faults.table import (
        lines,
        others_lines,
        sections,
    )

    found = _outcomes(terminalreporter)
    if file := config.getoption("--outcomes"):
        lanes.write(file, found)
    reports = [report for some in terminalreporter.stats.values() for report in some]
    for title, table in (
        ("faults", lines(reports)),
        ("what others do", others_lines(reports)),
        *sections(reports).items(),
        ("servers", lanes.table(found) if found else []),
    ):
        if table:
            terminalreporter.section(title)
            terminalreporter.line("\n".join(table))


def pytest_report_header() -> list[str]:
    if _chosen.release is None:
        incus = "not found"
    else:
        incus = (
            f"{_chosen.release.version} ({_chosen.release.tree or 'the own one of this machine'})"
        )
        others = [it.version for it in releases() if it is not _chosen.release]
        incus += f"; also here: {', '.join(others)}" if others else "; no other is here"
    return [f"incus: {incus}", f"pool: {_chosen.driver}", f"python: {sys.executable}"]
