"""Ends a provider process whose engine was killed, and counts the calls that it is in.

Pulumi starts a provider as a shell script that starts Python, and nothing tells either of them that
the engine is gone: the process would stay for ever. The engine holds the read end of the pipe that
is our standard output, as long as it lives, and nobody else does: the pipe breaks when it is gone.
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

# Imports nothing of ours: every program that declares a resource of ours may load this module.


class EngineGone(KeyboardInterrupt):
    """The engine is gone: a call does not begin, or is interrupted and takes back what it made."""


class Calls:
    """The calls that this process is in."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._undoable: dict[int, bool] = {}
        self.closed = False
        """Whether the engine is gone, so that no further call begins."""

    @contextmanager
    def one(self, *, undoable: bool) -> Iterator[None]:
        """Counts a call of this thread.

        Args:
            undoable: whether it takes back what it has made when a KeyboardInterrupt is raised in
                it, wherever that is.

        Raises:
            EngineGone: the engine is gone, and nothing is to begin; or the call was interrupted.
        """
        thread = threading.get_ident()
        with self._changed:
            if self.closed:
                raise EngineGone
            self._undoable[thread] = undoable
        try:
            yield
        finally:
            # The interruption may come here as well; it comes once.
            try:
                self._end(thread)
            finally:
                self._end(thread)

    def _end(self, thread: int) -> None:
        with self._changed:
            self._undoable.pop(thread, None)
            self._changed.notify_all()

    def end(self) -> None:
        """Begins no further call, interrupts the undoable ones, and returns when all are over."""
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
    """Starts to watch the engine, once; returns whether it is watched.

    It is not if this is no provider process, or if the process was not started by an engine
    (`PULUMI_DEBUG_PROVIDERS`), which would have given it a pipe as standard output.
    """
    if not hasattr(sys.modules.get("__main__"), "DynamicResourceProviderServicer"):
        return False
    with _lock:
        if not _watching and stat.S_ISFIFO(os.fstat(_STDOUT).st_mode):
            _watching.append(threading.Thread(target=_watch, name="pika-engine", daemon=True))
            _watching[0].start()
    return is_watched()


def is_watched() -> bool:
    """Whether this is a provider process whose engine is watched."""
    return bool(_watching)


def _watch() -> None:
    pipe = select.poll()
    # Without an event to wait for, poll waits for errors only: here, that nobody can read any more.
    pipe.register(_STDOUT, 0)
    pipe.poll()
    calls.end()
    # Nobody is there who would read an answer, or wait for the other threads.
    os._exit(1)


def _interrupt(thread: int) -> None:
    import ctypes

    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(EngineGone))
