"""Remember which objects the program declares, so that no preview calls them missing on the host.

A preview creates nothing. A runtime that names a profile, project or pool of the same program would
be warned that it is missing. All resources of a host are checked in the same process, and a
resource after those that it depends on.
"""

import threading

_lock = threading.Lock()
_declared: set[tuple[str, str, str]] = set()


def declare(collection: str, project: str, name: str) -> None:
    """Record an object whose `check` found no problem.

    Args:
        collection: the last part of the path of its collection, such as `profiles`.
        project: its project; empty for objects that are in no project.
        name: its name.
    """
    with _lock:
        _declared.add((collection, project, name))


def is_declared(collection: str, project: str, name: str) -> bool:
    """Return whether the program declares an object; see `declare` for the arguments."""
    with _lock:
        return (collection, project, name) in _declared
