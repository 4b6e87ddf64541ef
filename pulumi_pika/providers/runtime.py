"""The provider of `IncusRuntime`."""

from typing import Any

from pulumi.dynamic import (
    CheckResult,
    CreateResult,
    DiffResult,
    ReadResult,
    UpdateResult,
)

from .host_provider import HostProvider

# `runtime_calls` and the layers below come with the first call: a program that only declares
# resources imports this module for the class, and pays for no HTTP client and no planner.


class IncusRuntimeProvider(HostProvider):
    """Makes, changes and removes instances.

    Thread-safe, and without attributes, so that it pickles to a reference that never changes.
    """

    def check(self, _olds: dict[str, Any], news: dict[str, Any]) -> CheckResult:
        """Validates the inputs and adds the plan, all devices and the instance's name to them."""
        from . import runtime_calls

        return runtime_calls.check(news, _olds)

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        """Compares plan with plan."""
        from . import runtime_calls

        return runtime_calls.diff(_olds, _news)

    def create(self, props: dict[str, Any]) -> CreateResult:
        """Makes the instance and the volumes that it lacks, or nothing."""
        from . import runtime_calls

        return runtime_calls.create(props)

    def read(self, id_: str, props: dict[str, Any]) -> ReadResult:
        """Reads the live instance back; one that is gone reads as a resource that is gone."""
        from . import runtime_calls

        return runtime_calls.read(id_, props)

    def update(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> UpdateResult:
        """Changes the instance in place."""
        from . import runtime_calls

        return runtime_calls.update(_olds, _news)

    def delete(self, _id: str, _props: dict[str, Any]) -> None:
        """Removes the instance. Its volumes stay."""
        from . import runtime_calls

        runtime_calls.delete(_props)
