"""A provider process of its own, as the engine has one: it can be killed in the midst of a call."""

import multiprocessing
import os
import re
import threading
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.incus import client as incus_client
from pulumi_pika.incus.transport import Reply, UnixTransport

from ..provider_engine import Managed
from .steps import Step

PATIENCE = 0.4
"""Seconds for the one answer for which a process does not wait any longer."""
SLOW = PATIENCE + 0.2
SLOW_WAIT = 1.0 + PATIENCE + 0.2

# One process that has imported all of it and forks: a fresh provider then takes 20 ms.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload([__name__])


class Killed(Exception):
    """The process ended in the midst of a call."""


class Raised(Exception):
    """The call raised; the exception's type and text."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(f"{kind}: {text}")
        self.kind = kind
        self.text = text


_starting = threading.Lock()


class Provider:
    """A provider process that finds its host at a socket.

    Args:
        socket: the daemon's, or a proxy's.
        impatient_at: for the answer to which step, of a runtime of which name, it waits for
            `PATIENCE` seconds only. For the others it waits as ever: on a machine that is busy
            there may be more than one fault otherwise.
    """

    def __init__(self, socket: Path, *, impatient_at: tuple[Step, str] | None = None) -> None:
        self._connection, theirs = _FORKS.Pipe()
        self._process: BaseProcess = _FORKS.Process(
            target=_serve, args=(theirs, str(socket), impatient_at), daemon=True
        )
        # Several threads that start one at the same time were seen to wait for ever.
        with _starting:
            self._process.start()
        theirs.close()

    def call(self, managed: Managed, method: str) -> Any:
        """Calls a method of a `Managed`, whose state changes only where the call returns.

        Raises:
            Raised: the call raised.
            Killed: the process was killed meanwhile.
        """
        try:
            self._connection.send((managed, method))
            done, *answer = self._connection.recv()
        except (EOFError, OSError):
            raise Killed from None
        if not done:
            raise Raised(*answer)
        result, after = answer
        vars(managed).update(vars(after))
        return result

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()

    def close(self) -> None:
        self.kill()
        self._process.join()
        self._process.close()
        self._connection.close()


def _serve(connection: Connection, socket: str, impatient_at: tuple[Step, str] | None) -> None:
    os.environ["INCUS_SOCKET"] = socket
    # What it would log to the engine is of no interest.
    silence = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(silence, descriptor)
    patch = pytest.MonkeyPatch()
    patch.setattr(incus_client, "_RECONNECT_FOR", 1.5)
    if impatient_at:
        _be_impatient(patch, *impatient_at)
    while True:
        try:
            managed, method = connection.recv()
        except EOFError:
            return
        try:
            result = getattr(managed, method)()
        except BaseException as error:
            kind = f"{type(error).__module__}.{type(error).__qualname__}"
            connection.send((False, kind, str(error)))
        else:
            connection.send((True, result, managed))


def _be_impatient(patch: pytest.MonkeyPatch, step: Step, name: str) -> None:
    send = UnixTransport.send
    pattern = re.compile(step.pattern(name))
    matched = 0

    def hurried(
        self: UnixTransport, method: str, path: str, *, timeout: float | None = None, **more: Any
    ) -> Reply:
        nonlocal matched
        if method == step.method and pattern.fullmatch(path):
            matched += 1
            if matched == step.nth:
                # The server itself takes its time to answer a wait.
                takes = float(more["params"]["timeout"]) if step.waits else 0.0
                timeout = takes + PATIENCE
        return send(self, method, path, timeout=timeout, **more)

    patch.setattr(UnixTransport, "send", hurried)
    patch.setattr(incus_client, "_WAIT_SLICE", 1.0)
