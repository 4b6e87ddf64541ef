"""The steps of a call: the requests that it makes where nothing goes wrong."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ..proxy import Request

_OPERATION = re.compile(r"(?:(?<=/1\.0/operations/)|(?<=/exec-output/exec_))[0-9a-f-]{36}")


@dataclass(frozen=True)
class Step:
    """The `nth` request of a call with this method and path."""

    method: str
    path: str
    """With `{name}` for the runtime's name, and `{id}` for an operation's."""
    nth: int

    def pattern(self, name: str) -> str:
        """A regular expression for the path, for a runtime of a name."""
        path = re.escape(self.path).replace(re.escape("{name}"), re.escape(name))
        return path.replace(re.escape("{id}"), "[^/]+")

    @property
    def changes(self) -> bool:
        return self.method != "GET"

    @property
    def waits(self) -> bool:
        return self.path.endswith("/wait")

    @property
    def etagged(self) -> bool:
        """Whether it changes an instance as it was read."""
        return self.method in ("PUT", "PATCH") and self.path == "/1.0/instances/{name}"

    @property
    def makes_instance(self) -> bool:
        return (self.method, self.path) == ("POST", "/1.0/instances")

    def __str__(self) -> str:
        path = self.path.removeprefix("/1.0").replace("/storage-pools", "").lstrip("/") or "1.0"
        path = path.replace("volumes/custom", "volumes").replace("operations/{id}/", "")
        path = path.replace("/logs/exec-output/exec_{id}.", "/")
        return f"{self.method} {path}" + (f" #{self.nth}" if self.nth > 1 else "")


def steps_of(requests: Iterable[Request], name: str) -> list[Step]:
    """The steps that these requests are, in their order.

    How often it is looked whether an operation has ended is up to the machine's speed: of these
    looks, and what belongs to each, only the last one counts. So a run has all of the steps,
    however fast it is.
    """
    kept: list[Request] = []
    waits: dict[str, int] = {}
    for request in requests:
        if request.path.endswith("/wait"):
            del kept[waits.get(request.path, len(kept)) :]
            waits[request.path] = len(kept)
        kept.append(request)
    seen: Counter[tuple[str, str]] = Counter()
    steps = []
    for request in kept:
        path = _OPERATION.sub("{id}", request.path).replace(name, "{name}")
        seen[request.method, path] += 1
        steps.append(Step(request.method, path, seen[request.method, path]))
    return steps
