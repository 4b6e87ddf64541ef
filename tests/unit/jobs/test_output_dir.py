"""The folder of the host: names, ways, files whole or not at all, and what a run removes."""

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.jobs.output_collection import Collected
from pulumi_pika.jobs.output_dir import (
    FolderError,
    OutputFolder,
    UnsafePath,
    Written,
    safe_components,
)
from pulumi_pika.text_safety import visible


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def folder(root: Path) -> OutputFolder:
    return OutputFolder(root)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory that nothing is to be written to, with a file that nothing is to change."""
    directory = tmp_path / "outside"
    directory.mkdir()
    (directory / "theirs").write_text("theirs")
    return directory


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def untouched(outside: Path) -> bool:
    return names(outside) == ["theirs"] and (outside / "theirs").read_text() == "theirs"


def put(folder: OutputFolder, path: str, content: bytes = b"x") -> Written:
    with folder.writing(path) as out:
        out.write(content)
    return out.commit()


def everything(root: Path) -> list[str]:
    """All paths below the folder, directories too."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def entry(path: str, content: bytes = b"x", kind: str = "artifact") -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    return {"path": path, "kind": kind, "size": len(content), "sha256": digest}


def manifest(root: Path, content: Any) -> None:
    root.mkdir(exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    (root / "manifest.json").write_text(text)


# Writing


def test_file_is_written_with_its_directories(folder: OutputFolder, root: Path) -> None:
    old = os.umask(0o022)
    try:
        with folder.writing("artifacts/d/a b.txt") as out:
            out.write(b"one ")
            out.write(b"two")
        assert not (root / "artifacts").exists()
        out.commit()
    finally:
        os.umask(old)

    digest = hashlib.sha256(b"one two").hexdigest()
    assert out.written == Written("artifacts/d/a b.txt", 7, digest)
    assert (root / "artifacts/d/a b.txt").read_bytes() == b"one two"
    assert stat.S_IMODE((root / "artifacts/d/a b.txt").stat().st_mode) == 0o644
    assert stat.S_IMODE((root / "artifacts/d").stat().st_mode) == 0o755
    assert everything(root) == ["artifacts", "artifacts/d", "artifacts/d/a b.txt"]


def test_umask_goes_for_files_and_directories(folder: OutputFolder, root: Path) -> None:
    old = os.umask(0o077)
    try:
        put(folder, "d/a")
    finally:
        os.umask(old)

    assert stat.S_IMODE((root / "d/a").stat().st_mode) == 0o600
    assert stat.S_IMODE((root / "d").stat().st_mode) == 0o700


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_failure_leaves_no_part_and_the_old_file(
    folder: OutputFolder, root: Path, error: type[BaseException]
) -> None:
    put(folder, "d/a", b"old")

    with pytest.raises(error), folder.writing("d/a") as out:  # noqa: PT012
        out.write(b"new")
        raise error

    assert out.written is None
    assert everything(root) == ["d", "d/a"]
    assert (root / "d/a").read_bytes() == b"old"


def test_pending_file_is_kept_or_dropped(folder: OutputFolder, root: Path) -> None:
    kept, dropped = folder.open_file("d/kept"), folder.open_file("e/dropped")
    for pending in kept, dropped:
        pending.write(b"content")
    assert kept.size == 7

    written = kept.commit()
    dropped.discard()
    kept.discard()

    assert written == Written("d/kept", 7, hashlib.sha256(b"content").hexdigest())
    assert everything(root) == ["d", "d/kept"]
    with pytest.raises(ValueError, match="closed"):
        kept.write(b"more")


def test_full_disk_is_told_and_leaves_no_part(folder: OutputFolder, root: Path) -> None:
    pending = folder.open_file("a")
    pending._file.close()
    pending._file = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115

    with pytest.raises(FolderError, match=r"/out/a: No space left on device"):
        pending.write(b"x")
    pending.discard()

    assert everything(root) == []


# Names


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("", "an empty name"),
        ("/etc/x", "an absolute path"),
        ("a//b", "an empty name"),
        ("a/", "an empty name"),
        ("../x", "the name `..`"),
        ("a/../../x", "the name `..`"),
        ("a/./b", "the name `.`"),
        ("a\0b", "a control character in its name"),
        ("a\nb", "a control character in its name"),
        ("a\x1b[2Jb", "a control character in its name"),
        ("a\x7f", "a control character in its name"),
        ("a\x9bb", "a control character in its name"),
        ("a\u2028b", "a control character in its name"),
        ("a\udcffb", "a control character in its name"),
        ("ü" * 128, "a name longer than 255 bytes"),
        ("/".join(["d" * 100] * 11), "a path longer than 1024 bytes"),
        (".pika-0123456789abcdef.part", "the name of an unfinished file of pulumi_pika"),
        ("manifest.json", "the name of the manifest"),
    ],
)
def test_unsafe_path_is_refused(
    folder: OutputFolder, tmp_path: Path, path: str, reason: str
) -> None:
    with pytest.raises(UnsafePath) as caught:
        folder.open_file(path)

    assert caught.value.reason == reason
    assert str(caught.value).isprintable()
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "path",
    ["..x", "x..", "...", "-rf", " ", "b\\s", "ü\ufffd", "a:b", "n" * 255, "d/manifest.json"],
)
def test_odd_names_are_taken(folder: OutputFolder, root: Path, path: str) -> None:
    assert safe_components(path) == tuple(path.split("/"))

    assert put(folder, path).path == path

    assert (root / path).read_bytes() == b"x"


