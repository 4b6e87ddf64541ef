"""Build the report of a preview."""

from collections import Counter
from typing import Final

from .diagram import picture_of
from .gate import find_held
from .names import natural
from .plan_warnings import notices_of
from .preview import Preview, plain_op, read_preview
from .redaction import without_secrets
from .report_model import (
    OBJECTS,
    Change,
    Condition,
    Others,
    Report,
)
from .resource_changes import (
    change_of,
    main_steps,
)

_KINDS: Final = ("runtime", "job", "volume", "snapshot", *OBJECTS, "host")
_ACTIONS: Final = ("delete", "replace", "update_with_restart", "update", "release", "create")


def report_of(text: str, fail_on: tuple[Condition, ...] = ()) -> Report:
    """Return the report of an output of `pulumi preview --json`.

    Args:
        text: The output.
        fail_on: The conditions to check.

    Raises:
        NoPreview: The text is not a preview.
    """
    preview = read_preview(text)
    shown = without_secrets(preview)
    changes = _changes(preview, shown)
    warnings = notices_of(changes, shown.diagnostics)
    report = Report(
        schema_version=1,
        stack=shown.stack.stack,
        project=shown.stack.project,
        failed=any(said.level == "error" for said in shown.diagnostics),
        summary=_summary(preview),
        warnings=warnings,
        changes=changes,
        others=_others(preview),
        picture=picture_of(shown, changes),
        held=[],
    )
    return report.model_copy(update={"held": find_held(report, fail_on)})


def _summary(preview: Preview) -> dict[str, int]:
    """Return Pulumi's summary, and the changes that it does not count: pending deletes, and all
    changes of a preview that failed."""
    summary = dict(preview.summary)
    steps = Counter(plain_op(step.op) for step in main_steps(preview.steps))
    for op, count in steps.items():
        counted = sum(number for name, number in summary.items() if plain_op(name) == op)
        if counted < count:
            summary[op] = summary.get(op, 0) + count - counted
    return dict(sorted(summary.items()))


def _changes(preview: Preview, shown: Preview) -> list[Change]:
    """Return the changes of resources of this package, the gravest first."""
    hidden = {id(step): other for step, other in zip(preview.steps, shown.steps, strict=True)}
    found = [
        change_of(
            step,
            hidden[id(step)],
            [said for said in shown.diagnostics if said.urn and said.urn.text == step.urn.text],
        )
        for step in main_steps(preview.steps)
        if step.urn.kind
    ]
    return sorted(
        found,
        key=lambda change: (
            not change.deletes_data_of,
            not change.stops_keeping_data_of,
            _ACTIONS.index(change.action),
            _KINDS.index(change.kind),
            natural(change.name),
            change.urn,
        ),
    )


def _others(preview: Preview) -> list[Others]:
    counted = Counter(
        plain_op(step.op)
        for step in main_steps(preview.steps)
        if not step.urn.kind and step.urn.is_counted
    )
    return [Others(op=op, count=count) for op, count in sorted(counted.items())]
