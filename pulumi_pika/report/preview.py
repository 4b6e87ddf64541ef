"""Read the output of `pulumi preview --json`, as engine 3.259 writes it; unknown parts are ignored.

The output has a step for each resource that changes (`op`, `urn`, `oldState`, `newState`, and for a
replacement `replaceReasons`). It has the `diagnostics`, and the number of each operation
(`changeSummary`). Steps of unchanged resources exist only with `--show-sames`. An unknown or secret
value is replaced by a placeholder string.
"""

import json
from collections import Counter
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ..errors import PikaError
from ..message_templates import INVALID_VALUE
from ..validation.hidden_property import HIDDEN, KEYS, SHOWN, open_hidden
from ..validation.warning_codes import UNREADABLE, split_codes

SECRET: Final = "[secret]"
"""The placeholder for a secret, in a preview and in a report."""
UNKNOWN: Final = "[unknown]"
"""The placeholder for a value that is known only after another resource is created."""

_UNKNOWN_MARK: Final = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
_SPECIAL_MARK: Final = "4dabf18193072939515e22adb298388d"
_OURS: Final = "pulumi-python:dynamic/pika:"
_PROVIDER_TYPE: Final = "pulumi:providers:pulumi-python"
_STACK_TYPE: Final = "pulumi:pulumi:Stack"
_KINDS: Final = {
    "IncusRuntime": "runtime",
    "IncusJob": "job",
    "PersistentVolume": "volume",
    "VolumeSnapshot": "snapshot",
    "IncusProfile": "profile",
    "IncusProject": "project",
    "IncusNetwork": "network",
    "StoragePool": "pool",
}
HOST: Final = "host"
IDLE_OPS: Final = (
    "same", "read", "read-replacement", "refresh", "remove-pending-replace",
)  # fmt: skip
"""Operations that change nothing."""
KNOWN_OPS: Final = (
    *IDLE_OPS, "create", "update", "delete", "replace", "create-replacement", "delete-replaced",
    "discard", "discard-replaced", "import", "import-replacement",
)  # fmt: skip
"""All operations of Pulumi (sdk/go/common/display and pkg/resource/deploy/step.go)."""
_CREATES: Final = ("create", "import")
REPLACES: Final = ("replace", "create-replacement", "import-replacement")
_DELETES: Final = ("delete", "delete-replaced", "discard", "discard-replaced")
_LONGEST_URN: Final = 200


def plain_op(op: str) -> str:
    """Return Pulumi's operation, with one name for all that create, replace or delete."""
    for name, ops in (("create", _CREATES), ("replace", REPLACES), ("delete", _DELETES)):
        if op in ops:
            return name
    return op


Tree = dict[str, Any]


class NoPreview(PikaError):
    """The text is not a preview. The message is for the user."""

    default_code = INVALID_VALUE


def _or(empty: Any) -> BeforeValidator:
    # Go writes an empty list or mapping as null.
    return BeforeValidator(lambda value: empty if value is None else value)


MARKS: Final = (SECRET, UNKNOWN)
"""The placeholders for hidden values. A hidden value is never treated as missing."""


def _shown(value: Any) -> str:
    # Everything else depends on these values, so that a preview that hides them cannot be reported.
    if value in MARKS:
        raise ValueError("the preview hides it, so that the step cannot be reported")
    return value  # type: ignore[no-any-return]


_Texts = Annotated[
    list[str], BeforeValidator(lambda value: [value] if value in MARKS else value), _or([])
]
_Tree = Annotated[
    Tree,
    BeforeValidator(lambda value: _opened(value) if isinstance(value, dict) else value),
    _or({}),
]


