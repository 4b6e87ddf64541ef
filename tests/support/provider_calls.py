"""Call a provider as the engine does. The hidden property is open in what is returned, so that a
test can read and change single properties.
"""

from dataclasses import dataclass
from typing import Any

from pulumi.dynamic import CheckResult, CreateResult, DiffResult, ReadResult, UpdateResult

from pulumi_pika.providers import config_object
from pulumi_pika.providers.exec import IncusExecProvider
from pulumi_pika.providers.host_provider import HostProvider
from pulumi_pika.providers.job import IncusJobProvider
from pulumi_pika.providers.runtime import IncusRuntimeProvider
from pulumi_pika.providers.snapshot import VolumeSnapshotProvider
from pulumi_pika.providers.volume import PersistentVolumeProvider
from pulumi_pika.validation.hidden_property import open_hidden

Tree = dict[str, Any]


@dataclass(frozen=True)
class ProviderCalls:
    """The calls of one provider."""

    provider: HostProvider

    def check(self, news: Tree, olds: Tree | None = None) -> CheckResult:
        # Without `secret_inputs`, the provider refuses every call.
        result = self.provider.check(olds or {}, {"secret_inputs": [], **news})
        result.inputs = open_hidden(result.inputs)
        return result

    def diff(self, olds: Tree, news: Tree) -> DiffResult:
        return self.provider.diff("id", olds, news)

    def create(self, props: Tree) -> CreateResult:
        result = self.provider.create(props)
        result.outs = open_hidden(result.outs)
        return result

    def read(self, id_: str, props: Tree) -> ReadResult:
        result = self.provider.read(id_, props)
        result.outs = open_hidden(result.outs)
        result.inputs = None if result.inputs is None else open_hidden(result.inputs)
        return result

    def update(self, olds: Tree, news: Tree) -> UpdateResult:
        result = self.provider.update("id", olds, news)
        result.outs = open_hidden(result.outs)
        return result

    def delete(self, props: Tree) -> None:
        self.provider.delete("id", props)


runtime_calls = ProviderCalls(IncusRuntimeProvider())
job_calls = ProviderCalls(IncusJobProvider())
volume_calls = ProviderCalls(PersistentVolumeProvider())
snapshot_calls = ProviderCalls(VolumeSnapshotProvider())
exec_calls = ProviderCalls(IncusExecProvider())
object_calls = {
    provider.noun: ProviderCalls(provider())
    for provider in (
        config_object.IncusProfileProvider,
        config_object.IncusProjectProvider,
        config_object.IncusNetworkProvider,
        config_object.StoragePoolProvider,
    )
}
"""The calls for each kind of config object, by its noun."""
