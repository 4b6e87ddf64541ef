"""The life of a stack with the oldest and with the newest of what is supported, out of the wheel.

Nothing of the checkout is there but the program, which is copied.
"""

import json
import shutil
from pathlib import Path

import pytest

from dev.paths import ROOT
from dev.supported import (
    NEWEST,
    OLDEST,
    Supported,
)
from pulumi_pika import __version__
from pulumi_pika.incus.client import IncusClient
from pulumi_pika.incus.storage import get_volume
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance

from ...conftest import IMAGE, Sandbox
from .environment import (
    Built,
    Environment,
    make_environment,
    needed_engine,
    needed_python,
)
from .life import (
    LIFE,
    SECRET,
    all_kinds,
    declare,
    spec,
)

_LOWEST = {"pulumi": "3.216", "pydantic": "2.7", "requests": "2.32", "requests-unixsocket": "0.4"}


@pytest.fixture(scope="module", params=[OLDEST, NEWEST], ids=lambda end: end.name)
def end(request: pytest.FixtureRequest) -> Supported:
    chosen: Supported = request.param
    return chosen


@pytest.fixture(scope="module")
def environment(
    end: Supported, built: Built, tmp_path_factory: pytest.TempPathFactory
) -> Environment:
    made = make_environment(tmp_path_factory.mktemp(end.name) / "venv", needed_python(end))
    # Named each: lowest-direct is about what is named, and not about what the wheel asks for.
    made.install("--resolution", end.resolution, built.wheel, *built.dependencies)
    return made


def test_environment_is_what_it_is_called(
    environment: Environment, end: Supported, tmp_path: Path
) -> None:
    code = (
        "import json, sys, pulumi_pika; from importlib.metadata import version; "
        "print(json.dumps([pulumi_pika.__file__, pulumi_pika.__version__, sys.version_info[:2], "
        "{name: version(name) for name in ('pulumi', 'pydantic', 'requests', "
        "'requests-unixsocket')}]))"
    )
    file, ours, python, versions = json.loads(environment.run("-c", code, cwd=tmp_path))
    assert Path(file).is_relative_to(environment.folder)
    assert ours == __version__
    assert ".".join(map(str, python)) == end.python
    lowest = [versions[name].startswith(f"{number}.") for name, number in _LOWEST.items()]
    # There is one series of requests-unixsocket, and of requests there may be.
    assert all(lowest) if end is OLDEST else not any(lowest[:2])


def test_engine_looks_for_no_plugin_of_ours(
    environment: Environment, end: Supported, tmp_path: Path, sandbox: Sandbox
) -> None:
    stack = environment.make_stack(tmp_path / "stack", sandbox.socket, needed_engine(end))
    stack.program("import pulumi_pika")
    said = stack.preview("--logtostderr", "-v=7")
    assert "gathering plugins from language host" in said
    assert "pulumi-resource-pika" not in said
    assert "package pika" not in said


def test_life_of_a_stack(
    environment: Environment,
    end: Supported,
    tmp_path: Path,
    sandbox: Sandbox,
    client: IncusClient,
    name: str,
) -> None:
    engine = needed_engine(end)
    stack = environment.make_stack(tmp_path / "stack", sandbox.socket, engine)
    stack.program(LIFE)
    declared = all_kinds(name, sandbox.socket)
    declare(stack, **declared)

    said = stack.up()
    assert "said by the job" in said
    assert "Warning" not in said
    assert stack.export()["deployment"]["manifest"]["version"] == f"v{end.engine}"
    outputs = stack.outputs()
    assert Path(outputs["package"]).is_relative_to(environment.folder)
    assert outputs["python"] == end.python
    assert outputs["runtime.status"] == "Running"
    assert outputs["job.exit_code"] == 0
    assert SECRET not in said + json.dumps(stack.export())

    stack.settled()

    first = fetch_instance(client, name)
    assert first is not None
    declared["runtime"]["resources"]["memory_mib"] = 96
    declared["runtime"]["delete_data"] = True
    declared["volume"]["delete_data"] = True
    declare(stack, **declared)
    preview = stack.run("preview", "--json")
    report = environment.run(
        "-m", "pulumi_pika", "report", "--format", "markdown", cwd=tmp_path, text=preview
    )
    assert "memory" in report
    assert "96" in report
    stack.up()
    second = fetch_instance(client, name)
    assert second is not None
    assert second.uuid == first.uuid, "an update in place made another instance"
    assert second.config["limits.memory"] == "96MiB"

    stack.destroy()
    assert not stack.resources()
    assert fetch_instance(client, name) is None
    for volume in (f"{name}-data", f"{name}-state", f"{name}-cache"):
        assert get_volume(client, "default", volume) is None


def test_plan_of_a_spec(environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(spec("planned")))
    shown = environment.run("-m", "pulumi_pika", "plan", "spec.json", cwd=tmp_path)
    assert json.loads(shown)["incus"]["image_alias"] == IMAGE


def test_tests_of_the_planner_pass(environment: Environment, tmp_path: Path) -> None:
    environment.install("pytest>=8", "hypothesis>=6.100", "jsonschema>=4.20")
    (tmp_path / "tests/unit").mkdir(parents=True)
    (tmp_path / "tests/__init__.py").touch()
    (tmp_path / "tests/unit/__init__.py").touch()
    for part in ("unit/planner", "vectors"):
        shutil.copytree(
            ROOT / "tests" / part,
            tmp_path / "tests" / part,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    # No plugin but its own: what else is installed is not what is tested.
    options = ["-q", "-p", "no:cacheprovider", "-W", "error", "--rootdir", "."]
    said = environment.run("-m", "pytest", *options, "tests/unit/planner", cwd=tmp_path)
    assert " passed" in said
    assert "skipped" not in said
