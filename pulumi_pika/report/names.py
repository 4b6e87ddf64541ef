"""Sort names in natural order, and list many names briefly."""

import json
import re
from collections.abc import Iterable
from typing import Final

_DIGITS: Final = re.compile(r"([0-9]+)")
_NUMBERED: Final = re.compile(r"(.*?)([0-9]{1,15})([^0-9]*)", re.DOTALL)
_FEWEST: Final = 3
"""The shortest row that is abbreviated; fewer names are listed individually."""

Order = tuple[tuple[int, int, str], ...]


def natural(name: str) -> tuple[Order, str]:
    """Return a sort key that compares numbers within names as numbers: `w2` is before `w10`."""
    parts = _DIGITS.split(name)
    return tuple(
        (1, len(part.lstrip("0")), part.lstrip("0")) if at % 2 else (0, 0, part)
        for at, part in enumerate(parts)
    ), name


def spans(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the sorted names as pairs; consecutive numbers become one pair of first and last name.

    Args:
        names: The names.
    """
    found: list[list[str]] = []
    for name in sorted(set(names), key=natural):
        if found and _follows(found[-1][-1], name):
            found[-1].append(name)
        else:
            found.append([name])
    return [
        span
        for row in found
        for span in ([(row[0], row[-1])] if len(row) >= _FEWEST else [(name, name) for name in row])
    ]


def listed_names(names: Iterable[str], most: int = 0) -> str:
    """Return the names, separated by commas; consecutive numbers as the first and the last name.

    Args:
        names: The names.
        most: The most entries; 0 for all.
    """
    found = spans(names)
    kept = found[:most] if most else found
    more = f" and {len(found) - len(kept)} more" if len(found) > len(kept) else ""
    shown = (
        _plain(one) if one == last else f"{_plain(one)} to {_plain(last)}" for one, last in kept
    )
    return ", ".join(shown) + more


def _plain(name: str) -> str:
    """Return a name in a form that cannot be read as several names."""
    return json.dumps(name, ensure_ascii=False) if re.search(r"[\s,\"]", name) else name


def _follows(name: str, other: str) -> bool:
    """Return whether a name follows another: its last number is one more, and all else is equal."""
    one, two = _NUMBERED.fullmatch(_last(name)), _NUMBERED.fullmatch(_last(other))
    if one is None or two is None or name[: -len(_last(name))] != other[: -len(_last(other))]:
        return False
    (start, number, rest), (start2, number2, rest2) = one.groups(), two.groups()
    if (start, rest) != (start2, rest2) or int(number2) != int(number) + 1:
        return False
    # 09 and 10 are consecutive, 9 and 010 are not.
    return number2 == str(int(number) + 1).zfill(len(number))


def _last(name: str) -> str:
    """Return the part of a name from its last number on."""
    found = list(_DIGITS.finditer(name))
    return name[found[-1].start() :] if found else name
