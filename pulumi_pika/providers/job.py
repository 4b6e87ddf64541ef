"""The provider of `IncusJob`."""

from typing import Any

from pulumi.dynamic import (
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    UpdateResult,
)

from .host_provider import HostProvider

# `job_calls` and the layers below come with the first call; see `runtime`.


class IncusJobProvider(HostProvider):
    """Runs jobs.

    Thread-safe, and without attributes, so that it pickles to a reference that never changes.
    """

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Validates the inputs and adds the plan, all devices and the instance's name to them."""
        from . import job_calls

        return job_calls.check(news, _olds)

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Tells what runs the job anew."""
        from . import job_calls

        return job_calls.diff(_olds, _news)

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Runs the job."""
        from . import job_calls

        return job_calls.create(props)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Looks at the instance, where one was kept. The job itself is history."""
        from . import job_calls

        return job_calls.read(id_, props)

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Takes inputs that run nothing, and removes a kept instance whose time is over."""
        from . import job_calls

        return job_calls.update(_olds, _news)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Removes the instance, where one was kept."""
        from . import job_calls

        job_calls.delete(_props)
