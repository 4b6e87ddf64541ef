"""What is brought home from real containers, whatever they hold, and what is left out and why."""

import hashlib
import re
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from pulumi_pika.incus.client import IncusClient, url
from pulumi_pika.incus.errors import NotFound, UnexpectedResponse
from pulumi_pika.incus.guest_files import (
    NotAFile,
    guest_entry,
    list_guest_directory,
    read_chunks,
)
from pulumi_pika.jobs import output_collection as module
from pulumi_pika.jobs.output_collection import Collection, collect_outputs
from pulumi_pika.jobs.output_dir import OutputFolder
from pulumi_pika.planner.plan import IncusRuntimePlan
from pulumi_pika.reconcile.shared.reporter import Progress

from ...conftest import IMAGE, Sandbox
from ...support.proxy import (
    Action,
    Answer,
    Forward,
    Proxy,
    Request,
    call,
    delay,
    error,
    reply,
    reset_before,
    truncate,
)
from ...support.reconcile import (
    Recorder,
    output,
    plan_of,
    shell,
)

ROOT = "/run/pika-cloud"
ARTIFACTS = f"{ROOT}/artifacts"
MIB = 2**20
FILES = "/1.0/instances/[^/]+/files"


@dataclass
class Guest:
    """A container, the folder that takes its outputs, and the lines of its collections."""

    client: IncusClient
    name: str
    out: Path
    reporter: Recorder = field(default_factory=Recorder)

    def run(self, script: str, *, directory: str = ARTIFACTS) -> None:
        """Runs a shell script in the artifacts directory."""
        done = shell(
            self.client, self.name, f"set -e; mkdir -p {directory}; cd {directory}\n{script}"
        )
        assert done == 0, script

    def collect(
        self,
        *globs: str,
        max_bytes: int = 100 * MIB,
        client: IncusClient | None = None,
        root: str = ROOT,
        check: bool = True,
        **collection: Any,
    ) -> Collection:
        wanted = {"mode": "always", "artifact_globs": list(globs), **collection}
        plan = plan_of(
            self.name,
            policies={
                "restart_policy": "never",
                "retention_policy": "destroy_on_completion",
                "output_collection": wanted,
            },
        )
        text = plan.model_dump_json().replace(f'"{ROOT}', f'"{root}')
        plan = IncusRuntimePlan.model_validate_json(text)
        folder = OutputFolder(self.out)
        try:
            found = collect_outputs(
                client or self.client,
                self.name,
                plan,
                folder,
                max_bytes=max_bytes,
                reporter=self.reporter,
            )
            if found.files:
                assert folder.commit(found.files) == []
        finally:
            (self.out / "manifest.json").unlink(missing_ok=True)
        if check:
            self.check(found)
        return found

    def check(self, found: Collection) -> None:
        """What is told of the files is what is there, and nothing else is."""
        there = [path for path in self.out.rglob("*") if path.is_file() and not path.is_symlink()]
        assert sorted(str(path.relative_to(self.out)) for path in there) == sorted(
            file.path for file in found.files
        )
        for file in found.files:
            content = (self.out / file.path).read_bytes()
            assert len(content) == file.size
            assert hashlib.sha256(content).hexdigest() == file.sha256


def paths(found: Collection) -> list[str]:
    return [file.path for file in found.files]


def left(found: Collection) -> dict[str, str]:
    return {one.path.removeprefix(f"{ARTIFACTS}/"): one.reason for one in found.skipped}


@pytest.fixture
def guest(client: IncusClient, name: str, tmp_path: Path) -> Guest:
    start(client, name)
    return Guest(client, name, tmp_path / "out")


def start(client: IncusClient, name: str, **config: str) -> None:
    source = {"type": "image", "alias": IMAGE}
    body = {"name": name, "type": "container", "start": True, "source": source, "config": config}
    client.run("POST", "/1.0/instances", body, timeout=60)


@pytest.fixture
def outside(tmp_path: Path) -> Iterator[Path]:
    """A directory of the host that has to be untouched at the end."""
    directory = tmp_path / "outside"
    directory.mkdir()
    (directory / "a").write_text("theirs")
    yield directory
    assert [path.name for path in directory.iterdir()] == ["a"]
    assert (directory / "a").read_text() == "theirs"


@pytest.fixture
def proxy(sandbox: Sandbox, tmp_path: Path) -> Iterator[Proxy]:
    with Proxy(sandbox.socket, tmp_path / "proxy.socket") as proxy:
        yield proxy


@pytest.fixture
def proxied(proxy: Proxy, sandbox: Sandbox) -> IncusClient:
    return IncusClient(proxy.socket)


