"""The data model of the report, which all formats show and `--format json` writes."""

import json
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, JsonValue

SCHEMA_VERSION: Final = 1
"""The version of the JSON format; it increases with each incompatible change."""

Kind = Literal[
    "runtime", "job", "volume", "snapshot", "host", "profile", "project", "network", "pool"
]  # fmt: skip
OBJECTS: Final[tuple[Kind, ...]] = ("profile", "project", "network", "pool")
"""The kinds of Incus's own objects, which have a config and no data."""
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
"""The option that makes a delete or a replacement of a resource delete its data."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Notice(_Part):
    """A warning that a reviewer should read first."""

    kind: WarningKind
    """The kind of the warning; the gravest kinds come first."""
    resource: str
    """The name of the resource in the stack; empty if the warning is not about a resource."""
    text: str
    """The warning, as text."""
    stops: bool
    """Whether an instance may restart, or is stopped for a while."""


class Value(_Part):
    """A property before and after the change."""

    path: str
    """The property path, as `resources.memory_mib`."""
    before: JsonValue
    """The value before; null if there is none."""
    after: JsonValue
    """The value after; null if there is none."""
    changed: bool
    """Whether the value changes. Two different secrets are shown alike."""


class Device(_Part):
    """A mount of the plan, or another device of the program."""

    name: str
    """The name of the Incus device."""
    kind: str
    """The kind of the mount; for other devices, the Incus type."""
    source: str
    """The host path or the volume; empty if the device has none."""
    guest_path: str
    """The path in the guest; empty if the device has none."""
    mode: str
    """`read_only` or `read_write`; empty if the device has none."""
    required: bool
    """Whether a missing source is an error."""
    change: Literal["same", "added", "removed", "changed"]
    """What happens to the device."""
    before: dict[str, str]
    """The former values of a changed device."""
    left_out: bool
    """Whether the mount was skipped at the last apply because its source was missing on the
    host."""


class Change(_Part):
    """The change of one resource."""

    urn: str
    """The URN of the resource."""
    name: str
    """The name of the resource in the stack."""
    kind: Kind
    """The kind of the resource."""
    action: Action
    """What happens to the resource. `release`: Pulumi stops managing it without deleting it
    (retain_on_delete, or an adopted object)."""
    why: list[str]
    """The properties that cause the replacement, that change, or that may need a restart."""
    on_delete: str
    """What happens to the data if something is deleted, as a sentence."""
    deletes_data_of: list[str]
    """The volumes, or the snapshot, that are deleted with all their data."""
    stops_keeping_data_of: list[str]
    """The volumes that were kept until now, and that a later delete or replacement deletes."""
    drift: list[str]
    """The properties that were changed outside Pulumi and are corrected."""
    notes: list[str]
    """Further remarks, as text."""
    hides_left_out: bool
    """Whether the preview hides which mounts were skipped at the last apply."""
    host: str
    """The name of the host in the stack; empty for the host that the environment names."""
    values: list[Value]
    """The properties that are shown, before and after."""
    devices: list[Device]
    """The devices that are shown, before and after."""


class Others(_Part):
    """The number of resources of other packages for one operation of Pulumi."""

    op: str
    """The operation, as Pulumi names it."""
    count: int
    """The number of resources."""


class Node(_Part):
    """A resource in the diagram."""

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
    """A mount, or another use of one resource by another, in the diagram."""

    runtime: str
    """The id of the runtime, job or profile."""
    volume: str
    """The id of the volume, profile, network or storage pool that it uses."""
    label: str
    """What the diagram shows."""


class Picture(_Part):
    """The diagram: which resource is on which host, and which volumes, profiles, networks and
    storage pools it uses. It has only what the preview names."""

    nodes: list[Node]
    """All resources of this package but snapshots."""
    edges: list[Edge]
    """The mounts and other uses."""


class Held(_Part):
    """A condition of `--fail-on` that holds."""

    condition: Condition
    """The condition of `--fail-on`."""
    resources: list[str]
    """The names of the resources for which the condition holds."""


class Report(_Part):
    """The report of a preview."""

    schema_version: Literal[1]
    """The version of this format."""
    stack: str
    """The name of the stack."""
    project: str
    """The name of the Pulumi project."""
    failed: bool
    """Whether the preview ended with errors, so that the report may be incomplete."""
    summary: dict[str, int]
    """The number of resources for each operation: as Pulumi counts them, and pending deletes."""
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
    """Return the report as JSON."""
    return json.dumps(report.model_dump(mode="json"), indent=2) + "\n"


def schema() -> dict[str, Any]:
    """Return the JSON schema of the report, which `schema/report.schema.json` contains."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Report.model_json_schema(mode="serialization"),
    }
