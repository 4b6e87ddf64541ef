"""Reads the output of `pulumi preview --json`; as of engine 3.259, and whatever else is in it.

It has a step for each resource that changes (`op`, `urn`, `oldState`, `newState`, and of a
replacement the `replaceReasons`), the `diagnostics`, and how many of each op there are
(`changeSummary`); steps of unchanged resources only with `--show-sames`. Where a value is unknown
or secret, a text stands in its place.
"""

import json
from typing import Annotated, Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from ..validation.hidden_property import HIDDEN, KEYS, SHOWN, open_hidden
from ..validation.warning_codes import UNREADABLE, split_codes

SECRET: Final = "[secret]"
"""What stands for a secret, in a preview as in a report."""
UNKNOWN: Final = "[unknown]"
"""What stands for a value that is known only once something else has been made."""

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
"""All operations of Pulumi's (sdk/go/common/display and pkg/resource/deploy/step.go)."""

Tree = dict[str, Any]


class NoPreview(Exception):
    """The text is no preview. The message is for the user."""


def _or(empty: Any) -> BeforeValidator:
    # Go writes an empty list or map as null.
    return BeforeValidator(lambda value: empty if value is None else value)


MARKS: Final = (SECRET, UNKNOWN)
"""What stands for a value that is not visible. Such a value is never taken for none."""


def _shown(value: Any) -> str:
    # They decide on all else, so that a preview without them cannot be judged.
    if value in MARKS:
        raise ValueError("it is not visible, so that nothing can be said of this step")
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
    """The properties with what is hidden beside the others, or marks if none of it is visible."""
    marks = [props[name] for name in (HIDDEN, SHOWN) if props.get(name) in MARKS]
    return {**dict.fromkeys(KEYS, marks[0]), **open_hidden(props)} if marks else open_hidden(props)


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class State(_Read):
    """A resource before or after a step."""

    mark: str = ""
    """What stands for the state, or for its inputs or outputs, where they are not visible."""
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
        return {**seen, "mark": marks[0]} if marks else seen


class Urn(_Read):
    """What a resource's name tells."""

    text: str
    stack: str = ""
    project: str = ""
    type: str = ""
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> "Urn":
        """Takes a URN apart; one of another shape is a name."""
        head, _, rest = text.partition("::")
        parts = rest.split("::", 2)
        if not head.startswith("urn:pulumi:") or len(parts) < 3:
            return cls(text=text, name=text)
        return cls(
            text=text,
            stack=head.removeprefix("urn:pulumi:"),
            project=parts[0],
            # What stands before a dollar sign are the types of the parents.
            type=parts[1].rpartition("$")[2],
            name=parts[2],
        )

    @property
    def kind(self) -> str:
        """`runtime`, `job`, `volume`, `snapshot`, `host`; empty for what is none of ours."""
        if self.type == _PROVIDER_TYPE and not self.name.startswith("default"):
            return HOST
        if not self.type.startswith(_OURS):
            return ""
        return _KINDS.get(self.type.removeprefix(_OURS), "")

    @property
    def is_counted(self) -> bool:
        """Whether it is a resource that somebody declared."""
        return self.type not in (_STACK_TYPE, _PROVIDER_TYPE) or self.kind == HOST


class Step(_Read):
    """What is done to a resource."""

    op: Annotated[str, BeforeValidator(_shown)]
    urn: Annotated[Urn, BeforeValidator(lambda text: Urn.parse(str(_shown(text))))]
    provider: str | None = None
    old: State | None = Field(None, alias="oldState")
    new: State | None = Field(None, alias="newState")
    replace_reasons: _Texts = Field(default_factory=list, alias="replaceReasons")

    @property
    def host(self) -> Urn | None:
        """The provider that it goes to."""
        reference = self.provider or (self.new and self.new.provider) or ""
        urn, _, _ = reference.rpartition("::")
        return Urn.parse(urn) if urn else None


class Diagnostic(_Read):
    """A line of the log."""

    message: Annotated[str, _or("")] = ""
    """The line without its codes."""
    codes: frozenset[str] = frozenset()
    """What the line is about; see `validation.warning_codes`. The codes are read before secrets are
    redacted."""
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
        """`error` or `warning`; empty for less. A severity that is not known may be an error."""
        if self.severity in ("error", "warning"):
            return self.severity
        return "" if self.severity in _MINOR else "error"


def _counts(value: Any) -> Any:
    # It is shown, and decides on nothing.
    if not isinstance(value, dict):
        return {} if value is None or value in MARKS else value
    return {key: count for key, count in value.items() if count not in MARKS}


_MINOR: Final = ("", "debug", "info", "info#err")


class Preview(_Read):
    """A preview."""

    steps: Annotated[list[Step], _or([])] = Field(default_factory=list)
    diagnostics: Annotated[list[Diagnostic], _or([])] = Field(default_factory=list)
    summary: Annotated[dict[str, int], BeforeValidator(lambda value: _counts(value))] = Field(
        default_factory=dict, alias="changeSummary"
    )

    @property
    def stack(self) -> Urn:
        """A URN that names stack and project."""
        told = [step.urn for step in self.steps] + [d.urn for d in self.diagnostics if d.urn]
        return next((urn for urn in told if urn.stack), Urn(text=""))


def read_preview(text: str) -> Preview:
    """The preview that a text is.

    Raises:
        NoPreview: it is none.
    """
    if not text.strip():
        raise NoPreview("it is empty; did `pulumi preview --json` fail?")
    try:
        tree = json.loads(text)
    except json.JSONDecodeError as error:
        raise NoPreview(_not_json(text, error)) from None
    except (RecursionError, ValueError):
        # Nested too deeply, or a number with more digits than Python takes.
        raise NoPreview("it is JSON that no preview would be") from None
    # That of a stack in which nothing is has neither, and says only how long it took.
    if not isinstance(tree, dict) or not {"steps", "changeSummary", "duration"} & tree.keys():
        raise NoPreview("it is JSON, but has neither steps nor a changeSummary")
    try:
        # The stack's config is in it as well, and is nothing to report.
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
                "nothing can be said of this step; use a newer version of pulumi_pika"
            )
    return preview


def _not_json(text: str, error: json.JSONDecodeError) -> str:
    if text.lstrip().startswith('{"sequence":'):
        return (
            "it is a stream of events; unset PULUMI_ENABLE_STREAMING_JSON_PREVIEW, "
            "so that `pulumi preview --json` writes one object"
        )
    if text.lstrip().startswith(("Previewing ", "Updating ", "Destroying ", "Refreshing ")):
        return "it is what Pulumi shows to people; run `pulumi preview` with --json"
    return (
        f"it is no JSON (line {error.lineno}, column {error.colno}); "
        "run `pulumi preview` with --json, and keep its standard error apart"
    )


def _cleaned(value: Any) -> Any:
    """The tree with one spelling of secret and of unknown."""
    if isinstance(value, dict):
        # It marks secrets, and what else is no plain value, in which a secret may be.
        if _SPECIAL_MARK in value:
            return SECRET
        return {key: _cleaned(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_cleaned(item) for item in value]
    return UNKNOWN if value == _UNKNOWN_MARK else value