def only(file: str, action: Action) -> Action:
    """The action, for requests of one artifact."""

    def act(request: Request, forward: Forward) -> Answer:
        if request.query.get("path") == f"{ARTIFACTS}/{file}":
            return action(request, forward)
        return forward(request)

    return act


# What there is to bring


def test_all_kinds_are_brought(guest: Guest) -> None:
    guest.run(
        "cd ..; mkdir logs; echo '{}' >status.json; echo r >result.json; echo e >events.jsonl\n"
        "echo l >logs/guest.log; echo a >artifacts/a.txt; : >artifacts/empty"
    )

    found = guest.collect("*")

    assert [(file.path, file.kind, file.size) for file in found.files] == [
        ("status.json", "status", 3),
        ("result.json", "result", 2),
        ("events.jsonl", "events", 2),
        ("guest.log", "log", 2),
        ("artifacts/a.txt", "artifact", 2),
        ("artifacts/empty", "artifact", 0),
    ]
    assert found.skipped == ()
    assert (guest.out / "guest.log").read_text() == "l\n"
    assert found.files[0].to_dict() == {
        "path": "status.json",
        "kind": "status",
        "size": 3,
        "sha256": hashlib.sha256(b"{}\n").hexdigest(),
    }


def test_what_is_not_wanted_or_not_there_is_not_brought(guest: Guest) -> None:
    guest.run("cd ..; mkdir logs; echo r >result.json; echo l >logs/guest.log; echo a >artifacts/a")

    found = guest.collect(include_logs=False, include_result=False)

    assert found == Collection((), ())
    assert not guest.out.exists()


def test_guest_without_anything_has_nothing(guest: Guest) -> None:
    assert guest.collect("**") == Collection((), ())


def test_patterns_choose_and_order_is_that_of_names(guest: Guest, proxied: IncusClient) -> None:
    guest.run(
        "mkdir -p d/e other/x reports\n"
        "for f in b.log a.log a.txt d/c.log d/e/f.log d/g.txt other/h.txt other/x/i reports/j; do\n"
        "echo $f >$f; done"
    )

    found = guest.collect("*.log", "./d/**/*.log", "reports", client=proxied)

    assert paths(found) == [
        f"artifacts/{name}" for name in ("a.log", "b.log", "d/c.log", "d/e/f.log", "reports/j")
    ]
    assert found.skipped == ()
    assert (guest.out / "artifacts/d/e/f.log").read_text() == "d/e/f.log\n"


def test_directories_without_matches_are_not_listed(
    guest: Guest, proxy: Proxy, proxied: IncusClient
) -> None:
    guest.run("mkdir -p d/e other; echo x >d/a.log; echo x >other/a.log; echo x >d/e/a.log")

    assert paths(guest.collect("d/*.log", client=proxied)) == ["artifacts/d/a.log"]

    asked = {request.query.get("path", "") for request in proxy.sent("GET", FILES)}
    assert {path for path in asked if not path.endswith(".log")} == {ARTIFACTS, f"{ARTIFACTS}/d"}


def test_pattern_that_can_match_nothing_is_told(guest: Guest) -> None:
    guest.run("echo x >a")

    found = guest.collect("/etc/*", "../*", "a")

    assert paths(found) == ["artifacts/a"]
    assert [one.reason for one in found.skipped] == [
        "the pattern `/etc/*` is absolute; patterns are relative to the artifacts directory",
        "the pattern `../*` leads out of the artifacts directory",
    ]


def test_large_file_comes_in_bounded_memory(guest: Guest) -> None:
    guest.run("dd if=/dev/urandom of=large bs=1M count=40 2>/dev/null")
    sum_ = output(guest.client, guest.name, f"sha256sum {ARTIFACTS}/large").split()[0]
    tracemalloc.start()

    found = guest.collect("large", check=False)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(file.size, file.sha256) for file in found.files] == [(40 * MIB, sum_)]
    # A chunk, and the same again while it is put together.
    assert peak < 32 * MIB
    guest.check(found)


def test_chunks_are_asked_for_one_by_one(guest: Guest, proxy: Proxy, proxied: IncusClient) -> None:
    guest.run("printf 0123456789 >a")
    ask: dict[str, Any] = {"params": {"path": f"{ARTIFACTS}/a"}}
    path = url("instances", guest.name, "files")

    assert list(read_chunks(proxied, path, **ask, chunk=4)) == [b"0123", b"4567", b"89"]
    ranges = [request.header("Range") for request in proxy.sent("GET", FILES)]
    assert ranges == ["bytes=0-3", "bytes=4-7", "bytes=8-9"]
    assert list(read_chunks(proxied, path, **ask, chunk=5)) == [b"01234", b"56789"]
    assert list(read_chunks(proxied, path, **ask, start=8)) == [b"89"]
    assert list(read_chunks(proxied, path, **ask, start=10)) == []
    assert list(read_chunks(proxied, path, **ask, start=99)) == []


