"""An output directory is one run's: locked, looked at before the work, and without a file of ours
that no manifest names."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient
from pulumi_pika.jobs import job_run as run_module
from pulumi_pika.jobs.job_errors import JobOutputRefused
from pulumi_pika.jobs.job_instance import JobInstance, create_job_instance
from pulumi_pika.jobs.output_dir import FolderError, OutputFolder
from pulumi_pika.reconcile.instances.lifecycle import fetch_instance

from ...conftest import Sandbox
from ...support.job_guest import GO, let_go
from ...support.reconcile import eventually, mount
from .test_run import (
    PATHS,
    Watching,
    job,
    policies,
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def files(directory: Path) -> list[str]:
    """All files below a directory, relative to it."""
    found = (path for path in directory.rglob("*") if not path.is_dir() or path.is_symlink())
    return sorted(str(path.relative_to(directory)) for path in found)


def unlisted(directory: Path) -> set[str]:
    """The files that the manifest does not list."""
    listed = json.loads((directory / "manifest.json").read_text())["files"]
    return set(files(directory)) - {"manifest.json"} - {file["path"] for file in listed}


# One run's


def test_folder_is_one_runs(home: Path) -> None:
    first, second = OutputFolder(home), OutputFolder(home / ".." / home.name)
    with first.held():
        with pytest.raises(FolderError, match="is used by another job") as caught:
            second.held().__enter__()
        assert "a separate directory" in caught.value.advice
        with first.writing("a") as out:
            out.write(b"x")
        out.commit()
    with second.held():
        assert files(home) == ["a"]


def test_folder_is_one_processes(home: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; "
        "from pulumi_pika.jobs.output_dir import OutputFolder\n"
        "with OutputFolder(Path(sys.argv[1])).held(): print('has it', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "has it\n"
        with pytest.raises(FolderError, match="is used by another job"):
            OutputFolder(home).held().__enter__()
        other.kill()
    with OutputFolder(home).held():
        pass


def test_second_job_is_refused_and_disturbs_nothing(
    client: IncusClient, name: str, home: Path
) -> None:
    given = {"output_dir": str(home), "spec": {"policies": policies()}}
    watching, outcomes = Watching(), []
    command = f"echo on; {GO}; echo 1 > {PATHS}/artifacts/a"
    thread = threading.Thread(
        target=lambda: outcomes.append(job(client, name, command, watcher=watching, **given))
    )
    thread.start()
    assert eventually(lambda: b"on" in watching.seen)

    with pytest.raises(JobOutputRefused, match=f"output_dir: {home} is used by another job; use"):
        job(client, f"{name}-2", "true", **given)

    let_go(client, name)
    thread.join()
    assert outcomes[0].skipped_outputs == ()
    assert files(home) == ["artifacts/a", "manifest.json", "output.log"]
    assert fetch_instance(client, f"{name}-2") is None


def test_part_of_a_run_below_stays(home: Path) -> None:
    inner = OutputFolder(home / "artifacts")
    with inner.held():
        pending = inner.open_file("a")
        OutputFolder(home).clear_previous()
        assert pending.commit().path == "a"
    (home / "artifacts/.pika-0123456789abcdef.part").touch()
    OutputFolder(home).clear_previous()
    assert files(home) == ["artifacts/a"]


def test_folder_that_was_made_for_nothing_goes(home: Path) -> None:
    with OutputFolder(home / "a/b").held():
        assert (home / "a/b").is_dir()
    assert not home.exists()


# No file that no manifest names


def test_manifest_is_there_before_the_files(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = OutputFolder(home)
    seen: list[Any] = []
    replace = os.replace

    def interrupted(*arguments: Any, **options: Any) -> None:
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(arguments[1])
        assert arguments[1] == "manifest.json" or not unlisted(home) - set(parts(home))
        replace(*arguments, **options)

    with folder.held():
        written = []
        for path in ("a", "d/b", "c"):
            with folder.writing(path) as out:
                out.write(path.encode())
            assert out.written is not None
            written.append(entry(out.written))
        assert len(parts(home)) == 3
        monkeypatch.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            folder.commit(written)
        monkeypatch.undo()
    assert not unlisted(home)
    assert parts(home) == []

    folder.clear_previous()
    assert list(home.iterdir()) == []


def parts(directory: Path) -> list[str]:
    return [path for path in files(directory) if path.endswith(".part")]


def entry(written: Any) -> Any:
    from pulumi_pika.jobs.output_collection import Collected

    return Collected(written.path, "artifact", written.size, written.sha256)


def test_retry_begins_with_an_empty_folder(client: IncusClient, name: str, home: Path) -> None:
    volume = mount(kind="persistent_volume", source=f"{name}-count", guest_path="/mnt/c")
    command = f"""
        if [ -e /mnt/c/second ]; then echo 2 > {PATHS}/artifacts/summary; exit 0; fi
        touch /mnt/c/second; echo 1 > {PATHS}/artifacts/failures
        echo '{{"schema_version":1,"status":"failed"}}' > {PATHS}/result.json; exit 1"""
    fields = {"policies": policies(restart_policy="on_failure"), "mounts": [volume]}
    outcome = job(client, name, command, output_dir=str(home), spec=fields)

    assert (outcome.status, outcome.attempts) == ("completed", 2)
    assert files(home) == ["artifacts/summary", "manifest.json", "output.log"]
    assert not unlisted(home)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_ended_while_it_collects(
    sandbox: Sandbox, client: IncusClient, name: str, home: Path, how: signal.Signals
) -> None:
    home.mkdir()
    text = json.dumps(
        {
            "identity": {"runtime_id": f"id-{name}", "instance_name": name},
            "incus": {"project": "default", "profile": "default", "image_alias": "pika/tiny"},
            "policies": policies(),
        }
    )
    spec = home.parent / "spec.json"
    spec.write_text(text)
    run = [sys.executable, "-m", "pulumi_pika", "run", "--type", "container"]
    run += ["--socket", str(sandbox.socket), "--output-dir", str(home), str(spec), "--"]
    many = f"cd {PATHS}/artifacts; n=0; while [ $n -lt 2000 ]; do echo $n > $n; n=$((n+1)); done"
    with subprocess.Popen([*run, many], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        # Some are there, and output.log.
        assert eventually(lambda: len(list(home.iterdir())) > 20)
        process.send_signal(how)
        process.communicate()
    assert [path for path in files(home) if not path.endswith(".part")] == []

    subprocess.run([*run, "echo 1 > /run/pika-cloud/artifacts/one"], check=True)
    assert files(home) == ["artifacts/one", "manifest.json", "output.log"]


# Problems are found before the work


def refused(client: IncusClient, name: str, home: Path) -> str:
    begun = time.monotonic()
    with pytest.raises(JobOutputRefused) as caught:
        job(client, name, "sleep 20", output_dir=str(home), spec={"policies": policies()})
    assert fetch_instance(client, name) is None
    assert time.monotonic() - begun < 20
    said = str(caught.value)
    assert re.fullmatch(rf"output_dir: {home}[^;]*; [^;]+", said), said
    return said


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            "ln -s nowhere $H",
            "is a symlink, and its target nowhere does not exist; create that directory",
        ),
        ("touch $H", "is not a directory; use a directory that"),
        ("mkdir -p $H/manifest.json", "manifest.json is not a file; move"),
        ("mkdir $H; ln -s x $H/manifest.json", "manifest.json is a symlink, which is not followed"),
        ("mkdir -p $H/output.log", "output.log is not a file; move"),
        ("mkdir $H; touch $H/artifacts", "artifacts is not a directory; move"),
        ("mkdir $H; ln -s / $H/artifacts", "artifacts is a symlink, which is not followed; move"),
    ],
)
def test_what_is_in_the_way_is_found_before_the_work(
    client: IncusClient, name: str, home: Path, make: str, said: str
) -> None:
    subprocess.run(["sh", "-c", make], env={**os.environ, "H": str(home)}, check=True)
    before = files(home) if home.is_dir() else []
    assert said in refused(client, name, home)
    assert (files(home) if home.is_dir() else []) == before


@pytest.fixture
def mounted(home: Path) -> Any:
    """Mounts something on a directory, for the time of a test."""
    places: list[Path] = []

    def mount_at(place: Path, options: str) -> None:
        place.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)
        places.append(place)

    yield mount_at
    for place in places:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("below", ["", "artifacts"])
def test_place_that_takes_nothing_is_found_before_the_work(
    client: IncusClient, name: str, home: Path, mounted: Any, below: str
) -> None:
    mounted(home / below, "size=64k")
    (home / below / "theirs").write_bytes(b"x" * 65536)
    assert "No space left on device; use a directory" in refused(client, name, home)

    (home / below / "theirs").unlink()
    subprocess.run(["mount", "-o", "remount,ro", str(home / below)], check=True)
    assert "Read-only file system; use a directory" in refused(client, name, home)
    assert files(home) == []


@pytest.mark.parametrize("below", ["artifacts", "artifacts/d"])
def test_mount_within_takes_its_files(
    client: IncusClient, name: str, home: Path, mounted: Any, below: str
) -> None:
    mounted(home / below, "size=8m")
    command = f"cd {PATHS}/artifacts; mkdir d; echo a > a; echo b > d/b"

    for _ in range(2):
        outcome = job(client, name, command, output_dir=str(home), spec={"policies": policies()})

        assert outcome.skipped_outputs == ()
        assert files(home) == ["artifacts/a", "artifacts/d/b", "manifest.json", "output.log"]
        assert (home / "artifacts/d/b").read_text() == "b\n"


def test_folder_that_goes_while_it_runs_costs_the_outputs_and_not_the_job(
    client: IncusClient, name: str, home: Path
) -> None:
    watching, outcomes = Watching(), []
    given = {"output_dir": str(home), "spec": {"policies": policies()}}
    thread = threading.Thread(
        target=lambda: outcomes.append(
            job(client, name, f"echo on; {GO}", watcher=watching, **given)
        )
    )
    thread.start()
    assert eventually(lambda: b"on" in watching.seen)
    subprocess.run(["rm", "-r", str(home)], check=True)
    let_go(client, name)
    thread.join()

    assert outcomes[0].completed
    assert outcomes[0].collected_files == ()
    assert outcomes[0].skipped_outputs[0].path == "output.log"


# What else fails is not the folder's


def test_error_of_standard_output_is_said_as_such(
    sandbox: Sandbox, client: IncusClient, name: str, home: Path, tmp_path: Path
) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(
        json.dumps(
            {
                "identity": {"runtime_id": f"id-{name}", "instance_name": name},
                "incus": {"project": "default", "profile": "default", "image_alias": "pika/tiny"},
            }
        )
    )
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pulumi_pika", "run", "--type", "container", "--quiet"),
                *("--socket", str(sandbox.socket), str(spec), "--", "echo hi"),
            ],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 125
    assert done.stderr == (
        "error: could not write to standard output: No space left on device. Redirect it to a "
        "file, or to a program that reads all of it\n"
    )
    assert fetch_instance(client, name) is None


def test_signal_just_after_the_making_leaves_nothing(
    client: IncusClient, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any) -> JobInstance:
        create_job_instance(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module, "create_job_instance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        job(client, name, "true")
    assert fetch_instance(client, name) is None
