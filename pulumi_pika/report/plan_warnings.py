"""Collect the warnings at the top of the report, the gravest first, from the changes and from the
log.

The effects of changes are derived from the resources themselves. A line of the log is shown
unchanged. Only its codes decide its kind, and a line never replaces the warning of a change.
"""

import re
from collections.abc import Iterator
from typing import Final, get_args

from ..validation.warning_codes import (
    HOST,
    REPLACE,
    RESTART,
    RESTORE,
    STOP_KEEPING_DATA,
    UNREADABLE,
)
from .names import listed_names, natural
from .preview import MARKS, Diagnostic
from .report_model import (
    DATA_DELETING_OPTION,
    OBJECTS,
    Change,
    Notice,
    WarningKind,
)
from .text import listed

_PREFIX: Final = re.compile(r"^(?:warning|error): ")
_RESOURCE: Final = re.compile(r"^pulumi-python:dynamic/pika:\w+ resource '.*?': ", re.DOTALL)
# The engine writes the refused value next to the problem; the value may be a secret.
_REFUSED: Final = re.compile(r"^(property .*?) value \{.*\} has a problem: ", re.DOTALL)
_KINDS: Final[dict[str, WarningKind]] = {
    REPLACE: "replace",
    STOP_KEEPING_DATA: "stop_keeping_data",
    RESTORE: "restore",
    RESTART: "restart",
    UNREADABLE: "restart",
    HOST: "preflight",
}
"""The kind of a warning by the code of its line; the first code counts."""
_ORDER: Final = {kind: at for at, kind in enumerate(get_args(WarningKind))}


def text_of(said: Diagnostic) -> str:
    """Return the message of a log line, without the text that the engine adds."""
    text = _RESOURCE.sub("", _PREFIX.sub("", said.message.strip()))
    return _REFUSED.sub(r"\1: ", text)


def notices_of(changes: list[Change], said: list[Diagnostic]) -> list[Notice]:
    """Return all warnings.

    Args:
        changes: The changes of the preview.
        said: The lines of the log.
    """
    found: dict[Notice, None] = {}
    done: set[tuple[str, WarningKind]] = set()
    for change in changes:
        for notice in _done(change):
            found[notice] = None
            done.add((change.urn, notice.kind))
    for line in said:
        if not line.level:
            continue
        notice = _told(line)
        # The warning of the change already says the same.
        if line.urn and line.codes and (line.urn.text, notice.kind) in done:
            continue
        found[notice] = None
    restarts = {(n.resource) for n in found if n.stops}
    for change in changes:
        if change.action == "update_with_restart" and change.name not in restarts:
            found[_may_restart(change)] = None
    return sorted(found, key=lambda notice: (_ORDER[notice.kind], natural(notice.resource)))


def _told(said: Diagnostic) -> Notice:
    kind: WarningKind = "error" if said.level == "error" else "other"
    if kind == "other":
        kind = next((_KINDS[code] for code in _KINDS if code in said.codes), kind)
    return Notice(
        kind=kind,
        resource=said.urn.name if said.urn else "",
        text=text_of(said),
        stops=bool(said.codes & {RESTART, UNREADABLE}),
    )


def _may_restart(change: Change) -> Notice:
    return Notice(
        kind="restart",
        resource=change.name,
        text="an instance may restart: the preview does not know all values that decide this",
        stops=True,
    )


def _done(change: Change) -> Iterator[Notice]:
    """Yield the warnings about the effects of a change."""

    def notice(kind: WarningKind, text: str) -> Notice:
        return Notice(kind=kind, resource=change.name, text=text, stops=False)

    if change.deletes_data_of:
        what = "the snapshot" if change.kind == "snapshot" else "with all its data: volume"
        yield notice("delete_data", f"{what} {listed_names(change.deletes_data_of)}")
    if change.stops_keeping_data_of:
        yield notice(
            "stop_keeping_data",
            f"{DATA_DELETING_OPTION[change.kind]} is, or may be, turned on: after this `pulumi "
            "up`, deleting or replacing it deletes volume "
            f"{listed_names(change.stops_keeping_data_of)} with all its data",
        )
    if change.action == "delete" and change.kind not in ("host", "snapshot", "job"):
        which = "; the effect on its data is " if change.on_delete in MARKS else ", which "
        instead = "deletes its data" if change.kind not in OBJECTS else "fails if anything uses it"
        yield notice("delete", f"will be deleted{which}{change.on_delete or instead}")
    # A job that is run again loses nothing.
    if change.action == "replace" and change.kind not in ("job", "host"):
        what = f": {change.on_delete}" if change.on_delete else ""
        yield notice("replace", f"because of {listed(change.why)}{what}")
    if change.hides_left_out and change.action in ("update", "update_with_restart"):
        yield notice(
            "left_out",
            "the preview does not show which of its mounts were skipped at the last apply",
        )
    for device in change.devices:
        if device.left_out and change.action in ("update", "update_with_restart"):
            yield notice(
                "left_out",
                f"mount {device.name} ({device.kind}, {device.guest_path}) was skipped at the last "
                f"apply: {device.source} did not exist",
            )
