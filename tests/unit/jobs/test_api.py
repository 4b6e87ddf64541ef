"""The arguments of `run_job`: flat ones, a whole spec, and both."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from pulumi_pika.incus.hosts import HostSettings
from pulumi_pika.jobs import api
from pulumi_pika.jobs.api import RunJobOptions, run_job
from pulumi_pika.jobs.job_errors import JobRefused
from pulumi_pika.jobs.job_options import JobOptions
from pulumi_pika.planner.flat_arguments import FLAT_ARGUMENTS
from pulumi_pika.planner.plan import IncusRuntimePlan
from pulumi_pika.planner.spec import RuntimeSpec
from pulumi_pika.reconcile.instances.runtime_options import RuntimeOptions

SPEC: dict[str, Any] = {
    "provider": "incus",
    "identity": {"runtime_id": "id", "instance_name": "box"},
    "incus": {"project": "p", "profile": "q", "image_alias": "i"},
}
Planned = tuple[IncusRuntimePlan, RuntimeOptions, JobOptions]


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Planned]:
    """What `run_job` would run, without a host."""
    found: list[Planned] = []

    class Client:
        def __init__(self, project: str) -> None:
            self.project = project

        def in_project(self, project: str) -> "Client":
            return Client(project)

    def run(client: Client, plan: Any, runtime: Any, job: Any, _watcher: Any) -> None:
        assert client.project == plan.incus.project
        found.append((plan, runtime, job))

    def connected(host: HostSettings | None) -> Client:
        return Client((host.project if host else "") or "default")

    monkeypatch.setattr(api, "run_attempts", run)
    monkeypatch.setattr(api, "connected", connected)

    def call(*arguments: Any, **more: Any) -> Planned:
        if more.pop("with_client", False):
            more["client"] = Client("of-the-client")
        run_job(*arguments, **more)
        return found[-1]

    return call


def test_flat_arguments_make_the_plan(planned: Callable[..., Planned]) -> None:
    given = {
        "image": "i",
        "project": "p",
        "profile": "q",
        "instance_name": "box",
        "runtime_id": "id",
        "vcpu_count": 3,
        "memory_mib": 64,
        "root_disk_gib": 2,
    }
    assert given.keys() == FLAT_ARGUMENTS.keys()
    plan, runtime, job = planned(command="true", instance_type="container", uid=7, **given)
    for name, (part, field) in FLAT_ARGUMENTS.items():
        assert getattr(getattr(plan, part), field) == given[name]
    assert (runtime.instance_type, job.uid, job.command) == ("container", 7, "true")
    whole, _, _ = planned({**SPEC, "resources": dict(plan.resources)}, "true")
    assert whole == plan


def test_an_image_is_enough(planned: Callable[..., Planned]) -> None:
    plan, runtime, job = planned(command=["echo", "a b"], image="i", memory_mib=None)
    assert re.fullmatch(r"job-[0-9a-f]{8}", plan.identity.instance_name)
    assert plan.identity.runtime_id == plan.identity.instance_name
    assert plan.incus.model_dump() == {
        "project": "default",
        "profile": "default",
        "image_alias": "i",
    }
    assert (plan.resources.vcpu_count, plan.resources.memory_mib) == (2, 4096)
    assert job == JobOptions(command="echo 'a b'", owner=f"run_job:{plan.identity.runtime_id}")
    assert runtime.instance_type == "virtual-machine"
    assert runtime.timeouts.wait == 300
    other, _, _ = planned(command="true", image="i")
    assert other.identity != plan.identity


def test_the_project_is_the_hosts(planned: Callable[..., Planned]) -> None:
    of_settings, _, _ = planned(command="true", image="i", host=HostSettings(project="mine"))
    assert of_settings.incus.project == "mine"
    of_client, _, _ = planned(command="true", image="i", with_client=True)
    assert of_client.incus.project == "of-the-client"
    spec = {**SPEC, "incus": {"profile": "q", "image_alias": "i"}}
    of_spec, _, _ = planned(spec, "true", with_client=True)
    assert of_spec.incus.project == "of-the-client"
    assert "project" not in spec["incus"], "the caller's own mapping was changed"


@pytest.mark.parametrize("as_model", [False, True])
def test_flat_arguments_beside_a_spec(planned: Callable[..., Planned], as_model: bool) -> None:
    spec: Any = RuntimeSpec.model_validate(SPEC) if as_model else SPEC
    plan, _, _ = planned(spec, "true", memory_mib=64)
    assert (plan.resources.memory_mib, plan.identity.instance_name) == (64, "box")
    with pytest.raises(JobRefused) as caught:
        planned(spec, "true", project="other", runtime_id="x")
    assert str(caught.value) == (
        "project: conflicts with incus.project of the spec; remove one of them; "
        "runtime_id: conflicts with identity.runtime_id of the spec; remove one of them"
    )
    assert caught.value.code == "conflict"


def test_what_is_missing_or_unknown(planned: Callable[..., Planned]) -> None:
    with pytest.raises(JobRefused, match="image: is required, unless a spec is given") as caught:
        planned(command="true")
    assert caught.value.code == "required"
    with pytest.raises(JobRefused, match="command: must be non-empty"):
        planned(image="i")
    with pytest.raises(TypeError, match="unexpected keyword argument 'memory'"):
        planned(command="true", image="i", memory=3)


def test_options_are_those_of_the_models() -> None:
    fields = JobOptions.model_fields.keys() | RuntimeOptions.model_fields.keys()
    others = {*FLAT_ARGUMENTS, "host", "client", "watcher"} - {"image"}
    assert RunJobOptions.__annotations__.keys() - others <= fields
    assert {*api._JOB_FIELDS, *api._RUNTIME_FIELDS, "timeouts"} == (
        RunJobOptions.__annotations__.keys() - others
    )
