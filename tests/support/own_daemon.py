"""Daemons of a test's own, beside the one that all tests share."""

from collections.abc import Iterator
from contextlib import contextmanager

from dev import image
from dev.packages import busybox
from dev.sandbox import Daemon

from ..conftest import IMAGE, one_more_daemon


@contextmanager
def own_daemon(number: str) -> Iterator[Daemon]:
    """A daemon with the image, for tests in which it is killed or restarted."""
    daemon = one_more_daemon(number)
    try:
        daemon.start()
        daemon.init()
        daemon.acknowledge_warnings()
        file = daemon.directory / "image.tar"
        image.build(file, busybox())
        daemon.import_image(file, IMAGE)
        yield daemon
    finally:
        daemon.destroy()