def _opened(props: Tree) -> Tree:
    """Return the properties with the hidden ones added, or placeholders for them if they are not
    visible."""
    marks = [props[name] for name in (HIDDEN, SHOWN) if props.get(name) in MARKS]
    return {**dict.fromkeys(KEYS, marks[0]), **open_hidden(props)} if marks else open_hidden(props)


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class State(_Read):
    """A resource before or after a step."""

    mark: str = ""
    """The placeholder for the state, or for its inputs or outputs, if they are not visible."""
    inputs: _Tree = Field(default_factory=dict)
    outputs: _Tree = Field(default_factory=dict)
    dependencies: _Texts = Field(default_factory=list)
    provider: str | None = None
    retain: Annotated[bool, BeforeValidator(lambda value: value is True)] = Field(
        False, alias="retainOnDelete"
    )

    @model_validator(mode="before")
    @classmethod
    def _marked(cls, data: Any) -> Any:
        if data in MARKS:
            return {"mark": data}
        if not isinstance(data, dict):
            return data
        marks = [data[name] for name in ("inputs", "outputs") if data.get(name) in MARKS]
        seen = {key: value for key, value in data.items() if key != "mark" and value not in MARKS}
        if not marks and not seen.get("inputs") and not seen.get("outputs"):
            # Every resource has properties: a state without any does not show them.
            marks = [UNKNOWN]
        return {**seen, "mark": marks[0]} if marks else seen


class Urn(_Read):
    """The parts of a resource's URN."""

    text: str
    stack: str = ""
    project: str = ""
    type: str = ""
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> "Urn":
        """Return the parts of a URN; a text of another form counts as a name."""
        head, _, rest = text.partition("::")
        parts = rest.split("::", 2)
        if not head.startswith("urn:pulumi:") or len(parts) < 3:
            return cls(text=text, name=text)
        return cls(
            text=text,
            stack=head.removeprefix("urn:pulumi:"),
            project=parts[0],
            # The types of the parents come before the dollar sign.
            type=parts[1].rpartition("$")[2],
            name=parts[2],
        )

    @property
    def kind(self) -> str:
        """Return the kind, such as `runtime` or `host`; empty for resources of other packages."""
        if self.type == _PROVIDER_TYPE and not self.name.startswith("default"):
            return HOST
        if not self.type.startswith(_OURS):
            return ""
        return _KINDS.get(self.type.removeprefix(_OURS), "")

    @property
    def is_counted(self) -> bool:
        """Return whether the resource was declared by a program."""
        return self.type not in (_STACK_TYPE, _PROVIDER_TYPE) or self.kind == HOST


def _whole_urn(text: str) -> Urn:
    # The type decides whether a resource is reported, so that a step without one cannot be.
    urn = Urn.parse(text)
    if not (urn.stack and urn.project and urn.type and urn.name):
        raise ValueError(
            f"{text[:_LONGEST_URN]!r} is not a URN, so that the step cannot be reported"
        )
    return urn


class Step(_Read):
    """An operation on a resource."""

    op: Annotated[str, BeforeValidator(_shown)]
    urn: Annotated[Urn, BeforeValidator(lambda text: _whole_urn(str(_shown(text))))]
    provider: str | None = None
    old: State | None = Field(None, alias="oldState")
    new: State | None = Field(None, alias="newState")
    replace_reasons: _Texts = Field(default_factory=list, alias="replaceReasons")

    @model_validator(mode="before")
    @classmethod
    def _with_both_states(cls, data: Any) -> Any:
        # An update has both states. One that is missing is unknown, and not empty.
        if isinstance(data, dict) and data.get("op") == "update":
            absent = [name for name in ("oldState", "newState") if data.get(name) is None]
            return {**data, **dict.fromkeys(absent, UNKNOWN)}
        return data

    @property
    def host(self) -> Urn | None:
        """Return the URN of the resource's provider."""
        reference = self.provider or (self.new and self.new.provider) or ""
        urn, _, _ = reference.rpartition("::")
        return Urn.parse(urn) if urn else None


class Diagnostic(_Read):
    """A line of the log."""

    message: Annotated[str, _or("")] = ""
    """The message without its codes."""
    codes: frozenset[str] = frozenset()
    """The codes of the line, from `validation.warning_codes`. They are read before secrets are
    removed."""
    severity: Annotated[str, _or("")] = ""
    urn: Annotated[Urn | None, BeforeValidator(lambda text: Urn.parse(text) if text else None)] = (
        None
    )

    @model_validator(mode="before")
    @classmethod
    def _coded(cls, data: Any) -> Any:
        message = data.get("message") if isinstance(data, dict) else None
        if not isinstance(message, str):
            return data
        text, codes = split_codes(message)
        return {**data, "message": text, "codes": {UNREADABLE} if message in MARKS else codes}

    @property
    def level(self) -> str:
        """Return `error` or `warning`; empty for a lower severity. A missing or unknown severity
        counts as an error."""
        if self.severity in ("error", "warning"):
            return self.severity
        return "" if self.severity in _MINOR else "error"


