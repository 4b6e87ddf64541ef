"""Check guest paths, which are POSIX paths on every machine."""


def is_plain(path: str) -> bool:
    """Return whether `path` is obviously valid: a quick test that passes almost every good path.

    False only means that the path needs the full check: ``/a/.b`` is valid too.
    """
    return (
        path.startswith("/")
        and "/." not in path
        and "//" not in path
        and (not path.endswith("/") or path == "/")
    )


def reference_path_reason(path: str) -> str | None:
    """Return why the reference planner refuses `path` (known to be non-blank), or None."""
    if not path.startswith("/"):
        return "must be absolute"
    if ".." in path.split("/"):
        return "must not contain parent traversal"
    return None


def strict_path_reason(path: str) -> str | None:
    """Return why `path`, absolute and without ``..``, still has several readings, or None.

    The reference planner accepts such paths; they make two spellings of one directory look
    different.
    """
    if path == "/":
        return None
    segments = path.split("/")[1:]
    if "" in segments[:-1]:
        return "must not contain empty segments"
    if "." in segments:
        return "must not contain `.` segments"
    if segments[-1] == "":
        return "must not end with a slash"
    return None


def is_within(path: str, root: str) -> bool:
    """Return whether `path` is `root` or below it, by path component: /a-evil is not within /a."""
    return path == root or path.startswith(root if root.endswith("/") else root + "/")


def same_directory_key(path: str) -> str:
    """Return a spelling that all names of one directory share.

    It has no empty, ``.`` or final segments.
    """
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))
