"""The report as data: what all formats show, and what `--format json` writes."""

import json
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, JsonValue

SCHEMA_VERSION: Final = 1
"""Raised when the shape changes so that a reader of the earlier one would go wrong."""

Kind = Literal["runtime", "job", "volume", "snapshot", "host"]
Action = Literal["create", "update", "update_with_restart", "replace", "delete", "release"]
WarningKind = Literal[
    "error", "delete_data", "stop_keeping_data", "delete", "replace", "restart", "restore",
    "left_out", "preflight", "other",
]  # fmt: skip
Condition = Literal[
    "replace", "delete", "delete-data", "stop-keeping-data", "restart", "warnings", "any-change",
    "errors",
]  # fmt: skip


DATA_DELETING_OPTION: Final[dict[Kind, str]] = {"runtime": "delete_data", "volume": "delete_data"}
"""The option with which a resource's data goes when it is deleted or replaced."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Notice(_Part):
    """Something that a reviewer should know first."""

    kind: WarningKind
    """What it is about; the gravest kinds come first."""
    resource: str
    """The resource's name in the stack; empty where it is about none."""
    text: str
    """The warning, as text."""
    stops: bool
    """Whether an instance may restart for it, or is stopped for a while."""


class Value(_Part):
    """A property, before and after; null where there is none."""

    path: str
    """The property path, as `resources.memory_mib`."""
    before: JsonValue
    """The value before; null if there is none."""
    after: JsonValue
    """The value after; null if there is none."""
    changed: bool
    """Whether it changes; two secrets may be shown alike and differ."""


class Device(_Part):
    """A mount of the plan, or a device that the program gave by itself."""

    name: str
    """The name of the Incus device."""
    kind: str
    """The mount's kind; for other devices, Incus's type."""
    source: str
    """The host path or the volume; empty if the device has none."""
    guest_path: str
    """The path in the guest; empty if the device has none."""
    mode: str
    """`read_only` or `read_write`; empty where it has none."""
    required: bool
    """Whether a missing source is an error."""
    change: Literal["same", "added", "removed", "changed"]
    """What happens to the device."""
    before: dict[str, str]
    """Of a changed device, what was otherwise."""
    left_out: bool
    """Whether the host had no source for it when it was last applied."""


class Change(_Part):
    """What is to happen to one resource."""

    urn: str
    """The URN of the resource."""
    name: str
    """The name of the resource in the stack."""
    kind: Kind
    """The kind of the resource."""
    action: Action
    """`release`: Pulumi lets it go, and it stays as it is (retain_on_delete)."""
    why: list[str]
    """The properties that it is replaced for, that change, or that may need a restart."""
    on_delete: str
    """Where something is deleted: what becomes of the data, in words."""
    deletes_data_of: list[str]
    """The volumes, or the snapshot, that go with all that is in them."""
    stops_keeping_data_of: list[str]
    """The volumes that were kept so far, and go with a delete or replacement from now on."""
    drift: list[str]
    """What somebody changed outside, and is put right."""
    notes: list[str]
    """Further remarks, as text."""
    hides_left_out: bool
    """Whether it is not visible which mounts were left out when it was last applied."""
    host: str
    """The name of the host in the stack; empty for the one that the environment names."""
    values: list[Value]
    """The properties that are shown, before and after."""
    devices: list[Device]
    """The devices that are shown, before and after."""


class Others(_Part):
    """How many resources of other packages there are for one op of Pulumi's."""

    op: str
    """The operation, as Pulumi names it."""
    count: int
    """The number of resources."""


class Node(_Part):
    """A runtime, job, volume or host in the picture."""

    id: str
    """The id that edges refer to."""
    kind: Kind
    """The kind of the resource."""
    label: str
    """What the diagram shows."""
    action: Action | Literal["same"]
    """What happens to the resource."""
    host: str
    """The id of the host that it is on."""


class Edge(_Part):
    """A mount in the picture."""

    runtime: str
    """The id of the runtime or job."""
    volume: str
    """The id of the volume."""
    label: str
    """What the diagram shows."""


class Picture(_Part):
    """What is where, and what mounts what; only what the preview names."""

    nodes: list[Node]
    """Runtimes, jobs, volumes and hosts."""
    edges: list[Edge]
    """The mounts."""


class Held(_Part):
    """A condition of the gate that holds."""

    condition: Condition
    """The condition of `--fail-on`."""
    resources: list[str]
    """The names of the resources that it is about."""


class Report(_Part):
    """What a preview comes to."""

    schema_version: Literal[1]
    """The version of this format."""
    stack: str
    """The name of the stack."""
    project: str
    """The name of the Pulumi project."""
    failed: bool
    """Whether the preview ended with errors, so that it may not tell everything."""
    summary: dict[str, int]
    """How many resources there are for each op, as Pulumi counts them."""
    warnings: list[Notice]
    """All warnings, the gravest first."""
    changes: list[Change]
    """The resources that change."""
    others: list[Others]
    """Resources of other packages, by operation."""
    picture: Picture | None
    """The diagram; null without one."""
    held: list[Held]
    """The conditions of `--fail-on` that hold."""


def report_text(report: Report) -> str:
    """The report as JSON."""
    return json.dumps(report.model_dump(mode="json"), indent=2) + "\n"


def schema() -> dict[str, Any]:
    """The JSON schema of the report; `schema/report.schema.json` has it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Report.model_json_schema(mode="serialization"),
    }
