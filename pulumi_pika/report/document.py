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


LETS_DATA_GO: Final[dict[Kind, str]] = {"runtime": "delete_data", "volume": "delete_data"}
"""The option with which a resource's data goes when it is deleted or replaced."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Notice(_Part):
    """Something that a reviewer should know first."""

    kind: WarningKind
    resource: str
    """The resource's name in the stack; empty where it is about none."""
    text: str


class Value(_Part):
    """A property, before and after; null where there is none."""

    path: str
    before: JsonValue
    after: JsonValue
    changed: bool
    """Whether it changes; two secrets may be shown alike and differ."""


class Device(_Part):
    """A mount of the plan, or a device that the program gave by itself."""

    name: str
    kind: str
    """The mount's kind; for other devices, Incus's type."""
    source: str
    guest_path: str
    mode: str
    """`read_only` or `read_write`; empty where it has none."""
    required: bool
    change: Literal["same", "added", "removed", "changed"]
    before: dict[str, str]
    """Of a changed device, what was otherwise."""
    left_out: bool
    """Whether the host had no source for it when it was last applied."""


class Change(_Part):
    """What is to happen to one resource."""

    urn: str
    name: str
    kind: Kind
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
    host: str
    """The name of the host in the stack; empty for the one that the environment names."""
    values: list[Value]
    devices: list[Device]


class Others(_Part):
    """How many resources of other packages there are for one op of Pulumi's."""

    op: str
    count: int


class Node(_Part):
    """A runtime, job, volume or host in the picture."""

    id: str
    kind: Kind
    label: str
    action: Action | Literal["same"]
    host: str
    """The id of the host that it is on."""


class Edge(_Part):
    """A mount in the picture."""

    runtime: str
    volume: str
    label: str


class Picture(_Part):
    """What is where, and what mounts what; only what the preview names."""

    nodes: list[Node]
    edges: list[Edge]


class Held(_Part):
    """A condition of the gate that holds."""

    condition: Condition
    resources: list[str]


class Report(_Part):
    """What a preview comes to."""

    schema_version: Literal[1]
    stack: str
    project: str
    failed: bool
    """Whether the preview ended with errors, so that it may not tell everything."""
    summary: dict[str, int]
    """How many resources there are for each op, as Pulumi counts them."""
    warnings: list[Notice]
    changes: list[Change]
    others: list[Others]
    picture: Picture | None
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
