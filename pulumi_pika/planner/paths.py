"""Rules for guest paths, which are POSIX paths whatever machine plans them."""


def is_plain(path: str) -> bool:
    """Whether `path` is plainly in order: a quick test that passes almost every good path.

    False says nothing but that the path needs the thorough look: ``/a/.b`` is in order too.
    """
    return (
        path.startswith("/")
        and "/." not in path
        and "//" not in path
        and (not path.endswith("/") or path == "/")
    )


def reference_path_reason(path: str) -> str | None:
    """Why the reference planner refuses `path` (known to be non-blank), or None."""
    if not path.startswith("/"):
        return "must be absolute"
    if ".." in path.split("/"):
        return "must not contain parent traversal"
    return None


def strict_path_reason(path: str) -> str | None:
    """Why `path`, absolute and without ``..``, is still no name that means one place only, or None.

    The reference lets these through; they make two spellings of one directory look different.
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
    """Whether `path` is `root` or below it, by path component: /a-evil is not within /a."""
    return path == root or path.startswith(root if root.endswith("/") else root + "/")


def same_directory_key(path: str) -> str:
    """A spelling that all names of one directory share: no empty, ``.`` or closing segments."""
    return "/" + "/".join(part for part in path.split("/") if part not in ("", "."))
