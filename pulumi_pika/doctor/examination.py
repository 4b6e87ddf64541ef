"""Examine this machine and a host, and collect the findings as a report."""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final, get_args

from ..incus.errors import IncusError
from ..incus.hosts import HostSettings, connect, resolve
from .finding import Finding, Level
from .host import HostExamination
from .machine import examine_machine

_VERSION: Final = 1
"""The version of the JSON; a change of the meaning of a field increases it."""


def examine(settings: HostSettings, instance_type: str = "") -> Iterator[Finding]:
    """Yield what is found, each finding as soon as it is known. Nothing is changed.

    A trust token is not used.

    Args:
        settings: the host; settings that name none stand for the host that the environment names.
        instance_type: `virtual-machine` or `container`, if the program needs that type; empty for
            any.
    """
    for finding in examine_machine():
        yield finding.safe()
    try:
        client = connect(resolve(settings))
    except IncusError as error:
        yield Finding("connection", "host", "error", str(error)).safe()
        return
    for finding in HostExamination(client, instance_type).examine():
        yield finding.safe()


def count_levels(findings: Iterable[Finding]) -> dict[Level, int]:
    """Return the number of findings of each level."""
    counts: dict[Level, int] = dict.fromkeys(get_args(Level), 0)
    for finding in findings:
        counts[finding.level] += 1
    return counts


def findings_json(findings: list[Finding]) -> str:
    """Return the findings as a JSON document."""
    tree: dict[str, Any] = {
        "version": _VERSION,
        "counts": count_levels(findings),
        "findings": [
            {
                "code": finding.code,
                "subject": finding.subject,
                "level": finding.level,
                "text": finding.text,
                "advice": finding.advice,
            }
            for finding in findings
        ],
    }
    return json.dumps(tree, indent=2, ensure_ascii=False) + "\n"