def test_log_of_a_command_is_read_in_chunks(guest: Guest) -> None:
    body = {
        "command": ["/bin/sh", "-c", "printf 0123456789"],
        "interactive": False,
        "wait-for-websocket": False,
        "record-output": True,
    }
    done = guest.client.run("POST", url("instances", guest.name, "exec"), body, timeout=30)
    log, empty = done["output"]["1"], done["output"]["2"]

    assert list(read_chunks(guest.client, log, chunk=4)) == [b"0123", b"4567", b"89"]
    assert list(read_chunks(guest.client, log, start=7)) == [b"789"]
    assert list(read_chunks(guest.client, log, start=10)) == []
    assert list(read_chunks(guest.client, empty)) == []
    with pytest.raises(NotFound, match=r"no such file|file .* not found"):
        list(read_chunks(guest.client, log.replace("exec_", "exec_0")))


def test_what_is_at_a_path(guest: Guest) -> None:
    guest.run("echo x >a; mkdir d e; ln -s a l; echo x >d/b; mkdir -p \"$(printf 'n\\nl')\"")

    def seen(name: str) -> tuple[str, int | None] | None:
        entry = guest_entry(guest.client, guest.name, f"{ARTIFACTS}/{name}")
        return (entry.type, entry.size) if entry else None

    assert seen("a") == ("file", 2)
    assert seen("d") == ("directory", None)
    assert seen("l") == ("symlink", None)
    assert seen("none") is None
    listed = list_guest_directory(guest.client, guest.name, ARTIFACTS)
    assert sorted(listed or ()) == ["a", "d", "e", "l", "n\nl"]
    assert list_guest_directory(guest.client, guest.name, f"{ARTIFACTS}/e") == []
    assert list_guest_directory(guest.client, guest.name, f"{ARTIFACTS}/none") is None
    assert list_guest_directory(guest.client, guest.name, f"{ARTIFACTS}/a") is None
    assert list_guest_directory(guest.client, guest.name, f"{ARTIFACTS}/l") is None
    files = url("instances", guest.name, "files")
    for name in ("l", "d"):
        with pytest.raises(NotAFile, match=r"it is a (symlink|directory)"):
            list(read_chunks(guest.client, files, {"path": f"{ARTIFACTS}/{name}"}))


# Symlinks


def test_symlinks_are_not_followed(guest: Guest) -> None:
    guest.run(
        "mkdir d; echo x >d/a; ln -s /etc/passwd file; ln -s /etc dir; ln -s nowhere broken\n"
        "ln -s ../d up; ln -s . self"
    )

    found = guest.collect("**")

    assert paths(found) == ["artifacts/d/a"]
    names = ("broken", "dir", "file", "self", "up")
    assert left(found) == dict.fromkeys(names, "a symlink, which is not followed")


def test_artifacts_directory_that_is_a_symlink_is_not_followed(guest: Guest) -> None:
    guest.run("cd ..; rmdir artifacts; ln -s /etc artifacts")

    found = guest.collect("*")

    assert found.files == ()
    assert left(found) == {ARTIFACTS: "a symlink, which is not followed"}


def test_symlinks_on_the_way_are_not_followed(guest: Guest) -> None:
    guest.run(
        "cd ..; echo secret >/root/guest.log; ln -s /root logs; ln -s /etc/passwd status.json\n"
        "mkdir result.json"
    )

    found = guest.collect("*")

    assert found.files == ()
    assert left(found) == {
        f"{ROOT}/status.json": "a symlink, which is not followed",
        f"{ROOT}/result.json": "a directory in place of a file",
        f"{ROOT}/logs/guest.log": f"{ROOT}/logs is a symlink, which is not followed",
    }


def test_root_that_is_a_symlink_is_not_followed_but_what_is_above_may_be(guest: Guest) -> None:
    guest.run("echo x >a; echo s >../status.json; ln -s /run /var/run; ln -s pika-cloud /run/link")

    found = guest.collect("*", root="/var/run/pika-cloud")
    assert paths(found) == ["status.json", "artifacts/a"]
    assert found.skipped == ()

    for path in found.files:
        (guest.out / path.path).unlink()
    found = guest.collect("*", root="/run/link")
    assert found.files == ()
    reasons = {one.reason for one in found.skipped}
    assert reasons == {"/run/link is a symlink, which is not followed"}


def test_symlink_that_comes_after_the_look_is_not_followed(
    guest: Guest, proxy: Proxy, proxied: IncusClient
) -> None:
    guest.run("echo x >a; echo x >b")

    def swap(request: Request) -> None:
        guest.run("rm -f a; ln -s /etc/passwd a")

    proxy.on("GET", FILES, only("a", call(swap)), times=None)

    found = guest.collect("*", client=proxied)

    assert paths(found) == ["artifacts/b"]
    assert left(found)["a"].endswith("it is a symlink")


