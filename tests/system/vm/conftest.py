"""The lane of virtual machines: real ones, on a host that `--vm-host` names.

The tests of a file go on with the machine that its first one made, in the order of the file, since
a boot takes minutes where the host itself is emulated. A test whose step failed does not stop the
others. With `--vm-keep FOLDER` a single one can be run again on the same machine.
"""

from __future__ import annotations

import os
import secrets
import shutil
import time
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from dev import vm_lab_client, vm_lab_machine, vm_lab_outer, vm_lane
from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.hosts import HostSettings, connect, resolve
from pulumi_pika.incus.storage import pool_driver

from .machine import Machine, VmHost, root_pool, sweep

_HOST = pytest.StashKey[VmHost]()
_STEPS = pytest.StashKey[list[vm_lane.Step]]()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--vm-host"):
        return
    here = Path(__file__).parent
    left_out = [item for item in items if here in item.path.parents]
    if left_out:
        items[:] = [item for item in items if item not in left_out]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session")
def host(request: pytest.FixtureRequest) -> VmHost:
    """The host that the command line names."""
    named = str(request.config.getoption("--vm-host"))
    alias = str(request.config.getoption("--vm-image"))
    environment: dict[str, str] = {}
    restart = None
    if named == "lab":
        if not vm_lab_client.is_complete() or vm_lab_machine.pid() is None:
            pytest.exit("The lab does not run: `python3 dev vm-lab up` starts it", returncode=3)
        environment = vm_lab_client.settings()
        alias = alias or vm_lab_outer.ALIAS
        restart = _restart_in_lab
    elif named.startswith("/"):
        environment = {"INCUS_SOCKET": named}
    else:
        environment = {"INCUS_REMOTE": named.rstrip(":")}
    if not alias:
        pytest.exit("--vm-image: name the alias of a virtual machine's image there", returncode=3)
    client = connect(resolve(HostSettings(), {**os.environ, **environment})).in_project("default")
    if "virtual-machine" not in client.server().instance_types:
        pytest.exit(f"{client.host} runs no virtual machines", returncode=3)
    share = str(request.config.getoption("--vm-share"))
    pool = str(request.config.getoption("--vm-pool")) or root_pool(client)
    sockets = client.get("/1.0/resources").data["cpu"]["sockets"]
    emulated = any("TCG" in str(socket.get("name")) for socket in sockets)
    found = VmHost(client, environment, alias, share, restart, pool, emulated)
    request.config.stash[_HOST] = found
    return found


@pytest.fixture(scope="session")
def client(host: VmHost) -> IncusClient:
    return host.client


@pytest.fixture(scope="module")
def machine(
    request: pytest.FixtureRequest, host: VmHost, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """The machine of a file of tests, and its stack; its first test makes it."""
    kept = str(request.config.getoption("--vm-keep"))
    if kept:
        folder = Path(kept).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "name"
        if not file.exists():
            file.write_text(f"t-{secrets.token_hex(4)}")
        yield Machine.in_folder(host, file.read_text(), folder)
        return
    name = f"t-{secrets.token_hex(4)}"
    folder = tmp_path_factory.mktemp("vm")
    try:
        yield Machine.in_folder(host, name, folder)
    finally:
        sweep(host.client, name)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def name(host: VmHost) -> Iterator[str]:
    """A name that nothing else has; what begins with it is removed after."""
    prefix = f"t-{secrets.token_hex(4)}"
    yield prefix
    sweep(host.client, prefix)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    host = item.config.stash.get(_HOST, None)
    over = report.when == "call" or (report.when == "setup" and report.outcome != "passed")
    if over and host is not None and Path(__file__).parent in item.path.parents:
        what = (item.obj.__doc__ or item.name).strip().splitlines()[0]  # type: ignore[attr-defined]
        boots = [float(str(value)) for name, value in report.user_properties if name == "boot"]
        step = vm_lane.Step(
            what=what,
            server=host.client.server().version,
            pool=pool_driver(host.client, host.pool),
            host="emulated" if host.emulated else "KVM",
            outcome=report.outcome,
            seconds=round(report.duration),
            boot=round(boots[0]) if boots else None,
            date=time.strftime("%Y-%m-%d"),
        )
        item.config.stash.setdefault(_STEPS, []).append(step)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table of what was run on virtual machines, and keep it with `--vm-record`."""
    steps = terminalreporter.config.stash.get(_STEPS, [])
    if not steps:
        return
    terminalreporter.section("virtual machines")
    for line in vm_lane.table(steps, seconds=True):
        terminalreporter.line(line)
    if terminalreporter.config.getoption("--vm-record"):
        kept = vm_lane.record(steps)
        vm_lane.write_page(kept)
        terminalreporter.line("The outcomes are in docs/support.md.")


def _restart_in_lab() -> None:
    code, output = vm_lab_machine.execute("systemctl restart vm-lab-incus")
    assert code == 0, output
