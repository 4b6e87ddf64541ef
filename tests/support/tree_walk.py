"""Follow the property trees of a resource through the code, while it runs."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, TypeVar

import pulumi_pika
from pulumi_pika.validation.hidden_property import HIDDEN, SHOWN

_ROOT = str(Path(pulumi_pika.__file__).parent)
_MARKS = {HIDDEN, SHOWN, "secret_inputs"}
"""Names that only a whole property tree has."""

Result = TypeVar("Result")


class TreeWalk:
    """Collects the functions of the package that get a property tree, in order.

    The profiler sees only this thread: a call of a provider stays in one.
    """

    def __init__(self) -> None:
        self.steps: list[tuple[str, str]] = []
        """Each module (as `providers/host_provider.py`) and the function in it."""

    def follow(self, call: Callable[..., Result], *arguments: Any) -> Result:
        """Makes a call, and collects where its trees go."""
        sys.setprofile(self._step)
        try:
            return call(*arguments)
        finally:
            sys.setprofile(None)

    def modules(self) -> list[str]:
        """The modules in the order of the walk; one that is entered again is there again."""
        found: list[str] = []
        for module, _ in self.steps:
            if found[-1:] != [module]:
                found.append(module)
        return found

    def _step(self, frame: FrameType, event: str, _argument: Any) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(_ROOT):
            return
        count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 0x04)
        for name in code.co_varnames[:count]:
            value = frame.f_locals.get(name)
            values = value if isinstance(value, tuple) else (value,)
            if any(isinstance(one, dict) and _MARKS & one.keys() for one in values):
                self.steps.append((code.co_filename[len(_ROOT) + 1 :], code.co_qualname))
                return
