"""What an interrupted run has left is removed by the next, whichever of its workers is first."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from dev import leftovers
from dev.console import Failure
from dev.paths import ROOT

# The kernel gives no process a number that is as high.
NOBODY = 2**22 + 1
CLEAR = "import sys; from dev.sandbox import clear_abandoned; clear_abandoned(sys.argv[1])"


@pytest.fixture
def folder() -> Iterator[Path]:
    # Short, since a socket's path must fit.
    folder = Path(mkdtemp(prefix="pika-left-", dir="/var/tmp"))
    yield folder
    shutil.rmtree(folder)


def claimed(path: Path, *, files: int = 1) -> Path:
    leftovers.claim(path)
    for number in range(files):
        (path / f"{number % 50}").mkdir(exist_ok=True)
        (path / f"{number % 50}" / f"{number}").touch()
    return path


def clear(folder: Path, *, times: int = 1) -> list[str]:
    """Lets processes clear the folder at the same time; what each printed."""
    command = [sys.executable, "-c", CLEAR, str(folder / "run-")]
    running = [
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for _ in range(times)
    ]
    printed = [process.communicate()[0].decode() for process in running]
    assert [process.returncode for process in running] == [0] * times, printed
    return printed


def test_several_at_once(folder: Path) -> None:
    for name in ("", "-0", "-c1", "-c2"):
        claimed(folder / f"run-{NOBODY}{name}", files=2000)
    assert clear(folder, times=3) == ["", "", ""]
    assert list(folder.iterdir()) == []


def test_only_what_is_left(folder: Path) -> None:
    own = claimed(folder / f"run-{os.getpid()}-0")
    other = folder / f"run-{NOBODY}-other"
    (other / "precious").mkdir(parents=True)
    link = folder / f"run-{NOBODY}-link"
    link.symlink_to(own)
    claimed(folder / "run-by-name")
    claimed(folder / f"run-{NOBODY}-0")
    assert clear(folder) == [""]
    assert {path.name for path in folder.iterdir()} == {
        own.name,
        other.name,
        link.name,
        "run-by-name",
    }
    assert (other / "precious").is_dir()


def test_an_interrupted_removal_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = claimed(folder / f"run-{NOBODY}", files=200)

    def killed(at: Path) -> None:
        raise KeyboardInterrupt(at)

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            leftovers.remove(path)
    assert clear(folder) == [""]
    assert list(folder.iterdir()) == []


def test_one_that_stays_stops_nobody(folder: Path) -> None:
    # Too long for a socket, so no daemon can ever have been here.
    stays = claimed(folder / f"run-{NOBODY}-{'x' * 100}")
    goes = claimed(folder / f"run-{NOBODY}")
    (printed,) = clear(folder)
    assert printed.startswith(f"{stays} of an interrupted run stays: ")
    assert stays.exists()
    assert not goes.exists()


def test_others_files_stay(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(Failure, match="not a sandbox's directory"):
        leftovers.remove(folder)
    with pytest.raises(Failure, match="has files in it"):
        leftovers.claim(folder)
    assert (folder / "file").exists()