def test_what_is_not_seen_is_shown() -> None:
    assert visible("a\nb\x1b\udcff\u2028ü\\") == "a\\nb\\x1b\\udcff\\u2028ü\\"


# Ways


@pytest.mark.parametrize("target", ["outside", "missing", "."])
def test_symlink_in_place_of_a_directory_is_not_followed(
    folder: OutputFolder, root: Path, outside: Path, target: str
) -> None:
    (root / "artifacts").mkdir(parents=True)
    (root / "artifacts/d").symlink_to(outside.parent / target)

    with pytest.raises(FolderError, match=r"out/artifacts/d is a symlink, which is not followed"):
        put(folder, "artifacts/d/theirs", b"ours")

    assert untouched(outside)
    assert names(outside.parent) == ["out", "outside"]
    assert everything(root) == ["artifacts", "artifacts/d"]


def test_symlink_that_comes_while_the_file_is_written_is_not_followed(
    folder: OutputFolder, root: Path, outside: Path
) -> None:
    pending = folder.open_file("d/theirs")
    pending.write(b"ours")
    (root / "d").symlink_to(outside)

    with pytest.raises(FolderError, match="d is a symlink"):
        pending.commit()

    assert untouched(outside)
    assert names(root) == ["d"]


def test_symlink_in_place_of_the_file_is_not_followed(
    folder: OutputFolder, root: Path, outside: Path
) -> None:
    root.mkdir()
    (root / "a").symlink_to(outside / "theirs")

    with pytest.raises(FolderError, match="out/a is a symlink, which is not followed"):
        put(folder, "a", b"ours")

    assert untouched(outside)
    assert (root / "a").is_symlink()
    assert names(root) == ["a"]


def test_file_in_place_of_a_directory_stays(folder: OutputFolder, root: Path) -> None:
    put(folder, "d", b"file")

    with pytest.raises(FolderError, match="out/d is not a directory; nothing was written there"):
        put(folder, "d/e/a")

    assert (root / "d").read_bytes() == b"file"
    assert names(root) == ["d"]


def test_directory_in_place_of_the_file_stays(folder: OutputFolder, root: Path) -> None:
    put(folder, "d/a")

    with pytest.raises(FolderError, match="out/d is a directory; nothing was written there"):
        put(folder, "d")

    assert everything(root) == ["d", "d/a"]


