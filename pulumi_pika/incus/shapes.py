"""Check the shapes of a server's replies, as far as this package relies on them.

Incus's field names mean the same wherever they occur, so one table serves all replies.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class _Map:
    """Describe a mapping."""

    of: Any = None


@dataclass(frozen=True, slots=True)
class _List:
    """Describe a list."""

    of: Any


@dataclass(frozen=True, slots=True)
class _Object:
    """Describe a mapping with known fields, among others."""

    fields: Mapping[str, Any] = field(default_factory=dict)


_CONFIG: Final = _Map(str)
_DEVICES: Final = _Map(_Map(str))
_ANSWER: Final = _Object(
    {
        **dict.fromkeys(
            (
                "architecture", "content_type", "created_at", "description", "driver", "err",
                "id", "location", "message", "name", "project", "server_name",
                "status", "target", "type",
            ),
            str,
        ),
        "ephemeral": bool,
        "stateful": bool,
        "status_code": int,
        "config": _CONFIG,
        "expanded_config": _CONFIG,
        "devices": _DEVICES,
        "expanded_devices": _DEVICES,
        "profiles": _List(str),
        "used_by": _List(str),
        "groups": _List(str),
        "resources": _Map(),
        "running": _List(_Object({"id": str, "resources": _Map(_List(str))})),
        "api_extensions": _List(str),
        "environment": _Object(
            {
                "server_version": str,
                "server_name": str,
                "driver": str,
                "server_clustered": bool,
                "architectures": _List(str),
            }
        ),
        "state": _Object(
            {
                "processes": int,
                "network": _Map(
                    _Object(
                        {
                            "addresses": _List(
                                _Object({"family": str, "scope": str, "address": str})
                            )
                        }
                    )
                ),
            }
        ),
    }
)  # fmt: skip
_NAMES: Final = {str: "a string", bool: "a boolean", int: "an integer"}


def describe_mismatch(answer: Any, *, needs: tuple[str, ...] = ()) -> str:
    """Return what is wrong with the shape of a reply's object, for a message; empty if nothing is.

    Args:
        answer: the object.
        needs: the fields that it must have.
    """
    for name in needs:
        if isinstance(answer, dict) and name not in answer:
            return f"`{name}` is missing"
    return _find_mismatch(answer, _ANSWER, "")


def _find_mismatch(value: Any, shape: Any, at: str) -> str:
    if isinstance(shape, _Object | _Map):
        if not isinstance(value, dict):
            return f"`{at}` is {_kind(value)}, not an object" if at else f"it is {_kind(value)}"
        at_field = isinstance(shape, _Object)
        for key, item in value.items():
            inner = shape.fields.get(key) if isinstance(shape, _Object) else shape.of
            # Go writes a field that is an empty mapping or list as null.
            if inner is None or (item is None and at_field and not isinstance(inner, type)):
                continue
            if wrong := _find_mismatch(item, inner, f"{at}.{key}" if at else key):
                return wrong
        return ""
    if isinstance(shape, _List):
        if not isinstance(value, list):
            return f"`{at}` is {_kind(value)}, not a list"
        for index, item in enumerate(value):
            if wrong := _find_mismatch(item, shape.of, f"{at}[{index}]"):
                return wrong
        return ""
    # True is an int in Python, but not in Incus.
    if isinstance(value, shape) and not (shape is int and isinstance(value, bool)):
        return ""
    return f"`{at}` is {_kind(value)}, not {_NAMES[shape]}"


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return "a string"
    return "a boolean" if isinstance(value, bool) else "a number"