def _counts(value: Any) -> Any:
    # The summary is only shown; nothing depends on it.
    if not isinstance(value, dict):
        return {} if value is None or value in MARKS else value
    return {key: count for key, count in value.items() if count not in MARKS}


_MINOR: Final = ("debug", "info", "info#err")


class Preview(_Read):
    """A preview."""

    steps: Annotated[list[Step], _or([])] = Field(default_factory=list)
    diagnostics: Annotated[list[Diagnostic], _or([])] = Field(default_factory=list)
    summary: Annotated[dict[str, int], BeforeValidator(lambda value: _counts(value))] = Field(
        default_factory=dict, alias="changeSummary"
    )

    @property
    def stack(self) -> Urn:
        """Return a URN that names the stack and the project."""
        told = [step.urn for step in self.steps] + [d.urn for d in self.diagnostics if d.urn]
        return next((urn for urn in told if urn.stack), Urn(text=""))


def read_preview(text: str) -> Preview:
    """Return the preview that a text contains.

    Raises:
        NoPreview: The text is not a preview.
    """
    if not text.strip():
        raise NoPreview("it is empty; did `pulumi preview --json` fail?")
    try:
        tree = json.loads(text)
    except json.JSONDecodeError as error:
        raise NoPreview(_not_json(text, error)) from None
    except (RecursionError, ValueError):
        # The JSON is nested too deeply, or has a number with more digits than Python accepts.
        raise NoPreview("its JSON is nested too deeply, or has a number that is too long") from None
    # The preview of an empty stack has neither steps nor a summary, only a duration.
    if not isinstance(tree, dict) or not {"steps", "changeSummary", "duration"} & tree.keys():
        raise NoPreview("it is JSON, but has neither steps nor a changeSummary")
    try:
        # The preview contains the stack configuration too, which must not be reported.
        known = {key: tree.get(key) for key in ("steps", "diagnostics", "changeSummary")}
        preview = Preview.model_validate(_cleaned(known))
    except RecursionError:
        raise NoPreview("it is nested too deeply") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        told = first["msg"].removeprefix("Value error, ")
        raise NoPreview(f"at {where}: {told[:1].lower()}{told[1:]}") from None
    for at, step in enumerate(preview.steps):
        if step.urn.kind and step.op not in KNOWN_OPS:
            raise NoPreview(
                f"at steps.{at}.op: this version does not know the operation {step.op!r}, so that "
                "the step cannot be reported; use a newer version of pulumi_pika"
            )
    _check_summary(preview)
    return preview


def _check_summary(preview: Preview) -> None:
    """Check that the preview has a step for each change that its summary counts.

    Raises:
        NoPreview: Steps are missing, for example because a script removed them.
    """
    steps = Counter(plain_op(step.op) for step in preview.steps)
    counted: Counter[str] = Counter()
    for op, count in preview.summary.items():
        if op not in IDLE_OPS:
            counted[plain_op(op)] += count
    for op, count in counted.items():
        if steps[op] < count:
            raise NoPreview(
                f"its changeSummary has {count} x {op}, and its steps have {steps[op]}; use the "
                "whole output of `pulumi preview --json`"
            )


def _not_json(text: str, error: json.JSONDecodeError) -> str:
    if text.lstrip().startswith('{"sequence":'):
        return (
            "it is a stream of events; unset PULUMI_ENABLE_STREAMING_JSON_PREVIEW, and run "
            "`pulumi preview --json` again"
        )
    if text.lstrip().startswith(("Previewing ", "Updating ", "Destroying ", "Refreshing ")):
        return "it is the human-readable output of Pulumi; run `pulumi preview` with --json"
    return (
        f"it is not JSON (line {error.lineno}, column {error.colno}); "
        "run `pulumi preview` with --json, and do not redirect its standard error into it"
    )


def _cleaned(value: Any) -> Any:
    """Return the tree with one spelling of secret and of unknown."""
    if isinstance(value, dict):
        # The key marks secrets and other special values, in which a secret may be.
        if _SPECIAL_MARK in value:
            return SECRET
        return {key: _cleaned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    return UNKNOWN if value == _UNKNOWN_MARK else value