def test_folder_itself_may_be_behind_a_symlink(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    root.mkdir()

    put(OutputFolder(tmp_path / "link"), "a")

    assert everything(root) == ["a"]


def test_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(FolderError, match="file"):
        OutputFolder(tmp_path / "file").open_file("a")
    with pytest.raises(FolderError, match="Not a directory"):
        OutputFolder(tmp_path / "file").clear_previous()


# What an earlier run brought


def test_next_run_removes_what_the_earlier_brought(folder: OutputFolder, root: Path) -> None:
    written = [put(folder, path) for path in ("output.log", "artifacts/d/e/a", "artifacts/b")]
    files = [Collected(one.path, "artifact", one.size, one.sha256) for one in written]
    folder.write_manifest(files)
    assert json.loads((root / "manifest.json").read_text()) == {
        "schema_version": 1,
        "files": [file.to_dict() for file in files],
    }

    assert folder.clear_previous() == ["output.log", "artifacts/d/e/a", "artifacts/b"]

    assert everything(root) == []
    assert root.is_dir()
    assert folder.clear_previous() == []


def test_what_is_not_what_was_brought_stays(
    folder: OutputFolder, root: Path, outside: Path
) -> None:
    brought = ("same", "size", "bytes", "gone", "link", "dir", "fifo", "d/same", "l/a")
    written = [put(folder, f"artifacts/{name}", b"content") for name in brought]
    put(folder, "artifacts/d/theirs")
    put(folder, "theirs")
    folder.write_manifest(Collected(w.path, "artifact", w.size, w.sha256) for w in written)
    there = root / "artifacts"
    (there / "size").write_bytes(b"more content")
    (there / "bytes").write_bytes(b"CONTENT")
    for name in ("gone", "link", "dir", "fifo", "l/a"):
        (there / name).unlink()
    (outside / "theirs").write_bytes(b"content")
    (there / "link").symlink_to(outside / "theirs")
    (there / "dir").mkdir()
    os.mkfifo(there / "fifo")
    (there / "l").rmdir()
    (there / "l").symlink_to(outside)
    (outside / "a").write_bytes(b"content")

    assert folder.clear_previous() == ["artifacts/same", "artifacts/d/same"]

    left = ["bytes", "d", "d/theirs", "dir", "fifo", "l", "link", "size"]
    expected = ["artifacts", *(f"artifacts/{name}" for name in left), "theirs"]
    assert everything(root) == expected
    assert names(outside) == ["a", "theirs"]


GOOD = {"schema_version": 1, "files": [entry("mine")]}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "no JSON",
        "[" * 100_000,
        [],
        {},
        {"files": [entry("mine")]},
        {"schema_version": 2, "files": [entry("mine")]},
        {"schema_version": True, "files": [entry("mine")]},
        {"schema_version": 1, "files": {}},
        {**GOOD, "more": 1},
        {"schema_version": 1, "files": [entry("mine"), entry("../outside/theirs", b"theirs")]},
        {"schema_version": 1, "files": [entry("mine"), entry("/etc/hostname")]},
        {"schema_version": 1, "files": [entry("mine"), entry("a/../../x")]},
        {"schema_version": 1, "files": [entry("mine"), entry("a\0b")]},
        {"schema_version": 1, "files": [entry("mine"), entry("")]},
        {"schema_version": 1, "files": [entry("mine", kind="other")]},
        {"schema_version": 1, "files": [{**entry("mine"), "size": "1"}]},
        {"schema_version": 1, "files": [{**entry("mine"), "size": True}]},
        {"schema_version": 1, "files": [{**entry("mine"), "size": 1.0}]},
        {"schema_version": 1, "files": [{**entry("mine"), "sha256": "X" * 64}]},
        {"schema_version": 1, "files": [{**entry("mine"), "kind": []}]},
        {"schema_version": 1, "files": [{**entry("mine"), "more": 1}]},
        {"schema_version": 1, "files": ["mine"]},
        {"schema_version": 1, "files": [entry("mine")] * 20_001},
    ],
    ids=lambda content: str(content)[:60],
)
def test_manifest_that_is_not_ours_removes_nothing(
    folder: OutputFolder, root: Path, outside: Path, content: Any
) -> None:
    put(folder, "mine")
    manifest(root, content)

    assert folder.clear_previous() == []

    assert everything(root) == ["manifest.json", "mine"]
    assert untouched(outside)


def test_manifest_of_the_form_above_removes(folder: OutputFolder, root: Path) -> None:
    put(folder, "mine")
    manifest(root, GOOD)

    assert folder.clear_previous() == ["mine"]


@pytest.mark.parametrize("kind", ["symlink", "fifo", "directory"])
def test_manifest_that_is_no_file_is_not_read(
    folder: OutputFolder, root: Path, outside: Path, kind: str
) -> None:
    put(folder, "mine")
    (outside / "manifest.json").write_text(json.dumps(GOOD))
    place = root / "manifest.json"
    if kind == "symlink":
        place.symlink_to(outside / "manifest.json")
    elif kind == "fifo":
        os.mkfifo(place)
    else:
        place.mkdir()

    assert folder.clear_previous() == []

    assert everything(root) == ["manifest.json", "mine"]


def test_manifest_is_not_written_through_a_symlink(
    folder: OutputFolder, root: Path, outside: Path
) -> None:
    root.mkdir()
    (root / "manifest.json").symlink_to(outside / "theirs")

    with pytest.raises(FolderError, match=r"manifest.json is a symlink"):
        folder.write_manifest([])

    assert untouched(outside)
    assert names(root) == ["manifest.json"]


def test_what_a_killed_run_began_is_removed(folder: OutputFolder, root: Path) -> None:
    for path in "d/a", "b":
        # As a kill leaves it: neither kept nor dropped.
        folder.open_file(path)._file.close()
    (root / ".pika-theirs").touch()
    (root / ".pika-link.part").symlink_to("/etc/hostname")
    assert len(everything(root)) == 4

    folder.clear_previous()

    assert everything(root) == [".pika-link.part", ".pika-theirs"]