# Names


def test_names_are_taken_or_left_out_with_a_reason(guest: Guest) -> None:
    long = "n" * 255
    guest.run(
        "for n in -dash ..x ... 'sp ace' ' ' 'b\\s' 'ü' 'a%41?b#&+' .hidden 'q\"' "
        f'{long} .pika-x.part; do echo x >"./$n"; done\n'
        "for n in 'new\\nline' 'ctl\\001x' 'tab\\there' 'esc\\033[2J' 'c1\\302\\205x' "
        "'bad\\377x'; do\n"
        'echo x >"$(printf "$n")"; done; mkdir "$(printf \'bad\\376d\')"'
    )

    found = guest.collect("**")

    taken = ("-dash", "..x", "...", "sp ace", " ", "b\\s", "ü", "a%41?b#&+", ".hidden", 'q"', long)
    assert paths(found) == [f"artifacts/{name}" for name in sorted(taken)]
    control = "a control character in its name"
    assert left(found) == {
        "new\\nline": control,
        "ctl\\x01x": control,
        "tab\\there": control,
        "esc\\x1b[2J": control,
        "c1\\x85x": control,
        "bad\ufffdx": "its name is not UTF-8",
        "bad\ufffdd": "its name is not UTF-8",
        ".pika-x.part": "the name of an unfinished file of pulumi_pika",
    }


@pytest.mark.parametrize("entry", ["../../x", "/etc/x", "..", ".", "", "d/../../../x", "a\0b"])
def test_names_that_only_a_hostile_guest_gives_are_not_asked_for(
    guest: Guest, proxy: Proxy, proxied: IncusClient, entry: str, outside: Path
) -> None:
    guest.run("echo x >a")
    listing = {"type": "sync", "status_code": 200, "metadata": [entry, "a"]}

    def hostile(request: Request, forward: Forward) -> Answer:
        if request.query.get("path") == ARTIFACTS:
            return reply(200, listing, X_Incus_Type="directory")(request, forward)
        return forward(request)

    proxy.on("GET", FILES, hostile, times=None)

    found = guest.collect("**", client=proxied)

    assert paths(found) == ["artifacts/a"]
    assert len(found.skipped) == 1
    assert {request.query["path"] for request in proxy.sent("GET", FILES)} == {
        ARTIFACTS,
        f"{ARTIFACTS}/a",
    }


# What is no file


