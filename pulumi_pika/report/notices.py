"""What stands on top: what the log says, and what the changes do, the gravest first."""

import re
from collections.abc import Iterator
from typing import Final, get_args

from .document import LETS_DATA_GO, Change, Notice, WarningKind
from .preview import SECRET, Diagnostic
from .text import listed

_RESTARTS: Final = (
    re.compile(r"may have to restart for (?P<why>.+?)(?:; allow_restart is off.*)?$", re.DOTALL),
    re.compile(
        r"is restarted, or started if it is stopped, since (?P<why>restart_triggers) changed"
    ),
    re.compile(r"has to stop for a moment to (?P<why>get its name .* back)"),
)
_PREFIX: Final = re.compile(r"^(?:warning|error): ")
_RESOURCE: Final = re.compile(r"^pulumi-python:dynamic/pika:\w+ resource '.*?': ", re.DOTALL)
# The engine writes the value that is refused beside the problem; it may be a secret.
_REFUSED: Final = re.compile(r"^(property .*?) value \{.*\} has a problem: ", re.DOTALL)
_KINDS: Final[tuple[tuple[WarningKind, re.Pattern[str]], ...]] = (
    ("replace", re.compile(r" is replaced because of |^because of .* another volume is made")),
    ("stop_keeping_data", re.compile(r"^delete_(?:data|volumes) is on from this update on")),
    ("restore", re.compile(r" goes back to its snapshot |^restore_from: ")),
    ("left_out", re.compile(r" is left out: ")),
    ("preflight", re.compile(r"\. It has to be there when |^the host could not be looked at")),
)
_ORDER: Final = {kind: at for at, kind in enumerate(get_args(WarningKind))}


def restart_reasons(said: list[Diagnostic]) -> list[str]:
    """What a resource may have to restart for, as the log says."""
    found = (
        pattern.search(text_of(line))
        for line in said
        if line.severity == "warning"
        for pattern in _RESTARTS
    )
    return [match["why"] for match in found if match]


def text_of(said: Diagnostic) -> str:
    """What a line of the log says, without what the engine puts around it."""
    text = _RESOURCE.sub("", _PREFIX.sub("", said.message.strip()))
    return _REFUSED.sub(r"\1: ", text)


def notices_of(changes: list[Change], said: list[Diagnostic]) -> list[Notice]:
    """All that a reviewer should know first.

    Args:
        changes: what is to happen.
        said: the lines of the log.
    """
    told = [_told(line) for line in said if line.severity in ("warning", "error")]
    known = {(notice.kind, notice.resource) for notice in told}
    found = told + [
        notice
        for change in changes
        for notice in _done(change)
        if (notice.kind, notice.resource) not in known
    ]
    return sorted(dict.fromkeys(found), key=lambda notice: _ORDER[notice.kind])


def _told(said: Diagnostic) -> Notice:
    text = text_of(said)
    return Notice(kind=_kind(said, text), resource=said.urn.name if said.urn else "", text=text)


def _kind(said: Diagnostic, text: str) -> WarningKind:
    if said.severity == "error":
        return "error"
    if restart_reasons([said]):
        return "restart"
    return next((kind for kind, pattern in _KINDS if pattern.search(text)), "other")


def _done(change: Change) -> Iterator[Notice]:
    """What a change does that is worth a word of its own."""

    def notice(kind: WarningKind, text: str) -> Notice:
        return Notice(kind=kind, resource=change.name, text=text)

    if change.deletes_data_of:
        what = "the snapshot" if change.kind == "snapshot" else "with all its data: volume"
        yield notice("delete_data", f"{what} {listed(change.deletes_data_of)}")
    if change.stops_keeping_data_of:
        yield notice(
            "stop_keeping_data",
            f"{LETS_DATA_GO[change.kind]} is, or may be, turned on: after this `pulumi up`, "
            f"deleting or replacing it deletes volume {listed(change.stops_keeping_data_of)} with "
            "all its data",
        )
    if change.action == "delete" and change.kind not in ("host", "snapshot", "job"):
        which = "; what becomes of its data is " if change.on_delete == SECRET else ", which "
        yield notice("delete", f"is to be deleted{which}{change.on_delete or 'takes its data'}")
    # A job that runs anew is no loss.
    if change.action == "replace" and change.kind not in ("job", "host"):
        yield notice("replace", f"is made anew because of {listed(change.why)}")
    for device in change.devices:
        if device.left_out and change.action in ("update", "update_with_restart"):
            yield notice(
                "left_out",
                f"mount {device.name} ({device.kind}, {device.guest_path}) was left out when it "
                f"was last applied: there was no {device.source}",
            )
