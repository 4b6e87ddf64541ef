"""End a provider process whose engine was killed, and count its active calls.

Pulumi starts a provider as a shell script that starts Python. Neither is notified if the engine
dies, so the process would stay forever. Only the engine holds the read end of the pipe that is the
provider's standard output. The pipe breaks when the engine dies.
"""

import os
import select
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_STDOUT: Final = 1

# No imports of this package: every program that declares one of its resources may load this module.


class EngineGone(KeyboardInterrupt):
    """The engine has ended. A call does not start, or is interrupted and undoes what it created."""


class Calls:
    """The active calls of this process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._undoable: dict[int, bool] = {}
        self.closed = False
        """Whether the engine has ended, so that no further call starts."""

    @contextmanager
    def one(self, *, undoable: bool) -> Iterator[None]:
        """Count a call of this thread as active.

        Args:
            undoable: Whether the call deletes what it created if a KeyboardInterrupt is raised
                anywhere in it.

        Raises:
            EngineGone: The engine has ended, so no call may start; or the call was interrupted.
        """
        thread = threading.get_ident()
        with self._changed:
            if self.closed:
                raise EngineGone
            self._undoable[thread] = undoable
        try:
            yield
        finally:
            # The interruption may arrive here too; it arrives only once.
            try:
                self._end(thread)
            finally:
                self._end(thread)

    def _end(self, thread: int) -> None:
        with self._changed:
            self._undoable.pop(thread, None)
            self._changed.notify_all()

    def end(self) -> None:
        """Refuse further calls, interrupt the undoable ones, and return after the end of all
        calls."""
        with self._changed:
            self.closed = True
            for thread, undoable in self._undoable.items():
                if undoable:
                    _interrupt(thread)
            while self._undoable:
                self._changed.wait()


calls = Calls()
_lock = threading.Lock()
_watching: list[threading.Thread] = []


def watch_engine() -> bool:
    """Start to watch the engine, once per process; return whether it is watched.

    The engine is not watched outside of a provider process. Nor is it if the process was not
    started by an engine (`PULUMI_DEBUG_PROVIDERS`): standard output is then not a pipe.
    """
    if not hasattr(sys.modules.get("__main__"), "DynamicResourceProviderServicer"):
        return False
    with _lock:
        if not _watching and stat.S_ISFIFO(os.fstat(_STDOUT).st_mode):
            _watching.append(threading.Thread(target=_watch, name="pika-engine", daemon=True))
            _watching[0].start()
    return is_watched()


def is_watched() -> bool:
    """Return whether this is a provider process whose engine is watched."""
    return bool(_watching)


def _watch() -> None:
    pipe = select.poll()
    # Without an event mask, poll waits only for errors: here, that the read end of the pipe is
    # closed.
    pipe.register(_STDOUT, 0)
    pipe.poll()
    calls.end()
    # Without the engine, nothing reads a reply or waits for the other threads.
    os._exit(1)


def _interrupt(thread: int) -> None:
    import ctypes

    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(EngineGone))