def test_fifo_is_left_out(
    guest: Guest, proxy: Proxy, proxied: IncusClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_TIMEOUT", 2.0)
    guest.run("mkfifo p; echo x >z; echo x >a")

    found = guest.collect("*", client=proxied)

    # Once, so that it costs no more than that.
    read = [it.query["path"] for it in proxy.sent("GET", FILES)]
    assert read.count(f"{ARTIFACTS}/p") == 1
    assert paths(found) == ["artifacts/a", "artifacts/z"]
    assert left(found) == {"p": "no reply within 2 s: it is a FIFO, or the server hangs"}
    # What hangs in the guest is not in the way of its end.
    stop = {"action": "stop", "force": True}
    guest.client.run("PUT", url("instances", guest.name, "state"), stop, timeout=20)
    guest.client.run("DELETE", url("instances", guest.name), timeout=20)


def test_many_fifos_end_it(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_TIMEOUT", 2.0)
    guest.run("for n in 1 2 3 4 5 6 7; do mkfifo p$n; done; echo x >a; echo x >z")

    found = guest.collect("*")

    assert paths(found) == ["artifacts/a"]
    assert list(left(found)) == ["p1", "p2", "p3", "p4", "p5", ARTIFACTS]
    assert left(found)[ARTIFACTS] == "the collection stopped: 5 requests got no reply in time"


def test_fifo_of_a_stopped_container_is_not_opened(guest: Guest) -> None:
    guest.run("mkfifo p; echo x >a; : >empty", directory="/root/artifacts")
    stop = {"action": "stop", "force": True}
    guest.client.run("PUT", url("instances", guest.name, "state"), stop, timeout=20)

    found = guest.collect("*", root="/root")

    assert [(file.path, file.size) for file in found.files] == [
        ("artifacts/a", 2),
        ("artifacts/empty", 0),
        ("artifacts/p", 0),
    ]
    guest.client.run("DELETE", url("instances", guest.name), timeout=20)


def test_devices_come_as_empty_files(client: IncusClient, name: str, tmp_path: Path) -> None:
    start(client, name, **{"security.privileged": "true"})
    guest = Guest(client, name, tmp_path / "out")
    guest.run("mknod zero c 1 5; echo x >a; touch mounted; mount -o bind /dev/zero mounted")

    found = guest.collect("*")

    # Devices look like empty files, and to read them gives as much.
    assert [(file.path, file.size) for file in found.files] == [
        ("artifacts/a", 2),
        ("artifacts/mounted", 0),
        ("artifacts/zero", 0),
    ]
    assert found.skipped == ()


def test_what_is_gone_by_then_is_left_out(guest: Guest, proxy: Proxy, proxied: IncusClient) -> None:
    guest.run("echo x >a; echo x >b; echo x >c")

    def vanish(request: Request, forward: Forward) -> Answer:
        answer = forward(request)
        if request.query.get("path") == ARTIFACTS:
            guest.run("rm b")
        return answer

    proxy.on("GET", FILES, vanish, only("c", call(lambda _: guest.run("rm c"))), times=None)

    found = guest.collect("*", client=proxied)

    assert paths(found) == ["artifacts/a"]
    assert left(found)["b"] == "a special file such as a socket, or deleted meanwhile"
    assert "Incus answered 404: Not Found" in left(found)["c"]


# Bounds


def test_sparse_file_is_not_read(guest: Guest, proxy: Proxy, proxied: IncusClient) -> None:
    guest.run("truncate -s 10G huge; echo x >z")

    found = guest.collect("*", max_bytes=3 * MIB, client=proxied)

    assert paths(found) == ["artifacts/z"]
    assert left(found) == {
        "huge": "is 10240.0 MiB long, and only 3.0 MiB of the 3.0 MiB that may be collected are "
        "left"
    }
    asked = {request.query.get("path") for request in proxy.sent("GET", FILES)}
    assert f"{ARTIFACTS}/huge" not in asked


def test_all_together_are_within_the_bound(guest: Guest) -> None:
    guest.run("printf 123456 >../status.json; printf 1234 >a; printf 12345 >b; printf 12 >c; : >d")

    found = guest.collect("*", max_bytes=12)

    assert paths(found) == ["status.json", "artifacts/a", "artifacts/c", "artifacts/d"]
    assert left(found) == {
        "b": "is 5 bytes long, and only 2 bytes of the 12 bytes that may be collected are left"
    }


def test_what_is_added_meanwhile_is_not_brought(
    guest: Guest, proxy: Proxy, proxied: IncusClient
) -> None:
    guest.run("dd if=/dev/zero of=a bs=1M count=9 2>/dev/null")
    added: list[bool] = []

    def add(request: Request) -> None:
        added.append(True)
        guest.run("dd if=/dev/zero bs=1M count=9 2>/dev/null >>a")

    proxy.on("GET", FILES, only("a", call(add)), nth=3, times=None)

    found = guest.collect("*", client=proxied)

    assert [(file.path, file.size) for file in found.files] == [("artifacts/a", 9 * MIB)]
    assert added


def test_file_that_never_stops_growing_is_brought(guest: Guest) -> None:
    guest.run("(while :; do dd if=/dev/zero bs=64k count=16 2>/dev/null; sleep 0.01; done >>a) &")

    found = guest.collect("*")

    assert paths(found) == ["artifacts/a"]


def test_file_that_is_longer_than_it_says_is_left_out(
    guest: Guest, proxy: Proxy, proxied: IncusClient
) -> None:
    guest.run("dd if=/dev/zero of=a bs=1M count=2 2>/dev/null; dd if=a of=b 2>/dev/null; echo x >c")

    def nothing(request: Request, forward: Forward) -> Answer:
        answer = forward(request)
        return replace(answer, headers={**answer.headers, "Content-Length": "0"})

    proxy.on("HEAD", ".*/files", nothing, times=None)
    found = guest.collect("*", max_bytes=3 * MIB // 2, client=proxied)

    assert found.files == ()
    what = (
        "became longer while it was read, and only 1.5 MiB of the 1.5 MiB that may be collected "
        "are left"
    )
    assert left(found) == {
        "a": what,
        ARTIFACTS: "the collection stopped: 2.0 MiB were read of files that could not be saved",
    }


def test_file_that_becomes_shorter_is_left_out(
    guest: Guest, proxy: Proxy, proxied: IncusClient
) -> None:
    guest.run("dd if=/dev/zero of=a bs=1M count=9 2>/dev/null; echo x >b")

    def cut(request: Request) -> None:
        if request.header("Range") != "bytes=0-8388607":
            guest.run("echo x >a")

    proxy.on("GET", FILES, only("a", call(cut)), times=None)

    found = guest.collect("*", client=proxied)

    assert paths(found) == ["artifacts/b"]
    assert left(found)["a"].endswith("the file became shorter during the read")


def test_counts_are_bounded(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    guest.run("mkdir d; for n in 1 2 3 4; do echo x >d/$n; done; echo x >e")

    monkeypatch.setattr(module, "MAX_ARTIFACTS", 5)
    assert len(guest.collect("**").files) == 5
    monkeypatch.setattr(module, "MAX_ARTIFACTS", 3)
    (guest.out / "artifacts/d/4").unlink()
    (guest.out / "artifacts/e").unlink()
    found = guest.collect("**")
    assert paths(found) == [f"artifacts/d/{n}" for n in (1, 2, 3)]
    assert left(found) == {ARTIFACTS: "the collection stopped: the guest has more than 3 artifacts"}

    monkeypatch.setattr(module, "MAX_ENTRIES", 3)
    (guest.out / "artifacts/d/3").unlink()
    found = guest.collect("**")
    assert paths(found) == ["artifacts/d/1", "artifacts/d/2"]
    assert left(found) == {ARTIFACTS: "the collection stopped: the guest has more than 3 names"}


def test_depth_is_bounded(guest: Guest) -> None:
    deep = "/".join(["d"] * 32)
    guest.run(f"mkdir -p {deep}/d; echo x >{deep}/a; echo x >{deep}/d/a")

    found = guest.collect("**")

    assert paths(found) == [f"artifacts/{deep}/a"]
    assert left(found) == {f"{deep}/d": "more than 32 directories deep"}


def test_what_is_left_out_is_told_up_to_a_number(
    guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest.run("n=10; while [ $n -lt 20 ]; do ln -s x l$n; n=$((n+1)); done; echo x >z; echo x >zz")
    monkeypatch.setattr(module, "MAX_SKIPPED", 4)

    found = guest.collect("*")
    assert list(left(found)) == ["l10", "l11", "l12", "l13", ROOT]
    assert left(found)[ROOT] == "6 more files were skipped"

    # Why no more is looked at is told in any case.
    monkeypatch.setattr(module, "MAX_ARTIFACTS", 1)
    (guest.out / "artifacts/zz").unlink()
    found = guest.collect("*")
    assert list(left(found)) == ["l10", "l11", "l12", ARTIFACTS, ROOT]
    assert left(found)[ROOT] == "7 more files were skipped"


# The host's side


def test_symlink_in_the_folder_is_not_followed(guest: Guest, outside: Path) -> None:
    guest.run("mkdir d; echo ours >a; echo ours >d/a; echo ours >../status.json")
    (guest.out / "artifacts").mkdir(parents=True)
    (guest.out / "artifacts/d").symlink_to(outside)
    (guest.out / "status.json").symlink_to(outside / "a")

    found = guest.collect("**")

    assert paths(found) == ["artifacts/a"]
    assert left(found) == {
        f"{ROOT}/status.json": f"{guest.out}/status.json is a symlink, which is not followed; "
        "nothing was written there",
        "d/a": f"{guest.out}/artifacts/d is a symlink, which is not followed; "
        "nothing was written there",
    }


def test_file_in_place_of_a_directory_leaves_out_what_is_beneath(guest: Guest) -> None:
    guest.run("mkdir d; echo ours >a; echo ours >d/a")
    (guest.out / "artifacts/a").mkdir(parents=True)

    found = guest.collect("**")

    assert paths(found) == ["artifacts/d/a"]
    assert "is a directory" in left(found)["a"]


# Faults


def test_fault_that_passes_is_not_seen(guest: Guest, proxy: Proxy, proxied: IncusClient) -> None:
    guest.run("dd if=/dev/urandom of=a bs=1M count=9 2>/dev/null; echo x >b")
    faults = [
        proxy.on("GET", FILES, truncate(1000), nth=2),
        proxy.on("GET", FILES, truncate(MIB // 2), nth=4),
        proxy.on("GET", FILES, reset_before(), nth=5),
        proxy.on("GET", FILES, reply(500, error("Invalid PID", 500)), nth=7),
    ]

    found = guest.collect("*", client=proxied)

    assert [fault.applied for fault in faults] == [1, 1, 1, 1]
    assert [(file.path, file.size) for file in found.files] == [
        ("artifacts/a", 9 * MIB),
        ("artifacts/b", 2),
    ]
    assert found.skipped == ()


WRONG: list[tuple[Action, str]] = [
    (truncate(1000), "the connection was lost"),
    (reset_before(), "the connection was lost"),
    (reply(500, error("no agent", 500)), "Incus answered 500: no agent"),
    (reply(403, error("go away", 403)), "Incus answered 403: go away"),
    (
        reply(206, b"xx", Content_Range="bytes 5-6/9"),
        "the reply has 2 bytes and the range 'bytes 5-6/9'",
    ),
    (
        reply(206, b"xx", Content_Range="bytes 0-5/9"),
        "the reply has 2 bytes and the range 'bytes 0-5/9'",
    ),
    (reply(206, b"xx"), "the reply has 2 bytes and the range ''"),
    (reply(204, b""), "the reply (204) is not valid"),
]


@pytest.mark.parametrize(("fault", "reason"), WRONG)
def test_fault_that_stays_leaves_out_one_file_and_no_part_of_it(
    guest: Guest, proxy: Proxy, proxied: IncusClient, fault: Action, reason: str
) -> None:
    guest.run("dd if=/dev/urandom of=b bs=1M count=9 2>/dev/null; echo x >a; echo x >c")

    def late(request: Request, forward: Forward) -> Answer:
        """Only the second chunk."""
        first = request.header("Range") == "bytes=0-8388607"
        return forward(request) if first else fault(request, forward)

    proxy.on("GET", FILES, only("b", late), times=None)

    found = guest.collect("*", client=proxied)

    assert paths(found) == ["artifacts/a", "artifacts/c"]
    assert reason in left(found)["b"]
    assert {path.name for path in guest.out.iterdir()} == {"artifacts"}


def test_server_that_breaks_off_again_and_again_ends_it(
    guest: Guest, proxy: Proxy, proxied: IncusClient
) -> None:
    guest.run("for n in a b c d e; do echo x >$n; done")
    proxy.on("GET", FILES, reset_before(), nth=3, times=None)

    found = guest.collect("*", client=proxied)

    assert paths(found) == ["artifacts/a"]
    assert list(left(found)) == ["b", "c", "d", ARTIFACTS]
    assert left(found)[ARTIFACTS].startswith(
        "the collection stopped: the server cannot be reached: GET "
    )


def test_server_that_is_gone_ends_it_at_once(
    guest: Guest, proxy: Proxy, proxied: IncusClient
) -> None:
    guest.run("for n in a b c d e; do echo x >$n; done")

    def go(request: Request, forward: Forward) -> Answer:
        proxy.socket.unlink()
        return reset_before()(request, forward)

    proxy.on("GET", FILES, go, nth=3)

    found = guest.collect("*", client=proxied)

    assert paths(found) == ["artifacts/a"]
    assert list(left(found)) == ["b", ARTIFACTS]
    assert "the socket does not exist" in left(found)[ARTIFACTS]


def test_server_that_was_never_there_leaves_out_all(guest: Guest, tmp_path: Path) -> None:
    found = guest.collect("*", client=IncusClient(tmp_path / "none"))

    assert found.files == ()
    assert len(found.skipped) == 5
    assert {"the socket does not exist" in one.reason for one in found.skipped} == {True}


def test_instance_that_is_gone_leaves_out_all(guest: Guest) -> None:
    guest.client.run(
        "PUT",
        url("instances", guest.name, "state"),
        {"action": "stop", "force": True},
        timeout=20,
    )
    guest.client.run("DELETE", url("instances", guest.name), timeout=20)

    found = guest.collect(include_logs=False)

    reason = f"the collection stopped: instance {guest.name} does not exist any more"
    names = ("status.json", "result.json", "events.jsonl")
    assert left(found) == {f"{ROOT}/{name}": reason for name in names}


def test_server_without_ranges_will_do(guest: Guest, proxy: Proxy, proxied: IncusClient) -> None:
    guest.run("dd if=/dev/urandom of=a bs=1M count=9 2>/dev/null; printf 0123456789 >b")

    def whole(request: Request, forward: Forward) -> Answer:
        headers = {k: v for k, v in request.headers.items() if k.lower() != "range"}
        return forward(replace(request, headers=headers))

    rule = proxy.on("GET", FILES, whole, times=None)

    found = guest.collect("*", client=proxied)

    assert [file.size for file in found.files] == [9 * MIB, 10]
    assert rule.applied
    files, params = url("instances", guest.name, "files"), {"path": f"{ARTIFACTS}/b"}
    assert list(read_chunks(proxied, files, params, start=3, chunk=4)) == [b"3456", b"789"]
    assert list(read_chunks(proxied, files, params, start=10)) == []


@pytest.mark.parametrize(
    "body",
    [
        b"no JSON",
        b"[" * 100_000,
        b"{}",
        b'{"metadata": {}}',
        b'{"metadata": [1]}',
        b'{"metadata": ["\\udcff"]}',
    ],
)
def test_list_that_is_none_is_refused(
    guest: Guest, proxy: Proxy, proxied: IncusClient, body: bytes
) -> None:
    guest.run("echo s >../status.json")
    proxy.on(
        "GET",
        FILES,
        lambda request, forward: (
            reply(200, body, X_Incus_Type="directory")(request, forward)
            if request.query.get("path") == ARTIFACTS
            else forward(request)
        ),
        times=None,
    )

    with pytest.raises(UnexpectedResponse, match="not a list of names"):
        list_guest_directory(proxied, guest.name, ARTIFACTS)
    found = guest.collect("*", client=proxied)

    assert paths(found) == ["status.json"]
    assert "not a list of names" in left(found)[ARTIFACTS]


def test_interruption_leaves_no_part(guest: Guest, proxy: Proxy, proxied: IncusClient) -> None:
    guest.run("echo x >a; dd if=/dev/zero of=b bs=1M count=9 2>/dev/null")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Progress, "tick", interrupt)
        with pytest.raises(KeyboardInterrupt):
            guest.collect("b", client=proxied)

    assert list(guest.out.iterdir()) == []


def test_progress_is_told(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulumi_pika.reconcile.shared.reporter.FIRST_AFTER", 0.0)
    monkeypatch.setattr("pulumi_pika.reconcile.shared.reporter.EVERY", 0.0)
    guest.run("dd if=/dev/zero of=a bs=1M count=9 2>/dev/null; echo x >b")

    guest.collect("*")

    last = guest.reporter.infos[-1]
    said = rf"collecting the outputs of {guest.name}: \d+ s, 2 files, 9\.0 MiB"
    assert re.fullmatch(said, last), last
    assert any("0 files, 8.0 MiB" in line for line in guest.reporter.infos)


# Bounds in total


def test_time_of_all_together_is_bounded(
    guest: Guest, proxy: Proxy, proxied: IncusClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest.run("for n in 1 2 3 4 5 6 7 8 9; do echo x >$n; done; echo >../status.json")
    proxy.on("HEAD", FILES, delay(0.3), times=None)
    monkeypatch.setattr(module, "WITHIN", 2.0)

    begun = time.monotonic()
    found = guest.collect("*", client=proxied)

    assert time.monotonic() - begun < 5
    assert 0 < len(found.files) < 9
    said = (
        r"the collection stopped: the time limit is over: 2 s, and one second for each MiB of the "
        r"\d+ bytes .*"
    )
    assert re.fullmatch(said, left(found)[ARTIFACTS])


LEASES = """
import fcntl, os, signal, sys, time
signal.signal(signal.SIGIO, signal.SIG_IGN)
root, seconds = sys.argv[1], float(sys.argv[2])
held = {os.open(f"{root}/{name}", os.O_RDWR): 0.0 for name in os.listdir(root)}
for file in held:
    fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("has them", flush=True)
while held:
    for file, since in list(held.items()):
        if since and time.monotonic() - since > seconds:
            fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
            del held[file]
        elif not since and fcntl.fcntl(file, fcntl.F_GETLEASE) != fcntl.F_WRLCK:
            held[file] = time.monotonic()
    time.sleep(0.02)
"""
"""A process that has a lease on each file of a directory, and lets go of it so many seconds after
somebody wanted to open it (fcntl(2), F_SETLEASE)."""


def test_guest_that_makes_each_file_wait_is_left(
    guest: Guest, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest.run("for n in 1 2 3 4 5 6 7 8 9; do echo $n >$n; done")
    state = guest.client.get(url("instances", guest.name, "state")).data
    place = f"/proc/{state['pid']}/root{ARTIFACTS}"
    monkeypatch.setattr(module, "STALLED_FOR", 3.8)

    command = [sys.executable, "-c", LEASES, place, "2.5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "has them\n"
        begun = time.monotonic()
        found = guest.collect("*")
        assert time.monotonic() - begun < 12
        process.kill()

    # The one in whose turn the time was up is not there, not even in part.
    assert paths(found) == ["artifacts/1", "artifacts/2"]
    said = r"the collection stopped: the guest delayed its replies by \d+ s in total"
    assert re.fullmatch(said, left(found)[ARTIFACTS])


def test_names_that_wait_are_bounded(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the directories above wait for those below to be looked at."""
    monkeypatch.setattr(module, "MAX_ENTRIES", 10)
    guest.run("mkdir -p a/a; for n in $(seq 30); do : >b$n; : >a/b$n; : >a/a/b$n; done")
    waiting: list[int] = []
    hold = module._Collector._hold

    def counted(self: Any, names: Any) -> Any:
        found = hold(self, names)
        waiting.append(sum(map(len, self._pending)))
        return found

    monkeypatch.setattr(module._Collector, "_hold", counted)
    found = guest.collect("**")

    assert len(waiting) == 3
    assert max(waiting) <= 11
    assert len(found.files) == 8
    assert "more than 10 names" in left(found)[ARTIFACTS]
