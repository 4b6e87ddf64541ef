"""Compare the devices of an instance before and after a step."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from ..planner.device_names import DEVICE_NAME_PREFIX
from .preview import MARKS, Tree
from .redaction import seen
from .report_model import Device


class Sides(Protocol):
    """The inputs and outputs of a resource, before or after a step."""

    inputs: Tree
    outputs: Tree


@dataclass(frozen=True, slots=True)
class _Seen:
    name: str
    kind: str
    source: str
    guest_path: str
    mode: str
    required: bool
    more: tuple[tuple[str, str], ...] = ()

    def shown(self) -> dict[str, str]:
        return {
            "name": self.name,
            "kind": self.kind,
            "source": self.source,
            "guest_path": self.guest_path,
            "mode": self.mode,
            "required": str(self.required).lower(),
            **dict(self.more),
        }


def mounts_of(tree: Tree) -> list[Tree]:
    """Return the mounts of the plan in a tree. A hidden mount consists only of placeholders."""
    mounts: Any = seen(tree, ("plan", "mounts"))
    if mounts in MARKS:
        return [_not_visible(mounts)]
    found = mounts if isinstance(mounts, list) else []
    return [
        _not_visible(mount) if mount in MARKS else mount
        for mount in found
        if isinstance(mount, dict) or mount in MARKS
    ]


def _not_visible(mark: str) -> Tree:
    names = ("device_name", "kind", "source", "guest_path", "read_only")
    return dict.fromkeys(names, mark)


def devices_of(old: Sides, new: Sides, *, replaces: bool) -> list[Device]:
    """Return the devices after the step, then those that the step removes.

    Args:
        old: The resource before the step.
        new: The resource after the step.
        replaces: Whether the instance is replaced.
    """
    before, after = _Devices(old.inputs), _Devices(new.inputs)
    left_out = old.outputs.get("skipped_mounts")
    names = set(map(str, left_out)) if isinstance(left_out, list) and not replaces else set()
    if not new.inputs:
        return [_device(device, "same", None, names) for device in before.all]
    shown, matched = [], set()
    for device in after.all:
        was = before.like(device)
        if was is not None:
            matched.add(id(was))
        if not old.inputs:
            shown.append(_device(device, "same", None, names))
        elif was is None:
            hidden = before.hides or device.guest_path in MARKS
            shown.append(_device(device, "changed" if hidden else "added", None, names))
        else:
            shown.append(_device(device, "same" if was == device else "changed", was, names))
    gone = [device for device in before.all if id(device) not in matched]
    what: Literal["changed", "removed"] = "changed" if after.hides else "removed"
    return shown + [_device(device, what, None, names) for device in gone]


class _Devices:
    def __init__(self, inputs: Tree) -> None:
        self.all = [*_mounts(inputs), *_own(inputs)]
        # A device with a hidden name may be any device of the other side.
        self.hides = any(device.guest_path in MARKS for device in self.all)
        self._by_path = {device.guest_path: device for device in self.all if device.guest_path}
        self._by_name = {device.name: device for device in self.all}

    def like(self, other: _Seen) -> _Seen | None:
        """Return the same device on this side: the one with the same guest path, or the same
        name."""
        if other.guest_path and other.guest_path not in MARKS:
            return self._by_path.get(other.guest_path)
        return self._by_name.get(other.name) if other.name not in MARKS else None


def _mounts(inputs: Tree) -> Iterator[_Seen]:
    for mount in mounts_of(inputs):
        read_only = mount.get("read_only")
        mode = _text(read_only)
        if isinstance(read_only, bool):
            mode = "read_only" if read_only else "read_write"
        yield _Seen(
            name=_text(mount.get("device_name")),
            kind=_text(mount.get("kind")),
            source=_text(mount.get("source")),
            guest_path=_text(mount.get("guest_path")),
            mode=mode,
            required=mount.get("required") is True,
        )


def _own(inputs: Tree) -> Iterator[_Seen]:
    """Yield the devices that do not come from a mount."""
    devices = inputs.get("devices")
    for name, device in sorted(devices.items()) if isinstance(devices, dict) else ():
        if name.startswith(DEVICE_NAME_PREFIX) or not isinstance(device, dict):
            continue
        is_disk = device.get("type") == "disk"
        read_only = "read_only" if device.get("readonly") == "true" else "read_write"
        yield _Seen(
            name=name,
            kind=_text(device.get("type")),
            source=_text(device.get("source")),
            guest_path=_text(device.get("path")),
            mode=read_only if is_disk else "",
            required=device.get("required") == "true",
            more=tuple(
                (key, _text(value))
                for key, value in sorted(device.items())
                if key not in ("type", "source", "path", "readonly", "required")
            ),
        )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def _device(
    device: _Seen,
    change: Literal["same", "added", "removed", "changed"],
    was: _Seen | None,
    left_out: set[str],
) -> Device:
    now, then = device.shown(), was.shown() if was else {}
    return Device(
        name=device.name,
        kind=device.kind,
        source=device.source,
        guest_path=device.guest_path,
        mode=device.mode,
        required=device.required,
        change=change,
        before={
            key: then.get(key, "")
            for key in sorted(now.keys() | then.keys())
            if was is not None and change == "changed" and then.get(key, "") != now.get(key, "")
        },
        # A device with a hidden name may be any of the skipped ones.
        left_out=change != "removed"
        and (device.name in left_out or (bool(left_out) and device.name in MARKS)),
    )
